"""A signal stops a launch, wherever it arrives."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress

import pytest

from study.running.interruption import held, interruptible, take_up


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


def test_a_signal_that_is_held_back_comes_at_the_end_of_the_block() -> None:
    reached = []

    def work() -> None:
        with held(), held():
            signal.raise_signal(signal.SIGTERM)
            with suppress(BaseException):  # as some libraries do
                time.sleep(0)
            reached.append("end of the block")
        reached.append("after it")

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()
    assert reached == ["end of the block"]


def test_or_where_it_is_taken_up() -> None:
    reached = []

    def work() -> None:
        with held():
            take_up()
            signal.raise_signal(signal.SIGINT)
            reached.append("before")
            take_up()
            reached.append("after")

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()
    assert reached == ["before"]


def test_without_a_signal_nothing_waits() -> None:
    with interruptible(), held():
        take_up()
    with held():
        take_up()


def test_what_a_block_raises_is_not_hidden_by_a_signal_that_waits() -> None:
    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"), interruptible():
        work()
    with interruptible():  # the next one begins afresh
        take_up()
