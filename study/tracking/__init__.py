"""MLflow, where trials are browsed and reports are read from. The only package that imports mlflow.

Trials never talk to MLflow: each writes its folder (:mod:`study.spec.record`), and the driver mirrors
folders into MLflow with :class:`study.tracking.mirror.Mirror`. A dead server, driver or worker loses nothing:
the next pass brings MLflow up to date.

MLflow reads some of its settings when it is imported, so they are set here, before any module of this package
can import it. A value that the user has set stays.
"""

from __future__ import annotations

import os

SETTINGS = {
    # No usage statistics leave the machine.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # The default of seven retries holds a call to a dead server for four minutes, two of them for one reply. Every
    # pass of the mirror is a retry of its own; MLflow's would also send twice what a slow server has carried out.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # PostgreSQL's client would wait for the network's own limit, some two minutes.
    "PGCONNECT_TIMEOUT": "10",
    # A progress bar for each uploaded file would break the table that `launch` shows.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # So would two lines with addresses for each run that ends.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
