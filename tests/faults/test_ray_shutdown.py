"""Another thread's garbage collection amid Ray's shutdown: it used to end the driver, now and then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import threading
from study.running.ray_tune.connection import connected

class Node:
    pass

def litter(references):
    # Each is garbage with a reference of Ray's in it, which only a collector finds.
    while references:
        node = Node()
        node.itself, node.reference = node, references.pop()
        [Node() for _ in range(3000)]

with connected(None):
    import ray
    references = [ray.put(number) for number in range(20_000)]
    threading.Thread(target=litter, args=(references,), daemon=True).start()
assert references, "nothing was left for after the shutdown"
print("alive")
"""


def test_a_collection_in_another_thread_does_not_end_the_driver() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "alive"), ended.stdout + ended.stderr
