"""The non-local block against sums over pixels, on folded frames and on whole clips."""

from __future__ import annotations

import copy
from math import exp
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.models.blocks.nonlocal_ import FollowedByNonLocal, NonLocal, build_nonlocal
from study.models.build import build_model
from study.models.placement import Site
from study.models.recognizer import Recognizer
from study.spec.blocks import NonLocalBlock
from study.spec.model import ModelSpec

FIVE = {"stages": [2, 3], "every": 2, "offset": 1}
"""The five blocks of the paper."""


def make(channels: int = 6, *, frames: int = 3, zero_gamma: bool = False) -> NonLocal:
    torch.manual_seed(0)
    layer = NonLocal(channels, frames, zero_gamma=zero_gamma).double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def test_equals_sums_over_pixels() -> None:
    layer, frames = make().requires_grad_(False), 3
    x = torch.randn(2 * frames, 6, 4, 5, dtype=torch.float64)

    def project(conv: nn.Conv2d, pixel: Tensor) -> Tensor:
        return conv.weight[:, :, 0, 0] @ pixel + conv.bias

    y = layer(x)
    for clip in range(2):
        keys, values = [], []
        for t in range(clip * frames, (clip + 1) * frames):
            for row in range(2):
                for column in range(2):  # the fifth column has no partner and is left out
                    square = x[t, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].amax(dim=(1, 2))
                    keys.append(project(layer.phi, square))
                    values.append(project(layer.g, square))
        for t, row, column in ((0, 0, 0), (1, 3, 4), (2, 2, 1)):
            pixel = x[clip * frames + t, :, row, column]
            query = project(layer.theta, pixel)
            weights = [exp(float(query @ key) / 3**0.5) for key in keys]
            attended = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
            z = project(layer.out, attended) / (1 + layer.bn.eps) ** 0.5
            expected = pixel + layer.bn.weight * z + layer.bn.bias
            torch.testing.assert_close(y[clip * frames + t, :, row, column], expected, rtol=0, atol=1e-12)


def test_frames_and_whole_clips_are_the_same() -> None:
    block = make(frames=4)
    clips = torch.randn(2, 6, 4, 4, 4, dtype=torch.float64)
    folded = block(clips.transpose(1, 2).flatten(0, 1))
    assert torch.equal(block(clips), folded.unflatten(0, (2, 4)).transpose(1, 2))
    shorter = block(clips[:, :, :2])
    assert shorter.shape == (2, 6, 2, 4, 4)
    assert not torch.allclose(shorter, block(clips)[:, :, :2])


def test_one_pixel_is_not_pooled() -> None:
    assert make()(torch.randn(6, 6, 1, 1, dtype=torch.float64)).shape == (6, 6, 1, 1)


def build(backbone: str, block: dict[str, Any], frames: int, **nonlocal_: Any) -> Recognizer:
    on_top = {"block": {"type": "nonlocal", **nonlocal_}, "placement": FIVE}
    model = {"backbone": backbone, "block": block, "dropout": 0.0, "on_top": on_top if nonlocal_ else None}
    return build_model(ModelSpec.model_validate(model), num_classes=5, frames=frames).eval()


@pytest.mark.parametrize(("backbone", "block"), [
    ("resnet50", {"type": "tsm"}), ("resnet50", {"type": "sth"}), ("resnet50", {"type": "stm"}),
    ("i3d_resnet50", {"type": "none"}), ("i3d_resnet50_k400", {"type": "none"}),
])  # fmt: skip
def test_on_top_it_starts_as_an_identity(backbone: str, block: dict[str, Any]) -> None:
    frames = 8
    plain, model = build(backbone, block, frames), build(backbone, block, frames, zero_gamma=True)
    names = [site.name for site in model.sites[len(plain.sites) :]]
    assert all(isinstance(site.module, FollowedByNonLocal) for site in model.sites[len(plain.sites) :])
    assert names == ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    clips = torch.randn(1, 3, frames, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(clips), plain(clips))
        assert not torch.equal(build(backbone, block, frames, zero_gamma=False)(clips), plain(clips))


def test_channels_of_a_block_in_a_block() -> None:
    """STM has a BatchNorm of its own, which is not that of the output."""
    model = build("resnet50", {"type": "stm"}, 2, zero_gamma=True)
    assert [site.module.nonlocal_.bn.num_features for site in model.sites[16:]] == [
        512,
        512,
        1024,
        1024,
        1024,
    ]


def test_a_copy_is_independent() -> None:
    model = build("resnet_tiny", {"type": "conv2d"}, 4, zero_gamma=False)
    clips = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        scores = model(clips)
        twin = copy.deepcopy(model)
        assert torch.equal(twin(clips), scores)
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(twin(clips), scores)


def test_twice_in_one_place_is_refused() -> None:
    on_top = {"block": {"type": "nonlocal"}}
    spec = ModelSpec.model_validate(
        {"backbone": "resnet_tiny", "block": {"type": "nonlocal"}, "on_top": on_top}
    )
    with pytest.raises(ModelError, match=r"layer1\.0: .* already"):
        build_model(spec, num_classes=5, frames=4)


def test_without_batch_norm_it_is_refused() -> None:
    site = Site("residual_block", "layer1.0", 1, 0, 0, nn.Sequential(nn.Conv2d(3, 4, 1)))
    with pytest.raises(ModelError, match=r"layer1\.0: Sequential has no BatchNorm"):
        build_nonlocal(NonLocalBlock(type="nonlocal"), site, 4)
