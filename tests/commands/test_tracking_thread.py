"""Following a launch costs what moves, not what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.commands.tracking import TrackingThread
from study.running.store import Store
from study.tracking.mirror import Mirror, MirrorItem, SyncReport
from tests.running.conftest import make_toy_plan
from tests.running.test_executors import Heard


def test_a_pass_looks_at_what_has_moved_since_the_last(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_toy_plan(store, specs=("table6", "table7"))
    every = {planned.trial_id for planned in plan.trials}
    first, second, third, *_ = every
    looked: list[dict[str, bool]] = []
    broken = False

    def sync(self: Mirror, items: list[MirrorItem], **options: object) -> SyncReport:
        looked.append({item.trial.trial_id: item.running for item in items})
        return SyncReport(errors=["away"] if broken else [])

    monkeypatch.setattr(Mirror, "sync", sync)
    monkeypatch.setattr(Mirror, "describe", lambda *_: [])
    thread = TrackingThread(plan, store, f"sqlite:///{Path(store.root)}/x.db", seconds=3600)
    events = thread.listen(Heard())
    thread._follow_once()
    assert looked.pop() == dict.fromkeys(every, False)
    events.started(first)
    events.started(second)
    thread._follow_once()
    assert looked.pop() == {first: True, second: True}
    events.ended(first)
    broken = True
    thread._follow_once()
    assert looked.pop() == {first: False, second: True}
    broken = False
    events.started(third)
    thread._follow_once()
    assert looked.pop() == {first: False, second: True, third: True}, (
        "what could not be written is tried again"
    )
    thread._follow_once()
    assert looked.pop() == {second: True, third: True}
    with thread:
        pass
    assert looked[-1] == dict.fromkeys(every, False)
