"""A picture of a data set: one row for each class, the frames of an example from left to right."""

from __future__ import annotations

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


def draw_contact_sheet(
    manifest: Manifest,
    path: Path,
    *,
    columns: int = 8,
    tile: int = 80,
    split: str = "val",
    opener: Opener | None = None,
) -> Path:
    """Write a PNG with ``columns`` evenly spaced frames of one video of every class.

    Args:
        manifest: the data set; its videos must exist.
        path: the file to write.
        columns: frames shown of each video.
        tile: height and width of a frame in the picture, pixels; frames are fitted into it.
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
    step, opener = tile + MARGIN, opener or build_opener(manifest, RgbModality())
    sheet = Image.new("RGB", (LABEL_WIDTH + columns * step + MARGIN, len(examples) * step + MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (label, entry) in enumerate(sorted(examples.items())):
        top = MARGIN + row * step
        pen.text((MARGIN, top + tile // 2), manifest.classes[label], fill="black", font=font, anchor="lm")
        reader = opener(entry)
        indices = np.linspace(0, reader.num_frames - 1, columns).round().astype(np.int64)
        frames = reader.read(indices)
        for column, image in enumerate(frames[::-1] if entry.reverse else frames):
            picture = _fit(Image.fromarray(image), tile)
            left = LABEL_WIDTH + column * step
            sheet.paste(picture, (left + (tile - picture.width) // 2, top + (tile - picture.height) // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def _fit(image: Image.Image, tile: int) -> Image.Image:
    """The picture scaled to fit into a square of ``tile`` pixels; small ones keep their pixels visible."""
    factor = tile / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)
