"""From a model's specification to the network."""

from __future__ import annotations

import torch
from torch import Tensor

from study.errors import ModelError
from study.models.backbones import BACKBONES
from study.models.backbones.base import Backbone
from study.models.consensus import CONSENSUS
from study.models.initialization import initialize_backbone, initialize_classifier, initialize_new_layers
from study.models.placement import fill_sites
from study.models.recognizer import Recognizer
from study.models.weights import PREFIX, Provenance, WeightsReport, account, open_weights
from study.spec.model import ModelSpec

COLORS = 3
"""Channels of a color frame."""


def build_model(
    spec: ModelSpec, *, num_classes: int, frames: int, seed: int = 0, in_channels: int = 3
) -> Recognizer:
    """Build the network that ``spec`` describes, on the CPU, with its initial weights.

    Args:
        spec: backbone, block, placement, head, initial weights.
        num_classes: K.
        frames: frames of a clip; T of them where none are stacked (``spec.stack``).
        seed: every layer draws its initial weights from a generator seeded by this and the layer's name, so
            networks that share a layer start equal in it. The global random state is left alone.
        in_channels: channels of a frame: 3 for color, others for optical flow.

    Raises:
        ModelError: when the block cannot be placed as asked.
        WeightsError: when the file of initial weights is absent or does not fit.
    """
    images = _count_images(spec, frames)
    with torch.random.fork_rng(devices=[]):
        backbone = _build_backbone(spec, in_channels * spec.stack, images, seed)
        file = open_weights(
            spec.init, spec.backbone, backbone.classifier_keys, is_color=in_channels == COLORS
        )
        if file is not None and spec.init.new_classifier:
            file.drop_classifier()
        names = {PREFIX + name for name in backbone.module.state_dict()}
        plain = {PREFIX + name for name in file.load_into(backbone.module)} if file else set()
        originals = backbone.module.state_dict(keep_vars=True)
        sites = fill_sites(backbone, spec, images)
        recognizer = Recognizer(
            backbone,
            sites,
            frames=images,
            consensus=CONSENSUS.get(spec.consensus)(num_classes, 1 if backbone.whole_clips else images),
            dropout=spec.dropout,
            stack=spec.stack,
        )
    new = initialize_new_layers(recognizer.backbone, PREFIX.removesuffix("."), seed)
    new |= initialize_new_layers(recognizer.consensus, "consensus", seed)
    initialize_classifier(recognizer.classifier, "classifier", seed)
    if file is None:
        recognizer.weights_report = WeightsReport(new=tuple(recognizer.state_dict()))
    else:
        plain |= _follow(originals, plain, recognizer)
        replaced = tuple(PREFIX + site.name for site in sites)
        known = Provenance(plain, names - plain, file.load_into(recognizer), replaced, new)
        recognizer.weights_report = account(recognizer, file, spec.init, known)
    return recognizer


def _follow(originals: dict[str, Tensor], loaded: set[str], recognizer: Recognizer) -> set[str]:
    """The present names of the 2D network's loaded parameters and buffers: a block that wraps a layer renames them."""
    known = {id(tensor) for name, tensor in originals.items() if PREFIX + name in loaded}
    return {name for name, tensor in recognizer.state_dict(keep_vars=True).items() if id(tensor) in known}


def _count_images(spec: ModelSpec, frames: int) -> int:
    """T: what the backbone sees of ``frames`` frames, some of which may be stacked to one image."""
    if frames % spec.stack:
        raise ModelError(f"model.stack: {spec.stack} does not divide clip.frames, {frames}")
    return frames // spec.stack


def _build_backbone(spec: ModelSpec, in_channels: int, frames: int, seed: int) -> Backbone:
    """The network before blocks are placed; built on the meta device, which saves drawing its weights twice."""
    with torch.device("meta"):
        backbone = BACKBONES.get(spec.backbone)(in_channels, frames)
    backbone.module.to_empty(device="cpu")
    initialize_backbone(backbone.module, PREFIX.removesuffix("."), seed)
    return backbone
