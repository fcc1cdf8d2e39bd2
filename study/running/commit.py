"""The git commit of this code."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

COMMIT_VARIABLE = "STH_STUDY_COMMIT"
"""Environment variable that tells workers the commit of code that was shipped to them without its repository."""


@cache
def find_commit() -> str | None:
    """The git commit of this code, with "-dirty" when tracked files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get(COMMIT_VARIABLE)
    return run.stdout.strip() or None
