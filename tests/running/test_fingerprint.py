"""The code fingerprint: what counts as a change, and for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.running import fingerprint
from study.running.fingerprint import fingerprint_code, list_changes
from study.spec.loading import load_study
from study.spec.record import CodeFingerprint

SOURCE = '"""Doc."""\nfrom study.seeding import derive_seed\n\n\ndef f(x):\n    """Doc of f."""\n    return x + 1\n'


def digest(tmp_path: Path, source: str) -> str:
    path = tmp_path / f"{abs(hash(source))}.py"
    path.write_text(source)
    return fingerprint._digest_module(path)[0]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("    return x + 1", "    # why\n    return (x + 1)", True),
        ("Doc of f.", "Another text.", True),
        ('    """Doc of f."""\n', "", True),
        ("x + 1", "x + 2", False),
        ("def f(x)", "def f(x, y=0)", False),
    ],
)
def test_only_code_counts(tmp_path: Path, before: str, after: str, same: bool) -> None:
    assert before in SOURCE
    assert (digest(tmp_path, SOURCE) == digest(tmp_path, SOURCE.replace(before, after))) is same


def test_a_trial_covers_its_own_block_and_not_the_others() -> None:
    arms = {arm.name: arm.settings for arm in load_study(["table7"]).experiments[0].arms}
    hybrid = fingerprint_code(arms["STH hybrid"]).modules
    parallel = fingerprint_code(arms["(2+1)D parallel"]).modules
    assert "study.models.blocks.sth" in hybrid
    assert "study.models.blocks.two_plus_one" not in hybrid
    assert "study.models.blocks.sth" not in parallel
    for module in ("study.training.fit", "study.training.optim", "study.data.dataset", "study.seeding"):
        assert module in hybrid
    elsewhere = (
        "study.reporting",
        "study.commands",
        "study.cost",
        "study.running.plan",
        "study.running.ray_tune",
    )
    assert not [name for name in hybrid if name.startswith(elsewhere)]


def test_of_the_kernels_that_counts_which_runs_in_trials() -> None:
    """PyTorch's convolutions and what chooses them; nothing that is compiled, and nothing for arms without STH-Conv."""
    arms = {arm.name: arm.settings for arm in load_study(["table7"]).experiments[0].arms}

    def kernels(arm: str) -> set[str]:
        return {name for name in fingerprint_code(arms[arm]).modules if name.startswith("study.kernels")}

    over_time = {"study.kernels.temporal"}
    shared = over_time | {f"study.kernels.{name}" for name in ("choice", "geometry", "library")}
    for arm in ("STH merge", "STH hybrid", "STH hybrid+attention"):
        assert kernels(arm) == shared
    assert kernels("(2+1)D parallel") == over_time
    shift = load_study(["table9"]).experiments[0].arm("TSM 8f").settings
    assert not [name for name in fingerprint_code(shift).modules if "kernels" in name]


def test_changes_are_named() -> None:
    before = CodeFingerprint(digest="a", modules={"study.a": "1", "study.b": "1"})
    now = CodeFingerprint(digest="b", modules={"study.a": "2", "study.c": "1"})
    assert list_changes(before, now) == ["study.a changed", "study.b removed", "study.c added"]


def test_code_of_flow_counts_for_flow_only() -> None:
    settings = (
        load_study(["table7"], overrides=["clip.modality={type: flow}"]).experiments[0].arms[0].settings
    )
    color = load_study(["table7"]).experiments[0].arms[0].settings
    flow = {name for name in fingerprint_code(settings).modules if name.startswith("study.data.flow")}
    assert {"study.data.flow.reading", "study.data.flow.compute"} <= flow
    assert not any(name.startswith("study.data.flow") for name in fingerprint_code(color).modules)
