"""Every 3D network can be traced by torch.export, and the graph computes the same."""

from __future__ import annotations

import pytest
import torch

from study.models.build import build_model
from study.spec.model import ModelSpec
from tests.conformance.test_networks import NETWORKS

OURS = (
    *("i3d_resnet50", "i3d_resnet50_k400", "i3d_inception", "s3d", "s3d_g", "r2plus1d_34"),
    *("ip_csn_50", "ir_csn_50", "c3d", "p3d_199"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_export(name: str) -> None:
    frames, size = NETWORKS[name]
    spec = ModelSpec.model_validate({"backbone": name, "block": {"type": "none"}})
    model = build_model(spec, num_classes=3, frames=frames).eval()
    clips = torch.randn(1, 3, frames, size, size)
    with torch.no_grad():
        exported = torch.export.export(model, (clips,)).module()
        torch.testing.assert_close(exported(clips), model(clips))
