"""Something-Something V2: webm files, lists in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from study.data.datasets.official import OfficialSource
from study.data.datasets.pairing import Listed
from study.data.datasets.something import MIRRORED
from study.data.list_file import Problems, read_text
from study.errors import DataError
from study.spec.datasets import SomethingV2

Json = TypeVar("Json", dict[str, Any], list[Any])
BETWEEN = re.compile(r"[\s,]*")
"""What separates the elements of an array."""
LABELS, TRAIN, VAL = (
    (f"something-something-v2-{part}.json", f"{part}.json") for part in ("labels", "train", "validation")
)
"""Names of the files, by their first and by their present distributor."""


class SomethingV2Dataset(OfficialSource[SomethingV2]):
    """The data set that a :class:`~study.spec.datasets.SomethingV2` describes."""

    title = "Something-Something V2"
    extension = ".webm"
    template = "{:06d}.jpg"
    mirrored = MIRRORED
    sizes: ClassVar[Mapping[int, Mapping[str, int]]] = {1: {"train": 168_913, "val": 24_777}}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        path = self.find_annotations(LABELS, TRAIN, VAL)[0]
        _, numbers = _read_json(path, dict)
        names = {str(number): name for name, number in numbers.items()}
        expected = [str(number) for number in range(len(numbers))]
        if sorted(names) != sorted(expected):
            raise DataError(
                f"{path}: expected class names with the numbers 0 to {len(numbers) - 1}, each once"
            )
        return self.check_classes(path, [names[number] for number in expected])

    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        _, train, val = self.find_annotations(LABELS, TRAIN, VAL)
        path = train if split == "train" else val
        problems, listed = Problems(path), list[Listed]()
        for line, video in _read_entries(path):
            if (
                not isinstance(video, dict)
                or not video.get("id")
                or not isinstance(video.get("template"), str)
            ):
                problems.add(line, f"expected an object with 'id' and 'template', got {str(video)[:80]}")
                continue
            video_id, name = str(video["id"]), video["template"].replace("[", "").replace("]", "")
            listed.append(Listed(path, line, video_id, video_id, self.label(name, line, problems)))
        problems.raise_if_any()
        return listed


def _read_json(path: Path, expected: type[Json]) -> tuple[str, Json]:
    """The text of ``path`` and what it holds. Raises DataError unless that is of the type ``expected``."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}{line}: not JSON: {error}") from None
    if not isinstance(content, expected):
        what = "an object of class names" if expected is dict else "an array of videos"
        raise DataError(f"{path}: expected {what}, got {text.strip()[:40]}")
    return text, content


def _read_entries(path: Path) -> Iterator[tuple[int, Any]]:
    """The elements of the array in ``path``, each with the number of the line that it begins in."""
    text, _ = _read_json(path, list)
    decoder, place, line = json.JSONDecoder(), text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    while text[begin := BETWEEN.match(text, place).end()] != "]":  # type: ignore[union-attr]
        line += text.count("\n", place, begin)
        element, place = decoder.raw_decode(text, begin)
        yield line, element
        line += text.count("\n", begin, place)
