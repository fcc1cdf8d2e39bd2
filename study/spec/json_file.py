"""JSON files that may come from anybody: limited in size, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from study.errors import StoreError

MAX_BYTES = 32 * 2**20
"""Size of a JSON file. A record takes 10 KB; a report's manifest of 10,000 trials 6 MB."""
JSON_FAULTS = (ValueError, RecursionError)
"""What ``json.loads`` raises on text that is no JSON, or JSON nested some thousand levels deep."""


def read_limited(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of the file at ``path``.

    Raises:
        StoreError: when it cannot be read or has more than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise StoreError(f"{path}: more than {limit} bytes, the most that such a file has")
    return content


def parse_json(content: bytes, source: object) -> Any:
    """The value that ``content`` spells; ``source`` names it in errors.

    Raises:
        StoreError: when it is no JSON.
    """
    try:
        return json.loads(content)
    except JSON_FAULTS as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise StoreError(f"{source}: not JSON: {problem}") from None


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """The value in the JSON file at ``path``; raises StoreError like :func:`read_limited` and :func:`parse_json`."""
    return parse_json(read_limited(path, limit), path)
