"""The network that a trial trains: a 2D backbone frame by frame, a classifier, a consensus over frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.models.backbones.base import Backbone
from study.models.consensus import Consensus
from study.models.placement import FilledSite
from study.models.weights import WeightsReport


class Recognizer(nn.Module):
    """Clips (N, C, T, H, W) to class scores (N, K).

    A backbone of frames sees them folded into the batch, (N*T, C, H, W); blocks unfold them by ``frames``.
    Activations are kept in channels-last memory, where temporal convolutions need no copy. A backbone of
    whole clips gives one feature vector a clip, and the consensus is over that one.

    Attributes:
        backbone: frames to features.
        classifier: features of one frame, or clip, to its scores.
        consensus: scores of frames to those of the clip.
        frames: T, frames of a clip; of stacked frames, the images they make.
        stack: frames that are stacked to one image of ``stack`` * C channels; 1 for none.
        sites: the sites that the block fills, in the order of the forward pass.
        weights_report: where the initial weights came from.
    """

    def __init__(
        self,
        backbone: Backbone,
        sites: list[FilledSite],
        *,
        frames: int,
        consensus: Consensus,
        dropout: float,
        stack: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone.module
        self.dropout = nn.Dropout(dropout)
        self.whole_clips = backbone.whole_clips
        self.classifier = nn.Linear(backbone.features, consensus.inputs)
        self.consensus = consensus
        self.frames = frames
        self.stack = stack
        self.sites = sites
        self.weights_report = WeightsReport()

    def forward(self, clips: Tensor) -> Tensor:
        expected = self.frames * self.stack
        if clips.dim() != 5 or clips.shape[2] != expected:
            raise ModelError(
                f"expected clips (N, C, {expected}, H, W), got {tuple(clips.shape)}; "
                "a network is built for one number of frames (clip.frames)"
            )
        if self.stack > 1:
            clips = stack_frames(clips, self.stack)
        views = to_channels_last_3d(clips) if self.whole_clips else fold_frames(clips)
        scores = self.classifier(self.dropout(self.backbone(views)))
        steps = 1 if self.whole_clips else self.frames
        pooled: Tensor = self.consensus(torch.unflatten(scores, 0, (-1, steps)))
        return pooled


def stack_frames(clips: Tensor, stack: int) -> Tensor:
    """(N, C, T * s, H, W) to (N, s * C, T, H, W): each s frames in a row as one image, channels of the first first."""
    return torch.unflatten(clips, 2, (-1, stack)).permute(0, 3, 1, 2, 4, 5).flatten(1, 2)


def to_channels_last_3d(clips: Tensor) -> Tensor:
    """(N, C, T, H, W) with the channels innermost in memory."""
    return clips.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)


def fold_frames(clips: Tensor) -> Tensor:
    """(N, C, T, H, W) to (N*T, C, H, W), in channels-last memory."""
    return clips.permute(0, 2, 3, 4, 1).flatten(0, 1).contiguous().permute(0, 3, 1, 2)
