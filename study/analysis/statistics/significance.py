"""Tests of a difference between trained networks, and the correction for testing several."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import numpy as np
from scipy import signal, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from study.analysis.statistics.hits import PairedHits
from study.analysis.statistics.intervals import CUT


def exchange_arms(hits: PairedHits) -> float:
    """Two-sided p-value of the exact permutation test that exchanges the arms, video by video.

    A video's hits in all repeats change sides together, because repeats of one video are not independent. With one
    repeat this is McNemar's exact test. It is about these trained networks: seeds stay as they are. With several
    repeats no p-value is below 1e-11, where the arithmetic ends.
    """
    if len(hits.repeats) == 1:
        only_arm = int((hits.arm & ~hits.baseline).sum())
        only_baseline = int((hits.baseline & ~hits.arm).sum())
        return float(mcnemar([[0, only_arm], [only_baseline, 0]], exact=True).pvalue)
    totals = hits.arm.sum(axis=0, dtype=np.int64) - hits.baseline.sum(axis=0, dtype=np.int64)
    # Of n videos whose totals are +-size, a binomial number falls on the arm's side; sizes are independent.
    masses = np.ones(1)
    for size in range(1, len(hits.repeats) + 1):
        count = int((np.abs(totals) == size).sum())
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        masses = signal.fftconvolve(masses, spread)
    sums = np.arange(masses.size) - masses.size // 2
    return float(np.clip(masses[np.abs(sums) >= abs(totals.sum())].sum(), CUT, 1.0))


def correct_holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for their number (Holm 1979): the chance of one false alarm in all of them stays below the
    level, however they depend on each other, and those of one table share their baseline.
    """
    if not p_values:
        return ()
    gc.freeze()  # multipletests collects garbage, which takes a second where thousands of trials are in memory
    try:
        return tuple(float(p) for p in multipletests(p_values, method="holm")[1])
    finally:
        gc.unfreeze()
