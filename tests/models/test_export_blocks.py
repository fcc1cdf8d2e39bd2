"""Shifts and temporal blocks can be traced by torch.export."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from study.models.build import build_model
from study.spec.model import ModelSpec

BLOCKS = ["tsm", "tsm_in_place", "stsm", "gsf", "tam", "conv3d", "i3d", "p3d", "mfnet"]


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_export(block: str) -> None:
    model: dict[str, Any] = {"backbone": "resnet_tiny", "block": {"type": block}}
    network = build_model(ModelSpec.model_validate(model), num_classes=5, frames=4).eval()
    clips = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    exported = torch.export.export(network, (clips,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(clips), network(clips))
