"""Whether the files of a data set decode to what they hold."""

from __future__ import annotations

from enum import StrEnum


class Health(StrEnum):
    """What a check found of a video."""

    OK = "ok"
    IN_ORDER = "in_order"
    SHORT = "short"
    UNREADABLE = "unreadable"
    WRONG = "wrong"
    TIMEOUT = "timeout"
    CRASH = "crash"

    @property
    def fit(self) -> bool:
        """Whether training uses the video."""
        return self in (Health.OK, Health.IN_ORDER, Health.SHORT)

    @property
    def sentence(self) -> str:
        """What it means, and what becomes of the video."""
        return _SENTENCES[self]


_SENTENCES = {
    Health.OK: "every frame decodes, and random access gives the right ones",
    Health.IN_ORDER: "seeking gives wrong frames, reading in order is right: it is read in order",
    Health.SHORT: "the header promises more frames than decode: those that decode are used",
    Health.UNREADABLE: "cannot be opened or decoded: left out",
    Health.WRONG: "frames are damaged, or wrong even when they are read in order: left out",
    Health.TIMEOUT: "decoding did not end in time: left out",
    Health.CRASH: "the process that decoded it died: left out",
}
