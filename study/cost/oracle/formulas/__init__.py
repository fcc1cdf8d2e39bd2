"""What each block costs. One module a family, as in :mod:`study.spec.blocks`; importing them registers them."""

from study.cost.oracle.formulas import controls, sth

__all__ = ["controls", "sth"]
