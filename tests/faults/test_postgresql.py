"""PostgreSQL behind MLflow, for real: eight processes write at once, directly and through a server."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.tracking.mirror import Mirror, MirrorItem
from study.tracking.read import load_curves, load_runs
from study.tracking.store import connect
from tests import fabricated
from tests.faults.conftest import make_item
from tests.faults.processes import free_port, serving

pytestmark = pytest.mark.slow
WRITERS = 8
WRITE = """
import sys
from pathlib import Path
from study.tracking.mirror import Mirror
from tests.faults.conftest import make_item
uri, folder, repeat = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
item = make_item(folder, repeat)
sys.stdin.readline()
report = Mirror(uri, "study", folder / "artifacts").sync([item], force=True)
print(report.created, report.errors)
"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Address of an empty database of a PostgreSQL of our own, on loopback."""
    pytest.importorskip("psycopg", reason="the driver is absent: install the extra 'postgres'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    if os.getuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    user = "postgres" if os.getuid() == 0 else getpass.getuser()
    prefix = ["runuser", "-u", user, "--"] if os.getuid() == 0 else []
    folder, port = Path(tempfile.mkdtemp(prefix="postgresql-")), free_port()
    try:
        if prefix:
            shutil.chown(folder, user)
        data = str(folder / "data")
        run = [*prefix, str(found[-1]), "-D", data, "-U", "tester", "-A", "trust", "--no-sync"]
        subprocess.run(run, check=True, capture_output=True, cwd="/")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        control = [*prefix, str(found[-1].with_name("pg_ctl")), "-D", data, "-w"]
        log = str(folder / "log")
        subprocess.run(
            [*control, "-l", log, "-o", options, "start"], check=True, capture_output=True, cwd="/"
        )
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def uri(postgresql: str, request: pytest.FixtureRequest) -> str:
    """Address of a new database."""
    import psycopg

    name = f"d{abs(hash(request.node.name))}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return postgresql.rpartition("/")[0] + f"/{name}"


def write_at_once(uri: str, folder: Path) -> list[str]:
    """What eight processes say that write a trial each, all at the same moment."""
    root = str(Path(__file__).resolve().parents[2])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, uri, str(folder), str(repeat)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for repeat in range(WRITERS)
    ]
    time.sleep(1)
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    return [writer.communicate(timeout=180)[0].strip() for writer in writers]


def check_complete(uri: str, study: str) -> None:
    client = connect(uri)
    experiment = client.get_experiment_by_name(study)
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * WRITERS
    assert sorted(run.data.tags["repeat"] for run in runs) == [str(repeat) for repeat in range(WRITERS)]
    curves = load_curves(uri, load_runs(uri, study), ["train/loss", "lr"])
    counts = curves.groupby(["trial_id", "metric"])["step"].apply(list)
    assert len(counts) == 2 * WRITERS
    assert all(steps == list(range(fabricated.EPOCHS)) for steps in counts)


def test_eight_trials_at_once(uri: str, tmp_path: Path) -> None:
    """The experiment is not there yet: seven of eight find that another has just made it."""
    Mirror(uri, "other", tmp_path / "artifacts").prepare()  # the tables, as a first launch leaves them
    assert write_at_once(uri, tmp_path) == ["1 []"] * WRITERS
    check_complete(uri, "study")


def test_eight_trials_at_once_through_a_server(uri: str, tmp_path: Path) -> None:
    with serving(tmp_path / "server", backend=uri) as server:
        assert write_at_once(server.uri, tmp_path) == ["1 []"] * WRITERS
        check_complete(server.uri, "study")


def test_a_database_without_tables_survives_eight_first_visitors(uri: str, tmp_path: Path) -> None:
    """Some of them fail, as each wants to make the tables; the next pass writes everything."""
    write_at_once(uri, tmp_path)
    items: list[MirrorItem] = [make_item(tmp_path, repeat) for repeat in range(WRITERS)]
    assert Mirror(uri, "study", tmp_path / "artifacts").sync(items, force=True).errors == []
    check_complete(uri, "study")
