"""From a model's specification to the network."""

from __future__ import annotations

import torch

from study.models.backbones import BACKBONES
from study.models.backbones.base import Backbone
from study.models.consensus import CONSENSUS
from study.models.initialization import initialize_backbone, initialize_classifier, initialize_new_layers
from study.models.placement import fill_sites
from study.models.recognizer import Recognizer
from study.models.weights import PREFIX, Provenance, WeightsReport, account, open_weights
from study.spec.model import ModelSpec


def build_model(
    spec: ModelSpec, *, num_classes: int, frames: int, seed: int = 0, in_channels: int = 3
) -> Recognizer:
    """Build the network that ``spec`` describes, on the CPU, with its initial weights.

    Args:
        spec: backbone, block, placement, head, initial weights.
        num_classes: K.
        frames: T, frames of a clip.
        seed: every layer draws its initial weights from a generator seeded by this and the layer's name, so
            networks that share a layer start equal in it. The global random state is left alone.
        in_channels: channels of a frame.

    Raises:
        ModelError: when the block cannot be placed as asked.
        WeightsError: when the file of initial weights is absent or does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        backbone = _build_backbone(spec, in_channels, frames, seed)
        file = open_weights(spec.init, spec.backbone, backbone.classifier_keys)
        plain = {PREFIX + name for name in file.load_into(backbone.module)} if file else set()
        sites = fill_sites(backbone, spec, frames)
        recognizer = Recognizer(
            backbone,
            sites,
            frames=frames,
            consensus=CONSENSUS.get(spec.consensus)(num_classes, 1 if backbone.whole_clips else frames),
            dropout=spec.dropout,
        )
    new = initialize_new_layers(recognizer.backbone, PREFIX.removesuffix("."), seed)
    new |= initialize_new_layers(recognizer.consensus, "consensus", seed)
    initialize_classifier(recognizer.classifier, "classifier", seed)
    if file is None:
        recognizer.weights_report = WeightsReport(new=tuple(recognizer.state_dict()))
    else:
        replaced = tuple(PREFIX + site.name for site in sites)
        known = Provenance(plain, file.load_into(recognizer), replaced, new)
        recognizer.weights_report = account(recognizer, file, spec.init, known)
    return recognizer


def _build_backbone(spec: ModelSpec, in_channels: int, frames: int, seed: int) -> Backbone:
    """The network before blocks are placed; built on the meta device, which saves drawing its weights twice."""
    with torch.device("meta"):
        backbone = BACKBONES.get(spec.backbone)(in_channels, frames)
    backbone.module.to_empty(device="cpu")
    initialize_backbone(backbone.module, PREFIX.removesuffix("."), seed)
    return backbone
