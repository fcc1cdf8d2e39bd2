"""Shares of a batch: complete, each item once, and in as many passes everywhere."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from study.errors import SpecError
from study.spec.loading import load_study
from study.spec.training import ResourcesSpec
from study.training.group import SINGLE, Group


@given(size=st.integers(1, 5), items=st.integers(0, 40), most=st.integers(1, 45))
def test_shares_are_the_batch_pass_by_pass(size: int, items: int, most: int) -> None:
    batch = list(range(items))
    groups = [Group(rank, size) for rank in range(size)]
    shares = [torch.tensor(group.share(batch, most)) for group in groups]
    assert sorted(chain(*(share.tolist() for share in shares))) == batch
    parts = [group.split(share, whole=items, most=most) for group, share in zip(groups, shares, strict=True)]
    if size > 1:
        passes = [torch.cat(found).tolist() for found in zip(*parts, strict=True)]
        assert passes == [batch[start : start + most] for start in range(0, items, most)]
        for found in zip(*parts, strict=True):
            assert max(map(len, found)) - min(map(len, found)) <= 1


@given(size=st.integers(2, 4), most=st.integers(1, 16), missing=st.sets(st.integers(0, 14), max_size=15))
def test_videos_that_are_missing_change_no_number_of_passes(size: int, most: int, missing: set[int]) -> None:
    groups = [Group(rank, size) for rank in range(size)]
    kept = [[i for i in group.share(range(15), most) if i not in missing] for group in groups]
    whole = sum(map(len, kept))
    parts = [
        group.split(torch.tensor(share), whole=whole, most=most)
        for group, share in zip(groups, kept, strict=True)
    ]
    assert {len(part) for part in parts} <= {-(-whole // most)}
    for share, part in zip(kept, parts, strict=True):
        assert list(chain(*(items.tolist() for items in part))) == share
    for found in zip(*parts, strict=True):
        assert sum(map(len, found)) > 0, "BatchNorm over nothing"


def test_a_single_process_splits_as_torch_does_and_talks_to_nobody() -> None:
    values = torch.arange(5)
    assert [part.tolist() for part in SINGLE.split(values, whole=5, most=2)] == [[0, 1], [2, 3], [4]]
    assert SINGLE.share([1, 2, 3], 2) == [1, 2, 3]
    assert SINGLE.join(values, 9) is values
    assert (SINGLE.broadcast("x"), SINGLE.gather("x"), SINGLE.leads) == ("x", ["x"], True)


def test_each_process_has_its_share_of_what_the_trial_occupies() -> None:
    whole = ResourcesSpec(
        processes=4, cpus=6, gpus=8, custom={"lab": 2}, loader_workers=5, frame_cache_mib=10
    )
    share = whole.of_one_process()
    assert (share.processes, share.cpus, share.gpus, share.custom) == (1, 1.5, 2, {"lab": 0.5})
    assert (share.loader_workers, share.frame_cache_mib) == (2, 2)
    alone = ResourcesSpec(cpus=6)
    assert alone.of_one_process() is alone


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (("resources.processes=0",), "greater than or equal to 1"),
        (
            ("resources.processes=2", "resources.gpus=1"),
            r"gpus 1 cannot be shared out; allowed: 0, or a multiple",
        ),
        (("resources.processes=2", "resources.gpus=0.5"), r"gpus 0\.5 cannot be shared out"),
        (("resources.processes=2", "resources.gpus=3"), "gpus 3 cannot be shared out"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(overrides: tuple[str, ...], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        load_study(("table7",), overrides=list(overrides))
