"""Compiles the kernels at first use and loads them; without a compiler nothing is lost but speed.

One translation unit an instruction set goes into one library with a plain C interface, so that it depends on
neither PyTorch's nor Python's version. It is kept in a cache folder under the digest of sources, flags and
compiler. PyTorch has loaded an OpenMP runtime already; the library's own need for one resolves to that.

Two variables of the environment:

    STH_KERNELS         ``auto`` (default), ``off``, an instruction set by name, or ``auto`` with a kernel that is never
                        taken unasked: ``triton``, on GPUs, where nobody has timed it yet, or ``winograd``, on CPUs,
                        less exact (:mod:`study.kernels.native.winograd`)
    STH_KERNELS_CACHE   the cache folder; by default ``sth-study`` in the user's cache folder
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from filelock import FileLock

from study.errors import ModelError, suggest

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent
FLAGS = (
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-fopenmp",
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
)
SETS: dict[str, tuple[str, ...]] = {
    "baseline": ("-DSTH_LANES=4",),
    "avx2": ("-DSTH_LANES=8", "-mavx2", "-mfma"),
    "avx512": ("-DSTH_LANES=16", "-march=skylake-avx512", "-mprefer-vector-width=512"),
    "avx512_bf16": ("-DSTH_LANES=16", "-march=cooperlake", "-mprefer-vector-width=512"),
}
"""Instruction sets and the flags of their translation units. Elsewhere than on x86-64 only the baseline."""
BESIDES = ("triton", "winograd")
"""Kernels that are taken only where STH_KERNELS names them; all that they do not run goes as with ``auto``."""
TIMEOUT = 300
"""Seconds until a compiler that hangs is given up."""


def requested() -> str:
    """What STH_KERNELS asks for.

    Raises:
        ModelError: for a value that is none of those allowed.
    """
    value = os.environ.get("STH_KERNELS", "") or "auto"
    allowed = ("auto", "off", *BESIDES, *SETS)
    if value not in allowed:
        raise ModelError(f"STH_KERNELS: unknown '{value}': {suggest(value, allowed)}")
    return value


def load() -> ctypes.CDLL | None:
    """The library with the requested kernels selected, or None where there is none; the reason is logged once.

    Raises:
        ModelError: when STH_KERNELS names kernels that this CPU does not run.
    """
    asked = requested()
    name = "auto" if asked in BESIDES else asked
    library = None if name == "off" else _open()
    if library is not None and _selected != [name]:
        if library.sth_select(b"" if name == "auto" else name.encode()) is None:
            raise ModelError(f"STH_KERNELS: this CPU does not run '{name}'; take 'auto'")
        _selected[:] = [name]
    return library


def lanes() -> int:
    """Floats in a register of the selected kernels; 0 without any."""
    library = load()
    return 0 if library is None else int(library.sth_lanes())


_selected: list[str] = []


@cache
def _open() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(compile_library()))
    except (OSError, subprocess.SubprocessError) as problem:
        logger.warning("STH-Conv runs on PyTorch's convolutions; its own kernels: %s", _explain(problem))
        return None
    library.sth_select.restype = ctypes.c_char_p
    library.sth_packed_bytes.restype = ctypes.c_int64
    return library


def compile_library() -> Path:
    """The compiled library, from the cache where it is there.

    Raises:
        OSError: without a compiler, or when the cache folder cannot be written.
        subprocess.SubprocessError: when compiling fails or takes too long.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        raise FileNotFoundError("no C++ compiler was found")
    folder = _cache() / _digest(compiler)
    library = folder / "libsth.so"
    if not library.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not library.exists():
                with tempfile.TemporaryDirectory(dir=folder) as scratch:
                    os.replace(_compile(compiler, Path(scratch)), library)
    return library


def _compile(compiler: str, scratch: Path) -> Path:
    units = {"dispatch": [str(SOURCES / "dispatch.cpp")]}
    for name, flags in SETS.items():
        if name == "baseline" or _is_x86():
            for source in ("direct", "winograd", "weights"):
                units[f"{source}-{name}"] = [*flags, f"-DSTH_ISA={name}", str(SOURCES / f"{source}.cpp")]
    commands = [
        [compiler, *FLAGS, "-c", *rest, "-o", str(scratch / f"{name}.o")] for name, rest in units.items()
    ]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(_run, commands))
    library = scratch / "libsth.so"
    _run(
        [compiler, "-shared", "-fopenmp", *(str(scratch / f"{name}.o") for name in units), "-o", str(library)]
    )
    return library


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT)


def _digest(compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, timeout=TIMEOUT).stdout
    digest = hashlib.sha256(version + repr((FLAGS, SETS, platform.machine())).encode())
    for source in sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h")]):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _cache() -> Path:
    chosen = os.environ.get("STH_KERNELS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sth-study"


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def _explain(problem: Exception) -> str:
    if isinstance(problem, subprocess.CalledProcessError):
        lines = str(problem.stderr).strip().splitlines()
        return f"compiling failed: {next((line for line in lines if 'error' in line), 'no message')}"
    return str(problem)
