"""Declarative ablation and benchmarking studies for video action recognition.

The packages, lowest first; a package imports only from the lines above it (``tests/test_architecture.py``):

    errors, registry, seeding
    spec                    what is asked: schema, loading, grids, identity; light, never imports torch
    kernels                 STH-Conv as one operator, and what runs it
    data | models           siblings that never import each other
    training | cost         where the two meet; neither knows Ray or MLflow
    running                 plan and run trials; ``ray_tune`` is the only package that imports Ray
    tracking                the only package that imports MLflow
    analysis                frames in, frames out
    reporting               tables and figures; reads frames, never runs anything
    commands, cli           put the parts together
    notebook                the same for notebooks: ``from study import load_study``
"""

import warnings
from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_study"]


def __getattr__(name: str) -> Any:
    """``load_study`` when it is asked for, so that ``import study`` loads nothing else."""
    if name == "load_study":
        with warnings.catch_warnings():
            # A library of a library asks for widgets when it is imported in a notebook; nothing here has any.
            warnings.filterwarnings("ignore", message="IProgress not found")
            return import_module("study.notebook").load_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
