"""Which of the ways to run STH-Conv a network takes.

By default PyTorch's own convolutions, for training and for the scores that are recorded. They need no compiler, so
that what a trial gives does not hang on what a machine happens to have: kernels of our own compute the same sums in
another order, and over thousands of steps a rounding grows into another network. A step of training
of the 3x3 layers of ResNet-50 would take a quarter to a third less with them (``benchmarks.sth_cpu``). Whoever wants
a network to be fast and needs no gradients asks for them, as ``bench`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Implementation = Literal["library", "dense", "gathered", "fused"]
"""``library``: PyTorch's convolutions, in the form that is faster for the shape. ``dense``, ``gathered``: in that form
(:mod:`study.kernels.library`). ``fused``: where no gradients are asked for, kernels of our own that do all of a layer
at once, as far as this machine has them; as ``library`` elsewhere."""

# A plain variable and no ContextVar: torch.compile compiles anew when it changes, and would not notice the other.
_chosen: Implementation = "library"


@contextmanager
def implementation(name: Implementation) -> Iterator[None]:
    """Run STH-Conv so within the ``with`` statement, in all threads of this process."""
    global _chosen
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def chosen() -> Implementation:
    """What :func:`implementation` asks for; ``library`` without it."""
    return _chosen
