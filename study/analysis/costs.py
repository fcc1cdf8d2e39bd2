"""Published cost against counted cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from study.analysis.published import RowSpec
from study.spec.trial import TrialSettings

PARAMS_TOLERANCE_M = 0.05
"""Half a unit of the last printed digit, millions."""
GMACS_TOLERANCE = 0.01
"""Relative. The paper names no counting tool; BatchNorm, ReLU and pooling, which we leave out, are 0.9 %."""

VerdictKind = Literal["agrees", "explained", "disagrees", "other scale", "not counted"]


@dataclass(frozen=True)
class CountedCost:
    """Cost of one view at the paper's scale: parameters in millions, multiply-accumulates in billions."""

    params_m: float
    gmacs_per_view: float


@dataclass(frozen=True)
class Verdict:
    """Whether a published cost is ours. ``reason`` says why not, or what was compared."""

    kind: VerdictKind
    reason: str


def judge_cost(row: RowSpec, counted: CountedCost | None) -> Verdict:
    """Compare the cost that the paper prints in ``row`` with what was counted at the same scale.

    Returns:
        ``agrees`` when parameters round to the print and multiply-accumulates lie within 1 % of it;
        ``explained`` when every cell that does not is known to be doubtful; else ``disagrees``.
    """
    if counted is None:
        return Verdict("not counted", "not counted at the paper's scale")
    off: dict[str, str] = {}
    published = {name: row.values.get(name) for name in ("params_m", "gflops")}
    params, gmacs = published["params_m"], published["gflops"]
    if isinstance(params, int | float) and abs(params - counted.params_m) > PARAMS_TOLERANCE_M + 1e-9:
        off["params_m"] = f"{params} M printed, {counted.params_m:.2f} M counted"
    if isinstance(gmacs, int | float) and abs(gmacs - counted.gmacs_per_view) > GMACS_TOLERANCE * gmacs:
        off["gflops"] = f"{gmacs} GMACs printed, {counted.gmacs_per_view:.2f} counted"
    if not off:
        return Verdict("agrees", "parameters to the printed digit, multiply-accumulates within 1 %")
    unexplained = [text for name, text in off.items() if name not in row.doubts]
    if unexplained:
        return Verdict("disagrees", "; ".join(unexplained))
    return Verdict("explained", " ".join(row.doubts[name] for name in off))


def is_paper_scale(settings: TrialSettings) -> bool:
    """Whether the cost of a trial with these settings may be held against the paper's: ResNet-50, 8 frames of
    224 x 224 pixels, the 174 classes of Something-Something.
    """
    classes = getattr(settings.data, "num_classes", None)
    return (settings.model.backbone, settings.clip.frames, settings.clip.size, classes) == (
        "resnet50",
        8,
        224,
        174,
    )
