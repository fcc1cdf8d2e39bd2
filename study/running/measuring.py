"""Every protocol of a trial from one pass over the videos, or from the scores of an earlier one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from study.data.dataset import Videos, ViewDataset
from study.data.loading import Loader, build_view_loader
from study.data.manifest import Manifest
from study.data.samples import ViewBatch
from study.errors import StoreError
from study.models.recognizer import Recognizer
from study.scores import ViewScores
from study.spec.record import BlockAttention, ProtocolMetrics
from study.spec.trial import Trial
from study.spec.views import View, derive_views
from study.training.evaluate import evaluate
from study.training.group import SINGLE, Group
from study.training.metrics import measure_protocol


@dataclass
class Measured:
    """What was measured on the validation split.

    Attributes:
        metrics: by name of the protocol.
        protocols: names of the views of each.
        attention: coefficients by block, under the primary protocol.
        scores: by video and view.
        killed: videos left out because decoding them hung or crashed, by id, with the reason.
    """

    metrics: dict[str, ProtocolMetrics] = field(default_factory=dict)
    protocols: dict[str, tuple[str, ...]] = field(default_factory=dict)
    attention: list[BlockAttention] = field(default_factory=list)
    scores: ViewScores | None = None
    killed: dict[str, str] = field(default_factory=dict)


def measure_protocols(
    trial: Trial,
    load_model: Callable[[], Recognizer],
    open_manifest: Callable[[], Manifest],
    *,
    stored: ViewScores | None = None,
    attention: list[BlockAttention] | None = None,
    group: Group = SINGLE,
) -> Measured:
    """Measure all protocols of ``trial``, running the network for those views only that are not stored.

    Args:
        trial: the trial.
        load_model: gives the trained network; called when there is a view to run.
        open_manifest: gives the videos; likewise.
        stored: scores of an earlier evaluation.
        attention: coefficients that were taken under the primary protocol; None when they are to be taken.
        group: the processes that share the videos. What was measured is known to the one that leads, and empty in
            the others.

    Raises:
        DataError: when a video cannot be decoded, or the stored scores are of other videos.
    """
    evaluation, clip = trial.settings.evaluation, trial.settings.clip
    by_protocol = {name: derive_views(spec, clip) for name, spec in evaluation.protocols.items()}
    primary = by_protocol[evaluation.primary]
    every = tuple(dict.fromkeys(view for views in by_protocol.values() for view in views))
    known = set(stored.views) if stored else set()
    watched = primary if attention is None else ()
    missing = tuple(view for view in every if view.key not in known or view in watched)
    measured = Measured(attention=attention or [], scores=stored)
    if missing:
        model, manifest = load_model(), open_manifest()
        loader = build_test_loader(trial, manifest, missing, group)
        fresh = evaluate(model, loader, missing, trial.settings, watched, group)
        for killed in group.gather(loader.killed):
            measured.killed |= killed
        if fresh is None:
            return Measured()
        measured.scores = _merge(stored, fresh.scores)
        if attention is None:
            measured.attention = fresh.attention
    assert measured.scores is not None
    measured.protocols = {name: tuple(view.key for view in views) for name, views in by_protocol.items()}
    measured.metrics = {
        name: measure_protocol(measured.scores, views) for name, views in measured.protocols.items()
    }
    return measured


def _merge(stored: ViewScores | None, fresh: ViewScores) -> ViewScores:
    if stored is None:
        return fresh
    try:
        return stored.merged(fresh)
    except ValueError as error:
        raise StoreError(f"the stored scores do not fit the videos of today: {error}") from None


def build_test_loader(
    trial: Trial, manifest: Manifest, views: tuple[View, ...], group: Group = SINGLE
) -> Loader[ViewBatch]:
    """The validation videos under ``views``; a batch holds about as many views as ``evaluation.batch_size``.

    Each process of a group has whole batches, every one in turn: a clip's scores may differ in the last bits with what
    it shares its batch with.
    """
    settings = trial.settings
    dataset = ViewDataset(Videos(manifest, manifest.val, settings.clip), views)
    batch = max(1, settings.evaluation.batch_size // len(views))
    resources = settings.resources.of_one_process()
    return build_view_loader(
        dataset,
        batch,
        workers=resources.loader_workers,
        limit_s=resources.decode_limit_s,
        first=group.rank,
        step=group.size,
    )
