"""What the driver keeps of a trial of Tune that has ended."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.trainable.metadata import _TrainingRunMetadata

from study.running.ray_tune.listener import make_listener


class Heard:
    """The events of a run."""

    def __init__(self) -> None:
        self.ends: dict[str, str] = {}

    def started(self, trial_id: str) -> None:
        """See :class:`study.running.executor.Events`."""

    def epoch(self, trial_id: str, epoch: int) -> None:
        """See :class:`study.running.executor.Events`."""

    def ended(self, trial_id: str, problem: str = "") -> None:
        """See :class:`study.running.executor.Events`."""
        self.ends[trial_id] = problem


@pytest.mark.parametrize("end", ["on_trial_complete", "on_trial_error"])
def test_the_statistics_of_an_ended_trial_are_let_go(end: str) -> None:
    kept, heard = _TrainingRunMetadata(), Heard()
    empty = len(kept.get_json_state())
    kept.update_metric("epoch", 1.0)
    kept.update_metric("time_total_s", 2.0)
    assert len(kept.get_json_state()) > empty
    trial = SimpleNamespace(config={"trial": "ab"}, run_metadata=kept, get_error=lambda: "a line\nits last")
    getattr(make_listener(heard, None), end)(1, [], trial)
    assert heard.ends == {"ab": "" if end == "on_trial_complete" else "its last"}
    assert len(kept.get_json_state()) == empty
    kept.update_metric("epoch", 3.0)  # a trial that died with its machine is tried again
    assert kept.metric_analysis["epoch"]["last"] == 3.0
