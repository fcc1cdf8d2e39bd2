"""Packed weights are those of now, whatever was done to the weights since they were packed last."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from study.kernels import runs_compiled, sth_conv
from study.kernels.native import kernel, packing
from tests.kernels.cases import CASES, T, distance, make, options
from tests.kernels.reference import reference

CASE = CASES[1]
pytestmark = pytest.mark.parametrize("kernels", ["avx512"], indirect=True)


@pytest.fixture(autouse=True)
def packings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """An entry for each time that weights are packed, beginning with nothing kept."""
    done: list[object] = []
    pack = kernel.pack
    monkeypatch.setattr(kernel, "pack", lambda *args: (done.append(None), pack(*args))[1])
    packing._kept.clear()
    yield done
    packing._kept.clear()


class Layer(nn.Module):
    """The operator with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        given = make(CASE)
        self.spatial = nn.Parameter(given.spatial_weight)
        self.temporal = nn.Parameter(given.temporal_weight)

    def forward(self, x: Tensor) -> Tensor:
        return sth_conv(x, self.spatial, self.temporal, **options(CASE))

    @torch.no_grad()
    def error(self, x: Tensor) -> float:
        """Against the definition with the weights as they are now."""
        return distance(
            self(x), reference(x, self.spatial, self.temporal, None, None, None, T, CASE.geometry, False)
        )


def make_input() -> Tensor:
    x = make(CASE).x
    assert runs_compiled(x, CASE.geometry)
    return x


def test_weights_that_stay_are_packed_once(packings: list[object], kernels: str) -> None:
    layer, x = Layer(), make_input()
    for _ in range(3):
        assert layer.error(x) < 1e-6
    assert len(packings) == 1


def step(layer: Layer) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(make(CASE).x).square().mean().backward()
    optimizer.step()


def write(layer: Layer) -> None:
    with torch.no_grad():
        layer.temporal[3].mul_(2)


def write_in_inference_mode(layer: Layer) -> None:
    with torch.inference_mode():
        layer.spatial.add_(1)


def write_a_view(layer: Layer) -> None:
    layer.spatial.detach()[0, 1, 2, 2] += 5


def load(layer: Layer) -> None:
    layer.load_state_dict(Layer().state_dict())


def assign(layer: Layer) -> None:
    layer.load_state_dict(Layer().state_dict(), assign=True)


def replace_data(layer: Layer) -> None:
    layer.spatial.data = torch.randn_like(layer.spatial)


def convert(layer: Layer) -> None:
    """There and back, which rounds them."""
    layer.bfloat16().float()


def replace(layer: Layer) -> None:
    layer.temporal = nn.Parameter(torch.randn_like(layer.temporal))


CHANGES = [step, write, write_in_inference_mode, write_a_view, load, assign, replace_data, convert, replace]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: Callable[[Layer], None], packings: list[object], kernels: str) -> None:
    layer, x = Layer(), make_input()
    assert layer.error(x) < 1e-6
    before = [one.detach().clone() for one in layer.parameters()]
    change(layer)
    after = list(layer.parameters())
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert layer.error(x) < 1e-6


def test_layers_are_told_apart(packings: list[object], kernels: str) -> None:
    layers, x = [Layer(), Layer()], make_input()
    for _ in range(2):
        assert all(layer.error(x) < 1e-6 for layer in layers)
    both = torch.cat([layer.spatial.detach() for layer in layers])
    for half in both.chunk(2):
        y = sth_conv(x, half, layers[0].temporal.detach(), **options(CASE))
        expected = reference(x, half, layers[0].temporal, None, None, None, T, CASE.geometry, False)
        assert distance(y, expected.detach()) < 1e-6
    assert len(packings) == 4


def test_one_weight_in_two_layers_of_different_strides(kernels: str) -> None:
    x, given = make_input(), make(CASE)
    for stride in ((1, 1), (2, 2)):
        y = sth_conv(x, given.spatial_weight, given.temporal_weight, **(options(CASE) | {"stride": stride}))
        dense = sth_conv(x, given.spatial_weight, given.temporal_weight, **options(CASE))
        assert distance(y, dense[:, :, :: stride[0], :: stride[1]]) < 1e-6


def test_nothing_is_kept_of_weights_that_are_gone(kernels: str) -> None:
    """Another tensor may come to lie where they lay, with as many writes behind it."""
    x = make_input()
    for _ in range(20):
        layer = Layer()
        assert layer.error(x) < 1e-6
        del layer
        gc.collect()
    assert len(packing._kept) == 1


def test_weights_whose_writes_are_not_counted_are_packed_every_time(
    packings: list[object], kernels: str
) -> None:
    with torch.inference_mode():
        layer, x = Layer(), make_input()
        assert layer.error(x) < 1e-6
        layer.spatial.add_(1)
        assert layer.error(x) < 1e-6
    assert len(packings) == 2


def test_kernels_of_another_width_pack_anew(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = Layer(), make_input()
    assert layer.error(x) < 1e-6
    monkeypatch.setenv("STH_KERNELS", "baseline")
    assert layer.error(x) < 1e-6


def test_bytes_of_other_kernels_are_refused(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = make(CASE)
    layer = kernel.Layer.of(CASE.geometry)
    packed = kernel.pack(layer, given.spatial_weight, given.temporal_weight, torch.float32)
    monkeypatch.setenv("STH_KERNELS", "baseline")
    odd = CASES[[case.name for case in CASES].index("odd channels")]
    with pytest.raises(kernel.ModelError, match="packed for another"):
        kernel.run(kernel.Layer.of(odd.geometry), make(odd).x, packed, T)
