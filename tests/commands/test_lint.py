"""``lint paper``: what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.analysis.lint import CountedNetwork, load_paper
from study.commands.lint import count_networks, lint_paper
from study.cost.oracle.conventions import DOUBLED, FIRST_STRIDE, MACS, WITH_ELEMENTWISE

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def counted() -> dict[tuple[str, str], CountedNetwork]:
    return count_networks(load_paper())


@pytest.fixture(scope="module")
def output() -> tuple[int, dict[str, Any]]:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        code = lint_paper(as_json=True)
    return code, json.loads(stream.getvalue())


# Multiply-accumulates of one view; the same with hooks on BatchNorm, ReLU and pooling of the built network; with the
# stride in the first 1x1; parameters with 174 and with 400 classes. By means other than the closed form.
KNOWN = [
    ("table6", "0", 32.70, 32.96, 30.85, 23.865, 24.328),
    ("table6", "1/8", 31.47, 31.73, None, 22.921, 23.384),
    ("table6", "1/4", 30.23, 30.50, 28.38, 21.978, 22.441),
    ("table6", "1/2", 27.77, 28.03, None, 20.092, 20.555),
    ("table7", "(2+1)D parallel", 37.63, 37.90, None, 27.637, 28.100),
    ("table8", "Dilated", 30.24, 30.52, None, 23.236, 23.699),
    ("table9", "STH 16f", 60.47, 61.04, None, 23.236, 23.699),
]


@pytest.mark.parametrize(("table", "row", "macs", "more", "first", "params", "params_400"), KNOWN)
def test_networks_are_counted_by_every_convention(
    counted: dict[tuple[str, str], CountedNetwork],
    table: str,
    row: str,
    macs: float,
    more: float,
    first: float | None,
    params: float,
    params_400: float,
) -> None:
    network = counted[table, row]
    assert network.gmacs[MACS] == pytest.approx(macs, abs=0.006)
    assert network.gmacs[DOUBLED] == pytest.approx(2 * macs, abs=0.012)
    assert network.gmacs[WITH_ELEMENTWISE] == pytest.approx(more, abs=0.006)
    if first is not None:
        assert network.gmacs[FIRST_STRIDE] == pytest.approx(first, abs=0.006)
    assert (network.params_m[174], network.params_m[400]) == pytest.approx((params, params_400), abs=0.0011)


def test_elementwise_operations_are_those_of_the_built_network(
    counted: dict[tuple[str, str], CountedNetwork],
) -> None:
    """Hooks on torchvision's ResNet-50: 2 for each element of BatchNorm, 1 of ReLU, 1 of what is pooled."""
    import torch
    import torchvision

    network = torchvision.models.resnet50(weights=None).eval()
    total = 0

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        is_pooling = isinstance(module, torch.nn.MaxPool2d | torch.nn.AdaptiveAvgPool2d)
        size = inputs[0].numel() if is_pooling else output.numel()
        total += size * (2 if isinstance(module, torch.nn.BatchNorm2d) else 1)

    kinds = (torch.nn.BatchNorm2d, torch.nn.ReLU, torch.nn.MaxPool2d, torch.nn.AdaptiveAvgPool2d)
    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    gmacs = counted["table6", "0"].gmacs
    assert round((gmacs[WITH_ELEMENTWISE] - gmacs[MACS]) * 1e9) == 8 * total


def test_findings_are_printed_and_the_exit_code_is_1(output: tuple[int, dict[str, Any]]) -> None:
    code, document = output
    assert code == 1
    assert set(document["findings"][0]) == {"rule", "severity", "place", "printed", "message", "evidence"}
    severities = [finding["severity"] for finding in document["findings"]]
    assert severities == sorted(severities, key=("error", "warning", "doubt").index)
    assert all(finding["evidence"] and finding["place"] for finding in document["findings"])


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("section 4.3, 3D-Conv", "9.918, not 9.3"),
        ("Table 6, FLOPS(G)", "no single convention of counting"),
        ("Table 6, 0", "those of TSN [33] in Table 2"),
        ("section 4.1, Jester", "more videos than there are"),
        ("Table 5, I3D", "repeats every number of the row of ECO"),
        ("Table 2, TSN 8f, TSN 16f, TSM 8f, TSM 16f", "the count with 400 classes"),
        ("Table 2, STH 8f; Table 6, 1/4; Table 7, STH hybrid; Table 9, STH 8f", "one accuracy, two models"),
    ],
)
def test_the_defects_of_the_paper_are_found_with_our_own_counts(
    output: tuple[int, dict[str, Any]], place: str, text: str
) -> None:
    found = [(f["place"], f["message"]) for f in output[1]["findings"]]
    assert any(where == place and text in message for where, message in found), found


def test_tables_7_and_8_and_the_costs_of_table_2_are_found_right(output: tuple[int, dict[str, Any]]) -> None:
    rules = ("cost-convention", "class-count", "cost-linear")
    places = [f["place"] for f in output[1]["findings"] if f["rule"] in rules]
    assert [place for place in places if place.startswith(("Table 7", "Table 8", "Table 2, STH"))] == []
    assert "Table 2, GFLOPs/V" not in places
    assert output[1]["rules"]["sum-of-parts"] == {"checked": 4, "findings": 0, "not checked": 0}


def test_a_table_is_printed_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    assert lint_paper(as_json=False) == 1
    printed = capsys.readouterr().out
    for part in (
        "severity",
        "how it was established",
        "9.918, not 9.3",
        "[33]",
        "duplicate-row",
        "Not checked",
    ):
        assert part in printed


def test_a_paper_without_findings_has_exit_code_0(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 8 alone, with a text that says one right thing of it."""
    folder = tmp_path / "reports" / "published"
    folder.mkdir(parents=True)
    source = REPOSITORY / "reports" / "published" / "table8.yaml"
    (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")
    text = """
name: text
source: A paper
datasets: {something_v1: {name: V1, place: here, classes: 174}}
statements:
  - name: gain
    place: here
    quote: "0.6"
    relation: difference
    value: 0.6
    cells: [[table8, Dilated, top1], [table8, Fixed, top1]]
"""
    (folder / "text.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert lint_paper(as_json=False) == 0
    assert "0 errors, 0 warnings, 0 doubts" in capsys.readouterr().out
    (folder / "text.yaml").write_text(text.replace("value: 0.6", "value: 0.9"), encoding="utf-8")
    assert lint_paper(as_json=False) == 1
