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
        "vgg16_bn": "study.models.backbones.vgg:build_vgg16_bn",
        "mobilenet_v2": "study.models.backbones.mobilenet:build_mobilenet_v2",
        "bn_inception": "study.models.backbones.bn_inception:build_bn_inception",
        "i3d_resnet50": "study.models.networks.i3d_resnet:build_i3d_resnet50",
        "i3d_resnet50_k400": "study.models.networks.i3d_resnet:build_i3d_resnet50_k400",
        "i3d_inception": "study.models.networks.i3d_inception:build_i3d_inception",
        "s3d": "study.models.networks.s3d:build_s3d",
        "s3d_g": "study.models.networks.s3d:build_s3d_g",
        "r2plus1d_34": "study.models.networks.r2plus1d:build_r2plus1d_34",
        "ip_csn_50": "study.models.networks.csn:build_ip_csn_50",
        "ir_csn_50": "study.models.networks.csn:build_ir_csn_50",
        "c3d": "study.models.networks.c3d:build_c3d",
        "p3d_199": "study.models.networks.p3d:build_p3d_199",
        "eco_full": "study.models.networks.eco:build_eco_full",
        "eco_lite": "study.models.networks.eco:build_eco_lite",
        "artnet18": "study.models.networks.artnet:build_artnet18",
        "stnet50": "study.models.networks.stnet:build_stnet50",
        "stnet101": "study.models.networks.stnet:build_stnet101",
        "tdn_resnet50": "study.models.networks.tdn:build_tdn_resnet50",
    },
)
