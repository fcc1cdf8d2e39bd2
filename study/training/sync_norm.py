"""BatchNorm over the whole batch where several processes have a share of it each.

On GPUs this is torch's SyncBatchNorm. That refuses tensors on the CPU, for which the same is written here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over all processes.

    Mean first and then squared deviations from it (Chan et al., 1983), which loses no digits where the mean is large.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        values = inputs if inputs.dtype == torch.float64 else inputs.float()
        dims = [0, *range(2, inputs.dim())]
        shape = [1, -1, *[1] * (inputs.dim() - 2)]
        total = torch.cat([values.sum(dims), values.new_tensor([inputs.numel() / inputs.shape[1]])])
        dist.all_reduce(total)
        count = total[-1]
        mean = total[:-1] / count
        centered = values - mean.view(shape)
        squares = centered.square().sum(dims)
        dist.all_reduce(squares)
        variance = squares / count
        scale = torch.rsqrt(variance + eps)
        normalized = centered * scale.view(shape)
        ctx.save_for_backward(normalized, weight, scale, count)
        output = normalized * weight.view(shape) + bias.view(shape)
        ctx.mark_non_differentiable(mean, variance, count)
        return output.to(inputs.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normalized, weight, scale, count = ctx.saved_tensors
        given = gradients[0].to(normalized.dtype)
        dims = [0, *range(2, given.dim())]
        shape = [1, -1, *[1] * (given.dim() - 2)]
        # The weight's and bias' gradients stay those of this process: they are averaged with all others.
        for_bias, for_weight = given.sum(dims), (given * normalized).sum(dims)
        sums = torch.cat([for_bias, for_weight])
        dist.all_reduce(sums)
        mean, along = (part.view(shape) for part in (sums / count).chunk(2))
        for_inputs = (given - mean - normalized * along) * (weight * scale).view(shape)
        return for_inputs.to(gradients[0].dtype), for_weight, for_bias, None


class SyncedBatchNorm(_BatchNorm):
    """BatchNorm of any number of dimensions over the shares (N, C, ...) of all processes, on the CPU.

    It has the parameters, buffers and names of the layer that it takes the place of. A share may be empty.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        output, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps)
        assert isinstance(output, Tensor)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        return output


def synchronize_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Let every BatchNorm of ``model`` normalize over all processes; in place, the state dict keeps its keys.

    Args:
        model: not itself a BatchNorm.
        device: what it trains on.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            model.set_submodule(name, _take_over(layer))


def _take_over(layer: _BatchNorm) -> SyncedBatchNorm:
    if not (layer.affine and layer.track_running_stats):
        raise ValueError("BatchNorm without weights or running statistics is not synchronized")
    synced = SyncedBatchNorm(layer.num_features, layer.eps, layer.momentum)
    synced.weight, synced.bias = layer.weight, layer.bias
    for name, buffer in layer.named_buffers():
        synced.register_buffer(name, buffer)
    synced.training = layer.training
    return synced
