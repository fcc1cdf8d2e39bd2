"""Initial weights from a file, and an account of where every parameter's value comes from.

A file is a state dict of the 2D network (torchvision's names), or of a recognizer of this package. It is read
in two steps. Before the blocks are placed, what fits the 2D network is loaded into it, and blocks take over
from the convolutions they replace. Afterwards, what fits the recognizer by name is loaded too, such as the
temporal weights of a recognizer that was trained on another data set.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from study.errors import WeightsError
from study.spec.model import InitSpec
from study.spec.weights_digest import IMAGENET_URL, file_sha256, find_weights

COUNTERS = ("*.num_batches_tracked",)
"""Buffers that older files lack and that no forward pass reads."""
PREFIX = "backbone."
"""What a backbone's parameters are called by in a recognizer."""


@dataclass(frozen=True)
class WeightsReport:
    """Where the initial values of a recognizer's parameters and buffers come from, by their names.

    Attributes:
        source: the file; empty when everything is newly initialized.
        loaded: taken from the file, as they are or in part (the spatial kernels of a block).
        skipped: entries of the file that found no place.
        new: newly initialized: the classifier, what blocks add, what the specification allows.
        inflated: grown in time from 2D kernels.
    """

    source: str = ""
    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    inflated: tuple[str, ...] = ()


class WeightsFile:
    """The entries of a weights file, and which of them were used.

    Args:
        path: the file.
        entries: its tensors by name.
        classifier_keys: what the backbone calls weight and bias of its classifier.
        is_color: whether the network's frames are color images, as those of the file are; optical flow is not.
    """

    def __init__(
        self, path: Path, entries: dict[str, Tensor], classifier_keys: Iterable[str], *, is_color: bool = True
    ) -> None:
        names = dict(zip(classifier_keys, ("classifier.weight", "classifier.bias"), strict=True))
        self.path = path
        self.is_color = is_color
        self.entries = {names.get(key, key.removeprefix(PREFIX)): value for key, value in entries.items()}
        self.used: set[str] = set()
        self.inflated: set[str] = set()

    def load_into(self, module: nn.Module) -> set[str]:
        """Copy every entry that ``module`` has by name into it, and return those names.

        A 2D kernel (C_o, C_i, k, k) fills a 3D one (C_o, C_i, K_T, k, k) divided by K_T, so that a video of
        equal frames gives what the image gave (Carreira and Zisserman, "Quo Vadis", CVPR 2017). The kernel of a
        first layer, (C_o, 3, k, k), fills that of one for s stacked frames, (C_o, 3 s, k, k), likewise; in one for
        optical flow every channel gets the mean over the three colors (TSN, Wang et al. 2016).

        Raises:
            WeightsError: when the shape of one differs. A classifier of other classes is left out instead.
        """
        loaded = set()
        for name, target in module.state_dict(keep_vars=True).items():
            value = self.entries.get(name.removeprefix(PREFIX))
            if value is None:
                continue
            if _has_other_channels(value, target):
                value = self._adapt_channels(value, target.shape[1])
            if _is_inflated(value, target):
                value = value.unsqueeze(2).expand_as(target) / target.shape[2]
                self.inflated.add(PREFIX + name.removeprefix(PREFIX))
            if name.startswith("classifier.") and value.shape == (*target.shape, 1, 1, 1):
                value = value.reshape(target.shape)  # a 1x1x1 convolution is the same linear map
            if value.shape == (1, *target.shape):
                value = value[0]  # BatchNorm, as public files of BN-Inception have it
            if value.shape != target.shape:
                if name.startswith("classifier."):
                    continue
                raise WeightsError(
                    f"{self.path}: {name}: shape {tuple(value.shape)}, the model has {tuple(target.shape)}; "
                    "was the file made for another backbone or block?"
                )
            with torch.no_grad():
                target.copy_(value)
            loaded.add(name)
            self.used.add(name.removeprefix(PREFIX))
        return loaded

    def drop_classifier(self) -> None:
        """Leave the classifier out, whatever its classes."""
        self.entries = {
            k: v for k, v in self.entries.items() if not k.startswith(("classifier.", "consensus."))
        }

    def _adapt_channels(self, kernel: Tensor, channels: int) -> Tensor:
        """The kernel (C_o, 3, k, k) of a color image for frames of ``channels`` channels."""
        if not self.is_color:
            return kernel.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
        times = channels // 3
        return kernel.repeat(1, times, 1, 1) / times

    def holds_2d_kernel(self, name: str) -> bool:
        """Whether there is an entry for the parameter ``name``, and it is the kernel of a 2D convolution."""
        value = self.entries.get(name.removeprefix(PREFIX))
        return value is not None and value.dim() == 4


def _is_inflated(value: Tensor, target: Tensor) -> bool:
    """Whether ``value`` is a 2D kernel and ``target`` the 3D kernel of the same layer."""
    return target.dim() == 5 and value.shape == (*target.shape[:2], *target.shape[3:])


def _has_other_channels(value: Tensor, target: Tensor) -> bool:
    """Whether ``value`` is the kernel of a color image and ``target`` the same layer's, for other frames."""
    if value.dim() != 4 or target.dim() not in (4, 5) or value.shape[1] != 3 or target.shape[1] == 3:
        return False
    return (value.shape[0], *value.shape[2:]) == (target.shape[0], *target.shape[-2:])


def open_weights(
    init: InitSpec, backbone: str, classifier_keys: Iterable[str], *, is_color: bool = True
) -> WeightsFile | None:
    """Read the file that ``init`` names; None for random weights. See :class:`WeightsFile`.

    Raises:
        WeightsError: when it is absent, damaged, or holds something else than tensors.
    """
    path = find_weights(init, backbone)
    if path is None:
        return None
    if init.weights == "imagenet":
        _check_imagenet(path, backbone)
    return WeightsFile(path, _read(path), classifier_keys, is_color=is_color)


def _check_imagenet(path: Path, backbone: str) -> None:
    if not path.is_file():
        command = (
            f"python -c \"import torch; torch.hub.load_state_dict_from_url('{IMAGENET_URL}{path.name}')\""
        )
        raise WeightsError(
            f"model.init.weights: 'imagenet': the ImageNet weights of {backbone} are not at {path}. "
            f"Fetch them once, on a machine with a network, with: {command}"
        )
    expected = path.stem.rsplit("-", 1)[1]
    digest = file_sha256(path)
    if not digest.startswith(expected):
        raise WeightsError(
            f"{path}: damaged: its SHA-256 starts with {digest[:8]}, expected {expected}; "
            "delete it and fetch it again"
        )


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict at ``path``: on its own, or under "state_dict" or "model"; a "module." prefix is cut."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"model.init.weights: {path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # torch.load raises many kinds for a file that is none of its own
        first = (str(error) or type(error).__name__).split("\n")[0]
        raise WeightsError(f"{path}: no file of weights that is safe to load: {first}") from None
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: expected a state dict, found {type(content).__name__}")
    tensors = {str(key).removeprefix("module."): value for key, value in content.items()}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: {name}: expected a tensor, found {type(value).__name__}")
    return tensors


@dataclass(frozen=True)
class Provenance:
    """What is known about a recognizer's parameters once it is built.

    Attributes:
        plain: names in the 2D network that the file held, before blocks were placed.
        lacking: names in the 2D network that it did not hold.
        direct: names in the finished recognizer that the file held.
        replaced: qualified names of the modules that blocks replaced.
        new: parameters that blocks add.
    """

    plain: set[str]
    lacking: set[str]
    direct: set[str]
    replaced: tuple[str, ...]
    new: set[str]


def account(recognizer: nn.Module, file: WeightsFile, init: InitSpec, known: Provenance) -> WeightsReport:
    """Say for every parameter and buffer where its value comes from.

    Raises:
        WeightsError: when one stays random that is neither of the classifier nor declared new by a block nor
            allowed by ``init.allow_random``.
    """
    loaded, new, left = [], [], []
    allowed = (*init.allow_random, *COUNTERS)
    lacking = [name for name in known.lacking if not _matches(name, COUNTERS)]
    for name, value in recognizer.state_dict().items():
        origin = next((site for site in known.replaced if name.startswith(f"{site}.")), None)
        inherited = origin is not None and not any(lack.startswith(f"{origin}.") for lack in lacking)
        if name in known.direct or name in known.plain or (inherited and name not in known.new):
            loaded.append(name)
            if inherited and value.dim() == 5 and file.holds_2d_kernel(f"{origin}.weight"):
                file.inflated.add(name)
        elif name in known.new or name.startswith("classifier.") or _matches(name, allowed):
            new.append(name)
        else:
            left.append(name)
    if left:
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        raise WeightsError(
            f"{file.path}: holds no value for {shown}; they would stay random. "
            "List them in model.init.allow_random if that is meant"
        )
    skipped = tuple(key for key in file.entries if key not in file.used)
    return WeightsReport(str(file.path), tuple(loaded), skipped, tuple(new), tuple(sorted(file.inflated)))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    plain = name.removeprefix(PREFIX)
    return any(fnmatch.fnmatchcase(candidate, pattern) for candidate in (name, plain) for pattern in patterns)
