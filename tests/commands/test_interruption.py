"""A signal stops a launch, wherever it arrives."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from study.commands.interruption import interruptible


class Signaled:
    """Something whose removal a signal falls into: what a handler raises there, Python ignores."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)  # the handler runs here at the latest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def lose_a_signal() -> None:
    Signaled()
    time.sleep(5)


def test_an_interruption_that_python_ignores_is_tried_again() -> None:
    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interruptible():
        lose_a_signal()
    assert sys.unraisablehook == hook
