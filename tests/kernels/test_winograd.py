"""Winograd's kernel against Eq. 2 and 3 tap by tap, and that it runs where it is asked for and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from study.errors import ModelError
from study.kernels import Geometry, runs_compiled, runs_winograd, sth_conv, watch
from study.kernels.native import kernel, winograd
from tests.kernels.cases import Case, T, distance, make, options
from tests.kernels.reference import reference

RELATIVE, OF_LARGEST = 2.3e-6, 6e-6
"""What F(4x4, 3x3) in float32 gives at its points up to 512 channels: 0.5e-6 to 2.0e-6, and 4e-6 of the largest value.
The direct kernel gives 4e-7 and 9e-7; the points 1 and 2 would give some 3e-6 and 1.2e-5."""
SHAPES = [
    Case("p 1/4", Geometry(64, 64, 4, "hybrid"), (14, 14)),
    Case("p 1/2", Geometry(128, 128, 2, "hybrid"), (7, 7)),
    Case("p 1/8", Geometry(128, 128, 8, "hybrid"), (13, 9)),
    Case("p 1/8, half a register", Geometry(64, 64, 8, "hybrid"), (9, 13)),
    Case("four registers", Geometry(64, 256, 4, "hybrid"), (14, 14)),
    Case("odd channels", Geometry(12, 20, 4, "hybrid"), (7, 7)),
    Case("channels of a register and a bit", Geometry(20, 36, 2, "hybrid"), (6, 10)),
    Case("merge_in", Geometry(64, 64, 4, "merge_in"), (13, 9)),
    Case("merge_out", Geometry(64, 64, 4, "merge_out"), (13, 9)),
    Case("dilated in time", Geometry(64, 64, 4, "hybrid", temporal_dilation=2), (7, 7)),
    Case("dilated beyond the clip", Geometry(32, 32, 2, "hybrid", temporal_dilation=T), (7, 7)),
    Case("five frames", Geometry(32, 32, 2, "hybrid", kernel=(5, 3, 3)), (8, 8)),
    Case("one frame", Geometry(32, 32, 2, "hybrid", kernel=(1, 3, 3)), (8, 8)),
    Case("one pixel", Geometry(32, 32, 2, "hybrid"), (1, 1)),
    Case("one row", Geometry(32, 32, 2, "hybrid"), (1, 11)),
    Case("strips that are cut", Geometry(32, 32, 2, "hybrid"), (3, 150)),
    Case("more tiles than a batch", Geometry(32, 32, 2, "hybrid"), (34, 37)),
]
UNFIT = [
    Geometry(64, 64, 4, "hybrid", stride=(2, 2)),
    Geometry(64, 64, 4, "hybrid", stride=(1, 2)),
    Geometry(64, 64, 4, "hybrid", spatial_dilation=2),
    Geometry(64, 64, 4, "hybrid", kernel=(3, 5, 5)),
    Geometry(64, 64, 4, "hybrid", kernel=(3, 3, 1)),
]
on_winograd = pytest.mark.parametrize("kernels", ["winograd"], indirect=True)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield int(request.param)
    torch.set_num_threads(before)


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest error over the largest value."""
    return float((found.double() - expected).abs().max() / expected.abs().max())


@on_winograd
@pytest.mark.parametrize("weighted", [False, True], ids=["", "attention"])
@pytest.mark.parametrize("case", SHAPES, ids=lambda case: case.name)
def test_it_is_the_operator(case: Case, weighted: bool, threads: int, kernels: str) -> None:
    if weighted and case.geometry.arrangement == "merge_out":
        pytest.skip("merge_out has no coefficients")
    given = make(case, weighted=weighted)
    layer = kernel.Layer.of(case.geometry).on_winograd
    packed = kernel.pack(layer, given.spatial_weight, given.temporal_weight, torch.float32)
    for relu in (False, True):
        y = kernel.run(layer, given.x, packed, T, *given.all[3:], relu)
        expected = reference(*given.all, T, case.geometry, relu)
        assert distance(y, expected) < RELATIVE
        assert worst(y, expected) < OF_LARGEST
        assert y.is_contiguous(memory_format=torch.channels_last)


@on_winograd
@pytest.mark.parametrize("size", [(7, 7), (14, 14), (13, 9), (33, 30)])
@pytest.mark.parametrize("channels", [(16, 64), (64, 64), (24, 40), (512, 512)])
def test_plain_convolution(channels: tuple[int, int], size: tuple[int, int], kernels: str) -> None:
    x = torch.randn(2, channels[0], *size).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(channels[1], channels[0], 3, 3), torch.randn(channels[1])
    layer = kernel.Layer.plain(*channels)
    expected = torch.nn.functional.conv2d(x.double(), weight.double(), bias.double(), padding=1).relu()
    for one, relative, of_largest in ((layer, 1e-6, 1e-6), (layer.on_winograd, RELATIVE, OF_LARGEST)):
        packed = kernel.pack(one, weight, torch.empty(0), torch.float32)
        y = kernel.run(one, x, packed, frames=2, bias=bias, relu=True)
        assert distance(y, expected) < relative
        assert worst(y, expected) < of_largest


@on_winograd
def test_threads_change_no_bit(kernels: str) -> None:
    case, before, results = SHAPES[0], torch.get_num_threads(), []
    given = make(case, weighted=True)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(sth_conv(*given.all, **options(case), relu=True))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@on_winograd
def test_asked_for_it_runs(kernels: str) -> None:
    case = SHAPES[0]
    given = make(case)
    assert runs_winograd(given.x, case.geometry)
    with watch() as ran:
        y = sth_conv(*given.all, **options(case))
    assert ran == {"winograd": 1}
    direct = kernel.Layer.of(case.geometry)
    packed = kernel.pack(direct, given.spatial_weight, given.temporal_weight, torch.float32)
    other = kernel.run(direct, given.x, packed, T, given.bias)
    assert not torch.equal(y, other)
    assert distance(y, other.double()) < RELATIVE


@pytest.mark.parametrize("kernels", ["auto", "avx512"], indirect=True)
def test_unasked_it_does_not(kernels: str) -> None:
    case = SHAPES[0]
    given = make(case)
    assert not runs_winograd(given.x, case.geometry)
    with watch() as ran:
        sth_conv(*given.all, **options(case))
    assert "winograd" not in ran


@on_winograd
def test_asking_changes_what_is_kept(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights packed for one kernel are not handed to the other."""
    case = SHAPES[0]
    given = make(case)
    expected = reference(*given.all, T, case.geometry, relu=False)
    for name, limit in (("winograd", RELATIVE), ("auto", 5e-7), ("winograd", RELATIVE)):
        monkeypatch.setenv("STH_KERNELS", name)
        assert distance(sth_conv(*given.all, **options(case)), expected) < limit


@on_winograd
@pytest.mark.parametrize("geometry", UNFIT, ids=str)
def test_the_direct_kernel_runs_what_it_cannot(geometry: Geometry, kernels: str) -> None:
    case = Case("unfit", geometry, (7, 9))
    given = make(case)
    assert runs_compiled(given.x, geometry)
    with watch() as ran:
        y = sth_conv(*given.all, **options(case))
    assert ran == {"native": 1}
    assert distance(y, reference(*given.all, T, geometry, relu=False)) < 1e-6
    layer = kernel.Layer.of(geometry).on_winograd
    with pytest.raises(ModelError, match="needs AVX-512, float32 and a 3x3 kernel"):
        kernel.pack(layer, given.spatial_weight, given.temporal_weight, torch.float32)


@on_winograd
def test_bfloat16_is_not_for_it(kernels: str) -> None:
    case = SHAPES[0]
    given = make(case, torch.bfloat16)
    assert not runs_winograd(given.x, case.geometry)
    with watch() as ran:
        sth_conv(*given.all, **options(case))
    assert "winograd" not in ran
    layer = kernel.Layer.of(case.geometry).on_winograd
    packed = kernel.pack(layer, given.spatial_weight.float(), given.temporal_weight.float(), torch.float32)
    with pytest.raises(ModelError, match="float32"):
        kernel.run(layer, given.x, packed, T)


@on_winograd
def test_weights_of_the_direct_kernel_are_refused(kernels: str) -> None:
    case = SHAPES[0]
    given, layer = make(case), kernel.Layer.of(case.geometry)
    packed = kernel.pack(layer, given.spatial_weight, given.temporal_weight, torch.float32)
    with pytest.raises(ModelError, match="packed for another"):
        kernel.run(layer.on_winograd, given.x, packed, T)


@pytest.mark.parametrize("kernels", ["baseline", "avx2"], indirect=True)
def test_narrow_kernels_decline(kernels: str) -> None:
    layer = kernel.Layer.of(SHAPES[0].geometry)
    assert not kernel.offers_winograd(layer, torch.float32)
    given = make(SHAPES[0])
    with pytest.raises(ModelError, match="needs AVX-512"):
        kernel.pack(layer.on_winograd, given.spatial_weight, given.temporal_weight, torch.float32)


@on_winograd
def test_gradients_are_those_of_the_direct_kernel(kernels: str) -> None:
    case = SHAPES[0]
    mine = make(case)
    tensors = [t.requires_grad_() for t in mine.all[:4] if t is not None]
    theirs = [t.detach().double().requires_grad_() for t in tensors]
    y = sth_conv(*tensors, **options(case))
    expected = reference(*theirs, None, None, T, case.geometry, relu=False)
    grad = torch.randn_like(expected)
    y.backward(grad.float())
    expected.backward(grad)
    for one, other in zip(tensors, theirs, strict=True):
        assert distance(one.grad, other.grad) < 3e-6


def test_the_transform_of_a_kernel_is_exact_at_the_points() -> None:
    """A kernel of one tap is, at the point a, a power of a over the product of its distances from the others."""
    found = winograd.transform(torch.eye(9).view(9, 1, 3, 3))
    distances = winograd.NEAR**2 * winograd.FAR**2
    assert found[0, 0, 0, 0] == pytest.approx(1 / distances**2)
    assert found[8, 0, 5, 5] == 1
    assert found[4, 0, 0].abs().max() == 0
