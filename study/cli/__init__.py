"""The command line: arguments and help. What a command does is in :mod:`study.commands`."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from study import __version__
from study.cli import archives, data, results, runtime, trials
from study.errors import StudyError

app = typer.Typer(
    name="run_study.py",
    help=(
        "Ablation and benchmarking studies for video action recognition.\n\n"
        "A study asks questions: each experiment under experiments/ is one question, one table, a handful of "
        "arms. [bold]launch[/bold] trains whatever is missing, [bold]report[/bold] writes the tables with the "
        "paper's numbers beside ours, [bold]ui[/bold] opens MLflow on every trial.\n\n"
        "Start with: [bold]run_study.py launch[/bold]  (a few minutes on two CPU cores, no GPU, no downloads)"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(data.app, name="data")
for command in (
    trials.plan,
    trials.launch,
    trials.cost,
    runtime.bench,
    results.report,
    trials.why,
    results.sync,
    archives.export,
    archives.import_,
    archives.verify,
    results.ui,
    results.lint,
    trials.new,
):
    app.command(command.__name__.rstrip("_"))(command)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; errors that the user can mend are printed plainly and end with exit code 2."""
    try:
        app()
    except StudyError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        for line in lines:
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone ("plan | head"): not an error.
        sys.stderr.close()
        sys.exit(141)
    except Exception:
        # A defect keeps its traceback, but not the password that a library may have quoted in its message.
        print(_redact(traceback.format_exc()), file=sys.stderr, end="")
        sys.exit(1)


def _redact(text: str) -> str:
    from study.tracking.redaction import redact_text

    words = [word.partition("--tracking-uri=")[2] or word for word in sys.argv[1:]]
    for address in (*words, os.environ.get("STUDY_TRACKING_URI", "")):
        if "://" in address:
            text = redact_text(text, address)
    return text
