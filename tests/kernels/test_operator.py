"""The operator against Eq. 2 and 3 tap by tap, and its gradients against autograd through that."""

from __future__ import annotations

import logging
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from study.errors import ModelError
from study.kernels import library, pooled_means, runs_compiled, sth_conv
from study.kernels.native import build, kernel
from tests.kernels.cases import BANDED, CASES, HALVED, Case, T, distance, make, options
from tests.kernels.reference import reference, spatial_taps, temporal_taps

SETS = ["baseline", "avx2", "avx512", "avx512_bf16"]
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def weightings(case: Case) -> list[bool]:
    return [False] if case.geometry.arrangement == "merge_out" else [False, True]


@pytest.mark.parametrize("kernels", SETS, indirect=True)
@by_case
def test_kernels_are_the_operator(case: Case, kernels: str) -> None:
    for weighted in weightings(case):
        given = make(case, weighted=weighted)
        y = sth_conv(*given.all, **options(case), relu=True)
        assert runs_compiled(given.x, case.geometry)
        assert distance(y, reference(*given.all, T, case.geometry, relu=True)) < 1e-6
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kernels", SETS, indirect=True)
def test_coefficients_of_any_size(kernels: str) -> None:
    for case in (CASES[1], CASES[3], CASES[4]):
        given = make(case, weighted=True)
        assert given.alpha_s is not None
        assert given.alpha_t is not None
        for at, (of_s, of_t) in enumerate(
            [(1, 0), (0, 1), (0, 0), (-2, 1e-20), (1e-20, 3), (1, -1e-8), (1e9, 1)]
        ):
            given.alpha_s[:, at::7], given.alpha_t[:, at::7] = of_s, of_t
        given.bias.zero_()
        y = sth_conv(*given.all, **options(case))
        expected = reference(*given.all, T, case.geometry, relu=False)
        for at in range(7):
            if at != 2:
                assert distance(y[:, at::7], expected[:, at::7]) < 1e-6
        assert y[:, 2::7].abs().max() < 1e-20


@pytest.mark.parametrize("kernels", SETS, indirect=True)
def test_threads_change_no_bit(kernels: str) -> None:
    case = CASES[1]
    given, before, results = make(case, weighted=True), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            means = pooled_means(*given.all[:3], **options(case))
            y = sth_conv(*given.all, **options(case))
            layer, grad = kernel.Layer.of(case.geometry), y.detach()
            weights = [
                kernel.weight_gradient(layer, given.x, grad, T, spatial=part) for part in (True, False)
            ]
            results.append((y, *means, *weights))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*results, strict=True))


@pytest.mark.parametrize("kernels", ["avx512_bf16"], indirect=True)
@pytest.mark.parametrize("case", HALVED, ids=lambda case: case.name)
def test_kernels_in_bfloat16(case: Case, kernels: str) -> None:
    for weighted in weightings(case):
        given = make(case, torch.bfloat16, weighted)
        y = sth_conv(*given.all, **options(case))
        assert runs_compiled(given.x, case.geometry)
        # The result itself is rounded to 8 bits: 1.7e-3 at best, and few numbers scatter around that.
        limit = 2e-3 if y.numel() > 1000 else 2.6e-3
        assert distance(y, reference(*given.all, T, case.geometry, relu=False)) < limit


@pytest.mark.parametrize("kernels", ["avx512_bf16"], indirect=True)
@pytest.mark.parametrize("case", HALVED, ids=lambda case: case.name)
def test_means_in_bfloat16(case: Case, kernels: str) -> None:
    given = make(case, torch.bfloat16)
    means = pooled_means(*given.all[:3], **options(case))
    expected = pooled_means(*(tensor.double() for tensor in given.all[:3]), **options(case))
    for mean, exact in zip(means, expected, strict=True):
        assert mean.dtype == torch.bfloat16
        assert distance(mean, exact) < 4e-3


@pytest.mark.parametrize("form", ["dense", "gathered"])
@by_case
def test_library_is_the_operator(case: Case, form: library.Form) -> None:
    for weighted in weightings(case):
        given = make(case, torch.float64, weighted)
        y = library.forward(*given.all, T, case.geometry, True, form)
        assert distance(y, reference(*given.all, T, case.geometry, relu=True)) < 1e-14


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format], ids=["nhwc", "nchw"])
@by_case
def test_gradients(case: Case, memory: torch.memory_format) -> None:
    for weighted in weightings(case):
        given = make(case, weighted=weighted)
        mine = [None if t is None else t.clone(memory_format=torch.preserve_format) for t in given.all]
        assert mine[0] is not None
        mine[0] = mine[0].contiguous(memory_format=memory)
        theirs = [None if t is None else t.double() for t in given.all]
        for t in (*mine, *theirs):
            if t is not None:
                t.requires_grad_()
        y = sth_conv(*mine, **options(case), relu=True)
        expected = reference(*theirs, T, case.geometry, relu=True)
        grad = torch.randn_like(expected)
        y.backward(grad.float())
        expected.backward(grad)
        for name, a, b in zip(("x", "W_S", "W_T", "bias", "a_S", "a_T"), mine, theirs, strict=True):
            if a is not None and b is not None:
                assert distance(a.grad, b.grad) < 3e-6, name


@pytest.mark.parametrize("kernels", SETS, indirect=True)
@by_case
def test_gradient_of_the_input_on_kernels(case: Case, kernels: str) -> None:
    shape = case.geometry
    if shape.stride != (1, 1):
        return  # has no such form; test_gradients covers it
    given = make(case)
    x = given.x.double().requires_grad_()
    expected = reference(x, *given.all[1:3], None, None, None, T, shape, False)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    layer = kernel.Layer.gradient(shape)
    packed = kernel.pack(layer, given.spatial_weight, given.temporal_weight, torch.float32)
    assert distance(kernel.run(layer, grad.float(), packed, T), x.grad) < 1e-6


@pytest.mark.parametrize("kernels", SETS, indirect=True)
@pytest.mark.parametrize("case", [*CASES, *BANDED], ids=lambda case: case.name)
def test_gradients_of_the_weights_on_kernels(case: Case, kernels: str) -> None:
    shape, given = case.geometry, make(case)
    weights = [weight.double().requires_grad_() for weight in (given.spatial_weight, given.temporal_weight)]
    expected = reference(given.x, *weights, None, None, None, T, shape, False)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    layer = kernel.Layer.of(shape)
    for weight, spatial in zip(weights, (True, False), strict=True):
        found = kernel.weight_gradient(layer, given.x, grad.float(), T, spatial=spatial)
        assert distance(found, weight.grad) < 1e-6


@pytest.mark.parametrize("kernels", ["avx512"], indirect=True)
def test_means_have_gradients(kernels: str) -> None:
    case = CASES[1]
    mine = [tensor.requires_grad_() for tensor in make(case).all[:3]]
    theirs = [tensor.detach().double().requires_grad_() for tensor in mine]
    for tensors in (mine, theirs):
        means = pooled_means(*tensors, **options(case))
        (means[0].square().sum() + means[1].square().sum()).backward()
    assert all(distance(a.grad, b.grad) < 1e-5 for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("kernels", ["avx512"], indirect=True)
def test_training_takes_the_kernels(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, watched = CASES[1], Mock(wraps=kernel.weight_gradient)
    monkeypatch.setattr(kernel, "weight_gradient", watched)
    given = make(case)
    given.spatial_weight.requires_grad_()
    sth_conv(*given.all, **options(case)).sum().backward()
    parts = [call.kwargs["spatial"] for call in watched.call_args_list]
    assert parts == [True], "and of the weight alone that has a gradient"


def test_operator_is_registered_as_pytorch_wants_it() -> None:
    for case in (CASES[1], CASES[5], CASES[17]):
        for weighted in weightings(case):
            given = make(case, weighted=weighted)
            tensors = [None if t is None else t.requires_grad_() for t in given.all]
            torch.library.opcheck(torch.ops.sth.conv, (*tensors, *options(case).values(), True))


def test_compiles_without_breaks_and_exports() -> None:
    case = CASES[1]
    given = make(case, weighted=True)

    class Block(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return sth_conv(*tensors, **options(case), relu=True)

    expected = Block()(*given.all)
    compiled = torch.compile(Block(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*given.all), expected)
    program = torch.export.export(Block(), given.all)
    assert any(node.target is torch.ops.sth.conv.default for node in program.graph.nodes)
    assert torch.equal(program.module()(*given.all), expected)


def test_means_compile_without_breaks_and_export() -> None:
    case = CASES[1]
    given = make(case).all[:3]

    class Block(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return sth_conv(*tensors, None, *pooled_means(*tensors, **options(case)), **options(case))

    with torch.no_grad():
        expected = Block()(*given)
        compiled = torch.compile(Block(), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(*given), expected)
        program = torch.export.export(Block(), given)
        assert torch.equal(program.module()(*given), expected)


MEANS = [("off", torch.float64), ("off", torch.float32), *((name, torch.float32) for name in SETS)]


@pytest.mark.parametrize(
    ("kernels", "dtype"), MEANS, ids=lambda value: str(value).rpartition(".")[2], indirect=["kernels"]
)
@by_case
def test_means_need_no_parts(case: Case, kernels: str, dtype: torch.dtype) -> None:
    given = make(case, dtype)
    assert runs_compiled(given.x, case.geometry) == (kernels != "off")
    x, spatial, temporal = given.x, given.spatial_weight, given.temporal_weight
    means = pooled_means(x, spatial, temporal, **options(case))
    parts = (
        spatial_taps(x.double(), spatial.double(), case.geometry),
        temporal_taps(x.double(), temporal.double(), case.geometry, T),
    )
    for mean, part in zip(means, parts, strict=True):
        expected = part.unflatten(0, (-1, T)).mean((1, 3, 4))
        assert distance(mean, expected) < (1e-13 if dtype == torch.float64 else 1e-5)


def test_autocast_computes_in_its_dtype() -> None:
    case = CASES[1]
    given = make(case)
    with torch.autocast("cpu", torch.bfloat16):
        y = sth_conv(*given.all, **options(case))
    assert y.dtype == torch.bfloat16
    assert distance(y, reference(*given.all, T, case.geometry, relu=False)) < 5e-3


def test_a_nan_stays_and_infinity_is_cut() -> None:
    case = CASES[1]
    given = make(case)
    given.bias[0], given.bias[1] = float("nan"), -float("inf")
    y = sth_conv(*given.all, **options(case), relu=True)
    assert y[:, 0].isnan().all()
    assert (y[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": 3}, "groups: 3 does not divide"),
        ({"groups": 1}, "at least 2, got 1"),
        ({"arrangement": "hybird"}, "did you mean 'hybrid'"),
        ({"stride": (0, 1)}, "all must be at least 1"),
        ({"stride": (1,)}, r"needs \(height, width\)"),
        ({"frames": 4}, "4 does not divide the 6 images"),
        (
            {"arrangement": "merge_out"},
            "groups: 4 does not divide|spatial_weight: shape|temporal_weight: shape",
        ),
    ],
)
def test_bad_arguments_are_named(change: dict[str, object], message: str) -> None:
    case = CASES[1]
    with pytest.raises(ModelError, match=message):
        sth_conv(*make(case).all, **(options(case) | change))


def test_bad_tensors_are_named() -> None:
    case = CASES[1]
    given = make(case, weighted=True)
    for position, tensor, message in (
        (0, given.x[:, :32], "x: shape"),
        (2, given.temporal_weight[:, :8], "spatial_weight: shape|does not divide"),
        (3, given.bias[:5], r"bias: shape \(5,\), needs \(64,\)"),
        (4, None, "needs both or none"),
        (5, torch.rand(3, 64), r"alpha_t: shape \(3, 64\), needs \(2, 64\)"),
    ):
        tensors = list(given.all)
        tensors[position] = tensor
        with pytest.raises(ModelError, match=message):
            sth_conv(*tensors, **options(case))


def test_switched_off_it_runs_on_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[1]
    given = make(case)
    monkeypatch.setenv("STH_KERNELS", "off")
    assert not runs_compiled(given.x, case.geometry)
    y = sth_conv(*given.all, **options(case))
    assert distance(y, reference(*given.all, T, case.geometry, relu=False)) < 1e-6
    monkeypatch.setenv("STH_KERNELS", "fast")
    with pytest.raises(ModelError, match="STH_KERNELS: unknown 'fast'"):
        sth_conv(*given.all, **options(case))


@pytest.mark.parametrize("compiler", ["none", "broken"])
def test_without_a_working_compiler_it_says_so_once(
    compiler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = tmp_path / "broken"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] || { echo "x.cpp:1: error: spoiled" >&2; exit 1; }\n')
    script.chmod(0o755)
    monkeypatch.setenv("STH_KERNELS", "auto")
    monkeypatch.setenv("STH_KERNELS_CACHE", f"{tmp_path}/cache")
    monkeypatch.setenv("CXX", str(script))
    if compiler == "none":
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("CXX", "there-is-none")
    build._open.cache_clear()
    case = CASES[1]
    given = make(case)
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                y = sth_conv(*given.all, **options(case))
    finally:
        build._open.cache_clear()
        build._selected.clear()
    assert distance(y, reference(*given.all, T, case.geometry, relu=False)) < 1e-6
    (record,) = caplog.records
    assert ("no C++ compiler" if compiler == "none" else "error: spoiled") in record.message
