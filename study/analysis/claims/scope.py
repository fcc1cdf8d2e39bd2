"""What a verdict is a verdict on."""

from __future__ import annotations

from collections.abc import Sequence

from study.analysis.claims.material import Material, Side, Untestable
from study.analysis.tables import PAPER_PROFILE

HARMLESS = ("resources.", "evaluation.every")
"""Overrides that change no result, by how their path begins."""
LOCATIONS = (".root", ".decoder", ".manifest", ".train_list", ".val_list")
"""Likewise, by how it ends."""


def describe_scope(sides: Sequence[Side], material: Material) -> str:
    """What the trials of ``sides`` are, and that they are not the paper's where they are not."""
    profile = material.profile
    about = profile.about.rstrip(".")
    if profile.name == PAPER_PROFILE:
        texts = [f"Profile {profile.name}: {about}."]
    else:
        texts = [f"A verdict on the {profile.name} study, not on the paper's: {about}."]
    texts += dict.fromkeys(
        f"{side.dataset.label}: {side.dataset.about.rstrip('.')}." for side in sides if side.dataset.about
    )
    named = {side.dataset.name for side in sides}
    if "" in named:
        kinds = sorted({arm.settings.data.type for side in sides for arm in side.arms})
        texts.append(f"Videos: {', '.join(kinds)}.")
    changed = _list_changes(material.overrides)
    if changed:
        texts.append(f"With --set {', '.join(changed)}.")
    return " ".join(texts)


def refuse_scale(experiment: str, material: Material, remedy: str = "") -> None:
    """Raise Untestable unless the study is at the paper's scale; ``remedy`` says what to do, where that is not to
    train it.
    """
    if material.profile.name != PAPER_PROFILE:
        raise _refusal(experiment, f"this is the {material.profile.name} study", material, remedy)
    if changed := _list_changes(material.overrides):
        raise _refusal(experiment, f"settings were changed: {', '.join(changed)}", material, remedy)


def refuse_data(sides: Sequence[Side], material: Material) -> None:
    """Raise Untestable unless the videos of ``sides`` are those of the paper's data set."""
    for side in sides:
        published = side.view.published
        wanted = (
            {side.dataset.name}
            if side.dataset.name
            else set(published.protocol.datasets if published else ())
        )
        foreign = sorted({arm.settings.data.type for arm in side.arms} - wanted)
        if foreign:
            raise _refusal(side.view.experiment.name, f"the videos are of the type '{foreign[0]}'", material)


def _refusal(experiment: str, why: str, material: Material, remedy: str = "") -> Untestable:
    remedy = remedy or f"`{material.command(experiment, PAPER_PROFILE)}` would train it."
    return Untestable(
        "How large a difference is can be held against the paper only at its scale and on its data, "
        f"and {why}. {remedy}"
    )


def _list_changes(overrides: Sequence[str]) -> list[str]:
    """The overrides that results depend on."""
    paths = {override: override.partition("=")[0] for override in overrides}
    return [
        override
        for override, path in paths.items()
        if not path.startswith(HARMLESS) and not path.endswith(LOCATIONS)
    ]
