"""``export``, ``import`` and ``verify``: a study as one file, elsewhere the same study again."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from study.commands.progress import describe_use
from study.commands.report_manifest import describe_request
from study.commands.runtimes import collect_stored
from study.errors import StoreError
from study.reporting.manifest import MANIFEST_FILE, compare_files, read_manifest
from study.running.archive.layout import TEXT_LENGTH, ArchiveManifest, Exporter, StudyRequest
from study.running.archive.merge import Merged, check_runtimes, check_trials, merge_archive
from study.running.archive.read import open_archive
from study.running.archive.write import Source, dump_manifest, list_trial_files, write_archive
from study.running.plan import PlannedTrial, make_plan
from study.running.store import Store
from study.spec.loading import find_experiments
from study.spec.resolved import Study
from study.spec.trial import canonical_json, identity_dump

MOST_NAMED = 5
"""Trials that were left out of an archive and are named on the screen."""


def export_study(
    study: Study, storage: Path, target: Path, *, profile: str | None = None, checkpoints: bool = False
) -> ArchiveManifest:
    """Write what has finished of ``study`` into one file and say what it holds.

    A trial that is under way or was interrupted is left out: its checkpoint is of no use to who checks results, may be
    written to this moment, and who goes on from it elsewhere would have a trial of two machines. The manifest names it.

    Args:
        study: what to export; trials of other studies in the store are left out.
        storage: directory of the study.
        target: the file to write.
        profile: path of the profile, where it does not lie below ``experiments/profiles``.
        checkpoints: whether final weights go along.

    Raises:
        StoreError: when nothing has finished, or the file exists or cannot be written.
    """
    store, console = Store.at(storage), Console(highlight=False)
    plan = make_plan(study, store)
    finished = [planned.trial_id for planned in plan.trials if planned.record is not None]
    if not finished:
        reasons = [
            f"{store.root}: no trial of this study has finished, so there is nothing to export",
            *plan.warnings,
        ]
        raise StoreError("\n".join(reasons))
    sources: dict[str, Source] = {}
    for trial_id in finished:
        sources |= list_trial_files(store, trial_id, checkpoint=checkpoints)
    sources |= _list_runtimes(study, store)
    sources |= _list_specs(study, profile)
    if store.facts.exists():
        sources[store.facts.name] = store.facts
    left_out = {t.trial_id: _describe_unfinished(t) for t in plan.trials if t.record is None}
    notes = list(plan.warnings)
    if left_out:
        notes.append(
            f"{len(left_out)} trials of the request have not finished and are left out, what they had trained so far "
            f"too; the manifest names them: {'; '.join(islice(left_out.values(), MOST_NAMED))}"
            + ("; …" if len(left_out) > MOST_NAMED else "")
        )
    report, problem = _list_report(store.report)
    sources |= report
    notes += [problem] if problem else []
    request, exporter = _describe_study(study), _describe_exporter()
    manifest = write_archive(target, sources, request=request, exporter=exporter, left_out=left_out)
    size = sum(mark.size for mark in manifest.files.values()) / 1e6
    _say(console, f"{target}: {len(finished)} trials, {len(manifest.files)} files, {size:.1f} MB")
    for note in notes:
        _say(console, f"note: {note}")
    _say(console, f"digest: {hashlib.sha256(dump_manifest(manifest)).hexdigest()}")
    return manifest


def _describe_unfinished(planned: PlannedTrial) -> str:
    """Its first cell and where it stands, as a line of a manifest."""
    text = f"{describe_use(planned)}: {planned.reason}"
    return "".join(letter if letter.isprintable() else " " for letter in text)[:TEXT_LENGTH]


def _list_runtimes(study: Study, store: Store) -> dict[str, Source]:
    """The measurements of runtime that a report of ``study`` shows, by the names of their entries."""
    shown = collect_stored(study, store).records
    paths = [store.runtime / f"{record.runtime_id}.json" for record in shown]
    return {f"{store.runtime.name}/{path.name}": path for path in paths}


def import_archive(path: Path, storage: Path, *, videos: bool = True) -> Merged:
    """Take an archive into the store and say how to go on.

    Args:
        path: the archive.
        storage: directory of the study, made where there is none.
        videos: whether to make the synthetic videos that a report shows; they are not in the archive.

    Raises:
        StoreError: when the archive is refused; nothing has been added then.
    """
    store, console = Store.at(storage), Console(highlight=False)
    with _progress(console, "checking") as advance:
        merged = merge_archive(path, store, advance)
    _say(console, f"{store.root}: {len(merged.added)} trials added, {len(merged.kept)} were there already")
    for note in merged.notes:
        _say(console, f"note: {note}")
    if videos:
        _make_videos(store, merged)
    _say(console, f"specs and report of the archive: {merged.folder}")
    _say(console, f"digest: {merged.digest}")
    _say(console, f"next: {_suggest_report(merged, storage)}")
    return merged


def verify(path: Path | None, storage: Path, *, sample: int = 0) -> int:
    """Check an archive or a store and name every file that is wrong.

    Args:
        path: the archive; None to check the store.
        storage: directory of the study.
        sample: trials to train again, in a scratch folder, to compare their metrics.

    Returns:
        The exit code: 0 all holds together, 1 not.

    Raises:
        StoreError: when there is no such archive or store, or it is none that can be opened.
    """
    console = Console(highlight=False)
    if path is not None:
        return _verify_archive(path, sample, console)
    store = Store.at(storage)
    if not store.trials.is_dir():
        raise StoreError(f"{store.root}: holds no trials; name the directory of the study with --storage")
    ids = tuple(sorted(record.parent.name for record in store.trials.glob("*/record.json")))
    with _progress(console, "checking") as advance:
        problems = check_trials(store.root, ids, advance)
    problems += check_runtimes(store.root)
    if (store.report / MANIFEST_FILE).exists():
        problems += [f"report/{text}" for text in compare_files(store.report, read_manifest(store.report))]
    return _conclude(store.root, store.root, ids, problems, sample, store.data, console)


def _verify_archive(path: Path, sample: int, console: Console) -> int:
    with open_archive(path) as archive, tempfile.TemporaryDirectory(prefix="study-verify-") as scratch:
        folder = Path(scratch) / "archive"
        folder.mkdir()
        problems = archive.extract(folder)
        changed = {text.split(":")[0] for text in problems}
        with _progress(console, "checking") as advance:
            found = check_trials(folder, archive.manifest.trials, advance)
        found += check_runtimes(folder)
        # That a changed file no longer fits the others needs no saying.
        problems += [text for text in found if text.split(":")[0] not in changed]
        report = folder / "report"
        if (report / MANIFEST_FILE).exists():
            found = [f"report/{text}" for text in compare_files(report, read_manifest(report))]
            problems += [text for text in found if text.split(":")[0] not in changed]
        _say(console, f"{path}: digest {archive.digest}")
        data = Path(scratch) / "data"
        return _conclude(path, folder, archive.manifest.trials, problems, sample, data, console)


def _conclude(
    shown: Path,
    folder: Path,
    ids: tuple[str, ...],
    problems: list[str],
    sample: int,
    data: Path,
    console: Console,
) -> int:
    """Say what was found below ``folder``; train a sample again only when all else is well."""
    for text in problems:
        _say(console, f"{shown}: {text}", style="red")
    if problems:
        return 1
    what = "files are readable, ids follow from settings, metrics from stored scores"
    _say(console, f"{shown}: {len(ids)} trials hold together: {what}")
    if not sample:
        return 0
    from study.commands.rerun import rerun_sample

    return rerun_sample(folder, ids, sample, data, lambda text: _say(console, text))


def _list_specs(study: Study, profile: str | None) -> dict[str, Source]:
    """The files of the experiments and the profile, and all arms resolved, without places where files lie."""
    found = find_experiments() / "profiles" / f"{study.profile.name}.yaml"
    given = Path(profile) if profile and Path(profile).is_file() else found
    resolved = {
        experiment.name: {
            "spec": identity_dump(experiment.spec),
            "repeats": experiment.repeats,
            "arms": {arm.name: identity_dump(arm.settings) for arm in experiment.arms},
        }
        for experiment in study.experiments
    }
    specs: dict[str, Source] = {f"specs/experiments/{e.name}.yaml": e.path for e in study.experiments}
    specs[f"specs/profiles/{study.profile.name}.yaml"] = given
    specs["specs/resolved.json"] = f"{canonical_json(resolved)}\n".encode()
    return specs


def _list_report(folder: Path) -> tuple[dict[str, Source], str]:
    """The files of the report in ``folder``; none, and why, when it is not as it was written."""
    if not (folder / MANIFEST_FILE).exists():
        return {}, f"{folder} holds no report, so none is in it"
    manifest = read_manifest(folder)
    problems = compare_files(folder, manifest)
    if problems:
        return {}, f"the report is not in it: {folder / problems[0]}; write it again with run_study.py report"
    return {f"report/{name}": folder / name for name in (*manifest.files, MANIFEST_FILE)}, ""


def _describe_study(study: Study) -> StudyRequest:
    request = describe_request(study)
    return StudyRequest(
        study=study.name,
        experiments=study.requested,
        profile=study.profile.name,
        overrides=study.overrides,
        repeats=request.repeats,
    )


def _describe_exporter() -> Exporter:
    import torch

    from study.running.environment import describe_environment

    here = describe_environment(torch.device("cpu"))
    packages = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return Exporter(
        python=here.python,
        platform=here.platform,
        git_commit=here.git_commit,
        packages=dict(sorted(packages.items())),
    )


MOST_PIXELS = 5e9
"""Pixels of the synthetic videos that an import makes unasked: ten times those of the laptop's data sets."""


def _make_videos(store: Store, merged: Merged) -> None:
    """Make the synthetic videos of the imported trials, unless somebody else's settings ask for very many."""
    from study.data.catalog import open_dataset
    from study.spec.datasets.synthetic import SyntheticDataset
    from study.spec.trial import Trial

    wanted = {}
    for trial_id in (*merged.added, *merged.kept):
        record = store.record(trial_id)
        spec = Trial.from_json(record.trial).settings.data if record else None
        if isinstance(spec, SyntheticDataset):
            wanted[spec.model_dump_json()] = spec
    left = MOST_PIXELS
    for spec in wanted.values():
        left -= (spec.train_videos + spec.val_videos) * spec.frames * spec.size**2
        if left < 0:
            merged.notes.append(
                "not all synthetic videos were made: they are very many; a report shows none of them"
            )
            return
        open_dataset(spec, store.data).prepare()


def _suggest_report(merged: Merged, storage: Path) -> str:
    """The command that makes the report of the imported study."""
    request, specs, here = merged.manifest.request, merged.folder / "specs", find_experiments()

    def locate(kind: str, name: str) -> str:
        """The name where this checkout has the same file, else the path of the archive's."""
        own, brought = (
            here / kind / f"{name}.yaml",
            specs / ("experiments" if kind == "." else kind) / f"{name}.yaml",
        )
        same = own.is_file() and brought.is_file() and own.read_bytes() == brought.read_bytes()
        return name if same or not brought.is_file() else str(brought)

    words = ["uv", "run", "run_study.py", "report", *(locate(".", name) for name in request.experiments)]
    words += ["--profile", locate("profiles", request.profile)]
    if request.repeats:
        words += ["--repeats", str(request.repeats)]
    for override in request.overrides:
        words += ["--set", override]
    return shlex.join([*words, "--storage", str(storage)])


@contextmanager
def _progress(console: Console, text: str) -> Iterator[Callable[[int, int], None]]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, soft_wrap=True)
