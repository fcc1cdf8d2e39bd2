"""Real sessions on networks that take milliseconds. What they take is not asserted."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import nn

from study.cost.runtime import workload
from study.cost.runtime.memory import ResidentGauge
from study.cost.runtime.session import measure_networks
from study.cost.runtime.workload import NetworkRequest, prepare
from study.errors import SpecError
from study.kernels import chosen
from study.kernels.native import build
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec
from study.spec.runtime import RuntimeConditions


def request(name: str, **model: Any) -> NetworkRequest:
    spec = ModelSpec.model_validate({"backbone": "resnet_tiny", "block": {"type": "tsm"}} | model)
    return NetworkRequest(name, spec, num_classes=4, frames=4, size=16)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Recognizer]:
    """The networks that sessions build."""
    networks: list[Recognizer] = []
    build = workload.build_model

    def keep(*args: Any, **settings: Any) -> Recognizer:
        networks.append(build(*args, **settings))
        return networks[-1]

    monkeypatch.setattr(workload, "build_model", keep)
    return networks


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_networks_are_measured_in_every_mode(mode: Any, dtype: Any) -> None:
    conditions = RuntimeConditions(batch=2, mode=mode, dtype=dtype)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    session = measure_networks([request("a"), request("b")], conditions, rounds=3, warmup=1, seed=0)
    assert sorted(session.networks) == ["a", "b"]
    for found in session.networks.values():
        assert found.reason == ""
        assert len(found.readings) == 3
        assert all(reading.seconds > 0 and reading.wall_seconds > 0 for reading in found.readings)
        assert found.graph is None
    assert [sorted(order) for order in session.orders] == [["a", "b"]] * 3
    assert torch.get_num_threads() == threads
    assert gc.isenabled()
    assert torch.equal(torch.random.get_rng_state(), state)


STH = {"type": "sth", "attention": "cost"}


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("mode", "kernels", "expected"),
    [
        ("inference", "baseline", "native"),
        ("inference", "off", "library"),
        ("training", "baseline", "library"),
    ],
)
def test_what_ran_the_layers_of_sth_conv_is_told(
    mode: Any, kernels: str, expected: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STH_KERNELS", kernels)
    if build.load() is None and kernels != "off":
        pytest.skip("the kernels did not compile: no C++ compiler?")
    conditions = RuntimeConditions(mode=mode, compile=compiled)
    requests = [request("STH", block=STH), request("other")]
    session = measure_networks(requests, conditions, rounds=1, warmup=0, seed=0)
    assert [found.reason for found in session.networks.values()] == ["", ""]
    assert {name: dict(found.sth_layers) for name, found in session.networks.items()} == {
        "STH": {expected: 12},
        "other": {},
    }
    assert chosen() == "library"


def test_layers_that_need_the_parts_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STH_KERNELS", "baseline")
    if build.load() is None:
        pytest.skip("the kernels did not compile: no C++ compiler?")
    largest = request("STH", block=STH | {"attention_pool": "max"})
    session = measure_networks([largest], RuntimeConditions(), rounds=1, warmup=0, seed=0)
    assert session.networks["STH"].sth_layers == {"library": 12}


def test_inference_is_a_forward_pass_in_eval_mode_and_changes_nothing(built: list[Recognizer]) -> None:
    seen: list[tuple[bool, bool, torch.Size]] = []
    step = prepare(request("a"), RuntimeConditions(batch=3), ResidentGauge()).step
    network = built[0]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.register_forward_pre_hook(
        lambda module, args: seen.append((module.training, torch.is_grad_enabled(), args[0].shape))
    )
    step()
    assert seen == [(False, False, torch.Size([3, 3, 4, 16, 16]))]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_training_takes_a_whole_step(built: list[Recognizer]) -> None:
    step = prepare(request("a"), RuntimeConditions(batch=2, mode="training"), ResidentGauge()).step
    network = built[0]
    assert network.training
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    step()
    changed = [name for name, value in network.named_parameters() if not torch.equal(value, before[name])]
    assert sorted(changed) == sorted(
        name for name, value in network.named_parameters() if value.requires_grad
    )


def test_a_network_that_cannot_run_has_a_reason_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = request("bad", placement={"stages": [9]})
    session = measure_networks([bad, request("good")], RuntimeConditions(), rounds=2, warmup=0, seed=0)
    assert session.networks["bad"].readings == ()
    assert session.networks["bad"].reason.startswith("ModelError: ")
    assert len(session.networks["good"].readings) == 2

    real = nn.Conv2d.forward

    def run_out(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 24:
            raise torch.OutOfMemoryError("Tried to allocate 96 GiB\nand so on")
        return real(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", run_out)
    large = NetworkRequest("large", request("").model, num_classes=4, frames=24, size=16)
    session = measure_networks([large, request("good")], RuntimeConditions(), rounds=2, warmup=0, seed=0)
    assert session.networks["large"].reason == "OutOfMemoryError: Tried to allocate 96 GiB"
    assert len(session.networks["good"].readings) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(SpecError, match=r"--device cuda: PyTorch finds no GPU .* allowed here: cpu"):
        measure_networks([request("a")], RuntimeConditions(device="cuda"), rounds=1, warmup=0, seed=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_a_gpu_replays_graphs(mode: Any, dtype: Any) -> None:
    conditions = RuntimeConditions(device="cuda", batch=2, mode=mode, dtype=dtype)
    session = measure_networks([request("a"), request("b")], conditions, rounds=3, warmup=1, seed=0)
    for found in session.networks.values():
        assert found.reason == ""
        assert found.graph is ((mode, dtype) != ("training", "fp16")), found.note
        assert found.peak.gib is not None
