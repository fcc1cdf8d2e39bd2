"""torchvision's residual blocks taken apart, for blocks that change more than one convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from study.errors import ModelError
from study.models.placement import Site


class OpenResidual(nn.Module):
    """A residual block that does what torchvision's does until :meth:`core` or :meth:`middle` is overridden.

    Its layers keep their names, so that their weights find them in files of the 2D network. Maps (N*T, C, H,
    W) to (N*T, C', H', W').

    The core is the convolution that holds the stride: the 3x3 of a bottleneck, the first 3x3 of a basic
    block.

    Args:
        site: where the residual block stands.

    Raises:
        ModelError: when what stands there is none of torchvision's residual blocks, or sees whole clips.
    """

    conv1: nn.Module
    bn1: nn.BatchNorm2d
    conv2: nn.Module
    bn2: nn.BatchNorm2d
    conv3: nn.Module
    bn3: nn.BatchNorm2d
    relu: nn.Module
    downsample: nn.Sequential | None

    def __init__(self, site: Site) -> None:
        super().__init__()
        block = site.module
        if type(block) not in (BasicBlock, Bottleneck):  # a subclass does more than its layers say
            raise ModelError(
                f"{site.name}: the block needs a residual block of a ResNet, found {type(block).__name__}"
            )
        if any(isinstance(layer, nn.Conv3d) for layer in block.modules()):
            raise ModelError(f"{site.name}: the block needs a 2D network, but this one sees whole clips")
        for name, layer in block.named_children():
            self.add_module(name, layer)
        assert isinstance(block.stride, int)
        self.stride = block.stride
        self.is_bottleneck = hasattr(self, "conv3")
        if block.downsample is None:
            self.downsample = None

    @property
    def core_channels(self) -> tuple[int, int]:
        """Input and output channels of the core."""
        if self.is_bottleneck:
            return self.bn1.num_features, self.bn2.num_features
        if self.downsample is None:
            return self.bn2.num_features, self.bn1.num_features
        projection = self.downsample[0]
        assert isinstance(projection, nn.Conv2d)
        return projection.in_channels, self.bn1.num_features

    @property
    def core_name(self) -> str:
        """What the core is called: "conv2" in a bottleneck, "conv1" in a basic block."""
        return "conv2" if self.is_bottleneck else "conv1"

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        if self.is_bottleneck:
            y = self.core(self.middle(self.relu(self.bn1(self.conv1(x)))))
        else:
            y = self.middle(self.core(x))
        activated: Tensor = self.relu(self.last(y) + shortcut)
        return activated

    def core(self, x: Tensor) -> Tensor:
        """The core with its BatchNorm and ReLU."""
        y = self.bn2(self.conv2(x)) if self.is_bottleneck else self.bn1(self.conv1(x))
        activated: Tensor = self.relu(y)
        return activated

    def middle(self, x: Tensor) -> Tensor:
        """What comes between the first activation and ``conv2``: nothing."""
        return x

    def last(self, x: Tensor) -> Tensor:
        """The last convolution of the branch with its BatchNorm."""
        y: Tensor = self.bn3(self.conv3(x)) if self.is_bottleneck else self.bn2(self.conv2(x))
        return y
