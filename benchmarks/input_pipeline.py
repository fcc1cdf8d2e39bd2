"""How fast videos become batches, against bare decord calls in the same number of processes.

    uv run python -m benchmarks.input_pipeline                    videos that it makes: 340 x 256, 100 frames
    uv run python -m benchmarks.input_pipeline --root videos      any folder of mp4 files
    uv run python -m benchmarks.input_pipeline --memory 20000     resident memory over so many decodes
    uv run python -m benchmarks.input_pipeline --images           CPU time of one core for an image
    uv run python -m benchmarks.input_pipeline --save             keeps the figures, as with the others

The contestants take turns within one run of the program, with the same videos, frames and number of processes:

    bare      decord opens each video and reads 8 frames, spread as sparse sampling spreads them; nothing else
    frames    the loader, delivering frames as decoded: what a GPU gets, which resizes, crops and normalizes
    clips     the loader, delivering clips of 224 x 224 that its processes have resized and cropped: without a GPU

What is printed are medians over rounds of videos a second, with quartiles, and medians of the ratios to ``bare``
round by round. Times on a shared machine mean little; ratios of neighbors in time mean something.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from tabulate import tabulate

from benchmarks.history import Keeper, add_save_option, show_spread
from study.data.dataset import ClipDataset, Videos
from study.data.loading import build_clip_loader
from study.data.manifest import Manifest, VideoEntry
from study.data.sampling import sample_train
from study.seeding import derive_seed
from study.spec.clip import ClipSpec
from study.spec.runtime import Quartiles

CLIP = ClipSpec(frames=8, size=224, resize=(256, 340))
BATCH = 16
VIDEOS, FRAMES, HEIGHT, WIDTH, GROUP = 64, 100, 256, 340, 12
"""What is made where no folder is given; a key frame every GROUP frames."""
Found = dict[str, list[float]]
"""Values of every round by name of the target."""
LEAST = 768
"""Videos of an epoch at least, so that its beginning and end, when processes wait, weigh little."""


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="folder with mp4 files; made when absent")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contestant")
    parser.add_argument(
        "--memory", type=int, default=0, help="decodes to watch resident memory over; then stop"
    )
    parser.add_argument(
        "--images", action="store_true", help="CPU time of one core for an image, by kind; then stop"
    )
    add_save_option(parser)
    arguments = parser.parse_args()
    keeper = Keeper("input_pipeline", arguments.save)
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.root or make_videos(Path(scratch))
        manifest = list_videos(root)
        if arguments.images:
            print(time_images(manifest, arguments.rounds))
            return
        if arguments.memory:
            found = watch_memory(manifest, arguments.memory)
        else:
            found = race(manifest, arguments.workers, arguments.rounds)
    print(keeper.conclude(found))


def make_videos(folder: Path) -> Path:
    """Write videos of moving textures with some noise."""
    import av

    rng = np.random.default_rng(0)
    for number in range(VIDEOS):
        texture = rng.integers(0, 255, (HEIGHT // 8 + 20, WIDTH // 8 + 20, 3), dtype=np.uint8)
        texture = texture.repeat(8, axis=0).repeat(8, axis=1)
        with av.open(str(folder / f"{number:03d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.options = {"preset": "veryfast", "crf": "23", "g": str(GROUP), "x264-params": "open-gop=0"}
            for t in range(FRAMES):
                image = np.ascontiguousarray(texture[t : t + HEIGHT, t : t + WIDTH])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    return folder


def list_videos(root: Path) -> Manifest:
    """The mp4 files below ``root``."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.mp4"))
    repeats = -(-LEAST // len(paths))
    entries = tuple(VideoEntry(f"{path} {turn}", path, 0) for turn in range(repeats) for path in paths)
    entries = entries[: len(entries) // BATCH * BATCH]  # training drops an incomplete batch
    return Manifest(root, ("any",), {}, entries, entries)


def race(manifest: Manifest, workers: int, rounds: int) -> Found:
    """Print a table of the contestants' speeds; their ratios to ``bare`` in each round."""
    videos = Videos(manifest, manifest.train, CLIP)
    runners: dict[str, Callable[[int], None]] = {}
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        runners["bare"] = lambda epoch: run_bare(pool, manifest, epoch)
        for name, on_device in (("frames", True), ("clips", False)):
            dataset = ClipDataset(videos, seed=0)
            loader = build_clip_loader(dataset, BATCH, workers=workers, crop_on_device=on_device)
            runners[name] = lambda epoch, d=dataset, one=loader: (d.set_epoch(epoch), [None for _ in one])  # type: ignore[misc]
        speeds = {name: [] for name in runners}  # type: dict[str, list[float]]
        for epoch in range(rounds + 1):
            for name, run in runners.items():
                began = time.perf_counter()
                run(epoch)
                if epoch:  # the first turn starts processes and warms caches
                    speeds[name].append(len(manifest.train) / (time.perf_counter() - began))
    rows = [[name, *show_spread(Quartiles.of(values))] for name, values in speeds.items()]
    print(f"{len(manifest.train)} videos, {CLIP.frames} frames of each, {workers} processes, {rounds} rounds")
    print(tabulate(rows, headers=["contestant", "videos/s", "quartiles"]))
    bare = np.array(speeds.pop("bare"))
    return {
        f"videos/s, {name} / bare decord": list(np.array(values) / bare) for name, values in speeds.items()
    }


def time_images(manifest: Manifest, rounds: int) -> str:
    """Milliseconds of one core for an image: what :mod:`study.commands.scaling` counts with."""
    import decord

    paths = [str(manifest.path(entry)) for entry in manifest.train[:VIDEOS]]
    jpegs = []
    for path in paths[:8]:
        for frame in decord.VideoReader(path, num_threads=1).get_batch(range(8)).asnumpy():
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "JPEG", quality=90)
            jpegs.append(buffer.getvalue())

    def read_some() -> int:
        for number, path in enumerate(paths):
            read_bare((path, number))
        return len(paths) * CLIP.frames

    def read_all() -> int:
        return sum(
            len(reader.get_batch(range(len(reader))).asnumpy())
            for reader in (decord.VideoReader(path, num_threads=1) for path in paths)
        )

    def read_jpegs() -> int:
        return sum(np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).shape[2] // 3 for one in jpegs)

    kinds = {
        f"H.264, {CLIP.frames} frames of a video": read_some,
        "H.264, all frames": read_all,
        "JPEG": read_jpegs,
    }
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, read in kinds.items():
            began = time.process_time()
            images = read()
            spent[name].append(1e3 * (time.process_time() - began) / images)
    rows = [[name, *show_spread(Quartiles.of(values))] for name, values in spent.items()]
    return tabulate(rows, headers=["", "CPU ms an image", "quartiles"], disable_numparse=True)


def run_bare(pool: object, manifest: Manifest, epoch: int) -> None:
    """Read the frames of one epoch with decord alone, videos shared out evenly."""
    work = [
        (str(manifest.path(entry)), derive_seed("clip", 0, epoch, entry.video_id)) for entry in manifest.train
    ]
    for _ in pool.imap_unordered(read_bare, work, chunksize=4):  # type: ignore[attr-defined]
        pass


def read_bare(work: tuple[str, int]) -> int:
    """Open a video with decord and read the frames that the loader reads of it."""
    import decord

    path, seed = work
    reader = decord.VideoReader(path, num_threads=1)
    rng = np.random.default_rng(seed)
    return int(
        reader.get_batch(sample_train(len(reader), CLIP, rng).reshape(-1).tolist()).asnumpy()[0, 0, 0, 0]
    )


def watch_memory(manifest: Manifest, decodes: int) -> Found:
    """Print the resident memory of this process at tenths of ``decodes``; the last over that after the first tenth."""
    dataset = ClipDataset(Videos(manifest, manifest.train, CLIP), seed=0)
    resident = {}
    for number in range(decodes + 1):
        if number % max(1, decodes // 10) == 0:
            resident[number] = resident_mib()
        _ = dataset[(number // len(dataset), number % len(dataset))]
    print(tabulate(resident.items(), headers=["decodes", "resident, MiB"], floatfmt=".1f"))
    _, first, *_, last = resident.values()
    return {f"growth of memory over {decodes:,} decodes": [last / first]}


def resident_mib() -> float:
    """Resident memory of this process, mebibytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
