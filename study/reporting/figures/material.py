"""What figures are drawn from, beyond the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from study.analysis.classes import ClassComparison
from study.analysis.factors import Factor

FigureKey = tuple[str, str]
"""An experiment and one of its figures, by name."""


def _empty_attention() -> pd.DataFrame:
    return pd.DataFrame(columns=["trial_id", "index", "site", "stage", "alpha_s", "alpha_t"])


def _empty_curves() -> pd.DataFrame:
    return pd.DataFrame(columns=["trial_id", "metric", "step", "value"])


@dataclass(frozen=True)
class Sheet:
    """A contact sheet that is ready to be shown.

    Attributes:
        png: the picture, content of a PNG file.
        frame: what it shows, one row a video: ``class``, ``label``, ``videos`` of the class, ``top1_percent`` and
            ``top1_std`` over repeats, ``repeats``, ``video``.
        classes: how many classes the data set has.
    """

    png: bytes
    frame: pd.DataFrame
    classes: int


@dataclass(frozen=True)
class FigureMaterial:
    """Everything that figures need and tables do not hold.

    Attributes:
        attention: :func:`study.tracking.read.load_attention`.
        curves: :func:`study.tracking.read.load_curves` of the trials that some figure shows.
        classes: of each figure of the kind ``class_difference`` the comparison, or why there is none.
        confounders: what else the trials of those two arms differ in than the arms declare.
        sheets: of each figure of the kind ``contact_sheet`` the picture, or why there is none.
    """

    attention: pd.DataFrame = field(default_factory=_empty_attention)
    curves: pd.DataFrame = field(default_factory=_empty_curves)
    classes: Mapping[FigureKey, ClassComparison | str] = field(default_factory=dict)
    confounders: Mapping[FigureKey, tuple[Factor, ...]] = field(default_factory=dict)
    sheets: Mapping[FigureKey, Sheet | str] = field(default_factory=dict)
