"""``report --check``: whether a report still says what the present files would say, and is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from study.commands.report_manifest import compare_inputs
from study.commands.runtimes import collect_stored, mark_runtimes
from study.errors import SpecError
from study.reporting.manifest import ReportManifest, TrialMark, compare_files, read_manifest
from study.running.fingerprint import fingerprint_code
from study.running.plan import Plan, PlannedTrial, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.runtime import load_runtimes
from study.spec.trial import Trial

UNAVAILABLE = "unavailable"
"""What a plan has for the digest of data or weights that are not at hand."""


@dataclass
class CheckResult:
    """What a check found.

    Attributes:
        problems: a line for each thing that is out of date or was changed by hand; none if all is well.
        unchecked: a line for each thing that could not be looked at here.
        trials: trials of the report.
        files: files of the report.
    """

    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    trials: int = 0
    files: int = 0


def show_check(folder: Path, storage: Path, *, own: bool, profile: str | None = None) -> int:
    """Check the report in ``folder`` and print what was found, one line each.

    Args:
        folder: the report's.
        storage: directory of the study; it need not exist.
        own: whether the report is the store's own, so that all its records must be the store's.
        profile: path of the profile, where it does not lie below ``experiments/profiles``.

    Returns:
        The exit code: 0 if all is well, 1 if not.

    Raises:
        StoreError: when the folder holds no report with a readable manifest.
    """
    result = check_report(folder, Store.at(storage), own=own, profile=profile)
    for line in result.unchecked:
        print(f"{folder}: not checked: {line}")
    for line in result.problems:
        print(f"{folder}: {line}")
    if not result.problems:
        print(f"{folder}: up to date and as it was written ({result.trials} trials, {result.files} files)")
    return 1 if result.problems else 0


def check_report(folder: Path, store: Store, *, own: bool, profile: str | None = None) -> CheckResult:
    """What :func:`show_check` prints."""
    manifest = read_manifest(folder)
    result = CheckResult(trials=len(manifest.trials), files=len(manifest.files))
    result.problems += compare_files(folder, manifest)
    request = manifest.request
    try:
        study = load_study(
            request.specs,
            profile=profile or request.profile,
            overrides=request.overrides,
            repeats=request.repeats,
        )
    except SpecError as error:
        result.problems += [f"its experiments can no longer be read: {line}" for line in error.problems]
        return result
    result.problems += compare_inputs(manifest.inputs, study)
    plan = make_plan(study, store)
    marks = {cell: mark for mark in manifest.trials for cell in mark.cells}
    now = _Rebuilt(plan, marks)
    result.unchecked += plan.warnings
    result.problems += now.compare_trials()
    result.problems += now.compare_code()
    if store.trials.is_dir():
        if own or _is_store_of(manifest, plan):
            result.problems += now.compare_records()
        else:
            result.unchecked.append(f"{store.root} holds none of the records that the report was made from")
    _compare_runtimes(result, manifest, plan, store, own=own or _is_store_of(manifest, plan))
    return result


def _compare_runtimes(
    result: CheckResult, manifest: ReportManifest, plan: Plan, store: Store, *, own: bool
) -> None:
    """Note in ``result`` every measurement of runtime that the report would show otherwise now."""
    before, now = manifest.runtimes, mark_runtimes(collect_stored(plan.study, store))
    stored = {record.runtime_id for record in load_runtimes(store.runtime)}
    if not own and not stored & set(before):
        if before:
            result.unchecked.append(f"{store.root} holds none of the measurements of runtime in the report")
        return
    for runtime_id in sorted(set(before) | set(now)):
        if before.get(runtime_id) == now.get(runtime_id):
            continue
        if runtime_id not in now:
            gone = "a newer one is there" if runtime_id in stored else "is gone from the store"
            result.problems.append(f"measurement of runtime {runtime_id}: {gone}")
        elif runtime_id not in before:
            result.problems.append(f"measurement of runtime {runtime_id}: is new")
        else:
            result.problems.append(
                f"measurement of runtime {runtime_id}: its arms, or their code, have changed since"
            )


def _is_store_of(manifest: ReportManifest, plan: Plan) -> bool:
    """Whether the store holds at least one record that the report was made from: ids alone are the same wherever
    the study is run.
    """
    ended = {(mark.id, mark.ended_at) for mark in manifest.trials if mark.ended_at is not None}
    return any(p.record and (p.trial_id, p.record.ended_at) in ended for p in plan.trials)


class _Rebuilt:
    """The trials that the present files imply, beside those of a report."""

    def __init__(self, plan: Plan, marks: dict[tuple[str, str, int], TrialMark]) -> None:
        self.trials, self.marks = plan.trials, marks
        self.cells: dict[tuple[str, str, int], PlannedTrial] = {
            (use.experiment, use.arm, use.repeat): planned for planned in plan.trials for use in planned.uses
        }
        self._ids: dict[str, str] = {}
        for planned in plan.trials:
            self._ids[planned.trial_id] = self._identify(planned)

    def _identify(self, planned: PlannedTrial) -> str:
        """Its id, with the report's own digest of data or weights that are not at hand."""
        mark = next((self.marks[cell] for cell in _cells(planned) if cell in self.marks), None)
        trial, parent = planned.trial, planned.parent
        data, weights = trial.data_digest, trial.weights_digest
        if mark is not None:
            data = mark.data_digest if data == UNAVAILABLE else data
            weights = mark.weights_digest if weights == UNAVAILABLE else weights
        origin = self._ids[parent.trial_id] if parent else ""
        return Trial(trial.settings, trial.repeat, data, weights, origin).trial_id

    def compare_trials(self) -> Iterator[str]:
        """A line for every arm of which a trial is another one now, is new or is gone."""
        changes: dict[tuple[str, str, str], list[int]] = {}
        for cell in dict.fromkeys([*self.marks, *self.cells]):
            what = self._describe_change(cell)
            if what:
                changes.setdefault((cell[0], cell[1], what), []).append(cell[2])
        for (experiment, arm, what), repeats in changes.items():
            yield f"{experiment}: {arm}, {_name_repeats(repeats)}: {what}"

    def _describe_change(self, cell: tuple[str, str, int]) -> str:
        mark, planned = self.marks.get(cell), self.cells.get(cell)
        if planned is None:
            return "the study has no such trial any more"
        if mark is None:
            return "the study has this trial now"
        if self._ids[planned.trial_id] == mark.id:
            return ""
        trial = planned.trial
        if trial.data_digest not in (mark.data_digest, UNAVAILABLE):
            return "its videos have changed (another data manifest)"
        if trial.weights_digest not in (mark.weights_digest, UNAVAILABLE):
            return "its file of initial weights has changed"
        return "its settings have changed, or those of the trial it starts from"

    def _known(self) -> Iterator[tuple[PlannedTrial, TrialMark]]:
        """The trials that are the same as the report's."""
        by_id = {mark.id: mark for mark in self.marks.values()}
        for planned in self.trials:
            mark = by_id.get(self._ids[planned.trial_id])
            if mark is not None:
                yield planned, mark

    def compare_code(self) -> Iterator[str]:
        """A line for every arm whose code is another one than when the report was written."""
        changed = [
            mark
            for planned, mark in self._known()
            if fingerprint_code(planned.trial.settings).digest != mark.code
        ]
        for experiment, arm in dict.fromkeys(
            (cell[0], cell[1]) for mark in changed for cell in mark.cells[:1]
        ):
            yield f"{experiment}: {arm}: the code that trains it has changed since"

    def compare_records(self) -> Iterator[str]:
        """A line for every trial whose record is another one than the report was made from."""
        for planned, mark in self._known():
            record = planned.record
            before = (mark.status, mark.ended_at)
            now = (record.status, record.ended_at) if record else ("", None)
            if before == now:
                continue
            where = f"{mark.cells[0][0]}: {mark.cells[0][1]}, repeat {mark.cells[0][2]} ({mark.id})"
            if record is None:
                yield f"{where}: its record is gone from the store"
            elif not mark.status:
                yield f"{where}: has finished since ({record.status})"
            else:
                yield f"{where}: was run again since ({mark.status}, now {record.status})"


def _cells(planned: PlannedTrial) -> list[tuple[str, str, int]]:
    return [(use.experiment, use.arm, use.repeat) for use in planned.uses]


def _name_repeats(repeats: list[int]) -> str:
    return f"repeat{'s' if len(repeats) > 1 else ''} {', '.join(map(str, sorted(repeats)))}"
