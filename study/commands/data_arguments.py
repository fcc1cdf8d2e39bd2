"""What the ``data`` commands share: from a name, a root and settings to the files of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from study.data.catalog import FileSource, open_dataset
from study.data.listing import FileListing, list_dataset, list_folder
from study.data.readers.base import Reading
from study.errors import SpecError, suggest
from study.spec.base import Spec
from study.spec.datasets import AnyDataset, DecoderName, SyntheticDataset
from study.spec.overlay import Layer, merge_layers, parse_overrides
from study.spec.problems import list_problems

FOLDER = "folder"
"""Name that stands for every video below the root, without any lists."""
PREFIX = "data."
"""What settings begin with in an experiment; here it may be left out."""
ArgumentsT = TypeVar("ArgumentsT", bound=Spec)


class _DatasetArguments(Spec):
    data: AnyDataset


class _FolderOptions(Spec):
    decoder: DecoderName = "auto"
    image_template: str = ""


class _FolderArguments(Spec):
    data: _FolderOptions = _FolderOptions()


def open_listing(name: str, root: Path, settings: Sequence[str] = ()) -> FileListing:
    """The files of the data set that the arguments of a command describe.

    Args:
        name: type of the data set, or ``folder`` for every video below ``root``.
        root: folder with the videos.
        settings: ``key=value`` for further options of ``data``; for ``folder``: decoder and image_template.

    Raises:
        SpecError: with a line for every setting that is wrong.
        DataError: when a list or the folder cannot be read; the message names file and line.
    """
    if name != FOLDER:
        return list_dataset(name, open_source(name, root, settings))
    options = _parse(_FolderArguments, {}, settings, {}).data
    return list_folder(root, Reading(options.decoder, options.image_template))


def open_source(name: str, root: Path, settings: Sequence[str] = ()) -> FileSource:
    """The data set of type ``name``.

    Raises:
        SpecError: with a line for every setting that is wrong, or when its videos are made from its options.
    """
    allowed = _list_types(synthetic=False)
    if name in _list_types(synthetic=True):
        raise SpecError(
            f"'{name}': its videos are made from its options, there are no files to look at; "
            f"{suggest(name, allowed)}"
        )
    if name not in allowed:
        raise SpecError(f"'{name}' is no data set; {suggest(name, allowed)}")
    # Where another data set gives the videos it is that one that has a root.
    nested = any(setting.removeprefix(PREFIX).startswith("of.") for setting in settings)
    place = {"of": {"root": str(root)}} if nested else {"root": str(root)}
    source = open_dataset(_parse(_DatasetArguments, {"type": name}, settings, place).data, Path())
    assert isinstance(source, FileSource)
    return source


def _parse(
    model: type[ArgumentsT], below: dict[str, Any], settings: Sequence[str], above: dict[str, Any]
) -> ArgumentsT:
    """``settings`` of ``data`` as ``model``, between what is given otherwise."""
    full = [text if text.startswith(PREFIX) else f"{PREFIX}{text}" for text in settings]
    merged = merge_layers([Layer({"data": below}), *parse_overrides(full), Layer({"data": above})])
    try:
        return model.model_validate(merged.data)
    except ValidationError as error:
        raise SpecError(list_problems(error, model, merged.data, merged.where)) from None


def _list_types(*, synthetic: bool) -> list[str]:
    """Types of data sets: those whose videos are made, or those whose files the user has."""
    members = get_args(get_args(AnyDataset)[0])
    names = [
        get_args(member.model_fields["type"].annotation)[0]
        for member in members
        if issubclass(member, SyntheticDataset) == synthetic
    ]
    return names if synthetic else [*names, FOLDER]
