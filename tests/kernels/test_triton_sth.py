"""The Triton kernel: right in Triton's interpreter, and compiled for a GPU that need not be here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from study.kernels.geometry import Geometry

pytest.importorskip("triton", reason="Triton comes with torch for GPUs on Linux only")

HYBRID = {"in_channels": 32, "out_channels": 64, "groups": 4, "arrangement": "hybrid"}
CASES: dict[str, dict[str, Any]] = {
    f"{arrangement} p=1/{groups} stride {stride}": HYBRID
    | {"arrangement": arrangement, "groups": groups, "stride": [stride, stride], "relu": True}
    for arrangement in ("hybrid", "merge_in", "merge_out")
    for groups in (2, 4)
    for stride in (1, 2)
}
CASES |= {
    "hybrid p=1/8": HYBRID | {"groups": 8, "out_channels": 128},
    "one stride only": HYBRID | {"stride": [2, 1]},
    "spatial dilation": HYBRID | {"spatial_dilation": 2},
    "temporal dilation": HYBRID | {"temporal_dilation": 2},
    "both dilations": HYBRID | {"spatial_dilation": 2, "temporal_dilation": 3},
    "attention": HYBRID | {"attentive": True, "relu": True},
    "attention, merged": HYBRID | {"attentive": True, "arrangement": "merge_in"},
    "steps that run past the end of each part": HYBRID | {"in_channels": 48, "step": 32},
    "half precision": HYBRID | {"in_channels": 64, "dtype": "float16"},
}
SINGLE = 1e-6
HALF = 6e-4
"""The error of rounding a result to half precision; to sum in it would give about 1e-2."""


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    """The error of each case, from one process with the interpreter."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.kernels.interpreted", json.dumps(list(CASES.values()))],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(CASES, json.loads(run.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_equals_the_operator(errors: dict[str, float], case: str) -> None:
    assert errors[case] < (HALF if "dtype" in CASES[case] else SINGLE)


def test_what_cannot_be_cut_is_refused() -> None:
    from study.kernels.triton_sth import is_supported

    assert is_supported(Geometry(64, 64, 4, "hybrid"))
    assert not is_supported(Geometry(64, 64, 8, "hybrid"))  # 8 outputs a group
    assert is_supported(Geometry(64, 64, 8, "merge_in"))
    assert not is_supported(Geometry(64, 64, 8, "merge_out"))


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_it_compiles_for_tensor_cores(channels: int) -> None:
    """To PTX for an H100, in bfloat16: matrix instructions, asynchronous loads, tiles that fit into its memory."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from study.kernels.triton_sth import _sth_conv, choose_tile, describe_constants

    geometry = Geometry(channels, channels, 4, "hybrid")
    tile = choose_tile(geometry)
    constants = describe_constants(geometry, tile, has_bias=True, has_alpha=True, relu=True)
    half, single = ("x", "spatial_weight", "temporal_weight", "y"), ("bias", "alpha_s", "alpha_t")
    types = (
        dict.fromkeys(constants, "constexpr") | dict.fromkeys(half, "*bf16") | dict.fromkeys(single, "*fp32")
    )
    names = _sth_conv.arg_names
    source = ASTSource(
        fn=_sth_conv,
        signature={name: types.get(name, "i32") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in (*half, *single)},
    )
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    kernel = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    code = kernel.asm["ptx"]
    assert "wgmma.mma_async" in code
    assert "cp.async" in code
    assert kernel.metadata.shared < 227 * 1024
