"""``plan --gpus``: what the rest of a study costs on so many devices, in time and on disks, and what holds it up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from study.commands.costs import CostBook
from study.commands.step_times import ASSUMED, Band, DeviceTime, StepTimes, load_step_times
from study.data.catalog import FileSource, open_dataset
from study.errors import SpecError
from study.running.plan import Plan, PlannedTrial, make_plan
from study.running.scaling import Footprint, Schedule, Work, derive_footprint, derive_work, simulate
from study.running.store import Store
from study.spec.resolved import Study
from study.spec.runtime import digest_settings
from study.spec.trial import TrialSettings

SCENARIOS = ("low", "middle", "high")
START_SECONDS = 30.0
"""Of a trial before its first step: process, imports, lists, network, weights. Assumed; 5 to 15 s are imports."""
DRIVER_SECONDS = 5.0
"""Of the driver for a trial, one after the other. An upper limit: a trial that does nothing takes less as a whole."""
ROW_SECONDS = 0.15 / 1000
"""Of MLflow for a row, written a thousand at a time (measured with MLflow 3.17 and SQLite, one process)."""
NODE_GPUS, NODE_BYTES_PER_SECOND = 8, 1e9
"""GPUs of a machine, and what its own disk, to which videos were copied, reads. Assumed."""
IMAGE_SECONDS, WANTED_SECONDS, FRAME_SECONDS = 0.64e-3, 3.4e-3, 0.45e-3
"""Of a core, for 256 x 340 pixels: a JPEG; each of a few frames that are wanted of an H.264 video; a frame where all
of it is decoded. Measured on one core: ``python -m benchmarks.input_pipeline --images``."""
IMAGE_BYTES = 5e3
"""Of a JPEG among frames or flow. Assumed."""


@dataclass(frozen=True)
class VideoFile:
    """A video of a data set that is kept as files: its frames and bytes."""

    frames: float
    bytes: float


VIDEO_FILES = {
    "something_v2": VideoFile(45, 88e3),
    "kinetics400": VideoFile(300, 450e3),
    "ucf101": VideoFile(186, 490e3),
    "hmdb51": VideoFile(93, 300e3),
}
"""Averages, rounded: sizes of the distributions over their numbers of videos; Kinetics as 256 x 340 pixels. Not
measured here. The other data sets of the paper come as images."""
RECORD_BYTES = 20e3
"""Of what a trial leaves besides weights and scores; a laptop trial of 8 epochs with attention leaves 12.7 kB."""
RUN_ROWS = 110
"""Parameters, tags and metrics of a run that do not come epoch by epoch; a laptop trial with attention has 109."""
HOUR, GB = 3600.0, 1e9
SHARED = ("reading videos", "the driver", "MLflow")
"""What trials wait for together, whatever devices they have."""


@dataclass(frozen=True)
class Estimate:
    """What one trial takes.

    Attributes:
        device: seconds of its device.
        decode_core_seconds: of all its CPUs together.
        cpus: that it has to decode with.
        read_bytes: that it reads of videos.
        work, footprint: see :mod:`study.running.scaling`.
    """

    planned: PlannedTrial
    device: DeviceTime
    decode_core_seconds: float
    cpus: float
    read_bytes: float
    work: Work
    footprint: Footprint

    def seconds(self, scenario: str) -> float:
        """From its start to its end: the device waits for the decoders, or they for it."""
        busy: float = getattr(self.device.seconds, scenario)
        return START_SECONDS + max(busy, self.decode_core_seconds / self.cpus)


def show_scaling(
    study: Study,
    storage: Path,
    gpus: Sequence[int],
    step_times: Sequence[Path],
    *,
    assumed: Band = ASSUMED,
    as_json: bool,
) -> None:
    """Print what the rest of ``study`` takes on each number of ``gpus``."""
    store = Store.at(storage)
    plan = make_plan(study, store)
    estimates, times = estimate_trials(plan, store, step_times, assumed)
    if not estimates:
        print("Nothing is left to run.")
        return
    runs = [describe_run(plan, estimates, count, scenario) for scenario in SCENARIOS for count in gpus]
    if as_json:
        content = {
            "trials": len(estimates),
            "storage": sum_storage(estimates),
            "runs": [asdict(r) for r in runs],
        }
        print(json.dumps(content))
    else:
        print(render(plan, estimates, times, runs))


def parse_counts(text: str) -> list[int]:
    """Numbers of GPUs: "1,8,64".

    Raises:
        SpecError: when one is none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise SpecError(f"--gpus {text}: allowed: whole numbers of 1 and more, as 1,8,64")
    return [int(part) for part in parts]


def estimate_trials(
    plan: Plan, store: Store, step_times: Sequence[Path], assumed: Band
) -> tuple[list[Estimate], StepTimes]:
    """What each trial that is left takes, and by which times.

    Raises:
        SpecError: when a trial does not want one GPU, or nobody knows how large its data set is.
    """
    todo, book = plan.runnable(), CostBook(store)
    costs = {planned.trial_id: book.find(planned.trial.settings, count=True) for planned in todo}
    gmacs, params = {}, {}
    for planned in todo:
        settings, cost = planned.trial.settings, costs[planned.trial_id]
        if settings.resources.gpus != 1:
            raise SpecError(
                f"resources.gpus: {settings.resources.gpus:g} of {planned.uses[0].arm}; allowed with --gpus: 1 a trial"
            )
        if cost is None:
            raise SpecError(f"{planned.uses[0].arm}: its cost cannot be counted, as its data are not at hand")
        gmacs[digest_settings(settings.model, settings.clip)] = cost.gmacs_per_view
        params[planned.trial_id] = cost.params_m
    times = StepTimes(load_step_times(step_times), gmacs, assumed)
    return [_estimate(planned, store, times, params[planned.trial_id]) for planned in todo], times


def _estimate(planned: PlannedTrial, store: Store, times: StepTimes, params_m: float) -> Estimate:
    settings = planned.trial.settings
    videos, classes = count_videos(settings, store.data)
    work = derive_work(settings, videos["train"], videos["val"])
    file = VIDEO_FILES.get(settings.data.type) if settings.clip.modality.type == "rgb" else None
    return Estimate(
        planned,
        times.of_trial(settings, work),
        decode_seconds(work, file),
        settings.resources.cpus,
        work.opened * file.bytes if file else work.images * IMAGE_BYTES,
        work,
        derive_footprint(settings, params_m, videos["val"], classes, RUN_ROWS),
    )


def decode_seconds(work: Work, file: VideoFile | None) -> float:
    """Seconds of one core for all images of a trial: of a ``file`` at most what decoding the whole of it takes."""
    if file is None:
        return work.images * IMAGE_SECONDS
    whole = file.frames * FRAME_SECONDS
    return sum(times * min(wanted * WANTED_SECONDS, whole) for wanted, times in work.readings.items())


def count_videos(settings: TrialSettings, data_dir: Path) -> tuple[Mapping[str, int], int]:
    """Videos by split and classes: as the makers of the data set say, or as its specification does.

    Raises:
        SpecError: when neither does.
    """
    data = settings.data
    source = open_dataset(data, data_dir)
    sizes = source.official_sizes(getattr(data, "fold", 1)) if isinstance(source, FileSource) else {}
    stated = {split: getattr(data, f"{split}_videos", None) for split in ("train", "val")}
    found = {split: sizes.get(split) or stated[split] for split in stated}
    counted = {split: count for split, count in found.items() if isinstance(count, int)}
    if len(counted) < len(found):
        raise SpecError(
            f"data.type: nobody has said how many videos '{data.type}' has; allowed: official sets, synthetic"
        )
    return counted, source.num_classes


@dataclass(frozen=True)
class Run:
    """A study on so many devices in one scenario; hours.

    Attributes:
        scenario: which end of the times.
        gpus: devices.
        device_hours: that they are occupied.
        hours: from beginning to end, launched at once.
        hours_by_repeat: the same repeat by repeat, as with ``--budget``.
        hours_longest_first: launched at once, if longer trials came before shorter ones. No launch does that.
        utilization: fraction of the time that devices are occupied.
        bounds: hours if only this counted.
    """

    scenario: str
    gpus: int
    device_hours: float
    hours: float
    hours_by_repeat: float
    hours_longest_first: float
    utilization: float
    bounds: Mapping[str, float]

    @property
    def bottleneck(self) -> str:
        """What alone would take longest."""
        return max(self.bounds, key=lambda name: self.bounds[name])


def describe_run(plan: Plan, estimates: Sequence[Estimate], gpus: int, scenario: str) -> Run:
    """Lay ``estimates`` out on ``gpus`` devices."""
    todo = [one.planned for one in estimates]
    at_once = lay_out(plan.waves(todo), estimates, gpus, scenario)
    waves = [wave for block in plan.blocks(todo) for wave in plan.waves(block)]
    by_repeat = lay_out(waves, estimates, gpus, scenario)
    took = {one.planned.trial_id: one.seconds(scenario) for one in estimates}
    falling = [sorted(wave, key=lambda planned: -took[planned.trial_id]) for wave in plan.waves(todo)]
    longest_first = lay_out(falling, estimates, gpus, scenario)
    nodes = -(-gpus // NODE_GPUS)
    device = sum(getattr(one.device.seconds, scenario) for one in estimates)
    bounds = {
        "arithmetic of the devices": device / gpus,
        "decoding by their CPUs": sum(one.decode_core_seconds / one.cpus for one in estimates) / gpus,
        "the longest chain of trials": at_once.longest,
        "reading videos": sum(one.read_bytes for one in estimates) / (NODE_BYTES_PER_SECOND * nodes),
        "the driver": DRIVER_SECONDS * len(estimates),
        "MLflow": ROW_SECONDS * sum(one.footprint.rows for one in estimates),
    }
    # What all trials share is not part of the schedule; where it takes longer, that is how long it all takes.
    shared = max(bounds[name] for name in SHARED)
    return Run(
        scenario,
        gpus,
        at_once.busy / HOUR,
        max(at_once.seconds, shared) / HOUR,
        max(by_repeat.seconds, shared) / HOUR,
        max(longest_first.seconds, shared) / HOUR,
        at_once.utilization,
        {name: seconds / HOUR for name, seconds in bounds.items()},
    )


def lay_out(
    groups: Sequence[Sequence[PlannedTrial]], estimates: Sequence[Estimate], gpus: int, scenario: str
) -> Schedule:
    """The schedule of ``groups``, one after the other."""
    seconds = {one.planned.trial_id: one.seconds(scenario) for one in estimates}
    parents = {
        one.planned.trial_id: one.planned.parent.trial_id
        for one in estimates
        if one.planned.parent and one.planned.parent.trial_id in seconds
    }
    return simulate([[planned.trial_id for planned in group] for group in groups], seconds, gpus, parents)


def sum_storage(estimates: Sequence[Estimate]) -> dict[str, float]:
    """What is left behind and what is read, in bytes, rows and clips."""
    return {
        "final weights, GB": sum(one.footprint.checkpoint for one in estimates) / GB,
        "largest checkpoint amid training, with the one before it, GB": max(
            one.footprint.peak_checkpoint for one in estimates
        )
        / GB,
        "scores by video and view, GB": sum(one.footprint.scores for one in estimates) / GB,
        "records, metrics, attempts, GB": len(estimates) * RECORD_BYTES / GB,
        "rows of MLflow, thousands": sum(one.footprint.rows for one in estimates) / 1e3,
        "videos opened, millions": sum(one.work.opened for one in estimates) / 1e6,
        "images decoded, millions": sum(one.work.images for one in estimates) / 1e6,
        "videos read, TB": sum(one.read_bytes for one in estimates) / 1e12,
    }


def render(plan: Plan, estimates: Sequence[Estimate], times: StepTimes, runs: Sequence[Run]) -> str:
    """Tables of cost and time, storage, and what holds the study up."""
    sources = [one.device.source for one in estimates]
    told = ", ".join(f"{sources.count(name)} {name}" for name in dict.fromkeys(sources))
    rates = "; ".join(
        f"{mode}: {band.low / 1e3:.3g}, {band.middle / 1e3:.3g}, {band.high / 1e3:.3g} TMAC/s"
        for mode, band in times.rates.items()
    )
    head = (
        f"{len(estimates)} trials, one device each. Device times: {told}"
        + (f' ({times.device}, which is what "GPUs" are below)' if times.device else "")
        + f".\nRates of what is not measured, slowest to fastest: {rates}.\n"
        "Device times are low, middle or high; all else is the same in the three.\n"
    )
    costs = [
        [
            r.scenario,
            r.gpus,
            f"{r.device_hours:,.0f}",
            f"{r.hours / 24:,.1f}",
            f"{r.hours_by_repeat / 24:,.1f}",
            f"{r.hours_longest_first / 24:,.1f}",
            f"{100 * r.utilization:.0f}",
            r.bottleneck,
        ]
        for r in runs
    ]
    headers = [
        "times",
        "GPUs",
        "GPU-hours",
        "days",
        "repeat by repeat",
        "longest first",
        "% occupied",
        "bottleneck",
    ]
    names = list(runs[0].bounds)
    bounds = [[r.scenario, r.gpus, *(f"{r.bounds[name]:,.3g}" for name in names)] for r in runs]
    stored = [[name, f"{value:,.3g}"] for name, value in sum_storage(estimates).items()]
    longest = max(estimates, key=lambda one: one.seconds("middle"))
    use = longest.planned.uses[0]
    return "\n".join(
        [
            head,
            tabulate(costs, headers=headers, disable_numparse=True),
            f"\nLongest trial: {use.experiment} / {use.arm}, {longest.seconds('middle') / HOUR:,.1f} h (middle).",
            "\nHours, if only this counted:",
            tabulate(bounds, headers=["times", "GPUs", *names], disable_numparse=True),
            "\nLeft behind and read:",
            tabulate(stored, disable_numparse=True),
        ]
    )
