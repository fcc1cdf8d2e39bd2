"""Addresses that cannot be meant are refused before Ray tries them for minutes."""

from __future__ import annotations

import socket
import time

import pytest

from study.errors import SchedulingError
from study.running.ray_tune.connection import connected


@pytest.mark.parametrize("address", ["nonsense", "ray://head:10001", "head:", ":6379", "head:six"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(SchedulingError, match="HOST:PORT of its head"), connected(address):
        pass


def test_an_address_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(SchedulingError, match="no Ray answers there"), connected(f"127.0.0.1:{port}"):
        pass
    assert time.monotonic() - began < 5
