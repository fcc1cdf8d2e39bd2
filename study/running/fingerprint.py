"""Which code a trial depends on, and whether it has changed since.

The fingerprint covers the syntax trees of the modules that a trial's result depends on: ``run_trial``, the
data set, the backbone and the block it names, and what those import of ``COVERED``. Comments,
docstrings and layout do not count, nor does code that only other blocks or data sets use. Modules are found by
reading import statements, not by importing, so that ``plan`` stays fast.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

import study
from study.models.backbones import BACKBONES
from study.spec.record import CodeFingerprint
from study.spec.trial import TrialSettings

PACKAGE = Path(study.__file__).parent
COVERED = (
    "study.models",
    *(f"study.kernels.{name}" for name in ("choice", "geometry", "library", "temporal")),
    "study.data",
    "study.training",
    "study.scores",
    "study.seeding",
)
"""Packages and modules whose code can change a trial's result; the schema enters through the resolved settings.
The rest of ``study.kernels``, C++ among it, runs in no trial: trials take PyTorch's convolutions."""


def fingerprint_code(settings: TrialSettings) -> CodeFingerprint:
    """The fingerprint of the code that a trial with ``settings`` runs."""
    model = settings.model
    blocks = [model.block] + ([model.on_top.block] if model.on_top else [])
    factories = [*settings.clip.modality.modules, settings.data.factory, *(block.factory for block in blocks)]
    roots = {"study.running.run_trial", BACKBONES.module(model.backbone)}
    roots |= {factory.split(":")[0] for factory in factories if factory}
    return fingerprint_modules(frozenset(roots), COVERED)


def list_changes(before: CodeFingerprint, now: CodeFingerprint) -> list[str]:
    """Modules that were changed, added or removed between two fingerprints, each with the word."""
    changes = []
    for module in sorted(set(before.modules) | set(now.modules)):
        old, new = before.modules.get(module), now.modules.get(module)
        if old != new:
            changes.append(f"{module} {'added' if old is None else 'removed' if new is None else 'changed'}")
    return changes


@cache
def fingerprint_modules(roots: frozenset[str], covered: tuple[str, ...]) -> CodeFingerprint:
    """The fingerprint of the modules ``roots`` and of those that they import, directly or not, whose names begin
    with one of ``covered``.
    """
    pending, digests = sorted(roots), {}
    while pending:
        module = pending.pop()
        path = _locate(module)
        if module in digests or path is None:
            continue
        digests[module], imported = _digest_module(path)
        pending += [name for name in imported if name.startswith(covered)]
    modules = dict(sorted(digests.items()))
    text = "\n".join(f"{name} {digest}" for name, digest in modules.items())
    return CodeFingerprint(digest=hashlib.sha256(text.encode()).hexdigest()[:16], modules=modules)


def _locate(module: str) -> Path | None:
    base = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _digest_module(path: Path) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's syntax tree without docstrings, and the modules of this package it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstrings(node)
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    digest = hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]
    return digest, tuple(name for name in imported if name.split(".")[0] == "study")


def _drop_docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Remove bare strings: docstrings, and the attribute docstrings that follow a field."""
    kept = [item for item in node.body if not (isinstance(item, ast.Expr) and _is_text(item.value))]
    node.body = kept or [ast.Pass()]


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
