"""Loaders: batches in a fixed order, decoded in processes that are killed when a decoder hangs.

Decoders hang in native code on some files, and crash on others. A loader whose process has been at one video for
longer than the limit kills it, leaves that video out from then on, by name, and goes on with the rest of the
epoch: the other videos come in the batches where they would have come. Nothing takes its place.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from study.data.dataset import ClipDataset, Videos, ViewDataset
from study.data.samples import ClipBatch, ClipSample, ViewBatch, ViewSample
from study.errors import DataError
from study.seeding import derive_seed

Key = Any
"""What an item is asked for by: an index, or (epoch, index)."""
BatchT = TypeVar("BatchT")
WATCH_SECONDS = 0.5
"""Pause between two looks at what the processes are at."""
DYING_SECONDS = 2.0
"""A process that no longer answers may take so long to be gone."""


class _Board:
    """What each process of a loader is at: (process id, index of the video, since when); 0 while it rests.

    Attributes:
        killed: ids of those that were killed because they were at one video for too long.
    """

    def __init__(self, workers: int) -> None:
        self.killed: set[int] = set()
        self.rows = torch.zeros(workers, 3, dtype=torch.float64)
        self.rows.share_memory_()  # type: ignore[no-untyped-call]

    def begin(self, index: int) -> None:
        """Note that this process, one of a loader's, has begun a video."""
        info = get_worker_info()
        if info is not None:
            self.rows[info.id] = torch.tensor([os.getpid(), index, time.monotonic()], dtype=torch.float64)

    def end(self) -> None:
        """Note that it has finished."""
        info = get_worker_info()
        if info is not None:
            self.rows[info.id, 2] = 0.0

    def list_busy(self) -> list[tuple[int, int, float]]:
        """(process id, index, seconds) of every process at work on a video."""
        now = time.monotonic()
        return [(int(pid), int(index), now - since) for pid, index, since in self.rows.tolist() if since]


class _Watched(Dataset[Any]):
    """A data set that writes on the board what it is at."""

    def __init__(self, dataset: ClipDataset | ViewDataset, board: _Board) -> None:
        self._dataset, self._board = dataset, board

    def __getitem__(self, key: Key) -> Any:
        self._board.begin(key if isinstance(key, int) else key[1])
        item = self._dataset[key]
        self._board.end()
        return item


class _Batches(Sampler[list[Key]]):
    """Batches of keys that are set anew for each pass, for processes that outlive one."""

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Loader(Generic[BatchT]):
    """Batches of a data set, pass by pass.

    Args:
        dataset: training clips or views.
        plan: the batches of keys of a pass that begins now.
        collate: makes a batch of items.
        workers: processes that decode; they stay from one pass to the next. 0 decodes in this process, where
            nothing can be done about a decoder that hangs.
        limit_s: seconds that decoding one video may take.
        keep_empty: whether a batch of which nothing is left comes all the same, as others have a share of it too.

    Attributes:
        killed: videos left out because decoding them hung or crashed, by id, with the reason.
    """

    def __init__(
        self,
        dataset: ClipDataset | ViewDataset,
        plan: Callable[[], list[list[Key]]],
        collate: Callable[[list[Any]], BatchT],
        workers: int = 0,
        limit_s: float = 60.0,
        keep_empty: bool = False,
    ) -> None:
        self.dataset = dataset
        self.killed: dict[str, str] = {}
        self._plan, self._collate = plan, collate
        self._workers, self._limit_s, self._keep_empty = workers, limit_s, keep_empty
        self._left_out: set[int] = set()
        self._sampler = _Batches()
        self._board = _Board(workers)
        self._loader: DataLoader[Any] | None = None

    @property
    def videos(self) -> Videos:
        """The videos it reads."""
        return self.dataset.videos

    def __len__(self) -> int:
        return len(self._plan())

    def __iter__(self) -> Iterator[BatchT]:
        remaining = self._without_left_out(self._plan())
        while remaining:
            delivered = 0
            try:
                for batch in self._iter_batches(remaining):
                    delivered += 1
                    yield batch
                return
            except (RuntimeError, EOFError, OSError):
                # The last two: a batch had been announced, and its process died before it was fetched.
                if not self._note_dead():
                    raise
            # A process has died: new ones take up the batches that were not delivered.
            self._loader = None
            remaining = self._without_left_out(remaining[delivered:])

    def _iter_batches(self, batches: list[list[Key]]) -> Iterator[BatchT]:
        self._sampler.batches = batches
        if self._loader is None:
            # A new one each time: processes of the old loader may still write on theirs.
            self._board = _Board(self._workers)
            self._loader = DataLoader(
                _Watched(self.dataset, self._board),
                batch_sampler=self._sampler,
                num_workers=self._workers,
                persistent_workers=self._workers > 0,
                collate_fn=self._collate,
                # One of its own: the loader draws a seed from it each epoch, which must not disturb dropout.
                generator=torch.Generator(),
                pin_memory=torch.cuda.is_available(),
            )
        with _own_signals():
            iterator = iter(self._loader)
        while True:
            with self._watching():
                try:
                    batch: BatchT = next(iterator)
                except StopIteration:
                    return
            yield batch

    def _watching(self) -> _Watch:
        return _Watch(self._board, self._limit_s, active=self._workers > 0)

    def _note_dead(self) -> bool:
        """Leave out the videos of processes that have died at them; False when none has."""
        until = time.monotonic() + DYING_SECONDS
        while not (found := self._find_dead()) and time.monotonic() < until:
            time.sleep(0.05)
        return found

    def _find_dead(self) -> bool:
        found = False
        for pid, index, _ in self._board.list_busy():
            if index in self._left_out or _is_alive(pid):
                continue
            found = True
            self._left_out.add(index)
            reason = (
                f"decoding took longer than {self._limit_s:g} s; its process was killed"
                if pid in self._board.killed
                else "its decoder crashed"
            )
            self.killed[self.videos.entries[index].video_id] = reason
        return found

    def _without_left_out(self, batches: list[list[Key]]) -> list[list[Key]]:
        kept = ([key for key in batch if _index(key) not in self._left_out] for batch in batches)
        return [batch for batch in kept if batch or self._keep_empty]


class _Watch:
    """While a batch is waited for: kills processes that have been at one video for too long.

    A hang is always waited for in the end, since batches come in order.
    """

    def __init__(self, board: _Board, limit_s: float, *, active: bool) -> None:
        self._board, self._limit_s = board, limit_s
        self._done = threading.Event()
        self._timer = threading.Timer(WATCH_SECONDS, self._look) if active else None

    def __enter__(self) -> None:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        while not self._done.wait(WATCH_SECONDS):
            for pid, _, seconds in self._board.list_busy():
                if seconds > self._limit_s and _is_alive(pid):
                    self._board.killed.add(pid)
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep PyTorch from raising an error, wherever the main thread may be, at the moment a process has died.

    That would be amid a step of training, or in a callback of the interpreter that swallows it. Whoever waits for a
    batch of a process that has died is told so all the same, within five seconds.
    """
    if threading.current_thread() is not threading.main_thread():  # where PyTorch sets no handler
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _is_alive(pid: int) -> bool:
    try:
        # A child that has died and was not waited for still has its number.
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def _index(key: Key) -> int:
    return key if isinstance(key, int) else int(key[1])


def build_clip_loader(
    dataset: ClipDataset,
    batch_size: int,
    *,
    workers: int = 0,
    limit_s: float = 60.0,
    crop_on_device: bool = False,
    share: Callable[[list[Key]], list[Key]] | None = None,
) -> Loader[ClipBatch]:
    """Batches of training clips, in an order drawn anew for each epoch; call ``dataset.set_epoch`` before a pass.

    The order depends on the data set's seed and epoch alone. The incomplete batch at the end is dropped unless
    it is the only one.

    Args:
        dataset: training clips.
        batch_size: videos in a batch.
        workers: processes that decode.
        limit_s: seconds that decoding one video may take.
        crop_on_device: deliver frames as decoded; :meth:`ClipBatch.assemble` resizes and crops them.
        share: gives the part of each batch that is wanted here, which may be empty; None for all of it.
    """
    clip = dataset.videos.clip

    def plan() -> list[list[Key]]:
        rng = np.random.default_rng(derive_seed("data-order", dataset.seed, dataset.epoch))
        order = [(dataset.epoch, int(index)) for index in rng.permutation(len(dataset))]
        batches = [batch for batch in _cut(order, batch_size) if len(batch) == min(batch_size, len(order))]
        return batches if share is None else [share(batch) for batch in batches]

    def collate(samples: list[ClipSample]) -> ClipBatch:
        if not samples:
            nothing = torch.empty(0, clip.channels, clip.frames, clip.size, clip.size, dtype=torch.uint8)
            return ClipBatch(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), nothing)
        return ClipBatch.collate(samples, clip, crop_on_device=crop_on_device)

    return Loader(dataset, plan, collate, workers, limit_s, keep_empty=share is not None)


def build_view_loader(
    dataset: ViewDataset,
    batch_size: int,
    *,
    workers: int = 0,
    limit_s: float = 60.0,
    first: int = 0,
    step: int = 1,
) -> Loader[ViewBatch]:
    """Batches of views, in the order of their entries, all of them or every ``step``-th.

    Args:
        dataset: test views.
        batch_size: videos in a batch.
        workers: processes that decode.
        limit_s: seconds that decoding one video may take.
        first: number of the first batch.
        step: distance of the batches.
    """

    def plan() -> list[list[Key]]:
        return _cut(list(range(len(dataset))), batch_size)[first::step]

    def collate(samples: list[ViewSample]) -> ViewBatch:
        return ViewBatch.collate(samples, dataset.views)

    if not len(dataset):
        raise DataError(f"{dataset.videos.manifest.root}: no videos to test on")
    return Loader(dataset, plan, collate, workers, limit_s)


def _cut(keys: Sequence[Key], size: int) -> list[list[Key]]:
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]
