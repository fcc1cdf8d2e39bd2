"""Checks on the convolution that a block replaces."""

from __future__ import annotations

from study.errors import ModelError
from study.models.placement import Site


def require_same_padding(site: Site) -> None:
    """Refuse a k x k convolution that is not centered on the pixels its stride keeps.

    A temporal convolution of the same stride would meet other pixels; an odd k, padded by k // 2, agrees.

    Raises:
        ModelError: when that is not so.
    """
    conv = site.conv
    sizes = zip(conv.kernel_size, conv.dilation, strict=True)
    expected = tuple(dilation * (size // 2) for size, dilation in sizes)
    if conv.padding != expected or any(size % 2 == 0 for size in conv.kernel_size):
        raise ModelError(
            f"{site.name}: a kernel {conv.kernel_size} padded by {conv.padding} is not centered on its "
            f"pixels; a temporal convolution beside it needs odd kernels padded by {expected}"
        )


def require_dense(site: Site) -> None:
    """Refuse a grouped or depthwise convolution where a block splits the input channels.

    Raises:
        ModelError: when the convolution at ``site`` has more than one group.
    """
    if site.conv.groups != 1:
        raise ModelError(f"{site.name}: the block needs a convolution with 1 group, not {site.conv.groups}")
