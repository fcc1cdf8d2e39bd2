"""Scores of every video under the views of all protocols, and the attention that produced them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch

from study.data.loading import Loader
from study.data.samples import ViewBatch
from study.data.transforms import normalize
from study.models.attention_probe import SiteAttention, collect_attention
from study.models.placement import FilledSite
from study.models.recognizer import Recognizer
from study.scores import ViewScores
from study.spec.record import BlockAttention
from study.spec.trial import TrialSettings
from study.spec.views import View
from study.training.device import open_autocast
from study.training.group import SINGLE, Group


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a split gave, videos in the order of the manifest.

    Attributes:
        scores: by video and view. Videos that could not be decoded are missing.
        attention: coefficients by block under the views asked for; empty for networks without attention.
    """

    scores: ViewScores
    attention: list[BlockAttention]


@dataclass
class _Gathered:
    """What the batches have given so far."""

    logits: list[torch.Tensor] = field(default_factory=list)
    labels: list[torch.Tensor] = field(default_factory=list)
    indices: list[torch.Tensor] = field(default_factory=list)
    shown: list[torch.Tensor] = field(default_factory=list)
    attention: dict[str, _SiteMeans] = field(default_factory=dict)


@dataclass
class _SiteMeans:
    """Channel means of one site's coefficients by video, averaged over its views: lists of (N,)."""

    spatial: list[torch.Tensor] = field(default_factory=list)
    temporal: list[torch.Tensor] = field(default_factory=list)


@torch.no_grad()
def evaluate(
    model: Recognizer,
    loader: Loader[ViewBatch],
    views: tuple[View, ...],
    settings: TrialSettings,
    attention_views: Collection[View] = (),
    group: Group = SINGLE,
) -> Evaluation | None:
    """Run ``model`` over the views of every video of ``loader``.

    Args:
        model: on the device it runs on.
        loader: batches of ``views``; the order of the videos does not matter.
        views: the views of the loader's data set.
        settings: the trial.
        attention_views: those of the views under which attention coefficients are taken.
        group: the processes whose loaders have some of the batches each.

    Returns:
        The scores of the videos of all processes, in the one that leads; None in the others.
    """
    device = next(model.parameters()).device
    model.eval()
    gathered = _Gathered()
    forward = _Forward(model, settings.training.precision)
    groups = _group(views, set(attention_views))
    for batch in loader:
        scores = torch.empty(0)
        for numbers in groups:
            clips = batch.assemble(numbers, settings.clip, device)
            inputs = normalize(clips.flatten(0, 1), settings.clip)
            watched = views[numbers[0]] in attention_views
            outputs, seen = forward(inputs, watched=watched)
            output = torch.unflatten(outputs, 0, (-1, len(numbers)))
            if not scores.numel():
                scores = output.new_empty(len(output), len(views), output.shape[-1])
            scores[:, numbers] = output
            _note_attention(gathered, seen.values(), len(numbers))
        gathered.logits.append(scores)
        gathered.labels.append(batch.labels)
        gathered.indices.append(batch.indices)
        gathered.shown.append(batch.shown)
    everyone = group.gather(gathered)
    if not group.leads:
        return None
    sites = {site.name: site for site in model.sites}
    return _conclude(_join(everyone), views, [entry.video_id for entry in loader.videos.entries], sites)


class _Forward:
    """Runs a network in evaluation mode, in parts where a batch does not fit into memory.

    There the scores of a clip do not depend on the others of its batch. Parts stay as small as they had to become once.
    """

    def __init__(self, model: Recognizer, precision: str) -> None:
        self._model, self._precision = model, precision
        self._device = next(model.parameters()).device
        self._most: int | None = None

    def __call__(
        self, inputs: torch.Tensor, *, watched: bool
    ) -> tuple[torch.Tensor, dict[str, SiteAttention]]:
        """Scores (N, classes), float32 on the CPU, and where ``watched`` the attention coefficients by site."""
        while True:
            size = min(self._most or len(inputs), len(inputs))
            try:
                return self._run(torch.split(inputs, size), watched=watched)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            self._most = size // 2
            torch.cuda.empty_cache()

    def _run(
        self, parts: Iterable[torch.Tensor], *, watched: bool
    ) -> tuple[torch.Tensor, dict[str, SiteAttention]]:
        with ExitStack() as stack:
            stack.enter_context(open_autocast(self._precision, self._device))
            seen = stack.enter_context(collect_attention(self._model)) if watched else {}
            return torch.cat([self._model(part).float().cpu() for part in parts]), seen


def _group(views: tuple[View, ...], watched: set[View]) -> list[list[int]]:
    """Numbers of the views that go through the network together: of one size, all watched or none."""
    groups: defaultdict[tuple[int, bool], list[int]] = defaultdict(list)
    for number, view in enumerate(views):
        groups[(view.size, view in watched)].append(number)
    return list(groups.values())


def _note_attention(gathered: _Gathered, seen: Iterable[SiteAttention], views: int) -> None:
    """Average the coefficients of one batch over channels, and over the views of each video."""
    for entry in seen:
        means = gathered.attention.setdefault(entry.site.name, _SiteMeans())
        for into, values in ((means.spatial, entry.alpha_s), (means.temporal, entry.alpha_t)):
            by_view = torch.unflatten(torch.cat(values).double().mean(dim=1), 0, (-1, views))
            into.append(by_view.mean(dim=1))


def _join(everyone: list[_Gathered]) -> _Gathered:
    """What all processes have gathered, in the first, which has at least one batch."""
    first, *others = everyone
    for other in others:
        for name in ("logits", "labels", "indices", "shown"):
            getattr(first, name).extend(getattr(other, name))
        for site, means in other.attention.items():
            first.attention[site].spatial.extend(means.spatial)
            first.attention[site].temporal.extend(means.temporal)
    return first


def _conclude(
    gathered: _Gathered, views: tuple[View, ...], video_ids: list[str], sites: Mapping[str, FilledSite]
) -> Evaluation:
    indices = torch.cat(gathered.indices)
    order = indices.argsort()
    attention = [_summarize(sites[name], means, order) for name, means in gathered.attention.items()]
    scores = ViewScores(
        video_ids=np.array([video_ids[index] for index in indices[order].tolist()]),
        labels=torch.cat(gathered.labels)[order].numpy(),
        views=tuple(view.key for view in views),
        logits=torch.cat(gathered.logits)[order].numpy(),
        shown=torch.cat(gathered.shown)[order].numpy(),
    )
    return Evaluation(scores, attention)


def _summarize(site: FilledSite, means: _SiteMeans, order: torch.Tensor) -> BlockAttention:
    """Mean and spread over videos of one block's channel means (section 6.1 of the paper)."""
    # In one order, whoever had which video, so that the sums have the same last bits.
    spatial, temporal = torch.cat(means.spatial)[order], torch.cat(means.temporal)[order]
    return BlockAttention(
        site=site.name,
        index=site.index,
        stage=site.stage,
        alpha_s=float(spatial.mean()),
        alpha_t=float(temporal.mean()),
        alpha_s_std=float(spatial.std(correction=0)),
        alpha_t_std=float(temporal.std(correction=0)),
        videos=len(spatial),
    )
