"""``why`` names the setting, the code, the protocol or the failure behind a trial's state."""

from __future__ import annotations

import pytest

from study.commands.launch import LaunchOptions, launch
from study.commands.why import explain
from study.errors import SpecError
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.record import CodeFingerprint, Failure, save_record
from study.spec.resolved import Study
from tests.running.conftest import TOY


def toy(*extra: str) -> Study:
    return load_study(["table8"], overrides=[*TOY, *extra])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.at(tmp_path_factory.mktemp("why"))
    assert launch(toy(), LaunchOptions(store.root, engine="inline")) == 0
    return store


def test_a_changed_setting_is_why_a_trial_is_missing(finished: Store) -> None:
    text = explain(toy("training.optimizer.lr=0.1"), finished, "table8/Dilated")
    assert "is missing: not run yet" in text
    assert "    training.optimizer.lr: 0.1 here, 0.05 there" in text
    # The arms differ in more than that from each other, so the neighbor is the same arm as it was.
    assert "dilation" not in text


def test_a_trial_that_is_like_none_is_told(finished: Store, tmp_path: object) -> None:
    other = ["data.train_videos=40", "data.noise=0.2", "clip.frames=4", "training.batch_size=8"]
    text = explain(toy(*other, "training.epochs=1", "model.dropout=0.3"), finished, "table8/Fixed")
    assert "no finished trial of this store is like it" in text
    assert "no trial of this store has finished" in explain(
        toy(), Store.at(f"{tmp_path}/empty"), "table8/Fixed"
    )


def test_protocol_code_and_failure(finished: Store) -> None:
    text = explain(
        toy("evaluation.protocols.two.clips=2", "evaluation.protocols.two.crops=1"),
        finished,
        "table8/Fixed/0",
    )
    assert "is protocol" in text
    assert "protocol two needs 2 views and was not measured; launch evaluates, trains nothing" in text

    trial_id = explain(toy(), finished, "table8/Fixed").split()[0]
    path = finished.folder(trial_id) / "record.json"
    record = finished.record(trial_id)
    assert record is not None
    try:
        old = CodeFingerprint(digest="old", modules=record.code.modules | {"study.training.fit": "old"})
        save_record(record.model_copy(update={"code": old}), path)
        text = explain(toy(), finished, trial_id[:6])
        assert "is stale: study.training.fit changed" in text
        assert "launch --retry stale" in text
        failure = Failure(kind="OutOfMemoryError", message="2 GiB wanted")
        save_record(record.model_copy(update={"status": "failed", "failure": failure}), path)
        text = explain(toy(), finished, trial_id)
        assert "class 'out of memory'" in text
    finally:
        save_record(record, path)


def test_attempts_are_listed(finished: Store) -> None:
    text = explain(toy(), finished, "table8/Fixed")
    assert "is done" in text
    assert text.count("  attempt ") == 1
    assert ": completed after " in text


def test_a_name_that_is_no_trial_is_refused_with_what_there_is(finished: Store) -> None:
    with pytest.raises(
        SpecError, match=r"no trial of this study is 'table8/fixed': did you mean 'table8/Fixed'"
    ):
        explain(toy(), finished, "table8/fixed")
