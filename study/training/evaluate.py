"""Scores of every validation video under a protocol, and the attention that produced them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from study.data.transforms import normalize
from study.models.attention_probe import SiteAttention, collect_attention
from study.models.recognizer import Recognizer
from study.spec.record import BlockAttention
from study.spec.trial import TrialSettings
from study.training.device import open_autocast


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split gave, videos in the order of the manifest.

    Attributes:
        scores: logits (N, V, K), float32.
        labels: classes (N,).
        attention: coefficients by block; empty for networks without attention.
    """

    scores: torch.Tensor
    labels: torch.Tensor
    attention: list[BlockAttention]


@torch.no_grad()
def evaluate(
    model: Recognizer,
    loader: DataLoader[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    settings: TrialSettings,
) -> Evaluation:
    """Run ``model`` over ``loader``, whose batches hold views uint8 (N, V, C, T, H, W), labels and indices.

    The order of the batches does not matter: rows are put back by index.
    """
    device = next(model.parameters()).device
    model.eval()
    scores: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    indices: list[torch.Tensor] = []
    with collect_attention(model) as probe:
        for views, batch_labels, batch_indices in loader:
            videos, count = views.shape[:2]
            inputs = normalize(views.flatten(0, 1).to(device, non_blocking=True), settings.clip)
            with open_autocast(settings.training.precision, device):
                output = model(inputs)
            scores.append(output.float().cpu().unflatten(0, (videos, count)))
            labels.append(batch_labels)
            indices.append(batch_indices)
    order = torch.cat(indices).argsort()
    attention = [_summarize(entry) for entry in probe.values()]
    return Evaluation(torch.cat(scores)[order], torch.cat(labels)[order], attention)


def _summarize(entry: SiteAttention) -> BlockAttention:
    """Mean and spread over videos of one block's channel means (section 6.1 of the paper)."""
    spatial = torch.cat(entry.alpha_s).double().mean(dim=1)
    temporal = torch.cat(entry.alpha_t).double().mean(dim=1)
    return BlockAttention(
        site=entry.site.name,
        index=entry.site.index,
        stage=entry.site.stage,
        alpha_s=float(spatial.mean()),
        alpha_t=float(temporal.mean()),
        alpha_s_std=float(spatial.std(correction=0)),
        alpha_t_std=float(temporal.std(correction=0)),
        videos=len(spatial),
    )
