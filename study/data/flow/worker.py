"""A process that computes flow for :mod:`study.data.flow.prepare`; see :mod:`study.data.making`."""

from __future__ import annotations

import sys
from pathlib import Path

from study.data.flow.compute import one_opencv_thread
from study.data.flow.video import FlowSettings, list_jobs, make_flow
from study.data.making import make_all, read_share
from study.errors import DataError


def main() -> int:
    """Make the flow of the videos that standard input names; 1 when one fails."""
    share = read_share()
    folders = Path(share["videos"]), Path(share["flow"])
    jobs = list_jobs(share["paths"], *folders, FlowSettings(**share["settings"]))
    with one_opencv_thread():
        return make_all(jobs, make_flow, DataError)


if __name__ == "__main__":
    sys.exit(main())
