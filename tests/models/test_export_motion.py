"""Every system of this family can be traced by torch.export, and the graph computes the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from study.models.build import build_model
from study.spec.model import ModelSpec

SYSTEMS: dict[str, dict[str, Any]] = {
    "STM": {"block": {"type": "stm"}},
    "CoST (a)": {"block": {"type": "cost_conv", "coefficients": "learned"}},
    "CoST (b)": {"block": {"type": "cost_conv"}},
    "ABM-C-in": {"block": {"type": "abm_c_in"}, "stack": 3},
    "TDM": {"block": {"type": "tdm"}},
    "TRN": {"consensus": "trn"},
    "non-local": {"on_top": {"block": {"type": "nonlocal"}}},
    "TDN": {"backbone": "tdn_resnet50", "block": {"type": "none"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_export(system: str) -> None:
    frames, size = (10, 64) if system == "TDN" else (6, 32)
    spec = ModelSpec.model_validate({"backbone": "resnet_tiny", **SYSTEMS[system]})
    model = build_model(spec, num_classes=3, frames=frames).eval()
    clips = torch.randn(1, 3, frames, size, size)
    with torch.no_grad():
        exported = torch.export.export(model, (clips,)).module()
        torch.testing.assert_close(exported(clips), model(clips))
