"""Seeds derived from what they should depend on.

Differences between arms are paired: within one repeat every arm sees the same videos in the same order, the
same crops and the same initial classifier. So a seed is a hash of the parts of a trial's identity it should
depend on, and of nothing else. Adding an arm never shifts the seeds of another.
"""

from __future__ import annotations

import hashlib


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed that depends on ``parts`` and on nothing else, on every machine and Python version.

    >>> derive_seed("data-order", 0, 3) == derive_seed("data-order", 0, 3)
    True
    >>> derive_seed("data-order", 0, 3) == derive_seed("data-order", 0, 4)
    False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
