"""Counts of shifts and temporal blocks in ResNet-50, against reference counts made by another program.

The reference for GSF, P3D in a 2D network, STSM and MFNet does not exist: their figures are hand arithmetic here.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from study.cost.count import count_cost
from study.cost.oracle import derive_layers
from study.cost.oracle.dispatch import conv_cost, residual_cost
from study.cost.oracle.geometry import Conv, Residual, Turn
from study.spec.blocks import (
    BlockSpec,
    Conv3dBlock,
    GSFBlock,
    I3DBlock,
    MFNetBlock,
    P3DBlock,
    STSMBlock,
    TAMBlock,
    TSMBlock,
    TSMInPlaceBlock,
)
from study.spec.model import ModelSpec

CONV = Conv("b.conv2", "b.bn2", inputs=16, outputs=32, kernel=3, pixels=10, stage=1, source=40)
POINT = Conv("b.conv1", "b.bn1", inputs=16, outputs=32, kernel=1, pixels=10, stage=2)
BLOCK = Residual("b", 1, (POINT, CONV, Conv("b.conv3", "b.bn3", 32, 64, 1, 10, 1)))
BLOCK_COST = (16 * 32 + 16 * 32 * 9 + 32 * 64 + 2 * (32 + 32 + 64), (512 + 4608 + 2048) * 20)


@pytest.fixture
def without_fvcore(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to run the network, which takes seconds; on small networks it is compared below."""
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)


def make_spec(backbone: str, block: dict[str, Any], **model: Any) -> ModelSpec:
    return ModelSpec.model_validate({"backbone": backbone, "block": block, **model})


@pytest.mark.parametrize(("block", "conv", "params", "macs"), [
    (TSMBlock(type="tsm"), POINT, 512, 512 * 20),
    (STSMBlock(type="stsm"), POINT, 512, 512 * 20),
    # 16 -> 4 (3 taps) -> 16 and BatchNorm on 4; 2 -> 4 -> 3 and BatchNorm on 4; 3 taps on 40 pixels in
    (TAMBlock(type="tam"), CONV, 4608 + 192 + 64 + 8 + 20 + 8, 4608 * 20 + 256 * 2 + 20 * 16 + 3 * 16 * 80),
    (Conv3dBlock(type="conv3d"), CONV, 4608 * 3, 4608 * 3 * 20),
    (I3DBlock(type="i3d"), POINT, 512 * 3, 512 * 3 * 20),
])  # fmt: skip
def test_convolution(block: BlockSpec, conv: Conv, params: int, macs: int) -> None:
    """Two frames."""
    assert conv_cost(block, conv, 2) == (params, macs)


@pytest.mark.parametrize(("block", "turn", "params", "macs"), [
    (TSMInPlaceBlock(type="tsm_in_place"), Turn(), 0, 0),
    # 16 channels: two gates of 8 x 27 and a bias, BatchNorm, two fusions of 2 x 9 and a bias on 8 x 2 places
    (GSFBlock(type="gsf"), Turn(), 2 * 217 + 32 + 2 * 19, 2 * 216 * 20 + 2 * 18 * 16),
    (P3DBlock(type="p3d"), Turn(index=3), 3 * 32 * 32 + 64, 3 * 32 * 32 * 20),
    (P3DBlock(type="p3d"), Turn(index=4), 3 * 16 * 32 + 64, 3 * 16 * 32 * 20),
    (MFNetBlock(type="mfnet"), Turn(), 0, 0),
    # 64 -> 4, 5 x 4 -> 64, BatchNorm
    (MFNetBlock(type="mfnet"), Turn(ends_stage=True), 256 + 1280 + 128, 1536 * 20),
    (MFNetBlock(type="mfnet", sites="all", reduction=32), Turn(), 128 + 640 + 128, 768 * 20),
])  # fmt: skip
def test_residual_block(block: BlockSpec, turn: Turn, params: int, macs: int) -> None:
    """What is added to the residual block, for two frames."""
    found = residual_cost(block, Residual(BLOCK.name, BLOCK.stage, BLOCK.convs, turn), 2)
    assert found == (BLOCK_COST[0] + params, BLOCK_COST[1] + macs)


R50_400 = 24.3276
I3D_STEM = 64 * 3 * 49 * 4 / 1e6
"""What I3D's 5x7x7 stem has more than a 7x7, which a block in a 2D network does not change."""
P3D_ADDED = sum(n * (3 * c * c + 2 * c) for n, c in ((3, 64), (4, 128), (6, 256))) / 1e6
GSF_GATED = 3 * 64 + 4 * 128 + 6 * 256 + 3 * 512
REFERENCE = [
    ({"type": "tsm"}, {}, 174, 23.865, 32.70),
    ({"type": "tsm"}, {}, 400, 24.33, None),
    ({"type": "tsm_in_place"}, {}, 174, 23.865, 32.70),
    ({"type": "stsm"}, {}, 174, 23.865, 32.70),
    ({"type": "tam"}, {}, 174, 25.13, None),
    ({"type": "tam"}, {}, 400, 25.59, None),
    ({"type": "conv3d"}, {}, 400, 47.0 - I3D_STEM, None),
    ({"type": "i3d"}, {}, 400, 28.04 - I3D_STEM, None),
    ({"type": "p3d"}, {"stages": [1, 2, 3]}, 400, R50_400 + P3D_ADDED, None),
    ({"type": "gsf"}, {}, 400, R50_400 + (29 * GSF_GATED + 16 * 40) / 1e6, None),
    (
        {"type": "mfnet"},
        {},
        400,
        R50_400 + sum(c * (c // 16 * 6 + 2) for c in (256, 512, 1024, 2048)) / 1e6,
        None,
    ),
]


@pytest.mark.parametrize(("block", "placement", "classes", "params", "gmacs"), REFERENCE)
def test_resnet50(
    block: dict[str, Any],
    placement: dict[str, Any],
    classes: int,
    params: float,
    gmacs: float | None,
    without_fvcore: None,
) -> None:
    """8 frames of 224 x 224. Torch and the closed form agree within 0.5 % on every module, else it raises."""
    spec = make_spec("resnet50", block, placement=placement)
    cost = count_cost(spec, num_classes=classes, frames=8, size=224)
    assert cost.params_m == pytest.approx(params, rel=1e-3)
    if gmacs is not None:
        assert cost.gmacs_per_view == pytest.approx(gmacs, rel=1e-3)


def test_p3d_63_has_the_parameters_of_the_public_port() -> None:
    """Stem, stages and pooling differ, but no kernel does: 25.7 M at 400 classes."""
    assert pytest.approx(25.7, abs=0.05) == R50_400 + P3D_ADDED


@pytest.mark.parametrize("block", [
    *({"type": name} for name in ("tsm", "tsm_in_place", "stsm", "gsf", "tam", "conv3d", "i3d", "p3d", "mfnet")),
    {"type": "mfnet", "sites": "all"}, {"type": "i3d", "pattern": "all"}, {"type": "p3d", "variants": ["B"]},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("placement", [{}, {"stages": [2, 3], "every": 2}])
def test_counters_agree_exactly(block: dict[str, Any], placement: dict[str, Any]) -> None:
    """On odd sizes, which round up."""
    spec = make_spec("resnet_tiny", block, placement=placement)
    cost = count_cost(spec, num_classes=7, frames=3, size=30)
    layers = derive_layers(spec, num_classes=7, frames=3, size=30)
    assert cost.params_m == pytest.approx(sum(layer.params for layer in layers) / 1e6, rel=1e-12)
    assert cost.gmacs_per_view == pytest.approx(sum(layer.macs for layer in layers) / 1e9, rel=1e-12)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "bn_inception"])
@pytest.mark.parametrize("block", [{"type": "tam"}, {"type": "conv3d"}], ids=str)
def test_strided_and_depthwise_convolutions(
    backbone: str, block: dict[str, Any], without_fvcore: None
) -> None:
    """It raises where torch and the closed form differ."""
    count_cost(make_spec(backbone, block), num_classes=7, frames=2, size=64)
