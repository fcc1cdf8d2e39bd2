"""Which backbone has which geometry."""

from __future__ import annotations

from collections.abc import Callable

from study.cost.oracle.geometry import RESNET_GEOMETRIES, Geometry
from study.cost.oracle.geometry_inception import bn_inception
from study.cost.oracle.geometry_mobilenet import mobilenet_v2
from study.cost.oracle.geometry_vgg import vgg16_bn

GEOMETRIES: dict[str, Callable[[int, int], Geometry]] = {
    **RESNET_GEOMETRIES,
    "vgg16_bn": vgg16_bn,
    "mobilenet_v2": mobilenet_v2,
    "bn_inception": bn_inception,
}
"""By name of the backbone: from the size of a frame and its channels to the geometry."""
