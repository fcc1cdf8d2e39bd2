"""A process that renders and encodes videos for :mod:`study.data.generation`; see :mod:`study.data.making`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import TypeAdapter

from study.data.catalog import open_dataset
from study.data.generation import GeneratedDataset, VideoPlan
from study.data.making import make_all, read_share
from study.spec.datasets import AnyDataset, SyntheticDataset


def main() -> int:
    """Make the videos that standard input names; 1 when the disk fails."""
    share = read_share()
    spec: AnyDataset = TypeAdapter(AnyDataset).validate_python(share["spec"])
    source = open_dataset(spec, Path(share["cache_dir"]))
    assert isinstance(spec, SyntheticDataset)
    assert isinstance(source, GeneratedDataset)
    return make_all([VideoPlan(*plan) for plan in share["plans"]], source.make, OSError)


if __name__ == "__main__":
    sys.exit(main())
