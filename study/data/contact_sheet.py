"""Pictures of videos: rows of frames, each with a text beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from study.data.manifest import Manifest, VideoEntry
from study.data.opening import Opener, build_opener
from study.errors import DataError
from study.spec.clip import RgbModality

MARGIN = 4
"""Pixels between frames."""
LABEL_WIDTH = 190
"""Width of the column with the names, pixels."""
FONT_SIZE = 13
MOST_LINES = 5
"""Lines of a text; what goes beyond ends in an ellipsis."""
MOST_CLASSES = 24
"""Rows of a picture of a data set."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class SheetRow:
    """One video, what opens it, and the text beside it, which may have several lines."""

    text: str
    entry: VideoEntry
    opener: Opener


def paint_sheet(rows: Sequence[SheetRow], *, columns: int = 8, tile: int = 80) -> Image.Image:
    """A picture with a row for each video: its text, and ``columns`` evenly spaced frames from left to right.

    Args:
        rows: the videos.
        columns: frames shown of each video, the first and the last among them.
        tile: height and width of a frame in the picture, pixels; frames are fitted into it.

    Raises:
        DataError: when one of the videos cannot be read.
    """
    step = tile + MARGIN
    sheet = Image.new("RGB", (LABEL_WIDTH + columns * step + MARGIN, len(rows) * step + MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for number, row in enumerate(rows):
        top = MARGIN + number * step
        text = wrap_text(row.text, font, LABEL_WIDTH - 2 * MARGIN, min(MOST_LINES, tile // (FONT_SIZE + 3)))
        pen.text((MARGIN, top + tile // 2), text, fill="black", font=font, anchor="lm", spacing=2)
        reader = row.opener(row.entry)
        indices = np.linspace(0, reader.num_frames - 1, columns).round().astype(np.int64)
        frames = reader.read(indices)
        for column, image in enumerate(frames[::-1] if row.entry.reverse else frames):
            picture = _fit(Image.fromarray(image), tile)
            left = LABEL_WIDTH + column * step
            sheet.paste(picture, (left + (tile - picture.width) // 2, top + (tile - picture.height) // 2))
    return sheet


def draw_contact_sheet(
    manifest: Manifest,
    path: Path,
    *,
    columns: int = 8,
    tile: int = 80,
    split: str = "val",
    opener: Opener | None = None,
) -> Path:
    """Write a PNG with one video of every class, or of ``MOST_CLASSES`` classes evenly spread over the list.

    Args:
        manifest: the data set; its videos must exist.
        path: the file to write.
        columns: frames shown of each video.
        tile: height and width of a frame in the picture, pixels.
        split: "train" or "val".
        opener: opens the videos; as color frames by default.

    Raises:
        DataError: when the split has no videos, or one of them cannot be read.
    """
    examples: dict[int, VideoEntry] = {}
    for entry in getattr(manifest, split):
        examples.setdefault(entry.label, entry)
    if not examples:
        raise DataError(f"{manifest.root}: the split '{split}' holds no videos to draw")
    labels = sorted(examples)
    if len(labels) > MOST_CLASSES:
        places = np.linspace(0, len(labels) - 1, MOST_CLASSES).round().astype(int)
        labels = [labels[place] for place in places]
    opener = opener or build_opener(manifest, RgbModality())
    rows = [SheetRow(manifest.classes[label], examples[label], opener) for label in labels]
    path.parent.mkdir(parents=True, exist_ok=True)
    paint_sheet(rows, columns=columns, tile=tile).save(path)
    return path


def wrap_text(text: str, font: Font, width: int, most: int) -> str:
    """``text`` in lines of at most ``width`` pixels, at most ``most`` of them; the last line of ``text`` is kept."""
    *firsts, last = text.split("\n")
    lines = [line for first in firsts for line in _wrap_line(first, font, width)]
    ends = _wrap_line(last, font, width)
    room = max(1, most - len(ends)) if lines else 0
    if len(lines) > room:
        lines = [*lines[: room - 1], _shorten(lines[room - 1] + "…", font, width)]
    kept = [*lines, *ends]
    return "\n".join(
        kept if len(kept) <= most else [*kept[: most - 1], _shorten(kept[most - 1] + "…", font, width)]
    )


def _wrap_line(line: str, font: Font, width: int) -> list[str]:
    """``line`` broken between words, and within a word where that is wider than a line."""
    lines, current = [], ""
    for word in line.split():
        candidate = f"{current} {word}".strip()
        if font.getlength(candidate) <= width:
            current = candidate
            continue
        if current:
            lines.append(current)
        while font.getlength(word) > width:
            count = next(n for n in range(len(word), 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
            lines.append(word[:count])
            word = word[count:]
        current = word
    return [*lines, current] if current or not lines else lines


def _shorten(line: str, font: Font, width: int) -> str:
    """``line``, which ends in an ellipsis, less the letters that make it too wide."""
    while font.getlength(line) > width and len(line) > 1:
        line = f"{line[:-2]}…"
    return line


def _fit(image: Image.Image, tile: int) -> Image.Image:
    """The picture scaled to fit into a square of ``tile`` pixels; small ones keep their pixels visible."""
    factor = tile / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)
