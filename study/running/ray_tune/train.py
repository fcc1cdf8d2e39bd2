"""Trials of several processes, started by Ray Train from within a trial of Ray Tune.

Ray Train places its workers, one bundle each, and ends them all when one fails or dies. The trial of Tune that waits
for them occupies next to nothing itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.running.attempts import Claim, LostProcessError, Superseded, Tick
from study.running.demand import bundle_of
from study.running.executor import Place
from study.running.ranks import run_rank, settle
from study.spec.record import TrialRecord, load_record
from study.spec.training import ResourcesSpec
from study.spec.trial import Trial

SUPERSEDED = "superseded"
HEAD_BUNDLE = {"CPU": 0.0, "memory": float(2**20)}
"""What the trial of Tune occupies: not nothing, which Tune refuses, and no CPU, which its workers need."""


def bundle_of_trial(resources: ResourcesSpec) -> dict[str, float]:
    """What a trial of Tune occupies; that of several processes leaves the resources to its workers."""
    return bundle_of(resources) if resources.processes == 1 else HEAD_BUNDLE


@dataclass(frozen=True)
class TrainLauncher:
    """Runs a trial in the workers of Ray Train; a :data:`study.running.attempts.Launch`.

    Attributes:
        shared: a folder that all nodes see, for what the workers leave for this process; None on one machine.
    """

    shared: Path | None

    def __call__(self, trial: Trial, place: Place, tick: Tick, claim: Claim) -> TrialRecord:
        """Run ``trial``. Epochs are reported to Tune directly, not through ``tick``.

        Raises:
            LostProcessError: when a worker died.
            Superseded: when a newer attempt has begun.
        """
        import ray.train
        from ray.train.torch import TorchTrainer
        from ray.tune.integration.ray_train import TuneReportCallback

        resources = trial.settings.resources
        bundle = {name: amount for name, amount in bundle_of(resources).items() if amount > 0}
        with tempfile.TemporaryDirectory(prefix="train-", dir=self.shared) as folder:
            trainer = TorchTrainer(
                _make_worker(trial.to_json(), place, claim, Path(folder)),
                scaling_config=ray.train.ScalingConfig(
                    num_workers=resources.processes,
                    use_gpu=bundle.get("GPU", 0) > 0,
                    resources_per_worker=bundle,
                ),
                torch_config=_configure_torch(
                    gpus=bundle.get("GPU", 0), meeting_file=None if self.shared else f"{folder}/meeting"
                ),
                run_config=ray.train.RunConfig(
                    name="train",
                    storage_path=folder,
                    callbacks=[TuneReportCallback()],  # type: ignore[no-untyped-call, list-item]
                    # Tune begins the trial again; here an error ends all workers.
                    failure_config=ray.train.FailureConfig(max_failures=0),
                ),
            )
            try:
                trainer.fit()
            except ray.train.TrainingFailedError as error:
                if (Path(folder) / SUPERSEDED).exists():
                    raise Superseded from None
                failed = _read_failures(Path(folder))
                if not failed:
                    raise LostProcessError(f"a process of the trial died: {_last_line(error)}") from None
                return settle(place, claim, failed)
        return load_record(place.folder / "record.json")


def _make_worker(content: dict[str, Any], place: Place, claim: Claim, folder: Path) -> Callable[[], None]:
    """What each worker runs: in the directory of the one that started it, like a trial of one process."""
    directory = os.getcwd()

    def worker() -> None:
        import ray.train
        from ray.train.torch import get_device

        from study.training.group import Group

        context = ray.train.get_context()
        group = Group(context.get_world_rank(), context.get_world_size(), get_device())
        with chdir(directory) if os.path.isdir(directory) else nullcontext():
            try:
                record = run_rank(
                    Trial.from_json(content),
                    place,
                    lambda epoch: ray.train.report({"epoch": epoch}),
                    claim,
                    group,
                )
            except Superseded:
                (folder / SUPERSEDED).touch()
                raise RuntimeError(SUPERSEDED) from None
        if record.status != "completed":
            (folder / f"failed-{group.rank}.json").write_text(record.model_dump_json())
            raise RuntimeError(record.failure and record.failure.message)

    return worker


def _read_failures(folder: Path) -> dict[int, TrialRecord]:
    """Records that workers left, by rank, the first to fail first."""
    records = {int(path.stem.split("-")[1]): load_record(path) for path in folder.glob("failed-*.json")}
    return dict(sorted(records.items(), key=lambda item: item[1].ended_at))


def _configure_torch(*, gpus: float, meeting_file: str | None) -> Any:
    """How the workers meet: at a file on one machine, else as Ray Train has it, at a server in the first of them."""
    from ray.train.torch import TorchConfig

    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    if meeting_file is None:
        from study.training.group import TIMEOUT_SECONDS

        return TorchConfig(backend=backend, timeout_s=int(TIMEOUT_SECONDS))

    base: Any = TorchConfig().backend_cls

    class Backend(base):  # type: ignore[misc]
        """Ray's own would listen on all interfaces."""

        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            import ray

            size = len(worker_group)
            ray.get([worker_group.execute_single_async(r, _meet, r, size, meeting_file) for r in range(size)])

    class Config(TorchConfig):
        @property
        def backend_cls(self) -> type[Any]:
            return Backend

    return Config(backend=backend)


def _meet(rank: int, size: int, meeting_file: str) -> None:
    from ray.train.torch import get_device

    from study.training.group import open_group

    open_group(rank, size, meeting_file, get_device())


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
