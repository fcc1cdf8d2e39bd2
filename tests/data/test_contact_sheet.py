"""The contact sheet shows the frames that it says it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from study.data.contact_sheet import (
    LABEL_WIDTH,
    MARGIN,
    MOST_CLASSES,
    SheetRow,
    draw_contact_sheet,
    paint_sheet,
    wrap_text,
)
from study.data.manifest import Manifest, VideoEntry
from study.data.readers.base import ArrayReader
from study.errors import DataError


def decode_gray(entry: VideoEntry) -> ArrayReader:
    """Twelve frames of brightness 10 t, twice as wide as high."""
    frames = (
        np.zeros((12, 10, 20, 3), dtype=np.uint8) + (10 * np.arange(12, dtype=np.uint8))[:, None, None, None]
    )
    return ArrayReader(frames)


def test_a_row_a_class_and_frames_from_first_to_last(tmp_path: Path) -> None:
    entries = (
        VideoEntry("b", "b.mp4", 1, reverse=True),
        VideoEntry("a", "a.mp4", 0),
        VideoEntry("c", "c.mp4", 0),
    )
    manifest = Manifest(tmp_path, ("forward", "reversed"), {}, (), entries)
    path = draw_contact_sheet(manifest, tmp_path / "sheets" / "s.png", columns=4, tile=40, opener=decode_gray)
    sheet = np.asarray(Image.open(path))
    step = 40 + MARGIN
    assert sheet.shape == (2 * step + MARGIN, LABEL_WIDTH + 4 * step + MARGIN, 3)

    def center(row: int, column: int) -> int:
        return int(sheet[MARGIN + row * step + 20, LABEL_WIDTH + column * step + 20, 0])

    # Frames 0, 11/3, 22/3 and 11 of twelve.
    assert [center(0, column) for column in range(4)] == [0, 40, 70, 110]
    assert [center(1, column) for column in range(4)] == [110, 70, 40, 0]
    # A picture twice as wide as high leaves the upper and lower quarter of its place white.
    assert sheet[MARGIN + 5, LABEL_WIDTH + 20].tolist() == [255, 255, 255]
    # Names are written beside the rows.
    assert (sheet[:, :LABEL_WIDTH] < 128).any()


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, ("a",), {}, (), ())
    with pytest.raises(DataError, match="the split 'train' holds no videos"):
        draw_contact_sheet(manifest, tmp_path / "s.png", split="train")


def test_of_many_classes_some_are_shown(tmp_path: Path) -> None:
    entries = tuple(VideoEntry(f"v{label}", "v.mp4", label) for label in range(174))
    manifest = Manifest(tmp_path, tuple(f"class {label}" for label in range(174)), {}, (), entries)
    path = draw_contact_sheet(manifest, tmp_path / "s.png", columns=2, tile=16, opener=decode_gray)
    assert Image.open(path).height == MOST_CLASSES * (16 + MARGIN) + MARGIN


def test_each_row_is_opened_by_its_own_opener() -> None:
    def decode_white(entry: VideoEntry) -> ArrayReader:
        return ArrayReader(np.full((3, 8, 8, 3), 200, np.uint8))

    entry = VideoEntry("a", "a.mp4", 0)
    rows = [SheetRow("first", entry, decode_gray), SheetRow("second", entry, decode_white)]
    sheet = np.asarray(paint_sheet(rows, columns=2, tile=40))
    left, step = LABEL_WIDTH + 20, 40 + MARGIN
    assert [int(sheet[MARGIN + 20 + row * step, left, 0]) for row in (0, 1)] == [0, 200]


@pytest.mark.parametrize(
    "text",
    [
        "short\n99 %",
        "Pretending to put something into something but missing so that it falls somewhere else entirely\n99 %",
        "Supercalifragilisticexpialidocious" * 8 + "\n99 %",
        "99 %",
    ],
)
def test_texts_fit_into_their_column_and_keep_their_last_line(text: str) -> None:
    font = ImageFont.load_default(13)
    lines = wrap_text(text, font, 100, 5).split("\n")
    assert len(lines) <= 5
    assert all(font.getlength(line) <= 100 for line in lines)
    assert lines[-1] == "99 %"
    assert ("…" in "".join(lines)) == (len(text) > 20)
