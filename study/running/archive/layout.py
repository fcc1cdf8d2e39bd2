"""What an archive may consist of: names, limits, and the manifest."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST = "manifest.json"
VERSION = 1
TRIAL_FILES = ("record.json", "trial.json", "metrics.jsonl", "scores.npz", "attempts.jsonl")
CHECKPOINT = "checkpoint.pt"
MIB = 2**20

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+=,-]{0,119}"
# A device of Windows, with or without an extension, and a name that ends in a dot are no names everywhere.
_RESERVED = re.compile(r"(?i)(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.[^/]*)?(/|$)|\.(/|$)")
LIMITS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), size * MIB)
    for pattern, size in (
        (r"manifest\.json", 64),
        (r"launch\.json", 1),
        (r"specs/resolved\.json", 64),
        (rf"specs/(experiments|profiles)/{_NAME}\.yaml", 1),
        (r"trials/[0-9a-f]{16}/(record|trial)\.json", 32),
        (r"trials/[0-9a-f]{16}/(metrics|attempts)\.jsonl", 32),
        (r"trials/[0-9a-f]{16}/scores\.npz", 16 * 1024),
        (r"trials/[0-9a-f]{16}/checkpoint\.pt", 64 * 1024),
        (r"runtime/[0-9a-f]{16}\.json", 32),
        (rf"report/(?:{_NAME}/){{0,2}}{_NAME}", 512),
    )
)
"""What an entry may be called, and the bytes it may have."""
MAX_FILES = 300_000
"""Entries of an archive: those of 50,000 trials."""


def find_limit(name: str) -> int | None:
    """The bytes that the entry ``name`` may have; None when an archive holds no such entry.

    >>> find_limit("launch.json"), find_limit("../launch.json"), find_limit("report/aux.png")
    (1048576, None, None)
    """
    if _RESERVED.search(name):
        return None
    return next((limit for pattern, limit in LIMITS if pattern.fullmatch(name)), None)


TEXT_LENGTH = 1000
Text = Annotated[str, Field(max_length=TEXT_LENGTH, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""A line that is safe to print: without control characters."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TrialId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Part(BaseModel):
    """Base of the parts of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StudyRequest(Part):
    """What was asked for."""

    study: Text
    """Name of the study."""
    experiments: tuple[Text, ...] = Field(min_length=1)
    """Names of the experiments; their files are among the specs."""
    profile: Text
    """Name of the profile."""
    overrides: tuple[Text, ...] = ()
    """The ``path=value`` settings that were laid over everything."""
    repeats: Annotated[int, Field(ge=1)] | None = None
    """Repeats of every experiment; null for each one's own."""


class Exporter(Part):
    """Where the archive was written. Each record says where its trial ran, which may be elsewhere."""

    python: Text
    platform: Text
    git_commit: Text | None = None
    packages: dict[Text, Text] = {}
    """Version of every installed package."""


class FileMark(Part):
    """An entry as it was written."""

    size: Annotated[int, Field(ge=0)]
    sha256: Digest


class ArchiveManifest(Part):
    """An archive's account of itself."""

    format: Literal["sth-study archive"] = "sth-study archive"
    version: Literal[1] = 1
    request: StudyRequest
    exporter: Exporter
    trials: tuple[TrialId, ...]
    """Ids of the finished trials, sorted."""
    left_out: dict[TrialId, Text] = {}
    """Trials of the request that had not finished: what they are and where they stood. Nothing of theirs is in the
    archive; who imports it trains them from the start."""
    files: dict[str, FileMark]
    """Every other entry by its name."""
