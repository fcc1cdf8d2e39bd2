"""A claim of the paper as a user writes it: ``reports/claims.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from study.analysis.lint.text import CellRef
from study.analysis.published import Sentence
from study.spec.base import Spec
from study.spec.experiment import Name

RowName = Annotated[str, Field(min_length=1, max_length=80)]
"""A row of an experiment."""
Rows = tuple[RowName, ...]


class ExperimentTest(Spec):
    """What all tests have in common: they are about the rows of one experiment."""

    experiment: Name
    """The experiment whose trials, or whose rows' costs, are looked at."""

    @property
    def rows(self) -> Rows:
        """The rows that it names, each once."""
        return tuple(dict.fromkeys(row for pair in self.pairs for row in pair))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Rows that are compared, first minus second (or first over second)."""
        return ()

    @property
    def named_datasets(self) -> tuple[str, ...]:
        """Data sets that it names."""
        return ()


class AccuracyTest(ExperimentTest):
    """Top-1 accuracies: a row above others, or rows in ascending order. Every pair has to hold."""

    type: Literal["accuracy"]
    dataset: Name | None = None
    """The data set, where the experiment has several; the first when null."""
    arm: RowName | None = None
    """The row that is claimed to be higher."""
    above: Rows = ()
    """The rows that it is claimed to be higher than."""
    ascending: Rows = ()
    """Instead of ``arm`` and ``above``: rows, each claimed to be higher than the one before."""
    tolerance_points: float = Field(default=1.0, gt=0)
    """For a claim of value: how far from the print a difference may be and still count as reproduced."""

    @model_validator(mode="after")
    def _check(self) -> AccuracyTest:
        if bool(self.ascending) == bool(self.arm and self.above) or bool(self.arm) != bool(self.above):
            raise ValueError("give either 'arm' and 'above', or 'ascending'")
        _check_rows(self.ascending, self.arm, self.above)
        return self

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The higher and the lower row of every comparison."""
        if self.arm:
            return tuple((self.arm, other) for other in self.above)
        return tuple(zip(self.ascending[1:], self.ascending[:-1], strict=True))

    @property
    def named_datasets(self) -> tuple[str, ...]:
        """The data set, if it names one."""
        return (self.dataset,) if self.dataset else ()


class GainTest(ExperimentTest):
    """What one row gains over another is larger on one data set than on another."""

    type: Literal["gain"]
    arm: RowName
    """The row that gains."""
    over: RowName
    """The row that it is compared with."""
    larger_on: Name
    """The data set where the gain is claimed to be larger."""
    than_on: Name
    """The data set where it is claimed to be smaller."""

    @model_validator(mode="after")
    def _check(self) -> GainTest:
        if self.larger_on == self.than_on:
            raise ValueError("'larger_on' and 'than_on' name the same data set")
        _check_rows((), self.arm, (self.over,))
        return self

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The two rows."""
        return ((self.arm, self.over),)

    @property
    def named_datasets(self) -> tuple[str, ...]:
        """Both data sets."""
        return (self.larger_on, self.than_on)


class CostTest(ExperimentTest):
    """Counted costs of one view at the paper's scale. Every pair has to hold."""

    type: Literal["cost"]
    metric: Literal["params_m", "gmacs_per_view"]
    """Parameters in millions, or multiply-accumulates of a view in billions."""
    arm: RowName | None = None
    """The row that is claimed to be cheaper, or the numerator of the ratio."""
    below: Rows = ()
    """The rows that it is claimed to be cheaper than."""
    descending: Rows = ()
    """Instead of ``arm`` and ``below``: rows, each claimed to be cheaper than the one before."""
    ratio_to: RowName | None = None
    """Instead of ``below``: the denominator of a ratio that is claimed to be the printed one, within rounding."""

    @model_validator(mode="after")
    def _check(self) -> CostTest:
        given = [name for name in ("below", "descending", "ratio_to") if getattr(self, name)]
        if len(given) != 1 or (given == ["descending"]) == bool(self.arm):
            raise ValueError("give 'arm' with one of 'below' and 'ratio_to', or 'descending' alone")
        _check_rows(self.descending, self.arm, (*self.below, *filter(None, [self.ratio_to])))
        return self

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The cheaper and the dearer row, or numerator and denominator."""
        if self.arm:
            return tuple((self.arm, other) for other in self.below or (self.ratio_to or "",))
        return tuple(zip(self.descending[1:], self.descending[:-1], strict=True))


class SpeedTest(ExperimentTest):
    """The speed of one row over that of another, videos in a second, as ``bench`` measured both side by side."""

    type: Literal["speed"]
    arm: RowName
    """The row that is claimed to be faster."""
    over: RowName
    """The row that it is compared with."""
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    """For a claim of value: how far from the print, as a fraction of it, a ratio may be and still count as
    reproduced."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The faster and the slower row."""
        return ((self.arm, self.over),)


class TrendTest(ExperimentTest):
    """The temporal attention coefficient is higher in the deeper half of the blocks than in the shallower half."""

    type: Literal["attention_trend"]
    arm: RowName
    """The row whose coefficients are looked at."""
    datasets: tuple[Name, ...] = ()
    """The data sets on each of which it has to hold; the first of the experiment when empty."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The row, twice: it is compared with itself."""
        return ((self.arm, self.arm),)

    @property
    def named_datasets(self) -> tuple[str, ...]:
        """The data sets."""
        return self.datasets


class AttentionSide(Spec):
    """Trials whose mean temporal attention coefficient is taken."""

    arm: RowName
    """The row."""
    dataset: Name | None = None
    """The data set, where the experiment has several; the first when null."""


class AttentionTest(ExperimentTest):
    """The mean temporal attention coefficient of some trials is higher than that of others."""

    type: Literal["attention_difference"]
    higher: AttentionSide
    """Those where it is claimed to be higher."""
    lower: AttentionSide
    """Those where it is claimed to be lower."""

    @model_validator(mode="after")
    def _check(self) -> AttentionTest:
        if self.higher == self.lower:
            raise ValueError("'higher' and 'lower' are the same trials")
        return self

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The two rows."""
        return ((self.higher.arm, self.lower.arm),)

    @property
    def named_datasets(self) -> tuple[str, ...]:
        """The data sets, as far as they are named."""
        return tuple(filter(None, (self.higher.dataset, self.lower.dataset)))


AnyTest = Annotated[
    AccuracyTest | GainTest | CostTest | SpeedTest | TrendTest | AttentionTest, Field(discriminator="type")
]


class ClaimSpec(Spec):
    """One claim of the paper, and how it is tested."""

    name: Name
    """Key, unique."""
    says: Sentence = Field(min_length=1)
    """The claim in our own words, a sentence."""
    statement: Name | None = None
    """The statement of ``reports/published/text.yaml`` that it is; it gives place, quote, cells and the number that
    the prose prints, as far as they are not given here."""
    place: Sentence = ""
    """Where the paper makes it; that of the statement when empty."""
    quote: Sentence = ""
    """A few words of the paper; those of the statement when empty."""
    cells: tuple[CellRef, ...] = ()
    """The published cells that print it: table, row, column. The number shown as the paper's comes from them."""
    matter: Literal["direction", "value"] = "direction"
    """``direction``: which is larger, testable at any scale. ``value``: how much; of accuracies testable only at the
    paper's own scale and on its own data."""
    note: Sentence = ""
    """What a reader of the verdict has to know."""
    test: AnyTest
    """How it is tested."""

    @model_validator(mode="after")
    def _check(self) -> ClaimSpec:
        if not self.place and self.statement is None:
            raise ValueError("needs a 'place', or a 'statement' that has one")
        test, kind = self.test, self.test.type
        is_ratio = isinstance(test, CostTest) and test.ratio_to is not None
        if is_ratio and self.matter != "value":
            raise ValueError("a ratio that is the printed one is a matter of value")
        if self.matter == "value" and not is_ratio and kind not in ("accuracy", "speed"):
            raise ValueError(f"a test of type '{kind}' is a matter of direction")
        if self.matter == "value" and kind == "accuracy" and len(test.pairs) != 1:
            raise ValueError("a claim of value compares two rows")
        if self.matter == "value" and not (self.statement or len(self.cells) == 2):
            raise ValueError("a claim of value needs a 'statement', or two 'cells'")
        return self


class ClaimsFile(Spec):
    """The claims, in the order in which the report shows them."""

    source: str
    """The paper."""
    claims: tuple[ClaimSpec, ...] = Field(min_length=1)
    """The claims."""

    @model_validator(mode="after")
    def _check(self) -> ClaimsFile:
        names = [claim.name for claim in self.claims]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"claims named twice: {', '.join(twice)}")
        return self


def _check_rows(ordered: Rows, arm: str | None, others: Rows) -> None:
    """Raise ValueError where a row would be compared with itself."""
    if ordered and len(ordered) < 2:
        raise ValueError("an order needs two rows or more")
    rows = [*ordered, *([arm] if arm else []), *others]
    twice = sorted({row for row in rows if rows.count(row) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
