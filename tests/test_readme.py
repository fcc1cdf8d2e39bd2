"""What the README shows works as it is written there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import nn
from typer.main import get_command

from study.cli import app
from study.models.backbones import BACKBONES
from study.models.placement import Site
from study.running.plan import make_plan
from study.running.store import Store
from study.spec.blocks.base import BlockSpec
from study.spec.loading import load_study
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README.split("## Your own block")[1], re.S)


def test_every_command_of_the_table_exists_and_none_is_left_out() -> None:
    shown = re.findall(r"^\| `run_study\.py (\w+)", README, re.M)
    assert sorted(shown) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_the_size_of_the_first_launch_is_as_told(tmp_path: Path) -> None:
    told = re.search(r"\((\d+) rows, (\d+) distinct trials", README)
    assert told
    trials = make_plan(load_study(), Store.at(tmp_path)).trials
    assert (int(told[1]), int(told[2])) == (sum(len(planned.uses) for planned in trials), len(trials))


@pytest.fixture
def tutorial(monkeypatch: pytest.MonkeyPatch) -> tuple[types.ModuleType, type[BlockSpec]]:
    """The tutorial's module and the options of its block."""
    module = types.ModuleType("study.models.blocks.glance")
    exec(compile(BLOCKS[0], "README.md", "exec", dont_inherit=True), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {"BlockSpec": BlockSpec, "ClassVar": ClassVar, "Literal": Literal}
    exec(compile(BLOCKS[1], "README.md", "exec", dont_inherit=True), names)
    return module, names["GlanceBlock"]


def test_the_tutorial_block_runs_in_a_backbone(tutorial: tuple[types.ModuleType, type[BlockSpec]]) -> None:
    module, options = tutorial
    spec = options(type="glance")
    assert spec.factory == f"{module.__name__}:build_glance"
    backbone = BACKBONES.get("resnet_tiny")(3, 4)
    position = next(p for p in backbone.positions if p.kind == spec.site)
    conv = backbone.module.get_submodule(position.name)
    assert isinstance(conv, nn.Conv2d)
    block = module.build_glance(spec, Site(position.kind, position.name, 1, 0, 0, conv), 4)

    x = torch.randn(8, conv.in_channels, 6, 6)
    clips = x.view(2, 4, conv.in_channels, 6, 6)
    mixed = clips.clone()
    mixed[:, :, 1::2] = 0
    mixed[:, 1:, 1::2] = clips[:, :-1, 1::2]
    torch.testing.assert_close(block(x), conv(mixed.flatten(0, 1)))
