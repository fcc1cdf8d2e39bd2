"""Networks of STH-Conv on fused kernels: when they run, that they compute the same, and that tracers see through."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.kernels import implementation, watch
from study.kernels.native import build
from study.models.attention_probe import collect_attention
from study.models.blocks.attention import STRUCTURES
from study.models.blocks.sth import STHConv2d, build_sth
from study.models.build import build_model
from study.models.placement import Site
from study.models.recognizer import Recognizer
from study.spec.blocks import STHBlock
from study.spec.model import ModelSpec

FRAMES, CHANNELS = 4, 64


@pytest.fixture(autouse=True)
def _kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest kernels of this machine, at any number of channels."""
    for name in ("avx512", "avx2", "baseline"):
        monkeypatch.setenv("STH_KERNELS", name)
        try:
            if build.load() is not None:
                return
        except ModelError:
            continue
    pytest.skip("the kernels did not compile: no C++ compiler?")


def make_layer(*, stride: int = 1, bias: bool = False, **options: Any) -> STHConv2d:
    """A layer in eval mode with weights that leave no part negligible."""
    torch.manual_seed(0)
    conv = nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, stride=stride, padding=1, bias=bias)
    site = Site("spatial_conv", "layer1.0.conv2", 1, 0, 0, conv)
    block = build_sth(STHBlock.model_validate({"type": "sth"} | options), site, FRAMES)
    assert isinstance(block, STHConv2d)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block.eval()


def make_input(clips: int = 2) -> Tensor:
    x = torch.randn(clips * FRAMES, CHANNELS, 7, 9)
    # Means of zero would leave attention with nothing to tell the parts and the clips apart by.
    level = torch.randn(clips, 1, CHANNELS, 1, 1)
    return (x.unflatten(0, (clips, -1)) + level).flatten(0, 1).contiguous(memory_format=torch.channels_last)


def make_network(attention: str = "cost") -> Recognizer:
    block = {"type": "sth", "attention": attention}
    network = build_model(
        ModelSpec.model_validate({"backbone": "resnet_tiny", "block": block}), num_classes=5, frames=FRAMES
    )
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, STHConv2d) and module.attention is not None:
            for parameter in module.attention.parameters():
                nn.init.normal_(parameter)
    return network.eval()


@pytest.fixture
def without_gradient() -> Iterator[None]:
    with torch.no_grad():
        yield


def run_both(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, int]:
    """On PyTorch's convolutions in float64, on fused kernels, and how many layers were."""
    expected = copy.deepcopy(layer).double()(x.double())
    with implementation("fused"), watch() as ran:
        y = layer(x)
    assert set(ran) <= {"native"}
    return expected, y, ran["native"]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": True},
    {"stride": 2, "bias": True},
    {"p": "1/2"},
    {"p": "1/8"},
    {"arrangement": "merge_in", "bias": True},
    {"arrangement": "merge_out", "bias": True},
    {"dilation": [2], "dilation_axes": "spatial"},
    {"dilation": [2], "dilation_axes": "temporal"},
    *({"attention": name, "bias": True} for name in STRUCTURES),
    {"attention": "cost", "arrangement": "merge_in"},
    {"attention": "cost", "stride": 2, "dilation": [2]},
]


@pytest.mark.usefixtures("without_gradient")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fused_kernels_compute_the_same(options: dict[str, Any]) -> None:
    expected, y, fused = run_both(make_layer(**options), make_input())
    assert fused == 1
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert (y - expected).norm() < 2e-6 * expected.norm()


@pytest.mark.usefixtures("without_gradient")
@pytest.mark.parametrize("structure", STRUCTURES)
def test_attention_that_pools_the_largest_needs_the_parts(structure: str) -> None:
    layer, x = make_layer(attention=structure, attention_pool="max"), make_input()
    _, y, fused = run_both(layer, x)
    assert fused == 0
    assert torch.equal(y, layer(x))


@pytest.mark.usefixtures("without_gradient")
def test_coefficients_are_seen_on_fused_kernels_too() -> None:
    network, clips = make_network(), torch.randn(2, 3, FRAMES, 16, 16)
    with collect_attention(network) as expected:
        network(clips)
    with implementation("fused"), collect_attention(network) as seen:
        network(clips)
    assert len(seen) == 12
    for name, site in seen.items():
        torch.testing.assert_close(site.alpha_t[0], expected[name].alpha_t[0], rtol=1e-4, atol=1e-5)
        assert site.alpha_t[0].std() > 0.05, "coefficients of one value would hide a mistake"


def test_they_run_only_where_asked_for_without_gradients_and_not_in_training() -> None:
    layer, x = make_layer(), make_input()

    def count(asked: str) -> int:
        with implementation(asked), watch() as ran:  # type: ignore[arg-type]
            layer(x)
        return ran.total()

    assert count("fused") == 0, "gradients may be asked for"
    with torch.no_grad():
        with watch() as ran:
            layer(x)
        assert not ran, "nobody asked"
        assert [count(name) for name in ("library", "dense", "gathered", "fused")] == [0, 0, 0, 1]
        layer.train()
        assert count("fused") == 0
    with torch.inference_mode():
        layer.eval()
        assert count("fused") == 1


@pytest.mark.usefixtures("without_gradient")
def test_nothing_else_runs_without_a_compiler_or_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = make_layer(bias=True), make_input()
    expected = layer(x)
    with implementation("fused"), watch() as ran:
        rows = layer(x.contiguous())
        monkeypatch.setenv("STH_KERNELS", "off")
        off = layer(x)
    assert not ran
    assert torch.equal(off, expected)
    assert (rows - expected).norm() < 2e-6 * expected.norm()


def train(layer: STHConv2d) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    with torch.enable_grad():
        layer.train()(make_input()).square().mean().backward()
    optimizer.step()
    layer.eval()


def load(layer: STHConv2d) -> None:
    layer.load_state_dict({name: torch.randn_like(value) for name, value in layer.state_dict().items()})


def edit(layer: STHConv2d) -> None:
    layer.temporal.weight[5, 0, 1] += 3


@pytest.mark.usefixtures("without_gradient")
@pytest.mark.parametrize("change", [train, load, edit])
def test_no_weights_of_before(change: Callable[[STHConv2d], None]) -> None:
    layer, x = make_layer(bias=True), make_input()
    before = run_both(layer, x)[1]
    change(layer)
    expected, y, fused = run_both(layer, x)
    assert fused == 1
    assert (y - expected).norm() < 2e-6 * expected.norm()
    assert (y - before).norm() > 1e-3 * before.norm()


@pytest.mark.usefixtures("without_gradient")
def test_a_copy_has_weights_of_its_own() -> None:
    layer, x = make_layer(), make_input()
    run_both(layer, x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other.spatial.weight.mul_(2)
        expected, y, _ = run_both(other, x)
        assert (y - expected).norm() < 2e-6 * expected.norm()


def make_pair(attention: str) -> nn.Module:
    """Two layers in a row, as small as they come, with what stands between them in a network."""
    first, second = (make_layer(attention=attention, bias=True) for _ in range(2))
    return nn.Sequential(
        first, nn.BatchNorm2d(2 * CHANNELS), nn.ReLU(), nn.Conv2d(2 * CHANNELS, CHANNELS, 1), second
    ).eval()


@pytest.mark.parametrize("attention", ["none", "cost"])
def test_compiles_without_breaks(attention: str) -> None:
    """On PyTorch's convolutions with gradients, on kernels without; what was compiled follows the choice."""
    network, x = make_pair(attention), make_input()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager", dynamic=False)
    y = compiled(x)
    torch.testing.assert_close(y, network(x))
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    with torch.no_grad():
        expected = network(x)
        for asked, layers in (("library", 0), ("fused", 2), ("library", 0)):
            with implementation(asked), watch() as ran:  # type: ignore[arg-type]
                found = compiled(x)
            assert ran.total() == ran["native"] == layers
            assert (found - expected).norm() < 2e-6 * expected.norm()


@pytest.mark.parametrize("attention", ["none", "cost"])
def test_exports(attention: str) -> None:
    """To PyTorch's own operators, or where fused kernels are asked for to ours."""
    network, x = make_pair(attention), make_input()
    with torch.no_grad():
        expected = network(x)
        for asked, layers in (("library", 0), ("fused", 2)):
            with implementation(asked):  # type: ignore[arg-type]
                program = torch.export.export(network, (x,))
            ours = [node for node in program.graph.nodes if node.target == torch.ops.sth.conv.default]
            assert len(ours) == layers
            assert (program.module()(x) - expected).norm() < 2e-6 * expected.norm()
