"""The stages of networks, against arithmetic on paper."""

from __future__ import annotations

import pytest
import torch

from study.cost.architecture import Architecture
from study.cost.stages import describe_architecture
from study.spec.model import ModelSpec

HYBRID = {"type": "sth", "p": "1/4", "arrangement": "hybrid"}
# By stage: width of the blocks, and their number in ResNet-50.
STAGES = {"layer1": (64, 3), "layer2": (128, 4), "layer3": (256, 6), "layer4": (512, 3)}


@pytest.fixture(scope="module")
def hybrid() -> Architecture:
    spec = ModelSpec.model_validate({"backbone": "resnet50", "block": HYBRID})
    return describe_architecture(spec, num_classes=174, frames=8, size=224)


def test_sizes_are_those_of_the_papers_table(hybrid: Architecture) -> None:
    sizes = {stage.name: stage.output for stage in hybrid.stages}
    assert hybrid.input == (3, 8, 224, 224)
    assert list(sizes) == ["conv1", "maxpool", *STAGES, "avgpool", "classifier", "consensus"]
    assert sizes["conv1"] == (64, 8, 112, 112)
    assert sizes["maxpool"] == (64, 8, 56, 56)
    assert [sizes[name] for name in STAGES] == [
        (256, 8, 56, 56),
        (512, 8, 28, 28),
        (1024, 8, 14, 14),
        (2048, 8, 7, 7),
    ]
    assert sizes["avgpool"] == (2048, 8, 1, 1)
    assert (sizes["classifier"], sizes["consensus"]) == ((174, 8), (174,))


def test_layers_of_a_block_have_the_kernels_and_widths_of_a_bottleneck(hybrid: Architecture) -> None:
    for name, (width, blocks) in STAGES.items():
        stage = hybrid.stage(name)
        assert stage is not None
        assert (stage.kind, stage.blocks) == ("blocks", blocks)
        assert [(layer.name, layer.kind, layer.outputs) for layer in stage.layers] == [
            ("conv1", "conv", width),
            ("conv2", "sth", width),
            ("conv3", "conv", 4 * width),
        ]
        assert [layer.kernels for layer in stage.layers] == [
            ((1, 1, 1),),
            ((1, 3, 3), (3, 1, 1)),
            ((1, 1, 1),),
        ]
    assert [layer.kernels for layer in hybrid.stages[0].layers] == [((1, 7, 7),)]
    assert hybrid.stage("layer5") is None


def test_parameters_by_hand(hybrid: Architecture) -> None:
    total = 3 * 49 * 64 + 2 * 64  # the stem and its BatchNorm, which is no stage
    inputs = 64
    for name, (width, blocks) in STAGES.items():
        outputs, expected = 4 * width, 0
        for number in range(blocks):
            spatial, temporal = width * (3 * width // 4) * 9, width * (width // 4) * 3
            expected += inputs * width + spatial + temporal + width * outputs + 2 * (2 * width + outputs)
            if number == 0:
                expected += inputs * outputs + 2 * outputs  # the shortcut
            inputs = outputs
        stage = hybrid.stage(name)
        assert stage is not None
        assert stage.params == expected
        total += expected
    assert hybrid.params == total + 2048 * 174 + 174


def test_plain_and_clip_wise_networks() -> None:
    plain = describe_architecture(
        ModelSpec.model_validate({"backbone": "resnet18", "block": {"type": "conv2d"}}),
        num_classes=10,
        frames=4,
        size=64,
    )
    first = plain.stage("layer1")
    assert first is not None
    assert first.output == (64, 4, 16, 16)
    assert [(layer.name, layer.kernels) for layer in first.layers] == [
        ("conv1", ((1, 3, 3),)),
        ("conv2", ((1, 3, 3),)),
    ]
    clips = describe_architecture(
        ModelSpec.model_validate({"backbone": "r2plus1d_34", "block": {"type": "none"}}),
        num_classes=10,
        frames=8,
        size=64,
    )
    stem = clips.stages[0]
    assert stem.output == (64, 8, 32, 32)
    assert [layer.kernels for layer in stem.layers] == [((1, 7, 7),), ((3, 1, 1),)]
    assert clips.stages[-1].output == (10,)


def test_nothing_random_is_touched(hybrid: Architecture) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    spec = ModelSpec.model_validate({"backbone": "resnet18", "block": {"type": "conv2d"}})
    describe_architecture(spec, num_classes=3, frames=2, size=32)
    assert torch.equal(torch.get_rng_state(), before)
