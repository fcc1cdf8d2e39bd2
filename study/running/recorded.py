"""What finished trials say of data and weights that are not at hand here."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from study.errors import StoreError
from study.running.store import Store
from study.spec.datasets import AnyDataset
from study.spec.model import ModelSpec
from study.spec.trial import Trial, identity_dump


class RecordedDigests:
    """Digests as the records of a store have them, so that an imported study can be reported without its videos.

    Args:
        store: whose records are read, once and only when they are asked for.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_data(self, spec: AnyDataset) -> str | None:
        """The digest of the videos that all finished trials on this data set saw; None without, or with several."""
        wanted = identity_dump(spec)
        return self._agree(lambda t: t.data_digest if identity_dump(t.settings.data) == wanted else None)

    def of_weights(self, spec: ModelSpec) -> str | None:
        """Likewise of the file of initial weights."""
        wanted = (spec.backbone, identity_dump(spec.init))

        def digest(trial: Trial) -> str | None:
            model = trial.settings.model
            return trial.weights_digest if (model.backbone, identity_dump(model.init)) == wanted else None

        return self._agree(digest)

    def _agree(self, digest: Callable[[Trial], str | None]) -> str | None:
        found = {value for trial in self._trials if (value := digest(trial))}
        return found.pop() if len(found) == 1 else None

    @cached_property
    def _trials(self) -> list[Trial]:
        trials = []
        for path in sorted(self._store.trials.glob("*/record.json")):
            try:
                record = self._store.record(path.parent.name)
                if record is not None:
                    trials.append(Trial.from_json(record.trial))
            except (StoreError, ValueError, KeyError, TypeError):
                continue  # the plan tells of records that cannot be read where they belong to it
        return trials
