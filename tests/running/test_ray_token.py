"""The token of a local Ray is in no file, and a file of tokens is for its owner only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from study.running.ray_token import TOKEN_FILE, protect_token_file, set_up_local_token

VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)


def test_a_local_ray_gets_a_token_of_its_own() -> None:
    set_up_local_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(bytes.fromhex(token)) == 32
    set_up_local_token()
    assert os.environ["RAY_AUTH_TOKEN"] == token, "a second run of this process talks to Ray's cached token"


@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_what_the_user_has_set_stands(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    set_up_local_token()
    assert os.environ["RAY_AUTH_MODE"] == mode
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_a_token_file_that_others_can_read_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    protect_token_file()  # nothing there: nothing to do
    path = tmp_path / TOKEN_FILE
    path.parent.mkdir()
    path.write_text("secret")
    path.chmod(0o644)
    protect_token_file()
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    (tmp_path / "elsewhere").write_text("secret")
    (tmp_path / "elsewhere").chmod(0o644)
    path.symlink_to(tmp_path / "elsewhere")  # as Kubernetes mounts secrets: not ours to change
    protect_token_file()
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o644
