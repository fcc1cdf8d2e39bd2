"""What each block costs. One module a family, as in :mod:`study.spec.blocks`; importing them registers them."""

from study.cost.oracle.formulas import controls, cost_conv, motion, nonlocal_, shift, sth, temporal

__all__ = ["controls", "cost_conv", "motion", "nonlocal_", "shift", "sth", "temporal"]
