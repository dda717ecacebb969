"""A module for any training loop: a network that learns to which transformations it should be invariant."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.augmentations.learned.augmentation import FixedAugmentation, LearnedAugmentation
from equistudy.augmentations.learned.generators import Domain, LieGenerator
from equistudy.augmentations.learned.motion import DenseMotion, ImageMotion, find_needed_padding
from equistudy.augmentations.learned.network import BoxedNetwork, LearnedSettings
from equistudy.augmentations.learned.regulariser import EntropyRegulariser, Regulariser
from equistudy.datasets.dataset import Target
from equistudy.networks.choices import Aggregate

__all__ = ["LearnedInvariance"]

ENTROPY = EntropyRegulariser()


class LearnedInvariance(BoxedNetwork):
    """Averages a network over random transformations of its images and learns their ranges with the weights (Augerino).

    An image x becomes g x = exp(sum_k z_k A_k) x with z_k uniform on [-h_k, h_k], one generator A_k for each learned
    half-extent h_k. With S copies of each image the module returns, in training and in evaluation alike,

        log p(y | x) = log (1/S) sum_s softmax(network(g_s x))_y        aggregate=Aggregate.PROBABILITY (default)
        f(x)         =     (1/S) sum_s network(g_s x)                   aggregate=Aggregate.LOGIT, also for regression
        log p(y | x) = log_softmax_y (1/S) sum_s log_softmax(network(g_s x))    aggregate=Aggregate.LOG_PROBABILITY

    Log-probabilities are logits, so `cross_entropy` takes them as they are. In training S is `train_copies`, drawn anew
    in every call from torch's global random numbers. With one copy, the default, the mean loss of a batch is an
    unbiased estimate of the objective of Benton et al. 2020 (arXiv:2010.11882), E_x E_g loss(network(g x), y); with
    more copies it is the loss of the averaged prediction, which is smaller (Jensen). In evaluation S is `test_copies`,
    the same elements for every image: a Latin hypercube with little correlated axes, so outputs are deterministic.

    Add `penalty()` to the loss. Without it the ranges only shrink. Optimise `parameter_groups()`, in which no weight
    decay acts on the ranges. A range that is too wide for the labels is drawn in by the loss, one that is too narrow
    is widened by the penalty.

        model = eq.LearnedInvariance(network, (eq.RotationGenerator(),), eq.NormRegulariser(0.05), mean=m, std=s)
        optimiser = torch.optim.AdamW(model.parameter_groups(), lr=1e-3)
        for images, labels in loader:  # images normalised by m and s
            loss = cross_entropy(model(images), labels) + model.penalty()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        model.half_extents()  # {"rotation": 44.1}, in degrees

    Args:
        network: takes images [B, C, H, W] and returns one tensor with a row for each.
        generators: what may move, such as `SE2`, `AFFINE` or `COLOUR`. One that is made with `learned=False` keeps its
            start; if all are, this is the fixed baseline with the same copies.
        regulariser: what pays for wide ranges. The adaptive ones need `adapt(loss)` after each step, with the mean loss
            over all workers.
        mean, std: what the images were normalised with, one number or one for each channel; by default they are in
            [0, 1]. They say what the background has become, and where colours are black and white.
        background: the value in [0, 1], before normalisation, that continues an image beyond its border.
        reflected: continue images by this many mirrored pixels instead, and by the background beyond.
        learning_rate: of the ranges, in `parameter_groups()`. About four times that of the weights works well.
        equivariant: for networks that return maps of the image, [B, K, H, W], such as segmentation: each copy's map is
            moved back before the average, f(x) = E_g g^-1 network(g x). Without `padding`, what is moved off the canvas
            comes back as 0: enlarge it by `needed_padding(height, width)` pixels, or by (diagonal - shorter side) / 2
            for rotations by any angle.

    It is an ordinary module: `state_dict`, `deepcopy`, autocast, channels-last inputs, `torch.compile` and
    `DistributedDataParallel` work as for the network inside, and its only state are parameters and buffers. Coordinates
    stay in float32 under autocast and after `.half()`. After `to_empty` from the meta device call `reset_parameters()`
    of every module that has it. Hooks inside the network see all copies; measure `model.network` to look inside.
    """

    motion: ImageMotion

    def __init__(  # noqa: PLR0913 -- a module of its own, with the words of `LearnedAugmentation`
        self,
        network: nn.Module,
        generators: Iterable[LieGenerator] | LieGenerator,
        regulariser: Regulariser = ENTROPY,
        *,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        background: float = 0.0,
        reflected: int = 0,
        padding: int = 0,
        train_copies: int = 1,
        test_copies: int = 4,
        aggregate: Aggregate = Aggregate.PROBABILITY,
        learning_rate: float = 0.01,
        equivariant: bool = False,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise TypeError(f"network must be an nn.Module, got {network!r}. Wrap a function in a module.")
        members: Any = (generators,) if isinstance(generators, LieGenerator) else generators
        if isinstance(members, Iterable) and not isinstance(members, str):
            members = tuple(members)
        fixed = (
            isinstance(members, tuple)
            and bool(members)
            and all(isinstance(g, LieGenerator) and not g.learned for g in members)
        )
        kind = FixedAugmentation if fixed else LearnedAugmentation
        box = kind(
            members, regulariser, learning_rate, train_copies, test_copies, aggregate, reflected, padding=padding
        )
        _check_domains(box.generators)
        if padding and not equivariant:
            raise ValueError(
                f"Padding is for outputs that are moved back, got padding={padding} with equivariant=False. "
                "Use padding=0, or reflected to continue images."
            )
        means, deviations = _check_numbers(mean, std, background)
        motion = (DenseMotion if equivariant else ImageMotion)(means, deviations, background, reflected, padding)
        settings = LearnedSettings(box.generators, regulariser, learning_rate, train_copies, test_copies, aggregate)
        super().__init__(network, settings, Target.LABELS if equivariant else Target.CLASS, motion)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B ..."]:
        """The aggregate over random copies in training, over the fixed test copies in evaluation."""
        self._check_images(images)
        if not self.training:
            return self._average_test_copies(images)
        self.box.project()
        copies = self.settings.train_copies
        units = 2 * torch.rand(copies * len(images), self.box.num_units, device=images.device) - 1
        return self._aggregate(self._compute_outputs(images, units), copies)

    def parameter_groups(self, weight_decay: float | None = None) -> list[dict[str, Any]]:
        """The network's parameters, and the ranges with their own learning rate and without weight decay.

        `weight_decay` is that of the network, None for the optimiser's default.
        """
        weights: dict[str, Any] = {"params": [p for p in self.network.parameters() if p.requires_grad]}
        if weight_decay is not None:
            weights["weight_decay"] = weight_decay
        return [weights, self.parameter_group()]

    def no_weight_decay(self) -> set[str]:
        """The names of the parameters without weight decay, as timm's optimiser factories ask for them."""
        inner: set[str] = getattr(self.network, "no_weight_decay", set)()
        return {"box.raw", *(f"network.{name}" for name in inner)}

    def half_extents(self) -> dict[str, float]:
        """The half-extent of each generator in its unit: degrees, pixels, logarithms of factors."""
        return dict(zip((g.name for g in self.settings.generators), self.extents.tolist(), strict=True))

    def needed_padding(self, height: int, width: int) -> int:
        """The padding with which images of this size lose no corner at the present half-extents, which may grow."""
        return find_needed_padding(self.box, height, width) if self.box.acts_on(Domain.PLANE) else 0

    def _check_images(self, images: Any) -> None:
        """TypeError or ValueError for inputs that are no batch of floating-point images with the right channels."""
        if not isinstance(images, Tensor) or not images.is_floating_point():
            found = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise TypeError(f"Images must be floating-point tensors, got {found}. Use images.float() / 255 for bytes.")
        if images.ndim != 4:
            raise ValueError(
                f"Images must be a batch [B, C, H, W], got shape {list(images.shape)}. Use images[None] for one image."
            )
        channels, numbers = images.shape[1], len(self.motion.mean)
        if numbers not in (1, channels):
            raise ValueError(
                f"mean and std need one number for each channel, got {numbers} for images of {channels} channels. "
                f"Give {channels} numbers, or one for all."
            )
        if self.box.acts_on(Domain.COLOUR) and channels != 3:
            raise ValueError(
                f"Generators of colours need three channels, got images of {channels}. Leave these generators out."
            )
        if self.motion.reflected >= min(images.shape[2:]):
            raise ValueError(
                f"reflected must be less than the image's size, got reflected={self.motion.reflected} for "
                f"{images.shape[2]} x {images.shape[3]} pixels. For rotations use a quarter of the size."
            )


def _check_domains(generators: tuple[LieGenerator, ...]) -> None:
    wrong = [generator.name for generator in generators if generator.domain is Domain.SPACE]
    if wrong:
        raise ValueError(
            f"LearnedInvariance moves images, got {', '.join(wrong)}, which move points of space. "
            "Use RotationGenerator, SE2, AFFINE, COLOUR or some of them."
        )


def _check_numbers(
    mean: float | Sequence[float] | None, std: float | Sequence[float] | None, background: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the standard deviation of each channel, those of images in [0, 1] if none are given."""
    if (mean is None) != (std is None):
        raise ValueError(f"mean and std must be given together, got mean={mean}, std={std}. Use both, or neither.")
    means, deviations = (_to_tuple(each, default) for each, default in ((mean, 0.0), (std, 1.0)))
    if len(means) != len(deviations) or not means:
        raise ValueError(
            f"mean and std need equally many numbers, got {len(means)} and {len(deviations)}. "
            "Give one for each channel."
        )
    if not all(map(isfinite, (*means, *deviations, background))) or min(deviations) <= 0:
        raise ValueError(
            f"mean and background must be finite and std positive, got mean={means}, std={deviations}, "
            f"background={background}. Use the numbers that the images were normalised with."
        )
    return means, deviations


def _to_tuple(numbers: float | Sequence[float] | None, default: float) -> tuple[float, ...]:
    if numbers is None:
        return (default,)
    return (float(numbers),) if isinstance(numbers, int | float) else tuple(map(float, numbers))
