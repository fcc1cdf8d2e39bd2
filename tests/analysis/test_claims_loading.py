"""Reading claims: what they refer to, the numbers of the paper that come with it, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from study.analysis.claims.loading import Claim, load_claims
from study.analysis.claims.spec import AccuracyTest
from study.analysis.published import load_published
from study.errors import SpecError
from tests.fabricated import EXPERIMENTS

REPORTS = EXPERIMENTS.parent / "reports"
HEAD = 'source: "a paper"\nclaims:\n'
CLAIM = """\
  - name: one
    says: An eighth is better than none.
    place: Table 6
    cells: [[table6, "1/8", top1], [table6, "0", top1]]
    test: {type: accuracy, experiment: table6, arm: p=1/8, above: [p=0]}
"""


def load(folder: Path, text: str) -> tuple[Claim, ...]:
    path = folder / "claims.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_claims(path, EXPERIMENTS)


def by_name() -> dict[str, Claim]:
    return {claim.spec.name: claim for claim in load_claims(REPORTS / "claims.yaml", EXPERIMENTS)}


def test_the_claims_of_the_repository_name_what_exists() -> None:
    claims = by_name()
    assert len(claims) >= 25
    assert all(claim.place and claim.spec.says.endswith(".") for claim in claims.values())
    kinds = {claim.test.type for claim in claims.values()}
    assert kinds == {"accuracy", "gain", "cost", "speed", "attention_trend", "attention_difference"}
    # Section 4 and Figures 5 to 8 are all there.
    places = " ".join(claim.place for claim in claims.values())
    assert all(f"Figure {number}" in places for number in (5, 6, 7, 8))


def test_published_numbers_are_those_of_the_tables_and_say_what_is_quoted() -> None:
    claims = by_name()
    table = load_published("table6", REPORTS / "published")
    eighth, none = (table.row(row).values["top1"] for row in ("1/8", "0"))
    assert [eighth, none] == [46.6, 19.7]
    assert claims["eighth-above-none"].published == "1/8: 46.6 %; 0: 19.7 %, cited"
    assert claims["fewer-operations-than-gcn"].published.startswith("9.3x (text); ")
    # No number of the paper is typed into a sentence of the claims that are tested by value.
    values = [claim.spec.says for claim in claims.values() if claim.spec.matter == "value"]
    assert not [says for says in values if re.search(r"\d\d\.\d|\d\.\dx", says)]


def test_what_a_claim_of_value_may_be_is_what_rounds_to_the_print() -> None:
    claims = by_name()
    # 46.55 to 46.65 less 19.65 to 19.75.
    gain = claims["eighth-gain"].printed
    assert gain is not None
    assert [gain.low, gain.high] == pytest.approx([26.8, 27.0])
    # 23.15 to 23.25 over 21.95 to 22.05.
    overhead = claims["attention-overhead"].printed
    assert overhead is not None
    assert [overhead.low, overhead.high] == pytest.approx([23.15 / 22.05, 23.25 / 21.95])
    # "half" leaves 0.05 open, which is also the rounding of 0.5.
    half = claims["half-of-eco"].printed
    assert half is not None
    assert [half.low, half.high] == pytest.approx([0.45, 0.55])
    assert claims["ladder"].printed is None


def test_the_steps_of_an_order_are_its_neighbors() -> None:
    test = AccuracyTest(type="accuracy", experiment="x", ascending=("a", "b", "c"))
    assert test.pairs == (("b", "a"), ("c", "b"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "arm: p=1/8",
            "arm: p=1/9",
            r"claims.yaml:7: claims.0.test: 'table6' has no row 'p=1/9': did you mean",
        ),
        (
            "experiment: table6",
            "experiment: tabel6",
            r"claims.yaml:7: .*experiment 'tabel6' is unknown: did you mean 'table6'",
        ),
        ("above: [p=0]", "above: [p=0], dataset: jester", r"'table6' has no data set 'jester'"),
        (
            '"1/8", top1]',
            '"1/8", topp1]',
            r"claims.yaml:6: claims.0.cells.0: .*no column 'topp1': did you mean 'top1'",
        ),
        (
            '[table6, "0", top1]',
            '[table6, "3", top1]',
            r"claims.0.cells.1: published table 'table6' has no row '3'",
        ),
        ("[[table6", "[[table60", r"published table 'table60' is unknown"),
        (
            "place: Table 6",
            "statement: nothing",
            r"claims.yaml:5: claims.0.statement: text.yaml has no statement",
        ),
        (
            "place: Table 6",
            "palce: Table 6",
            r"claims.yaml:5: claims.0.palce: unknown key; did you mean 'place'",
        ),
        (
            "type: accuracy",
            "type: accurate",
            r"claims.0.test: type 'accurate' is unknown; did you mean 'accuracy'",
        ),
        (", above: [p=0]", "", r"give either 'arm' and 'above', or 'ascending'"),
        ("above: [p=0]", "above: [p=1/8]", r"named twice: p=1/8"),
        ("place: Table 6", "note: x", r"needs a 'place', or a 'statement' that has one"),
        ("above: [p=0]", "above: [p=0, p=1/4]}\n    matter: value\n    x: {y: 1", r"x: unknown key"),
    ],
)
def test_what_does_not_exist_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert load(tmp_path, CLAIM)
    assert CLAIM.count(old) == 1
    with pytest.raises(SpecError, match=message):
        load(tmp_path, CLAIM.replace(old, new))


def test_values_are_claimed_of_two_rows_and_need_a_number(tmp_path: Path) -> None:
    value = CLAIM.replace("    test:", "    matter: value\n    test:")
    assert load(tmp_path, value)[0].printed is not None
    with pytest.raises(SpecError, match="a claim of value compares two rows"):
        load(tmp_path, value.replace("[p=0]", "[p=0, p=1/4]"))
    with pytest.raises(SpecError, match="needs a 'statement', or two 'cells'"):
        load(tmp_path, value.replace(', [table6, "0", top1]', ""))
    with pytest.raises(SpecError, match="claims named twice: one"):
        load(tmp_path, CLAIM + CLAIM)


def test_a_folder_of_reports_without_claims_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports" / "published").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert load_claims() == ()
