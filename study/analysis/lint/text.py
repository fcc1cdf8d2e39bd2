"""What the paper's prose says in numbers or in comparisons, as typed statements: ``reports/published/text.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from study.analysis.published import Sentence, find_reports
from study.errors import SpecError
from study.spec.base import Positive, Proportion, Spec
from study.spec.experiment import Name
from study.spec.loading import validate
from study.spec.yaml import load_document

Relation = Literal[
    "equals", "difference", "ratio", "product_sum", "above", "below", "best", "decreasing", "like"
]
CellRef = tuple[str, str, str]
"""Table, row, column."""
NUMERIC: tuple[Relation, ...] = ("equals", "difference", "ratio", "product_sum")


class StatementSpec(Spec):
    """One statement about numbers that are printed elsewhere."""

    name: Name
    """Key, unique."""
    place: Sentence
    """Where it stands."""
    quote: Sentence
    """A few words of it, as printed."""
    relation: Relation
    """``equals``: the cell; ``difference``, ``ratio``: of the first cell and the second; ``product_sum``: of ``terms``;
    ``above``, ``below``: the first cell and each of the others; ``best``: the first cell in its column;
    ``decreasing``: the cells, in order; ``like``: the cells are only set beside each other."""
    value: int | float | None = None
    """The number that the text prints."""
    unit: (
        Literal["percent", "percentage points", "times", "videos per second", "weights per channel"] | None
    ) = None
    """Of ``value``."""
    tolerance: float = Field(default=0.0, ge=0)
    """What the words leave open beyond rounding: "half" is not 0.500."""
    cells: tuple[CellRef, ...] = ()
    """The cells it speaks of."""
    terms: tuple[tuple[float, ...], ...] = ()
    """Factors of each summand, for ``product_sum``."""

    @model_validator(mode="after")
    def _check(self) -> StatementSpec:
        wanted = {"equals": 1, "difference": 2, "ratio": 2, "product_sum": 0, "best": 1}.get(self.relation)
        if wanted is not None and len(self.cells) != wanted:
            raise ValueError(f"'{self.relation}' speaks of {wanted} cells, got {len(self.cells)}")
        if wanted is None and len(self.cells) < 2:
            raise ValueError(f"'{self.relation}' speaks of two cells or more, got {len(self.cells)}")
        if (self.relation in NUMERIC) != (self.value is not None):
            raise ValueError(f"'{self.relation}' {'needs a' if self.value is None else 'has no'} value")
        if bool(self.terms) != (self.relation == "product_sum"):
            raise ValueError("'terms' belong to 'product_sum', and it needs them")
        return self


class DatasetSpec(Spec):
    """What the text says of the size of a data set."""

    name: str
    """As printed."""
    place: Sentence
    """Where it stands."""
    classes: Positive
    """Number of classes."""
    videos: Positive | None = None
    """Number of videos in all."""
    about: bool = False
    """Whether the text says "about", or the sizes of the splits are rounded."""
    splits: dict[str, Positive] = Field(default_factory=dict)
    """Sizes of those splits that it names."""
    reference: str = ""
    """The work that introduced it, by its number in the paper's references."""


class ArchitectureSpec(Spec):
    """A network of bottlenecks; a table prints its widths in columns ``first``, ``hybrid``, ``last`` and ``blocks``."""

    table: Name
    """The table."""
    stages: tuple[str, ...] = Field(min_length=1)
    """Its rows, in the order of the network."""
    stem: tuple[Positive, Positive]
    """Channels of a frame and kernel of the first convolution."""
    stem_channels: Positive
    """What the first convolution puts out."""
    p: Proportion
    """Proportion of temporal kernels."""
    classes: Positive
    """Outputs of the classifier."""
    params: CellRef
    """The cell that prints the parameters of the same network, in millions."""
    source: Sentence
    """Where it is said how many weights a kernel has."""


class PublishedText(Spec):
    """The prose of the paper, as far as it holds numbers or compares them."""

    name: Name
    """Name of its file."""
    source: str
    """The paper."""
    citing: Sentence = ""
    """Where the paper says that it quotes results from the papers that it refers to; empty where it does not."""
    datasets: dict[str, DatasetSpec] = Field(default_factory=dict)
    """By the names that tables have in ``protocol``."""
    pretraining: dict[str, str] = Field(default_factory=dict)
    """Reference of the work that introduced a set for pre-training, by its name in the tables."""
    years: dict[str, int] = Field(default_factory=dict)
    """Year of each reference that is needed, by its number."""
    architectures: tuple[ArchitectureSpec, ...] = ()
    """Networks that a table describes layer by layer."""
    statements: tuple[StatementSpec, ...] = ()
    """In the order of the text."""

    @model_validator(mode="after")
    def _check(self) -> PublishedText:
        names = [statement.name for statement in self.statements]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"statements named twice: {', '.join(twice)}")
        return self


def load_text(folder: Path | None = None) -> PublishedText:
    """``text.yaml`` of ``folder``, ``reports/published`` when None. Raises SpecError when it is missing or wrong."""
    path = (folder or find_reports() / "published") / "text.yaml"
    if not path.is_file():
        raise SpecError(f"{path}: there is no such file; it holds the statements of the paper's text")
    return validate(PublishedText, load_document(path))
