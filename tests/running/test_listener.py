"""What the driver keeps of a trial of Tune that has ended."""

from __future__ import annotations

from types import SimpleNamespace

from study.running.ray_tune.connection import connected
from study.running.ray_tune.listener import make_listener
from tests.running.conftest import Heard


def test_the_statistics_of_an_ended_trial_are_let_go() -> None:
    with connected(None):  # Ray takes its token when it is first imported
        from ray.tune.trainable.metadata import _TrainingRunMetadata

        heard = Heard()
        listener = make_listener(heard, None)
        for end in (listener.on_trial_complete, listener.on_trial_error):
            kept = _TrainingRunMetadata()
            empty = len(kept.get_json_state())
            kept.update_metric("epoch", 1.0)
            kept.update_metric("time_total_s", 2.0)
            assert len(kept.get_json_state()) > empty
            name = end.__name__
            end(
                1, [], SimpleNamespace(config={"trial": name}, run_metadata=kept, get_error=lambda: "a\nlast")
            )
            assert len(kept.get_json_state()) == empty
            kept.update_metric("epoch", 3.0)  # a trial that died with its machine is tried again
            assert kept.metric_analysis["epoch"]["last"] == 3.0
    assert heard.ends == {"on_trial_complete": "", "on_trial_error": "last"}
