"""A process that renders and encodes videos for :mod:`study.data.generation`.

It is started as ``python -m study.data.render_worker`` and not by multiprocessing, whose children import the
caller's main script again: a script without a main guard would then prepare the same data set once more and
wait for the lock that its parent holds. The work comes as JSON on standard input; a line goes out for each
video made.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from pydantic import TypeAdapter

from study.data.catalog import open_dataset
from study.data.generation import FAILED, MADE, GeneratedDataset, VideoPlan
from study.spec.datasets import AnyDataset, SyntheticDataset


def main() -> int:
    """Make the videos that standard input names; 1 with the reason on standard output when the disk fails."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    work = json.load(sys.stdin)
    spec: AnyDataset = TypeAdapter(AnyDataset).validate_python(work["spec"])
    source = open_dataset(spec, Path(work["cache_dir"]))
    assert isinstance(spec, SyntheticDataset)
    assert isinstance(source, GeneratedDataset)
    for plan in work["plans"]:
        try:
            source.make(VideoPlan(*plan))
        except OSError as error:
            print(f"{FAILED}{error}", flush=True)
            return 1
        print(MADE, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
