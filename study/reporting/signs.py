"""The signs of what is no plain measured number: a sign, a word and a sentence, so that nothing rests on color."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DONE = "done"
ABSENT = "—"
"""The paper prints nothing here, or nothing was counted."""


@dataclass(frozen=True)
class Sign:
    """How a state is shown.

    Attributes:
        sign: one character.
        word: what the state is called.
        means: what it means, without a full stop.
    """

    sign: str
    word: str
    means: str


SIGNS: dict[str, Sign] = {
    "missing": Sign("○", "missing", "no result: not run, left out, or not in MLflow; a footnote says which"),
    "failed": Sign("✗", "failed", "the trials ended with an error"),
    "stopped": Sign(
        "■", "stopped", "the trials were stopped before they were through, so they have no number"
    ),
    "interrupted": Sign("‖", "interrupted", "the trials were cut off and can go on"),
    "running": Sign("▷", "running", "the trials have not ended yet"),
    "partial": Sign("◐", "partial", "fewer repeats than planned; n says how many"),
    "stale": Sign("†", "stale", "measured with code that has changed since"),
    "confounded": Sign(
        "‡",
        "confounded",
        "the trials differ in more than the rows declare, so the difference has no one cause",
    ),
    "disagrees": Sign("≠", "disagrees", "the printed cost is not the counted one"),
    "not applicable": Sign("n/a", "not applicable", "there is nothing to measure in this cell"),
}
"""By state of a cell; a state that is not here needs no sign."""


def explain_signs(states: Iterable[str]) -> tuple[Sign, ...]:
    """The signs of ``states``, each once, in the order of :data:`SIGNS`."""
    occurring = set(states)
    return tuple(sign for state, sign in SIGNS.items() if state in occurring)
