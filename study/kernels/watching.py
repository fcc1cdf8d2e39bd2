"""Watching what runs STH-Conv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_watchers: list[Counter[str]] = []


@contextmanager
def watch() -> Iterator[Counter[str]]:
    """How often :func:`study.kernels.sth_conv` ran on ``native``, ``winograd``, ``triton`` and ``library`` within the
    ``with`` statement, in all threads of this process.
    """
    ran: Counter[str] = Counter()
    _watchers.append(ran)
    try:
        yield ran
    finally:
        _watchers[:] = [one for one in _watchers if one is not ran]


def note(name: str) -> None:
    """Tell who watches that the operator runs on ``name``."""
    for ran in _watchers:
        ran[name] += 1
