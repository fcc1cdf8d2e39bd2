"""Costs of trials, from the store's cache or counted on demand."""

from __future__ import annotations

from study.cost.cache import CostCache
from study.data.catalog import open_dataset
from study.errors import DataError
from study.running.store import Store
from study.spec.record import Cost
from study.spec.trial import TrialSettings


class CostBook:
    """What trials cost. Looking up imports no torch; counting does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache = CostCache(store.costs)
        self._known: dict[str, Cost | None] = {}

    def count_classes(self, settings: TrialSettings) -> int | None:
        """Number of classes of the data set; None when it cannot be told because the data are not at hand."""
        try:
            return open_dataset(settings.data, self._store.data).num_classes
        except DataError:
            return None

    def find(self, settings: TrialSettings, *, count: bool, num_classes: int | None = None) -> Cost | None:
        """The cost of one view with ``settings``, for the data set's number of classes unless told another.

        None when it is unknown and ``count`` is false, or when the number of classes is not to be had.
        """
        classes = num_classes or self.count_classes(settings)
        if classes is None:
            return None
        clip = settings.clip
        key = f"{settings.model.model_dump_json()} {classes} {clip.frames} {clip.size} {clip.channels}"
        if self._known.get(key) is None:
            geometry = {
                "num_classes": classes,
                "frames": clip.frames,
                "size": clip.size,
                "in_channels": clip.channels,
            }
            cost = self._cache.lookup(settings.model, **geometry)
            if cost is None and count:
                from study.cost.count import count_cost

                cost = count_cost(settings.model, **geometry)
                self._cache.store(cost, settings.model, **geometry)
            self._known[key] = cost
        return self._known[key]
