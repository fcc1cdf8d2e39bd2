"""Ray's own processes on this machine: when one dies that it cannot do without, somebody has to say so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

VITAL = frozenset({"raylet", "gcs_server"})
LOOK_SECONDS = 1.0
GRACE_SECONDS = 5.0
"""How long the driver may take to see for itself that a process has died."""
ADVICE = "Finished trials are kept; launch again to go on: the others continue after their last whole epoch"


def describe_death() -> str:
    """Which process has died that Ray cannot do without, and what to do; empty while all live.

    Only those that we started are looked at; a cluster minds its own.
    """
    from ray._private import worker

    node = worker.global_worker.node
    dead = {str(kind) for kind, _ in node.dead_processes()} & VITAL if node is not None else set()
    if not dead:
        return ""
    return f"Ray's {' and '.join(sorted(dead))} on this machine died (killed, or out of memory?). {ADVICE}"


@contextmanager
def told_of_death() -> Iterator[None]:
    """A block in which a death is told, also where Ray then waits within a call that nothing interrupts.

    Without its GCS the driver hangs in such a call for a minute, and Ray's own code then ends the process, past every
    handler of ours: there is nothing to be raised, only something to be said before.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            death = describe_death()
            if death:
                if not ended.wait(GRACE_SECONDS):
                    logger.warning("%s. Ray ends this process in about a minute", death)
                return

    thread = threading.Thread(target=watch, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
