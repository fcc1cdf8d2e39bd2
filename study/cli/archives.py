"""The commands that carry a study elsewhere: export, import, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import STORAGE, ProfileOption, RepeatsOption, SetOption, Specs, StorageOption


def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, e.g. study.zip.")],
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also take the final weights along.")
    ] = False,
) -> None:
    """Write a study into one file: specs, records, scores, report, and the digest of each.

    The same study gives the same bytes. Nothing is trained and MLflow is not asked. Trials that have not finished are
    left out; the archive's manifest names them.
    """
    from study.commands.archive import export_study
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    export_study(study, storage, target, profile=profile, checkpoints=checkpoints)


def import_(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that export wrote.")],
    storage: StorageOption = STORAGE,
    no_videos: Annotated[
        bool, typer.Option("--no-videos", help="Do not make the synthetic videos that a report shows.")
    ] = False,
) -> None:
    """Take an archive into the store. Nothing is overwritten, and nothing is added before all of it is checked."""
    from study.commands.archive import import_archive

    import_archive(archive, storage, videos=not no_videos)


def verify(
    archive: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An archive. Default: the store.", show_default=False),
    ] = None,
    storage: StorageOption = STORAGE,
    sample: Annotated[
        int, typer.Option("--sample", metavar="K", min=0, help="Train K trials again and compare.")
    ] = 0,
) -> None:
    """Check that an archive or a store is as it was written, and name every file that is not.

    Every file is readable, every id follows from its settings, every metric from the stored scores; in an archive
    every digest is the manifest's. With --sample some trials are trained again, in a scratch folder.

    Exit codes: 0 all holds together, 1 something does not, 2 it is no archive or store.
    """
    from study.commands.archive import verify as run

    raise typer.Exit(run(archive, storage, sample=sample))
