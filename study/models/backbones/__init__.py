"""2D networks and the positions in them that a block can fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from study.registry import Registry

if TYPE_CHECKING:  # names are listed, and fingerprints computed, without torch
    from study.models.backbones.base import BackboneBuilder

BACKBONES: Registry[BackboneBuilder] = Registry(
    "backbone",
    {
        "resnet_tiny": "study.models.backbones.resnet_tiny:build_resnet_tiny",
        "resnet18": "study.models.backbones.resnet:build_resnet18",
        "resnet34": "study.models.backbones.resnet:build_resnet34",
        "resnet50": "study.models.backbones.resnet:build_resnet50",
        "resnet101": "study.models.backbones.resnet:build_resnet101",
    },
)
