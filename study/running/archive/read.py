"""Reading an archive that may come from anybody."""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import ValidationError

from study.errors import StoreError
from study.running.archive.layout import MANIFEST, MAX_FILES, ArchiveManifest, find_limit
from study.running.archive.write import CHUNK
from study.spec.json_file import parse_json

FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What zipfile raises on a damaged or hostile file."""
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
DIRECTORY_BYTES = 512
"""What an entry of ours may take in the zip's directory, which Python reads as a whole."""
ENCRYPTED = 0x1


class Archive:
    """An archive whose structure has been checked; contents are checked where they are read.

    Attributes:
        path: the file.
        manifest: its account of itself.
        digest: SHA-256 of the manifest, which covers everything.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path, self._file = path, file
        self._entries = _check_entries(path, file.infolist(), path.stat().st_size)
        content = self._read_manifest()
        self.digest = hashlib.sha256(content).hexdigest()
        self.manifest = self._parse_manifest(content)
        self._compare_names()

    @property
    def names(self) -> list[str]:
        """Names of all entries but the manifest, sorted."""
        return sorted(self.manifest.files)

    @property
    def size(self) -> int:
        """Bytes of all entries together."""
        return sum(mark.size for mark in self.manifest.files.values())

    def extract(self, folder: Path) -> list[str]:
        """Write every entry below ``folder``, an empty folder of ours; returns a line for each that was changed.

        Raises:
            StoreError: when something cannot be written.
        """
        return [problem for name in self.names if (problem := self._extract(name, folder))]

    def _extract(self, name: str, folder: Path) -> str:
        mark = self.manifest.files[name]
        target = folder.joinpath(*PurePosixPath(name).parts)
        digest = hashlib.sha256()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            out = target.open("xb")
        except OSError as error:
            raise StoreError(f"{target}: cannot be written: {error.strerror or error}") from None
        with out:
            try:
                for chunk in self._iter_chunks(name):
                    digest.update(chunk)
                    _write(out, chunk, target)
            except FAULTS:
                return f"{name}: its content is damaged"
        if digest.hexdigest() != mark.sha256:
            return f"{name}: was changed: its SHA-256 is not the manifest's"
        return ""

    def _iter_chunks(self, name: str) -> Iterator[bytes]:
        with self._file.open(self._entries[name]) as entry:
            while chunk := entry.read(CHUNK):
                yield chunk

    def _read_manifest(self) -> bytes:
        if MANIFEST not in self._entries:
            raise StoreError(f"{self.path}: no archive of a study: it holds no {MANIFEST}")
        try:
            return b"".join(self._iter_chunks(MANIFEST))
        except FAULTS as error:
            raise StoreError(f"{self.path}: {MANIFEST}: its content is damaged: {error}") from None

    def _parse_manifest(self, content: bytes) -> ArchiveManifest:
        data = parse_json(content, f"{self.path}: {MANIFEST}")
        try:
            return ArchiveManifest.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"])) or "(file)"
            raise StoreError(f"{self.path}: {MANIFEST}: {key!r:.200}: {first['msg']}") from None

    def _compare_names(self) -> None:
        """Every entry stands in the manifest with its size, and nothing else does."""
        for name in sorted((set(self._entries) - {MANIFEST}) ^ set(self.manifest.files)):
            where = "is missing" if name in self.manifest.files else "is not in the manifest"
            raise StoreError(f"{self.path}: {_show(name)}: {where}")
        for name, mark in self.manifest.files.items():
            size = self._entries[name].file_size
            if size != mark.size:
                raise StoreError(
                    f"{self.path}: {name}: was changed: {size} bytes, the manifest says {mark.size}"
                )
        found = {name.split("/")[1] for name in self.manifest.files if name.startswith("trials/")}
        if found != set(self.manifest.trials):
            raise StoreError(f"{self.path}: {MANIFEST}: trials: it lists others than the archive holds")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open the archive at ``path``.

    Raises:
        StoreError: when it is none, is damaged, or could do harm: an entry with a path that leaves the archive or
            is none of ours, a link, a repeated, compressed or encrypted entry, too many or too large ones.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            _check_end(raw, path)
            archive = Archive(path, stack.enter_context(zipfile.ZipFile(raw)))
        except FAULTS as error:
            raise StoreError(f"{path}: no readable archive: {error}") from None
        yield archive


def _check_end(raw: IO[bytes], path: Path) -> None:
    """Refuse, before zipfile reads it into memory, a directory of more entries than an archive has."""
    size = raw.seek(0, 2)
    raw.seek(max(0, size - 98))
    tail = raw.read().rjust(98, b"\0")
    end = tail[-22:]
    if end[:4] != END or end[20:] != b"\0\0":
        raise StoreError(
            f"{path}: no archive of a study: it is no zip, was cut short, or has something appended"
        )
    count, directory, start = struct.unpack("<HLL", end[10:20])
    behind = 22
    if tail[-42:-38] == LOCATOR_64 and tail[:4] == END_64:
        count, directory, start = struct.unpack("<QQQ", tail[32:56])
        behind = 98
    if count > MAX_FILES or directory > max(count, 1) * DIRECTORY_BYTES:
        raise StoreError(f"{path}: {count} entries in {directory} bytes; an archive has at most {MAX_FILES}")
    if start + directory + behind != size:
        raise StoreError(f"{path}: something stands before or after the archive's own content")


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, after a look at each one's name, kind and size."""
    known: dict[str, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    total = 0
    for info in entries:
        problem = _find_fault(info)
        if problem:
            raise StoreError(f"{path}: {_show(info.orig_filename)}: {problem}")
        # Some file systems take two spellings for one file.
        if info.filename.casefold() in folded:
            raise StoreError(f"{path}: {_show(info.filename)}: stands in the archive twice")
        folded.add(info.filename.casefold())
        known[info.filename] = info
        total += info.file_size
    if total > size:
        raise StoreError(f"{path}: its entries claim {total} bytes and overlap: the file has {size}")
    return known


def _find_fault(info: zipfile.ZipInfo) -> str:
    """Why an entry is refused; empty when it is not."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    name, limit = info.orig_filename, find_limit(info.orig_filename)
    if name != info.filename or name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        return "its path leads out of the archive"
    if kind not in (0, stat.S_IFREG) or name.endswith("/"):
        return "is no file but a folder, a link or a device"
    if limit is None:
        return "an archive holds no entry of this name"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed; nothing in an archive is"
    if info.file_size > limit:
        return f"{info.file_size} bytes; at most {limit} are allowed"
    return ""


def _write(file: IO[bytes], chunk: bytes, target: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {error.strerror or error}") from None


def _show(name: str) -> str:
    """A name of someone else's, harmless to print."""
    return ascii(name if len(name) <= 100 else f"{name[:100]}…")
