"""CoST against 2D convolutions of single planes of a clip."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from study.errors import ModelError
from study.models.blocks.cost_conv import CoSTConv, build_cost_conv
from study.models.build import build_model
from study.models.initialization import initialize_new_layers
from study.models.placement import Site
from study.spec.blocks import CoSTBlock
from study.spec.model import ModelSpec

Coefficients = Literal["learned", "predicted"]
FRAMES = 4


def make(conv: nn.Conv2d, coefficients: Coefficients) -> CoSTConv:
    site = Site("spatial_conv", "conv", 1, 0, 0, conv)
    block = build_cost_conv(CoSTBlock(type="cost_conv", coefficients=coefficients), site, FRAMES)
    initialize_new_layers(block, "conv", seed=0)
    assert isinstance(block, CoSTConv)
    return block.double()


def convolve_planes(clip: Tensor, conv: nn.Conv2d, still: int) -> Tensor:
    """Convolve every plane of ``clip`` (C, T, H, W) across the axis ``still`` of (T, H, W)."""
    stride = [1, conv.stride[0], conv.stride[0]]
    kept = stride.pop(still)
    planes = [
        conv2d(plane[None], conv.weight, stride=stride, padding=1, groups=conv.groups)[0]
        for plane in clip.unbind(1 + still)[::kept]
    ]
    return torch.stack(planes, dim=1 + still)


@pytest.mark.parametrize("coefficients", ["learned", "predicted"])
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("size", [(6, 7), (5, 5)])
def test_equals_convolutions_of_planes(
    coefficients: Coefficients, stride: int, groups: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, stride=stride, padding=1, groups=groups).double()
    block = make(conv, coefficients)
    for parameter in block.coefficients.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2 * FRAMES, 4, *size, dtype=torch.float64)
    expected = []
    for clip in x.unflatten(0, (2, FRAMES)).transpose(1, 2):
        views = [convolve_planes(clip, conv, still) for still in range(3)]
        for channel in range(6):
            if coefficients == "learned":
                scores = block.coefficients.scores[:, channel]
            else:
                weight, across = block.coefficients.shared.weight, block.coefficients.across.weight
                pooled = [sum(weight[channel, c] * view[c].max() for c in range(6)) for view in views]
                scores = across @ torch.stack(pooled)
            alphas = scores.exp() / scores.exp().sum()
            mixed = sum(alpha * view[channel] for alpha, view in zip(alphas, views, strict=True))
            expected.append(mixed + conv.bias[channel])
    y = block(x).unflatten(0, (2, FRAMES)).transpose(1, 2)
    torch.testing.assert_close(y.flatten(0, 1), torch.stack(expected), rtol=0, atol=1e-12)


def test_initial_coefficients() -> None:
    """(a) favors the frames: e^0.7 to twice e^-0.7. (b) starts near a third for each view."""
    learned, predicted = (make(nn.Conv2d(4, 6, 3, padding=1), kind) for kind in ("learned", "predicted"))
    views = [torch.randn(1, 6, 2, 3, 3, dtype=torch.float64) for _ in range(3)]
    share = 2.718281828459045**1.4 / (2.718281828459045**1.4 + 2)
    alphas = learned.coefficients(views)
    assert alphas.shape == (1, 3, 6)
    assert torch.allclose(alphas[:, 0], torch.tensor(share, dtype=torch.float64))
    assert torch.allclose(alphas[:, 1:], torch.tensor((1 - share) / 2, dtype=torch.float64))
    assert (predicted.coefficients(views) - 1 / 3).abs().max() < 1e-3


def test_with_the_first_view_alone_it_is_the_2d_network() -> None:
    specs = [ModelSpec.model_validate({"backbone": "resnet_tiny", "block": block}) for block in (
        {"type": "conv2d"}, {"type": "cost_conv", "coefficients": "learned"},
    )]  # fmt: skip
    plain, model = (build_model(spec, num_classes=5, frames=FRAMES).eval() for spec in specs)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("scores"):
                parameter[0], parameter[1:] = 50.0, -50.0
        clips = torch.randn(2, 3, FRAMES, 32, 32)
        torch.testing.assert_close(model(clips), plain(clips), rtol=0, atol=1e-6)


def test_the_authors_pattern_is_every_second_bottleneck() -> None:
    """(0,1,0), (1,0,1,0), (1,0,1,0,1,0), (1,0,1)."""
    placement = {"every": 2, "offset": 1}
    spec = ModelSpec.model_validate({"block": {"type": "cost_conv"}, "placement": placement})
    model = build_model(spec, num_classes=5, frames=2)
    assert [site.name.removeprefix("layer") for site in model.sites] == [
        *("1.1.conv2", "2.0.conv2", "2.2.conv2"),
        *("3.0.conv2", "3.2.conv2", "3.4.conv2", "4.0.conv2", "4.2.conv2"),
    ]


def test_a_kernel_that_is_not_square_is_refused() -> None:
    with pytest.raises(ModelError, match=r"conv: kernel_size 3 x 5"):
        make(nn.Conv2d(4, 6, (3, 5), padding=(1, 2)), "learned")
