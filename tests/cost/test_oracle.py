"""The closed form against arithmetic by hand."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from study.cost.oracle import derive_layers
from study.cost.oracle.dispatch import conv_cost
from study.cost.oracle.geometry import Conv
from study.errors import ModelError
from study.spec.blocks import BlockSpec, STHBlock, TwoPlusOneBlock
from study.spec.model import ModelSpec

CONV = Conv("conv", "bn", inputs=16, outputs=32, kernel=3, pixels=10, stage=1, kind="spatial_conv")


@pytest.mark.parametrize(("block", "params", "macs"), [
    # 32 outputs, each with 12 inputs x 9 + 4 inputs x 3 weights; 10 pixels, 2 frames
    (STHBlock(type="sth"), 32 * (12 * 9 + 4 * 3), 32 * (12 * 9 + 4 * 3) * 20),
    # 8 outputs with 16 x 3 weights, 24 with 16 x 9
    (STHBlock(type="sth", arrangement="merge_out"), 8 * 48 + 24 * 144, (8 * 48 + 24 * 144) * 20),
    # a 32 x 32 layer for both parts, and a 2 x 2 one for each of 32 channels
    (STHBlock(type="sth", attention="cost"), 3840 + 1024 + 4, 3840 * 20 + 2 * 1024 + 4 * 32),
    # 64 -> 8 -> 64 with biases
    (STHBlock(type="sth", attention="concat"), 3840 + 512 + 8 + 512 + 64, 3840 * 20 + 1024),
    (TwoPlusOneBlock(type="two_plus_one", order="sequential"), 32 * 144 + 32 * 96, (4608 + 3072) * 20),
    (TwoPlusOneBlock(type="two_plus_one", order="parallel"), 32 * 144 + 32 * 48, (4608 + 1536) * 20),
])  # fmt: skip
def test_block(block: BlockSpec, params: int, macs: int) -> None:
    assert conv_cost(block, CONV, 2) == (params, macs)


def layers(backbone: str, size: int = 224, **model: Any) -> dict[str, tuple[int, int]]:
    spec = ModelSpec.model_validate({"backbone": backbone, **model})
    found = derive_layers(spec, num_classes=10, frames=1, size=size)
    return {layer.name: (layer.params, layer.macs) for layer in found}


def test_resnet50_by_layer() -> None:
    found = layers("resnet50")
    assert found["backbone.conv1"] == (3 * 64 * 49, 3 * 64 * 49 * 112 * 112)
    assert found["backbone.layer1.0.downsample.0"] == (64 * 256, 64 * 256 * 56 * 56)
    assert found["backbone.layer2.0.conv1"] == (256 * 128, 256 * 128 * 56 * 56)  # v1.5: stride in the 3x3
    assert found["backbone.layer2.0.conv2"] == (128 * 128 * 9, 128 * 128 * 9 * 28 * 28)
    assert found["backbone.layer4.2.bn3"] == (4096, 0)
    assert found["classifier"] == (2048 * 10 + 10, 20480)
    assert "backbone.layer1.1.downsample.0" not in found


def test_odd_sizes_round_up() -> None:
    found = layers("resnet18", size=30)
    assert found["backbone.layer4.0.conv1"][1] == 256 * 512 * 9  # 30, 15, 8, 4, 2, 1


def test_no_shortcut_convolution_where_shapes_agree() -> None:
    assert "backbone.layer1.0.downsample.0" not in layers("resnet18")


def test_placement() -> None:
    plain = layers("resnet18")
    sth = layers("resnet18", block={"type": "sth"}, placement={"stages": [2, 3], "every": 3})
    changed = [name for name in plain if plain[name] != sth[name]]
    assert changed == [f"backbone.layer{name}" for name in ("2.0.conv1", "2.1.conv2", "3.1.conv1")]


def test_a_block_without_a_formula_is_refused() -> None:
    class Unknown(BlockSpec):
        pass

    with pytest.raises(ModelError, match="Unknown"):
        conv_cost(Unknown(type="unknown"), CONV, 1)


def test_closed_form_and_cache_import_no_torch() -> None:
    modules = "study.cost.oracle, study.cost.cache, study.spec.weights_digest"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
