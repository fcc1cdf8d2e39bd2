"""Watching the attention coefficients of a network while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from study.models.blocks.attention import Attention
from study.models.placement import FilledSite
from study.models.recognizer import Recognizer


@dataclass
class SiteAttention:
    """The coefficients of one site, one entry for each forward pass: (N, C_o), float32, on the CPU."""

    site: FilledSite
    alpha_s: list[Tensor] = field(default_factory=list)
    alpha_t: list[Tensor] = field(default_factory=list)


@contextmanager
def collect_attention(recognizer: Recognizer) -> Iterator[dict[str, SiteAttention]]:
    """Record (alpha_S, alpha_T) of every forward pass within the ``with`` statement.

    Yields:
        By name of the site; empty for a network without attention. Clear the lists to save memory.
    """
    seen: dict[str, SiteAttention] = {}
    handles = []
    for site in recognizer.sites:
        for module in site.module.modules():
            if isinstance(module, Attention):
                seen[site.name] = SiteAttention(site)
                handles.append(module.register_forward_hook(_recorder(seen[site.name])))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _recorder(into: SiteAttention) -> Any:
    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        alpha_s, alpha_t = output
        into.alpha_s.append(alpha_s.detach().to("cpu", torch.float32, copy=True))
        into.alpha_t.append(alpha_t.detach().to("cpu", torch.float32, copy=True))

    return record
