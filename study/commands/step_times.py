"""Seconds that a network takes for a clip at scale: measured where it was, else from its multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from study.errors import SpecError, StoreError
from study.running.forecast import TRAINING
from study.running.scaling import Work
from study.spec.runtime import Mode, Quartiles, RuntimeRecord, digest_settings, load_runtime, load_runtimes
from study.spec.trial import TrialSettings

Source = Literal["measured", "extrapolated", "assumed"]


@dataclass(frozen=True)
class Band:
    """A number that is not known exactly: what speaks for the least, the middle and the most."""

    low: float
    middle: float
    high: float

    def __add__(self, other: Band) -> Band:
        return Band(self.low + other.low, self.middle + other.middle, self.high + other.high)

    def times(self, factor: float) -> Band:
        """Each of the three times ``factor``, not negative."""
        return Band(self.low * factor, self.middle * factor, self.high * factor)

    def seconds_for(self, gmacs: float) -> Band:
        """Seconds for so much work at this rate: the least at the highest."""
        return Band(gmacs / self.high, gmacs / self.middle, gmacs / self.low)


ASSUMED = Band(10e3, 30e3, 90e3)
"""Billions of multiply-accumulates a second that a data center's GPU sustains in bf16 on such networks. An assumption:
no GPU was measured. For comparison: the 80.4 videos/s that the paper prints for TSM on a GTX 1080 Ti are 2.7e3."""


def parse_band(text: str) -> Band:
    """Billions of multiply-accumulates a second from thousands of them: "10,30,90".

    Raises:
        SpecError: unless these are three positive numbers, the lowest first.
    """
    try:
        low, middle, high = (1e3 * float(part) for part in text.split(","))
    except ValueError:
        low = middle = high = 0.0
    if not 0 < low <= middle <= high < float("inf"):
        raise SpecError(f"--assume {text}: allowed: three positive numbers, the lowest first, as 10,30,90")
    return Band(low, middle, high)


@dataclass(frozen=True)
class DeviceTime:
    """Seconds of a device for a whole trial, and where they come from."""

    seconds: Band
    source: Source


class StepTimes:
    """Device time of trials.

    A network that was timed in training and inference is ``measured``: from the quartiles of its times. Others are
    ``extrapolated`` at the rates of those that were, from the slowest to the fastest of them, and ``assumed`` at
    ``assumed`` where none was.

    Args:
        records: measurements of ``bench`` on one device.
        gmacs: of one view, billions, by digest of network and clip: of all networks that were asked for.
        assumed: billions of multiply-accumulates a second.

    Raises:
        SpecError: when the measurements are of several devices, or of none of the networks.
    """

    def __init__(
        self, records: Sequence[RuntimeRecord], gmacs: Mapping[str, float], assumed: Band = ASSUMED
    ) -> None:
        devices = sorted({record.environment.device for record in records})
        if len(devices) > 1:
            raise SpecError(
                f"--step-times: times of {len(devices)} devices ({', '.join(devices)}); allowed: 1"
            )
        self.device = devices[0] if devices else ""
        self._gmacs = gmacs
        self._clip: dict[tuple[str, Mode], Quartiles] = {}
        for record in records:  # the oldest first: the newest stays
            for arm in record.arms:
                if arm.measured and arm.settings in gmacs:
                    each = [one / record.conditions.batch for one in arm.seconds]
                    self._clip[arm.settings, record.conditions.mode] = Quartiles.of(each)
        if records and not self._clip:
            raise SpecError("--step-times: none of the measured networks is one of this study's, at its clip")
        self._rates = self._find_rates(assumed)

    def _find_rates(self, assumed: Band) -> dict[Mode, Band]:
        """Billions of multiply-accumulates a second, by mode."""
        found: dict[Mode, list[float]] = {}
        for (digest, mode), clip in self._clip.items():
            factor = TRAINING if mode == "training" else 1
            found.setdefault(mode, []).append(factor * self._gmacs[digest] / clip.median)
        known = {mode: Band(min(rates), median(rates), max(rates)) for mode, rates in found.items()}
        # A mode that was not timed is taken to be as good at arithmetic as the other.
        other = next(iter(known.values()), assumed)
        return {mode: known.get(mode, other) for mode in ("inference", "training")}

    @property
    def rates(self) -> Mapping[Mode, Band]:
        """Billions of multiply-accumulates a second that networks without times are taken to reach."""
        return self._rates

    def of_trial(self, settings: TrialSettings, work: Work) -> DeviceTime:
        """Device time of a trial. Its network has to be one of ``gmacs``."""
        clip = settings.clip
        digest = digest_settings(settings.model, clip)
        training, evaluation = work.count_gmacs(self._gmacs[digest], clip.size)
        timed = {mode: self._clip.get((digest, mode)) for mode in ("training", "inference")}
        step, view = timed["training"], timed["inference"]
        spent = [
            _band(step).times(work.training_clips) if step else self._rates["training"].seconds_for(training),
            # Views of another size take longer as their area does.
            _band(view).times(evaluation / self._gmacs[digest])
            if view
            else self._rates["inference"].seconds_for(evaluation),
        ]
        source: Source = "assumed"
        if self._clip:
            source = "measured" if step and view else "extrapolated"
        return DeviceTime(spent[0] + spent[1], source)


def _band(clip: Quartiles) -> Band:
    return Band(clip.q1, clip.median, clip.q3)


def load_step_times(paths: Sequence[Path]) -> list[RuntimeRecord]:
    """The measurements in ``paths``: files of ``bench``, or folders of them such as ``runs/runtime``.

    Raises:
        StoreError: when a file is none, or a folder has none.
    """
    found: list[RuntimeRecord] = []
    for path in paths:
        records = load_runtimes(path) if path.is_dir() else [load_runtime(path)]
        if not records:
            raise StoreError(f"{path}: holds no measurement; run_study.py bench --mode both makes some")
        found += records
    return sorted(found, key=lambda record: record.started_at)
