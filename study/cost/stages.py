"""The stages of a network, read off the network itself: shapes are those of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from study.cost.architecture import Architecture, Layer, Stage
from study.models.blocks.temporal import TemporalKernels
from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.spec.model import InitSpec, ModelSpec

IMAGES = ("N*T", "C", "H", "W")
"""Dimensions of frames that are folded into the batch."""


@dataclass
class _Watch:
    """Shapes that modules gave, in the order in which they were called first."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self.shapes.setdefault(name, tuple(output.shape))

        return note


def describe_architecture(
    model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
) -> Architecture:
    """Build ``model`` without its initial weights and send the shape of one clip through it (no arithmetic is done).

    Args:
        model: the network.
        num_classes: K.
        frames: T, frames of a clip.
        size: height and width of a clip, pixels.
        in_channels: C of a frame.

    Raises:
        ModelError: when the model cannot be built.
    """
    unloaded = model.model_copy(update={"init": InitSpec()})
    network = build_model(unloaded, num_classes=num_classes, frames=frames, in_channels=in_channels)
    network = network.to("meta").eval()
    watch = _Watch()
    handles = [module.register_forward_hook(watch.hook(name)) for name, module in network.named_modules()]
    with torch.no_grad():
        network(torch.zeros(1, in_channels, frames, size, size, device="meta"))
    for handle in handles:
        handle.remove()
    kinds: dict[str, str] = {f"backbone.{site.name}": model.block.type for site in network.sites}
    return Architecture(
        input=(in_channels, frames, size, size),
        classes=num_classes,
        stages=tuple(_list_stages(network, watch, kinds)),
        params=_count(network),
    )


def _list_stages(network: Recognizer, watch: _Watch, kinds: dict[str, str]) -> Iterator[Stage]:
    """The children of the backbone that change something, then classifier and consensus."""
    children = {f"backbone.{name}": child for name, child in network.backbone.named_children()}
    children |= {"classifier": network.classifier, "consensus": network.consensus}
    for name in watch.shapes:
        module = children.get(name)
        if module is None or isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d | nn.ReLU | nn.Identity):
            continue
        is_row = isinstance(module, nn.Sequential) and all(_is_residual(child) for child in module)
        last = f"{name}.{len(module) - 1}" if is_row and isinstance(module, nn.Sequential) else name
        yield Stage(
            name=name.removeprefix("backbone."),
            kind="blocks" if is_row else type(module).__name__,
            output=_unfold(watch.shapes[name], name, network),
            layers=tuple(_list_layers(network, last, watch, kinds)),
            blocks=len(module) if is_row and isinstance(module, nn.Sequential) else 1,
            params=_count(module),
        )


def _is_residual(module: nn.Module) -> bool:
    """Whether the module is one of torchvision's residual blocks, or what replaced it."""
    return any(name.startswith("conv") for name, _ in module.named_children())


def _list_layers(network: Recognizer, prefix: str, watch: _Watch, kinds: dict[str, str]) -> Iterator[Layer]:
    """Convolutions and filled sites in or at the module ``prefix``; nothing inside of a filled site."""
    done: list[str] = []
    for name, module in network.get_submodule(prefix).named_modules(prefix=prefix):
        inside = any(name.startswith(f"{outer}.") for outer in done)
        if inside or name not in watch.shapes:
            continue
        if name in kinds or isinstance(module, nn.Conv2d | nn.Conv3d):
            done.append(name)
            short = name.removeprefix(prefix).removeprefix(".") or name.rpartition(".")[2]
            channels = watch.shapes[name][1]
            yield Layer(
                name=short, kind=kinds.get(name, "conv"), kernels=_list_kernels(module), outputs=channels
            )


def _list_kernels(module: nn.Module) -> tuple[tuple[int, int, int], ...]:
    """Sizes (T, H, W) of the kernels in ``module``, each once, in the order of its parameters."""
    sizes: dict[tuple[int, int, int], None] = {}
    for part in module.modules():
        for weight in part.parameters(recurse=False):
            shape = tuple(weight.shape[2:])
            if len(shape) == 2:
                size = (shape[0], 1, 1) if isinstance(part, TemporalKernels) else (1, *shape)
                sizes[size] = None
            elif len(shape) == 3:
                sizes[shape] = None
    return tuple(sizes)


def _unfold(shape: tuple[int, ...], name: str, network: Recognizer) -> tuple[int, ...]:
    """The size of one clip's output as (C, T, ...): where frames go through one by one they are folded into the
    batch, in networks of whole clips too as long as what they give is an image.
    """
    if name == "consensus" or (network.whole_clips and len(shape) != len(IMAGES)):
        return shape[1:]
    return (shape[1], shape[0], *shape[2:])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
