"""Archives and files that somebody means harm with, made by hand."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

TRIAL = "trials/0123456789abcdef/"


class Bomb:
    """Unpickling it creates the file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def make_manifest(files: Mapping[str, bytes], changes: Mapping[str, object] = {}) -> bytes:
    """A manifest that fits ``files``."""
    manifest = {
        "format": "sth-study archive",
        "version": 1,
        "request": {"study": "s", "experiments": ["table8"], "profile": "laptop"},
        "exporter": {"python": "3.11", "platform": "linux"},
        "trials": sorted({name.split("/")[1] for name in files if name.startswith("trials/")}),
        "files": {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in files.items()},
    }
    return json.dumps(manifest | dict(changes)).encode()


def make_zip(files: Mapping[str, bytes] | list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    """A zip of these entries, whatever they are called."""
    entries = files if isinstance(files, list) else [(zipfile.ZipInfo(n), d) for n, d in files.items()]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for info, data in entries:
            file.writestr(info, data)
    return out.getvalue()


def make_archive(files: Mapping[str, bytes], changes: Mapping[str, object] = {}) -> bytes:
    """An archive whose manifest fits its ``files``, but for ``changes``."""
    return make_zip({"manifest.json": make_manifest(files, changes), **files})
