"""Initial weights that depend on the seed and the name of a module, and on nothing else.

Two networks that share a layer of the same name and shape start with the same weights in it, whatever else
they hold: arms of one repeat differ only in what is under study. The global random state is never touched.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.seeding import derive_seed

CLASSIFIER_STD = 0.001
"""Standard deviation of the classifier's initial weights (TSN and TSM)."""


class NewLayer(nn.Module):
    """A layer that a block adds: its parameters come from no 2D network.

    They may stay random where weights are loaded, and are drawn by :meth:`init_parameters`.
    """

    def init_parameters(self, generator: torch.Generator) -> None:
        """Set every parameter of this layer and its children, drawing from ``generator`` only."""
        raise NotImplementedError


def make_generator(seed: int, name: str) -> torch.Generator:
    """The generator of the module with the qualified name ``name``."""
    return torch.Generator().manual_seed(derive_seed("init", seed, name))


def kaiming_(weight: Tensor, generator: torch.Generator) -> None:
    """He's normal initialization over the fan-out, as torchvision's 2D networks have it."""
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)


def initialize_backbone(module: nn.Module, prefix: str, seed: int) -> None:
    """Set every parameter and buffer of a network; ``prefix`` is its qualified name.

    Convolutions of any dimension, BatchNorm and linear layers have a rule; a :class:`NewLayer` has its own.

    Raises:
        ModelError: for a layer with parameters that no rule covers.
    """
    for name, layer in module.named_modules(prefix=prefix):
        if isinstance(layer, NewLayer):
            with torch.no_grad():
                layer.init_parameters(make_generator(seed, name))
        elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            kaiming_(layer.weight, make_generator(seed, name))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.reset_parameters()
        elif isinstance(layer, nn.Linear):
            initialize_classifier(layer, name, seed, std=0.01)
        elif next(layer.parameters(recurse=False), None) is not None:
            raise ModelError(f"{name}: no rule for the initial weights of {type(layer).__name__}")


def initialize_classifier(layer: nn.Linear, name: str, seed: int, std: float = CLASSIFIER_STD) -> None:
    """Weights from N(0, ``std``), biases zero."""
    nn.init.normal_(layer.weight, std=std, generator=make_generator(seed, name))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialize_new_layers(module: nn.Module, prefix: str, seed: int) -> set[str]:
    """Set the parameters of every :class:`NewLayer` in ``module``; return their and its buffers' names."""
    new: set[str] = set()
    for name, layer in module.named_modules(prefix=prefix):
        if isinstance(layer, NewLayer):
            with torch.no_grad():
                layer.init_parameters(make_generator(seed, name))
            new.update(f"{name}.{key}" for key in layer.state_dict())
    return new


def initialize_layers(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the convolutions of a :class:`NewLayer` by :func:`kaiming_`, biases zero; reset its BatchNorm."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            kaiming_(layer.weight, generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.reset_parameters()
