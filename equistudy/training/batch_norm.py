"""Batch normalisation over the global batch, so that several workers train the same network as a single one."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["GlobalBatchNorm2d", "convert_to_global_batch_norm"]


class _SumOverWorkers(torch.autograd.Function):
    """The sum of a tensor over all workers. Every worker's loss depends on it, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, local: Tensor) -> Tensor:
        total = local.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with training statistics over the batches of all workers.

    torch's own `SyncBatchNorm` needs CUDA; this one runs wherever `torch.distributed` does. The variance is computed
    from centred values in a second reduction, so that it agrees with that of a single worker up to rounding.
    """

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Normalised over (B, H, W) of every worker in training, by the running statistics otherwise."""
        if not self.training:
            return super().forward(images)
        B, C, H, W = images.shape
        count = torch.tensor([float(B * H * W)], device=images.device)
        totals = _SumOverWorkers.apply(torch.cat([images.sum((0, 2, 3)), count]))
        total = totals[C].detach()
        mean = totals[:C] / total
        centred = images - mean[:, None, None]
        variance = _SumOverWorkers.apply(centred.square().sum((0, 2, 3))) / total
        self._update_running_statistics(mean.detach(), variance.detach() * total / (total - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _update_running_statistics(self, mean: Float[Tensor, " C"], variance: Float[Tensor, " C"]) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def convert_to_global_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Makes every batch norm of the network global; parameters keep their names and values."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, module in list(network.named_modules()):
        if type(module) is nn.BatchNorm2d and module.affine:
            # The same attributes and parameters with another forward: nothing is copied or renamed.
            module.__class__ = GlobalBatchNorm2d
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, GlobalBatchNorm2d):
            raise ValueError(
                f"Training with several CPU workers supports only affine nn.BatchNorm2d, got {type(module).__name__} "
                f"at {name!r}. "
                "Train this model with one worker per trial, or on GPUs."
            )
    return network
