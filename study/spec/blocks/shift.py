"""Options of the blocks that move channels to neighboring frames or pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import model_validator

from study.spec.base import Proportion, Spec
from study.spec.blocks.base import BlockSpec, SiteKind

EIGHTH, SIXTEENTH = Fraction(1, 8), Fraction(1, 16)


class AxisShift(Spec):
    """Channels that move by one place along one axis; what enters at the border is zero."""

    axis: Literal["T", "H", "W"]
    """Time, rows or columns."""
    step: Literal[1, -1]
    """1: place i takes the value of place i - 1. -1: it takes that of place i + 1."""
    fraction: Proportion
    """Fraction of the channels; it must be a whole number of them."""


class TemporalShift(BlockSpec):
    """Base of both forms of TSM."""

    from_next: Proportion = EIGHTH
    """Fraction of the channels, the first ones, that take their value from the next frame."""
    from_previous: Proportion = EIGHTH
    """Fraction of the channels, those that follow, that take their value from the previous frame. With both
    fractions 0 the block is the plain 2D network."""

    @model_validator(mode="after")
    def _check(self) -> TemporalShift:
        _check_fractions(self.list_shifts())
        return self

    def list_shifts(self) -> tuple[AxisShift, ...]:
        """What moves where, from the first channel on."""
        shifts = (
            AxisShift(axis="T", step=-1, fraction=self.from_next),
            AxisShift(axis="T", step=1, fraction=self.from_previous),
        )
        return tuple(shift for shift in shifts if shift.fraction)


class TSMBlock(TemporalShift):
    """Residual temporal shift: on the input of the residual branch, the shortcut untouched.

    Lin et al., "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 4. In a
    ResNet-101 the authors' code shifts in every second block (``placement: {every: 2}``).
    """

    factory: ClassVar[str] = "study.models.blocks.shift:build_shift"
    site: ClassVar[SiteKind | None] = "residual_input"

    type: Literal["tsm"]


class TSMInPlaceBlock(TemporalShift):
    """In-place temporal shift (TSM, section 4): before the split, so that the shortcut is shifted too."""

    factory: ClassVar[str] = "study.models.blocks.shift:build_shift"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["tsm_in_place"]


class STSMBlock(BlockSpec):
    """Spatio-temporal shift on the input of the residual branch: a reading of an abstract.

    Yang, An and Zhang, "STSM: Spatio-Temporal Shift Module for Efficient Action Recognition", Mathematics
    10(18):3290, 2022. We have its abstracts only. They say that features move along time and space at no cost;
    which fraction moves along which axis, and whether channels move along several, is not verified.
    """

    factory: ClassVar[str] = "study.models.blocks.shift:build_shift"
    site: ClassVar[SiteKind | None] = "residual_input"

    type: Literal["stsm"]
    shifts: Literal["T", "TH", "TW", "HW", "THW"] | tuple[AxisShift, ...] = "THW"
    """What moves where, from the first channel on, or the axes of a preset: both directions along each, 1/8
    of the channels a direction in time (TSM's) and 1/16 a direction in space (our choice). ``HW`` ignores the
    order of frames; an empty list is the plain 2D network."""

    @model_validator(mode="after")
    def _check(self) -> STSMBlock:
        _check_fractions(self.list_shifts())
        return self

    def list_shifts(self) -> tuple[AxisShift, ...]:
        """What moves where, from the first channel on."""
        if not isinstance(self.shifts, str):
            return self.shifts
        fractions: dict[Literal["T", "H", "W"], Fraction] = {"T": EIGHTH, "H": SIXTEENTH, "W": SIXTEENTH}
        steps: tuple[Literal[-1, 1], ...] = (-1, 1)
        return tuple(
            AxisShift(axis=axis, step=step, fraction=fraction)
            for axis, fraction in fractions.items()
            if axis in self.shifts
            for step in steps
        )


class GSFBlock(BlockSpec):
    """Gate-shift-fuse on the last convolution of the residual branch, before its BatchNorm.

    Sudhakaran, Escalera and Lanz, "Gate-Shift-Fuse for Video Action Recognition", TPAMI 2023.
    """

    factory: ClassVar[str] = "study.models.blocks.gsf:build_gsf"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["gsf"]
    fraction: Proportion = Fraction(1, 4)
    """Fraction of the channels, the first ones, that are gated; it must be a multiple of 4 channels. The
    default is the one of the authors' ResNets."""

    @model_validator(mode="after")
    def _check(self) -> GSFBlock:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie above 0 and not above 1, got {self.fraction}")
        return self


def _check_fractions(shifts: tuple[AxisShift, ...]) -> None:
    """Fractions are positive and leave no channel to move twice."""
    for shift in shifts:
        if shift.fraction <= 0:
            raise ValueError(f"a fraction of channels to shift must be positive, got {shift.fraction}")
    total = sum((shift.fraction for shift in shifts), Fraction(0))
    if total > 1:
        raise ValueError(f"fractions of channels to shift must not exceed 1 in sum, got {total}")
