"""3D networks against the figures that were counted by another program, each at its own input geometry."""

from __future__ import annotations

import pytest

from study.cost.count import count_cost
from study.spec.model import ModelSpec

REFERENCE = [
    ("i3d_resnet50", 400, 32, 224, 28.04, 152.5),
    ("i3d_resnet50", 174, 32, 224, 27.58, 152.5),
    ("i3d_resnet50_k400", 400, 32, 224, 28.04, 33.1),
    ("i3d_inception", 400, 64, 224, 12.70, 111.2),
    ("s3d", 400, 64, 224, 8.32, 71.9),
    ("s3d_g", 400, 64, 224, 9.09, 71.9),
    ("r2plus1d_34", 400, 32, 112, 63.70, 152.4),
    ("r2plus1d_34", 174, 32, 112, 63.58, 152.4),
    ("ip_csn_50", 400, 8, 224, 14.40, 11.91),
    ("ir_csn_50", 400, 8, 224, 13.13, 10.58),
    ("c3d", 101, 16, 112, 78.41, 38.55),
    ("p3d_199", 400, 16, 160, 66.5, 18.4),
]
"""Network, classes, frames, pixels, parameters (M), GMACs; the last two to the digits that were written down."""


def decimals(value: float) -> int:
    return len(str(value).split(".")[1])


@pytest.mark.parametrize(("name", "classes", "frames", "size", "params", "gmacs"), REFERENCE)
def test_reference_counts(
    name: str, classes: int, frames: int, size: int, params: float, gmacs: float
) -> None:
    """Equal to 0.1 %, or to the last digit of the reference where that is coarser."""
    spec = ModelSpec.model_validate({"backbone": name, "block": {"type": "none"}})
    cost = count_cost(spec, num_classes=classes, frames=frames, size=size)
    for found, expected in ((cost.params_m, params), (cost.gmacs_per_view, gmacs)):
        digit = 0.5 * 10 ** -decimals(expected)
        assert found == pytest.approx(expected, rel=0, abs=max(0.001 * expected, digit))
    assert cost.executed_gmacs == cost.gmacs_per_view


def test_s3d_has_the_parameters_that_torchvision_documents() -> None:
    """8,320,048 parameters at 400 classes are in the meta data of its Kinetics weights."""
    spec = ModelSpec.model_validate({"backbone": "s3d", "block": {"type": "none"}})
    assert count_cost(spec, num_classes=400, frames=16, size=64).params_m == 8.320048


def test_gates_of_s3d_g_by_hand() -> None:
    """C^2 + C for each temporal convolution: the stem's 64 and 192, and two in each of nine blocks."""
    wide = (128, 192, 208, 224, 256, 288, 320, 320, 384)
    narrow = (32, 96, 48, 64, 64, 64, 128, 128, 128)
    gates = sum(c * c + c for c in (64, 192, *wide, *narrow))
    spec = [
        ModelSpec.model_validate({"backbone": name, "block": {"type": "none"}}) for name in ("s3d", "s3d_g")
    ]
    without, with_ = (count_cost(one, num_classes=5, frames=16, size=32).params_m for one in spec)
    assert round((with_ - without) * 1e6) == gates


@pytest.mark.parametrize(("classes", "params"), [(400, 35.40), (174, 34.94)])
def test_non_local_i3d(classes: int, params: float) -> None:
    """172.9 GMACs of convolutions, and 220.9 with the products of queries, keys and values by hand.

    Queries are 16 x 28^2 or 16 x 14^2 pixels, keys a quarter of them, both in half the channels.
    """
    block = {"block": {"type": "nonlocal"}, "placement": {"stages": [2, 3], "every": 2, "offset": 1}}
    spec = ModelSpec.model_validate({"backbone": "i3d_resnet50", "block": {"type": "none"}, "on_top": block})
    cost = count_cost(spec, num_classes=classes, frames=32, size=224)
    res3, res4 = 16 * 28**2, 16 * 14**2
    products = 2 * 2 * res3 * (res3 // 4) * 256 + 3 * 2 * res4 * (res4 // 4) * 512
    assert cost.params_m == pytest.approx(params, abs=0.005)
    assert cost.gmacs_per_view == pytest.approx(220.9, rel=0.001)
    assert cost.gmacs_per_view - products / 1e9 == pytest.approx(172.9, rel=0.001)
