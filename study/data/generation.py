"""Data sets whose videos are generated: what their families share, and how their files are made."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
from filelock import FileLock

from study.data.catalog import Progress, VideoSource
from study.data.making import Counter, make_in_processes
from study.data.manifest import Manifest, VideoEntry
from study.data.scenery import draw_camera, draw_distractor, draw_texture
from study.data.synthetic import VERSION, Frames, Scene, Sprite, encode_video
from study.errors import DataError
from study.seeding import derive_seed
from study.spec.datasets import SyntheticDataset
from study.spec.record import write_atomically
from study.spec.trial import derive_digest, identity_dump

SpecT = TypeVar("SpecT", bound=SyntheticDataset)

SPLITS = ("train", "val")
TEXTURES = {"train": 64, "val": 32}
"""Textures of each split. None of a split occurs in the other."""
VIDEOS_WORTH_A_PROCESS = 50
"""Fewer videos are made faster than a process starts."""
DONE = "complete"
"""Name of the file that says that all videos of a folder are there."""


@dataclass(frozen=True)
class VideoPlan:
    """One video to be made."""

    split: str
    index: int
    label: int

    @property
    def video_id(self) -> str:
        """Unique name, and the path below the root without extension."""
        return f"{self.split}/{self.index:05d}"


class GeneratedDataset(VideoSource, Generic[SpecT]):
    """A data set made from its specification.

    Args:
        spec: the options.
        cache_dir: folder for generated videos; this data set takes a folder in it that is named after
            everything its files depend on.
    """

    family: ClassVar[str]
    """Name of the family; folders and seeds are derived from it."""

    def __init__(self, spec: SpecT, cache_dir: Path) -> None:
        self.spec = spec
        self._content = derive_digest({"spec": identity_dump(spec), "version": VERSION})
        self.root = cache_dir / f"{self.family}-{self._content[:16]}"

    @property
    def _seed(self) -> tuple[int, ...]:
        """What seeds the videos; the first fold is seeded as if there were no others."""
        return (self.spec.seed,) if self.spec.fold == 1 else (self.spec.seed, self.spec.fold)

    @property
    @abstractmethod
    def flip_map(self) -> dict[int, int]:
        """Labels that a horizontal flip changes."""

    @abstractmethod
    def render(self, plan: VideoPlan) -> Frames:
        """The frames (T, H, W, 3) of one video; they depend on the specification and the plan alone."""

    def plan_videos(self, split: str) -> Iterator[VideoPlan]:
        """The videos of ``split``, classes in turn."""
        count = {"train": self.spec.train_videos, "val": self.spec.val_videos}[split]
        return (VideoPlan(split, index, index % len(self.classes)) for index in range(count))

    def rng(self, plan: VideoPlan, purpose: str) -> np.random.Generator:
        """The random numbers of one video for one purpose. They do not depend on the label."""
        return np.random.default_rng(derive_seed(self.family, *self._seed, plan.split, plan.index, purpose))

    def build_scene(self, plan: VideoPlan, actor: Sprite) -> Scene:
        """The scene around ``actor``: a texture of the split, distractors and a camera."""
        spec, rng = self.spec, self.rng(plan, "scene")
        margin = math.ceil(3 * spec.jitter * spec.size)
        number = int(rng.integers(TEXTURES[plan.split]))
        texture_rng = np.random.default_rng(
            derive_seed(self.family, *self._seed, plan.split, "texture", number)
        )
        texture = draw_texture(texture_rng, spec.size + 2 * margin + 1)
        camera = draw_camera(rng, spec.frames, spec.jitter * spec.size)
        distractors = [draw_distractor(rng, spec.frames) for _ in range(spec.distractors)]
        return Scene(spec.size, texture, (*distractors, actor), camera, spec.noise)

    def manifest(self) -> Manifest:
        train, val = (
            tuple(
                VideoEntry(plan.video_id, f"{plan.video_id}.mp4", plan.label)
                for plan in self.plan_videos(split)
            )
            for split in SPLITS
        )
        return Manifest(self.root, self.classes, self.flip_map, train, val, content=self._content)

    def prepare(self, progress: Progress | None = None) -> None:
        """Make the videos that are missing, in as many processes as there are cores.

        A file appears under its name when it is complete, so an interrupted run goes on where it stopped. A
        lock keeps a second process from doing the same work; it waits and finds everything made.

        Raises:
            DataError: when the folder cannot be written.
        """
        if (self.root / DONE).exists():
            return
        try:
            for split in SPLITS:
                (self.root / split).mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.root}.lock"):
                if (self.root / DONE).exists():
                    return
                plans = [plan for split in SPLITS for plan in self.plan_videos(split)]
                missing = [plan for plan in plans if not self._file(plan).exists()]
                self._make_all(missing, Counter(len(plans) - len(missing), len(plans), progress))
                write_atomically(self.root / DONE, f"{len(plans)} videos\n")
        except OSError as error:
            raise DataError(f"{self.root}: cannot write videos: {error.strerror or error}") from None

    def make(self, plan: VideoPlan) -> None:
        """Render and encode one video. Its file appears under its name when it is complete."""
        path = self._file(plan)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        encode_video(partial, self.render(plan), self.spec.fps)
        partial.replace(path)

    def _make_all(self, missing: list[VideoPlan], on_made: Callable[[], None]) -> None:
        workers = min(os.cpu_count() or 1, len(missing) // VIDEOS_WORTH_A_PROCESS)
        if workers < 2:
            for plan in missing:
                self.make(plan)
                on_made()
            return
        whole = {"spec": self.spec.model_dump(mode="json"), "cache_dir": str(self.root.parent)}
        plans = [(plan.split, plan.index, plan.label) for plan in missing]
        shares = [{**whole, "plans": plans[start::workers]} for start in range(workers)]
        make_in_processes("study.data.render_worker", shares, on_made)

    def _file(self, plan: VideoPlan) -> Path:
        return self.root / f"{plan.video_id}.mp4"
