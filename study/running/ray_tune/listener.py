"""What Tune tells of its trials, passed on."""

from __future__ import annotations

from typing import Any

from study.errors import SchedulingError
from study.running.executor import Events
from study.running.interruption import take_up
from study.running.ray_tune.nodes import NodeWatch
from study.running.ray_tune.vital import describe_death


def make_listener(events: Events, watch: NodeWatch | None) -> Any:
    """A callback of Tune that passes its events on."""
    from ray import tune

    class Listener(tune.Callback):
        """Holds what it needs outside of its state: Tune pickles its callbacks for a restore that we never do."""

        events: Events
        watch: NodeWatch | None
        problems: dict[str, str]

        def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
            # Ten times a second; amid a step Tune, or Ray below it, might swallow it.
            take_up()
            # Tune would wait for a dead process for ever.
            if death := describe_death():
                raise SchedulingError(death)
            if self.watch is not None:
                self.watch.look()

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.events.started(trial.config["trial"])

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            if "epoch" in result:
                self.events.epoch(trial.config["trial"], result["epoch"])
            if "problem" in result:
                self.problems[trial.config["trial"]] = result["problem"]

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.events.ended(trial.config["trial"], self.problems.pop(trial.config["trial"], ""))
            _release(trial)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            # Errors inside a trial are in its record; this one kept it from having any.
            lines = str(trial.get_error() or "its process died").strip().splitlines()
            self.events.ended(trial.config["trial"], lines[-1])
            _release(trial)

        def __getstate__(self) -> dict[str, Any]:
            return {}

    listener = Listener()
    listener.events, listener.watch, listener.problems = events, watch, {}
    return listener


def _release(trial: Any) -> None:
    """Let go of the running statistics that Tune keeps of every metric of a trial that has ended, 16 KiB, so that one
    could ask its results for the best trial; ours are in the records.
    """
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()
    trial.run_metadata.invalidate_cache()
