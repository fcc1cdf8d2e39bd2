"""What a network consists of, stage by stage: the description, without torch. :mod:`study.cost.stages` makes it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ArchitecturePart(BaseModel):
    """Base of the parts of an architecture."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Layer(ArchitecturePart):
    """A layer with kernels."""

    name: str
    """Its name in the block ("conv2")."""
    kind: str
    """``conv``, or the type of the block that fills the site ("sth")."""
    kernels: tuple[tuple[int, int, int], ...]
    """Sizes (T, H, W) of its kernels, each once."""
    outputs: int
    """Output channels."""


class Stage(ArchitecturePart):
    """A part of the network that the forward pass goes through once."""

    name: str
    """Its name in the network ("layer1")."""
    kind: str
    """``blocks`` for a row of residual blocks, else the class of the module."""
    output: tuple[int, ...]
    """Size (C, T, H, W) of what it gives for one clip; (C, T) or (C,) where space or time are gone."""
    layers: tuple[Layer, ...]
    """Layers with kernels; of a row of blocks those of its last one, which has no shortcut."""
    blocks: int
    """Number of residual blocks; 1 for what is none."""
    params: int
    """Parameters of all of it, shortcuts and normalization included."""


class Architecture(ArchitecturePart):
    """A network as it was built."""

    input: tuple[int, int, int, int]
    """Size (C, T, H, W) of a clip."""
    classes: int
    """Number of classes."""
    stages: tuple[Stage, ...]
    """In the order of the forward pass, from the first layer to the consensus."""
    params: int
    """Parameters of the whole network."""

    def stage(self, name: str) -> Stage | None:
        """The stage called ``name``, None where there is none."""
        return next((stage for stage in self.stages if stage.name == name), None)
