"""What trials ask of a cluster: amounts are compared node by node, never summed over nodes."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from study.errors import SpecError
from study.running import ray_tune
from study.running.demand import (
    Demand,
    bundle_of,
    count_concurrent,
    demand_of,
    describe_misfit,
    find_misfits,
)
from study.running.executor import Job, Place
from study.running.inline import InlineExecutor
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.training import ResourcesSpec
from tests.running.conftest import make_toy_plan


def jobs(store: Store, *extra: str) -> list[Job]:
    plan = make_toy_plan(store, *extra)
    return [Job(planned.trial, Place(store.folder(planned.trial_id), store.data)) for planned in plan.trials]


@pytest.mark.parametrize(
    ("asked", "offers", "fits"),
    [
        ((), [{"CPU": 1}], True),
        ((), [{"CPU": 0.5}, {"CPU": 0.5}], False),  # two halves are not one
        (("resources.gpus=0.5",), [{"CPU": 8}, {"CPU": 1, "GPU": 1}], True),
        (("resources.gpus=2",), [{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], False),
        (("resources.custom={lab: 1}",), [{"CPU": 8, "GPU": 8}], False),
        (("resources.custom={lab: 1}",), [{"CPU": 8, "lab": 1}], True),
        ((), [], False),
        # Two processes are on one node or on two; each must fit whole.
        (("resources.processes=2", "resources.gpus=2"), [{"CPU": 1, "GPU": 1}, {"CPU": 1, "GPU": 1}], True),
        (("resources.processes=2", "resources.gpus=2"), [{"CPU": 1, "GPU": 2}], True),
        (("resources.processes=2", "resources.gpus=2"), [{"CPU": 1, "GPU": 1}, {"CPU": 8}], False),
        (("resources.processes=3", "resources.cpus=1"), [{"CPU": 1}], True),
        (("resources.processes=4", "resources.cpus=4"), [{"CPU": 1.9}, {"CPU": 2.9}], False),
    ],
)
def test_a_process_fits_one_node_or_none(
    store: Store, asked: tuple[str, ...], offers: list[dict[str, float]], fits: bool
) -> None:
    misfits = find_misfits(jobs(store, *asked), offers)
    assert len(misfits) == (0 if fits else 1), "each kind of request is told once"


@pytest.mark.parametrize(
    ("asked", "offers", "count"),
    [
        ([{"cpus": 2}], [{"CPU": 5}, {"CPU": 3}, {"GPU": 1}], 3),
        ([{"cpus": 1}, {"cpus": 2}], [{"CPU": 5}, {"CPU": 3}], 3),
        ([{"cpus": 1, "gpus": 1 / 3}], [{"CPU": 64, "GPU": 2}, {"CPU": 64}], 6),
        ([{"cpus": 0.1}], [{"CPU": 1.0}], 10),
        ([{"custom": {"lab": 1}}], [{"CPU": 8}, {"CPU": 8, "lab": 2}], 2),
        ([{"processes": 2, "gpus": 2}], [{"CPU": 8, "GPU": 3}, {"CPU": 8, "GPU": 2}], 2),
        ([{"gpus": 8}], [{"CPU": 8}], 1),  # a cluster that will grow
        ([], [], 1),
    ],
)
def test_how_many_trials_a_cluster_holds(
    asked: list[dict[str, float]], offers: list[dict[str, float]], count: int
) -> None:
    assert count_concurrent([ResourcesSpec.model_validate(part) for part in asked], offers) == count


def test_a_launch_estimates_with_the_nodes_of_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"CPU": 16.0}, {"CPU": 16.0}]
    joined: list[str | None] = []
    monkeypatch.setattr(ray_tune, "connected", lambda address: nullcontext(joined.append(address)))
    monkeypatch.setattr(ray_tune, "list_offers", lambda: nodes)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert ray_tune.RayExecutor().capacity([ResourcesSpec(cpus=0.5, gpus=1)] * 100) == 1
    assert ray_tune.RayExecutor().capacity([ResourcesSpec(cpus=0.1, gpus=0.25)] * 100) == 4
    asked = [ResourcesSpec(cpus=1.5)] * 100
    assert ray_tune.RayExecutor().capacity(asked) == 2
    assert joined == []
    assert ray_tune.RayExecutor("head:6379").capacity(asked) == 20
    assert ray_tune.RayExecutor("head:6379", max_concurrent=4).capacity(asked) == 4
    assert joined == ["head:6379"] * 2
    assert InlineExecutor().capacity(asked) == 1


def test_a_misfit_says_what_is_asked_what_there_is_and_what_to_do() -> None:
    wanted = demand_of(ResourcesSpec(cpus=2, gpus=0.5, custom={"lab": 1}))
    assert wanted == Demand({"CPU": 2, "GPU": 0.5, "lab": 1}, 1)
    text = describe_misfit(wanted, [{"CPU": 8, "memory": 1e9}, {"CPU": 1, "lab": 2}], growing=True)
    assert text == (
        "resources: a trial asks for 2 CPUs and 0.5 GPUs and 1 lab, and no node has them "
        "(nodes: 8 CPUs, 0 GPUs, 0 lab; 1 CPUs, 0 GPUs, 2 lab). Lower it with --set resources.cpus=… "
        "--set resources.gpus=… --set 'resources.custom={…}' or another --profile; a cluster that grows when asked is "
        "waited for with --wait-for-nodes 10m"
    )
    assert "(nodes: none)" in describe_misfit(Demand({"CPU": 1}), [], growing=False)


def test_a_misfit_of_several_processes_says_how_many_there_is_room_for() -> None:
    wanted = demand_of(ResourcesSpec(processes=4, cpus=8, gpus=4))
    assert wanted.bundle == bundle_of(ResourcesSpec(cpus=2, gpus=1))
    text = describe_misfit(wanted, [{"CPU": 8, "GPU": 2}, {"CPU": 1, "GPU": 8}], growing=False)
    assert text == (
        "resources: a trial asks for 4 processes with 2 CPUs and 1 GPUs each, and there is room for 2 "
        "(nodes: 8 CPUs, 2 GPUs; 1 CPUs, 8 GPUs). Lower it with --set resources.processes=… --set resources.cpus=… "
        "--set resources.gpus=… or another --profile"
    )


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("resources.gpus=1.5", "more than one GPU is a whole number"),
        ("resources.custom={GPU: 1}", "'GPU' is not the name of a custom resource"),
        ("resources.custom={lab: 0}", "greater than 0"),
    ],
)
def test_requests_that_ray_would_refuse_are_refused_first(override: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        load_study(["table7"], overrides=[override])


def test_custom_resources_change_no_trial(store: Store) -> None:
    plain, custom = make_toy_plan(store), make_toy_plan(store, "resources.custom={lab: 1}")
    assert [t.trial_id for t in plain.trials] == [t.trial_id for t in custom.trials]
