"""``new``: an experiment to start from."""

from __future__ import annotations

import re
from pathlib import Path

from study.errors import SpecError
from study.spec.loading import find_experiments

TEMPLATE = """\
# yaml-language-server: $schema=schemas/experiment.json
# What does this experiment ask? Write it down before you run it.
#
#   uv run run_study.py plan {name}      what it implies, and what that costs
#   uv run run_study.py launch {name}    run it

name: {name}
title: "{name}: attention"
question: Does attention between the spatial and the temporal part help?
prediction: What you expect, and why.
fixed: Everything but what the arms set.
baseline: without          # the arm that the others are compared with
repeats: 3                 # how often each arm is trained, with different seeds

# Settings of all arms, laid over the profile (experiments/profiles). Anything in "plan --json" can be set.
settings:
  model:
    block: {{type: sth, p: 1/4, arrangement: hybrid}}

# Arms one by one ...
arms:
  - name: without
    set: {{model: {{block: {{attention: none}}}}}}
  - name: with
    set: {{model: {{block: {{attention: cost}}}}}}

# ... or by axes: every combination is an arm.
# axes:
#   grid:
#     model.block.p: [1/8, 1/4]
#     model.block.attention: [none, cost]
#   exclude:
#     - when: {{model.block.p: 1/8, model.block.attention: cost}}
#       because: not asked
#   name: p={{p}}, {{attention}}
"""


def write_experiment(name: str, folder: Path | None) -> Path:
    """Write ``<folder>/<name>.yaml``.

    Raises:
        SpecError: for a name that is no file name, or one that is taken.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise SpecError(
            f"name '{name}': allowed are letters, digits, '.', '_' and '-', at most 64, no leading dot"
        )
    path = (folder or find_experiments()) / f"{name}.yaml"
    if path.exists():
        raise SpecError(f"{path} exists; choose another name or edit it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.format(name=name), encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path
