"""MLflow's own pages: they come up, show the study and leave no process behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from study.errors import StoreError
from study.tracking.mirror import Mirror
from study.tracking.ui import serve
from tests.faults.processes import descendants, is_alive

SERVE = """
import sys
from study.tracking.ui import serve
serve(sys.argv[1], "study", on_ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


@pytest.mark.slow
def test_serves_on_loopback_and_ends_with_all_its_processes(uri: str, tmp_path: Path) -> None:
    Mirror(uri, "study", tmp_path / "artifacts").prepare()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, uri], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    guard = threading.Timer(120, process.kill)
    guard.start()
    try:
        url = process.stdout.readline().strip()
        base = url.partition("/#")[0]
        assert url.startswith("http://127.0.0.1:")
        assert "/#/experiments/1/runs" in url
        with urllib.request.urlopen(f"{base}/health", timeout=10) as answer:
            assert answer.status == 200
        children = descendants(process.pid)
        assert children
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read().strip() == "ended"
        assert process.wait(20) == 0
        deadline = time.monotonic() + 10
        while any(map(is_alive, children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(is_alive, children))
    finally:
        guard.cancel()
        process.kill()


def test_an_unknown_study_or_database_is_named(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no study 'absent'"):
        serve(uri, "absent")
    with pytest.raises(StoreError, match="no such database"):
        serve(f"sqlite:///{tmp_path}/none.db", "study")
    assert not (tmp_path / "none.db").exists()


def test_a_server_is_not_started_over_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    class Experiment:
        experiment_id = "3"
        tags: dict[str, str] = {}  # noqa: RUF012 (stands for an attribute of MLflow's)

    monkeypatch.setattr("study.tracking.ui._find", lambda uri, study: Experiment())
    urls: list[str] = []
    serve("http://host:5000", "study", on_ready=urls.append)
    assert urls == ["http://host:5000/#/experiments/3/runs"]
