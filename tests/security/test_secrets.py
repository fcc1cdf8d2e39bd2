"""The password in a tracking address appears in nothing that is printed, written or sent."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study import cli
from study.errors import StudyError
from study.running.store import Store
from study.tracking.mirror import Mirror
from study.tracking.read import load_runs
from study.tracking.redaction import MASK, first_line, public_base, redact_text, redact_uri
from study.tracking.store import check_uri
from study.tracking.ui import serve
from tests.conftest import REPOSITORY
from tests.faults.processes import free_port, serving
from tests.running.conftest import TOY

SECRET = "hunter2s3cret"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"postgresql://me:{SECRET}@host:5432/db", "postgresql://***@host:5432/db"),
        (
            f"postgresql+psycopg://me:{SECRET}@host/db?sslmode=require",
            "postgresql+psycopg://***@host/db?sslmode=***",
        ),
        (f"http://{SECRET}@host:5000/path", "http://***@host:5000/path"),
        (f"https://host/?token={SECRET}&x=1", "https://host/?token=***&x=***"),
        (f"https://host/mlflow;token={SECRET}", "https://host/mlflow;token=***"),
        (f"https://host/#{SECRET}", "https://host/#***"),
        # Signs that should have been escaped, and people forget to.
        (f"postgresql://me:a@b/c?d=e#f{SECRET}@host/db", "postgresql://***@host/db"),
        (f"postgresql:/me:{SECRET}@host/db", "postgresql:/***@host/db"),
        (f"me:{SECRET}@host/db", "me:***@host/db"),
        (f"http://me:{SECRET}@[bad", "http://***@[bad"),
        (f"http://me:{SECRET}\n@host", "http://***@host"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/me@work/runs/mlflow.db", "sqlite:////home/me@work/runs/mlflow.db"),
        ("", ""),
    ],
)
def test_addresses(uri: str, shown: str) -> None:
    assert redact_uri(uri) == shown
    assert redact_uri(shown) == shown
    assert SECRET not in public_base(uri)
    assert MASK not in public_base(uri) or uri.startswith("me:") or "/me:" in uri or ";" in uri


@given(
    scheme=st.sampled_from(["http", "https", "postgresql", "mysql+pymysql"]),
    user=st.text(st.characters(categories=["L", "N"]), max_size=5),
    secret=st.text(min_size=6, max_size=12),
    tail=st.sampled_from(["/db", ":80/x?y=1", "", "/?a=b;c=d"]),
)
def test_no_password_survives(scheme: str, user: str, secret: str, tail: str) -> None:
    uri = f"{scheme}://{user}:{secret}@host{tail}"
    text = f"could not open {uri}: refused for {secret}"
    assert redact_uri(uri).startswith(f"{scheme}://{MASK}@host")
    if (
        secret not in redact_uri(f"{scheme}://x@host{tail}")
        and secret not in "could not open refused for ***@://"
    ):
        assert secret not in redact_uri(uri)
        assert secret not in redact_text(text, uri)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"API request to http://me:{SECRET}@h:1/api failed", "API request to http://***@h:1/api failed"),
        (f"auth failed for {SECRET}!", "auth failed for ***!"),
        ("auth failed for p%40ss", "auth failed for ***"),
        ("auth failed for p@ss", "auth failed for ***"),
        ("to postgresql://other:thing@h/db", "to postgresql://***@h/db"),
        ("host=h password=thing user=u", "host=h password=*** user=u"),
        ("a short ab in cabin", "a short *** in cabin"),
    ],
)
def test_texts_of_other_libraries(text: str, shown: str) -> None:
    for secret in (SECRET, "p%40ss", "ab"):
        text = redact_text(text, f"http://me:{secret}@h:1")
    assert text == shown
    assert first_line(ValueError(f"{SECRET}\nmore"), f"http://{SECRET}@h") == "ValueError: ***"


BROKEN = (
    f"http://me:{SECRET}@127.0.0.1:9",
    f"http://127.0.0.1:9/?token={SECRET}",
    f"postgresql://me:{SECRET}@127.0.0.1:9/db",
    f"postgresql://me:{SECRET}@127.0.0.1:port/db",
    f"mysql://me:{SECRET}@127.0.0.1:9/db",
    f"postgresql+nodriver://me:{SECRET}@127.0.0.1:9/db",
    f"http://me:{SECRET}@[bad",
    f"ftp://me:{SECRET}@host",
    f"me:{SECRET}@host/db",
)


@pytest.mark.parametrize("uri", BROKEN)
def test_errors_and_their_tracebacks(uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def attempt_mirror() -> None:
        mirror = Mirror(uri, "s", tmp_path)
        said.extend(mirror.prepare())
        said.extend(mirror.describe([]))

    said: list[str] = []
    for attempt in (
        lambda: check_uri(uri),
        lambda: load_runs(uri, "s"),
        lambda: serve(uri, "s", port=free_port()),
        attempt_mirror,
    ):
        try:
            attempt()
        except StudyError:
            said.append(traceback.format_exc())
    assert len(said) >= 3
    out, err = capfd.readouterr()
    assert SECRET not in "\n".join([*said, out, err])


def run_command(
    arguments: list[str], uri: str, *, by_environment: bool = False
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "run_study.py"), *arguments]
    environment = os.environ | ({"STUDY_TRACKING_URI": uri} if by_environment else {})
    command += [] if by_environment else ["--tracking-uri", uri]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=REPOSITORY, env=environment, timeout=300, check=False
    )


def find_secret(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and (SECRET.encode() in path.read_bytes() or SECRET in path.name)
    ]


SETTINGS = [word for text in TOY for word in ("--set", text)]


@pytest.mark.slow
@pytest.mark.parametrize(("uri", "later"), [(BROKEN[0], "report"), (BROKEN[2], "sync")])
def test_a_launch_with_an_address_that_does_not_answer(uri: str, later: str, store: Store) -> None:
    launch = ["launch", "table8", "--engine", "inline", *SETTINGS, "--storage", str(store.root)]
    run = run_command(launch, uri)
    assert run.returncode in (0, 1, 2)
    assert "***@127.0.0.1:9" in run.stdout + run.stderr
    again = [later, "table8", *SETTINGS, "--storage", str(store.root)]
    for done in (run, run_command(again, uri, by_environment=True)):
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert find_secret(store.root) == []


@pytest.mark.slow
def test_a_launch_with_a_server_that_answers(store: Store, tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server:
        uri = server.uri.replace("://", f"://me:{SECRET}@")
        launch = ["launch", "table8", "--engine", "inline", *SETTINGS, "--storage", str(store.root)]
        runs = [run_command(launch, uri), run_command(["ui"], uri)]
    assert [run.returncode for run in runs] == [0, 0]
    assert "--tracking-uri http://***@127.0.0.1:" in runs[0].stdout
    assert f"MLflow: {server.uri}/#/experiments/" in runs[1].stdout
    assert SECRET not in "".join(run.stdout + run.stderr for run in runs)
    assert (store.root / "reported.json").exists()
    # Neither in the store with its report, nor in what the server was sent: database, artifacts, log.
    assert find_secret(store.root) == []
    assert find_secret(tmp_path / "server") == []


def test_a_defect_keeps_its_traceback_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"postgresql://me:{SECRET}@host/db"

    def fail() -> None:
        raise RuntimeError(f"could not parse {uri}, or {SECRET}")

    monkeypatch.setattr(cli, "app", fail)
    for arguments in (["--tracking-uri", uri], [f"--tracking-uri={uri}"]):
        monkeypatch.setattr(sys, "argv", ["run_study.py", "launch", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 1
        said = capsys.readouterr().err
        assert "in fail" in said
        assert "RuntimeError: could not parse postgresql://***@host/db, or ***" in said
        assert SECRET not in said
