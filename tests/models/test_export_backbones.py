"""VGG, MobileNetV2, BN-Inception with STH, and ECO, ARTNet and StNet can be traced by torch.export."""

from __future__ import annotations

import pytest
import torch

from study.models.build import build_model
from study.spec.model import ModelSpec

HYBRID, NONE = {"type": "sth", "p": "1/4"}, {"type": "none"}
SYSTEMS = [
    ("vgg16_bn", HYBRID, 2, 32),
    ("mobilenet_v2", HYBRID, 2, 32),
    ("bn_inception", HYBRID, 2, 32),
    ("eco_full", NONE, 4, 32),
    ("eco_lite", NONE, 4, 32),
    ("artnet18", NONE, 8, 32),
    ("stnet50", NONE, 10, 32),
    ("stnet101", NONE, 10, 32),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "block", "frames", "size"), SYSTEMS)
def test_export(backbone: str, block: dict[str, str], frames: int, size: int) -> None:
    """The graph computes the same."""
    spec = ModelSpec.model_validate({"backbone": backbone, "block": block})
    model = build_model(spec, num_classes=3, frames=frames).eval()
    clips = torch.randn(1, 3, frames, size, size)
    with torch.no_grad():
        exported = torch.export.export(model, (clips,)).module()
        torch.testing.assert_close(exported(clips), model(clips))
