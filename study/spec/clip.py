"""How a clip (C, T, H, W) is drawn from a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from study.spec.base import LATER, Positive, Spec

FLOW_MEAN, FLOW_STD = 0.5, 0.226
"""Normalization of flow images on the scale 0 to 1: no motion becomes zero; the deviation is TSN's, the mean of
ImageNet's three."""


class RgbModality(Spec):
    """Color frames."""

    modules: ClassVar[tuple[str, ...]] = ()

    type: Literal["rgb"] = "rgb"

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return 3

    @property
    def consecutive(self) -> int:
        """Images of the video that one frame of the clip consists of."""
        return 1


class FlowModality(Spec):
    """Optical flow: each frame of a clip is a stack of consecutive flow images (two-stream networks, TSN).

    ``modules`` is the code that only flow needs; it is imported, and counts for a trial's code fingerprint, where
    flow is asked for.
    """

    modules: ClassVar[tuple[str, ...]] = ("study.data.flow.reading", "study.data.flow.prepare")

    type: Literal["flow"]
    stack: Positive = 5
    """Consecutive flow images of one frame; it has twice as many channels: x1, y1, x2, y2, ... (TSN)."""
    method: Literal["dis", "tvl1", "raft"] = "dis"
    """What the flow was, or is to be, computed with. The field uses TV-L1; DIS is twenty times faster or more."""
    bound: Annotated[float, Field(gt=0)] = 20.0
    """Displacement in pixels that the ends of the 8-bit range stand for; larger ones are clipped."""
    layout: Literal["tsn", "tsm", "trn"] = "tsn"
    """How the images are named: ``tsn``: ``flow_x_00001.jpg`` and ``flow_y_00001.jpg`` in a folder for each
    video; ``tsm``: ``000001/000001-x_00001.jpg``, as TSM keeps Something-Something V1; ``trn``: ``000001.jpg``
    with x and y as the first two channels, as TRN keeps V2."""
    root: Annotated[Path | None, LATER] = None
    """Folder with the flow of each video, under the video's path without its extension. When null: for synthetic
    videos flow is computed when it is first needed; for others it lies in ``data.root``, beside the frames."""

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return 2 * self.stack

    @property
    def consecutive(self) -> int:
        """Images of the video that one frame of the clip consists of."""
        return self.stack


Modality = Annotated[RgbModality | FlowModality, Field(discriminator="type")]


class ClipSpec(Spec):
    """How a clip (C, T, H, W) is drawn from a video."""

    frames: Annotated[int, Field(ge=1, le=256)] = 8
    """T: frames of a clip."""
    size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Height and width of a training crop, pixels."""
    resize: tuple[Positive, Positive] | Positive | None = (256, 340)
    """Frames are first resized to (height, width), or to this short side; left as they are when null."""
    sampling: Literal["tsn", "dense"] = "tsn"
    """``tsn``: equal segments over the whole video, a random frame of each in training (TSN). ``dense``: frames
    ``stride`` apart from a random start, as networks trained on Kinetics often have it."""
    stride: Annotated[Positive, LATER] = 8
    """Distance of the frames of a ``dense`` clip."""
    snippet: Annotated[Positive, LATER] = 1
    """Consecutive frames drawn at each of ``frames / snippet`` places: 3 for ABM, 5 for StNet and TDN."""
    modality: Annotated[Modality, LATER] = RgbModality()
    """What a frame is: color, or stacked optical flow."""
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0, 0.875, 0.75, 0.66)
    """Multi-scale crop: sides of the crop as fractions of the short side (TSN). Empty: a random crop of
    ``size``."""
    flip: bool = True
    """Flip half of the training clips, swapping the labels of direction-dependent classes."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means subtracted from color frames, on the scale 0 to 1 (ImageNet's)."""
    std: tuple[Annotated[float, Field(gt=0)], ...] = (0.229, 0.224, 0.225)
    """Channel standard deviations that color frames are divided by, on the scale 0 to 1 (ImageNet's)."""

    @model_validator(mode="after")
    def _check(self) -> ClipSpec:
        short = min(self.resize) if isinstance(self.resize, tuple) else self.resize
        if short is not None and short < self.size:
            raise ValueError(f"size {self.size} does not fit into frames resized to a short side of {short}")
        if self.frames % self.snippet:
            raise ValueError(f"snippet {self.snippet} does not divide frames, {self.frames}")
        if self.snippet > 1 and self.modality.type == "flow":
            raise ValueError("snippet: flow images are consecutive already (modality.stack); expected 1")
        return self

    @property
    def places(self) -> int:
        """Places of the video that a clip looks at: segments of TSN."""
        return self.frames // self.snippet

    @property
    def consecutive(self) -> int:
        """Consecutive images that are read at each place."""
        return self.snippet * self.modality.consecutive

    @property
    def channels(self) -> int:
        """C: channels of a clip."""
        return self.modality.channels

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, on the scale 0 to 1."""
        if self.modality.type == "flow":
            return (FLOW_MEAN,) * self.channels, (FLOW_STD,) * self.channels
        return self.mean, self.std
