"""Batch normalisation over the global batch, so that several workers train the same network as one; fast if narrow."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["GlobalBatchNorm2d", "NarrowBatchNorm2d", "with_fast_batch_norm", "with_global_batch_norm"]

NARROW = 8  # channels; from here on torch's own kernel fills its vector registers
MANY = 8192  # positions in a batch; below, the calls take longer than what they save
LANES = 256  # columns of the matrix that a layer is folded to


def _folded(images: Float[Tensor, "B C H W"]) -> Float[Tensor, "N D"]:
    """The images as rows of D = k C columns, k positions side by side: a view of channels-last memory.

    Column c holds channel c mod C. Sums over rows are then as fast for 2 channels as for 256.
    """
    B, C, H, W = images.shape
    k = 1
    while k * C < LANES and (B * H * W) % (2 * k) == 0:
        k *= 2
    return images.permute(0, 2, 3, 1).reshape(-1, k * C)


def _sums(rows: Float[Tensor, "N D"], channels: int) -> Float[Tensor, " C"]:
    """The sum of each channel."""
    return rows.sum(0).view(-1, channels).sum(0)


def _tiled(values: Float[Tensor, " C"], k: int) -> Float[Tensor, " D"]:
    """The values of the channels for each column, as `values.repeat(k)`, which takes twice as long."""
    return values.expand(k, len(values)).flatten()


class _BatchNorm(torch.autograd.Function):
    """Normalisation by the statistics of the batch, with its gradient written out.

    `summed` adds up a tensor over all workers, in place. The variance is that of the centred values, in two rounds, so
    that several workers agree with one to rounding. With g the gradient of the output, x the normalised input and
    means over all workers, the gradient of the input is (g - mean(g) - x mean(g x)) weight / deviation; those of
    weight and bias are this worker's own, as of any other layer.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, eps: float, summed: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        C = images.shape[1]
        rows = _folded(images).to(torch.promote_types(images.dtype, weight.dtype))
        k = rows.shape[1] // C
        totals = summed(torch.cat([_sums(rows, C), rows.new_tensor([float(rows.numel() // C)])]))
        mean, count = totals[:C] / totals[C], totals[C]
        centred = rows - _tiled(mean, k)
        variance = summed(_sums(centred.square(), C)) / count
        inverse = torch.rsqrt(variance + eps)
        # a tensor of its own and no view of one: the ReLU behind it works in place
        out = torch.empty(images.shape, dtype=rows.dtype, device=rows.device, memory_format=torch.channels_last)
        written = out.permute(0, 2, 3, 1).view(rows.shape)
        torch.addcmul(_tiled(bias, k), centred, _tiled(inverse * weight, k), out=written)
        ctx.save_for_backward(centred, inverse, weight, count)
        ctx.summed, ctx.dtype = summed, images.dtype
        ctx.mark_non_differentiable(mean, variance, count)
        return out.to(images.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *statistics: Tensor) -> tuple[Tensor | None, ...]:
        centred, inverse, weight, count = ctx.saved_tensors
        C, k = len(weight), centred.shape[1] // len(weight)
        rows = gradient.permute(0, 2, 3, 1).reshape(centred.shape).to(centred.dtype)
        own = torch.cat([_sums(rows, C), _sums(rows * centred, C)])
        of_bias, of_weight = own[:C].clone(), own[C:] * inverse
        mean, slope = (ctx.summed(own) / count).split(C)
        scale = inverse * weight
        out = torch.addcmul(_tiled(-scale * mean, k), rows, _tiled(scale, k))
        out.addcmul_(centred, _tiled(-scale * inverse.square() * slope, k))
        B, _, H, W = gradient.shape
        of_images = out.view(B, H, W, C).permute(0, 3, 1, 2).to(ctx.dtype)
        return of_images, of_weight, of_bias, None, None


def _alone(local: Tensor) -> Tensor:
    return local


def _over_workers(local: Tensor) -> Tensor:
    dist.all_reduce(local)
    return local


class _OwnBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the kernel of this module in training."""

    summed: Callable[[Tensor], Tensor]

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalised over (B, H, W) in training, by the running statistics otherwise."""
        if not self.training:
            return super().forward(images)
        out, mean, variance, count = _BatchNorm.apply(images, self.weight, self.bias, self.eps, type(self).summed)
        self._track(mean, variance * (count / (count - 1)))
        return out

    @torch.no_grad()
    def _track(self, mean: Float[Tensor, " C"], variance: Float[Tensor, " C"]) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class NarrowBatchNorm2d(_OwnBatchNorm2d):
    """`nn.BatchNorm2d` for few channels.

    In channels-last memory torch's own works on the channels of one position at a time, which leaves most of a vector
    register empty below eight. Forward and backward of 64 maps of 4 x 28 x 28 take 0.6 ms here and 2.3 ms there, on
    one thread. Small batches are left to torch.
    """

    summed = staticmethod(_alone)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalised over (B, H, W) in training, by the running statistics otherwise."""
        if images.numel() < MANY * images.shape[1]:
            return nn.BatchNorm2d.forward(self, images)
        return super().forward(images)


class GlobalBatchNorm2d(_OwnBatchNorm2d):
    """`nn.BatchNorm2d` whose training statistics run over the batches of all workers.

    torch's own `SyncBatchNorm` needs CUDA; this one runs wherever `torch.distributed` does.
    """

    summed = staticmethod(_over_workers)


def with_fast_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with a faster kernel for narrow batch norms where there is one; names and values stay."""
    if device.type == "cpu":
        for module in network.modules():
            if type(module) is nn.BatchNorm2d and module.affine and module.num_features < NARROW:
                module.__class__ = NarrowBatchNorm2d
    return network


def with_global_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with every batch norm taken over all workers; its parameters keep their names and values."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, module in list(network.named_modules()):
        if type(module) is nn.BatchNorm2d and module.affine:
            # same attributes and parameters, another forward: nothing is copied, names stay
            module.__class__ = GlobalBatchNorm2d
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, GlobalBatchNorm2d):
            raise ValueError(
                f"Several CPU workers need plain, affine nn.BatchNorm2d, got {type(module).__name__} at {name!r}. "
                "Train this model with one worker per trial, or on GPUs."
            )
    return network
