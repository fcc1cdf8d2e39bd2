"""Computing the flow of synthetic videos in several processes.

Each is started as ``python -m study.data.flow.worker`` and not by multiprocessing, whose children import the
caller's main script again: a script without a main guard would ask for the same flow once more and wait for the
lock that its parent holds. The work comes as JSON on standard input; a line goes out for each video done.
Threads would not do: at 40x40 pixels most of the time is spent holding Python's lock.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from study.data.flow.compute import one_opencv_thread
from study.data.flow.video import FlowSettings, list_jobs, make_flow
from study.errors import DataError

MADE = "made"
"""What a process says after each video."""
FAILED = "failed: "
"""What it says before the reason when it cannot."""


def make_in_processes(
    shares: Sequence[Sequence[str]], work: Mapping[str, object], on_made: Callable[[], None]
) -> None:
    """Have a process make the flow of the videos of each share.

    Args:
        shares: paths of videos.
        work: ``videos`` and ``flow``, the folders of both, and ``settings``, as JSON has them.
        on_made: called after every video, from several threads.

    Raises:
        DataError: with what a process says when it fails.
    """
    with ThreadPoolExecutor(len(shares)) as pool:
        futures = [pool.submit(_run_process, {**work, "paths": list(share)}, on_made) for share in shares]
        for future in futures:
            future.result()


def _run_process(work: Mapping[str, object], on_made: Callable[[], None]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "study.data.flow.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(work))
        process.stdin.close()
        last = ""
        for line in process.stdout:
            last = line.strip()
            if last == MADE:
                on_made()
    if process.returncode:
        told = last.startswith(FAILED)
        raise DataError(
            last.removeprefix(FAILED)
            if told
            else f"a process that computes flow ended with {process.returncode}"
        )


def main() -> int:
    """Make the flow of the videos that standard input names; 1 with the reason on standard output on failure."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    work = json.load(sys.stdin)
    jobs = list_jobs(
        work["paths"], Path(work["videos"]), Path(work["flow"]), FlowSettings(**work["settings"])
    )
    with one_opencv_thread():
        for job in jobs:
            try:
                make_flow(job)
            except DataError as error:
                print(f"{FAILED}{' '.join(str(error).split())}", flush=True)
                return 1
            print(MADE, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
