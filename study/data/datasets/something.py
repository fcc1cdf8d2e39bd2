"""What the data sets of the makers of Something-Something share: their lists and mirrored classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from study.data.datasets.pairing import Listed
from study.data.list_file import Problems, read_lines

MIRRORED = (
    ("Pulling something from left to right", "Pulling something from right to left"),
    ("Pushing something from left to right", "Pushing something from right to left"),
    ("Turning the camera left while filming something", "Turning the camera right while filming something"),
)
"""Classes of Something-Something, V1 and V2, that a horizontal flip turns into each other."""

FindLabel = Callable[[str, int, Problems], int]
"""Label of a class name in a line; notes the defect when there is none."""


def read_id_list(path: Path, find_label: FindLabel) -> list[Listed]:
    """The videos of a list of ``id;label`` lines, as Something-Something V1 and Jester have them.

    Raises:
        DataError: when the list cannot be read, or naming each line that is wrong.
    """
    problems, listed = Problems(path), list[Listed]()
    for number, line in read_lines(path):
        video_id, *rest = (field.strip() for field in line.split(";"))
        if len(rest) != 1 or not video_id.isdecimal():
            problems.add(number, f"expected 'id;label', got '{line}'")
            continue
        listed.append(Listed(path, number, video_id, video_id, find_label(rest[0], number, problems)))
    problems.raise_if_any()
    return listed
