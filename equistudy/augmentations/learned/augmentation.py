"""The learned augmentation as a spec, and its baseline with fixed half-extents."""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float, Shaped

from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.learned.generators import AFFINE, Domain, LieGenerator
from equistudy.augmentations.learned.regulariser import EntropyRegulariser, NormRegulariser, Regulariser
from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.networks.choices import Aggregate
from equistudy.spec import Generator, Tensor, added_field

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = ["FixedAugmentation", "LearnedAugmentation"]

ENTROPY, NOTHING = EntropyRegulariser(), NoAugmentation()


@dataclass(frozen=True)
class LearnedAugmentation(Augmentation):
    """Augerino: a uniform distribution over transformations whose widths are learned together with the weights.

    An image is transformed by exp(sum_k z_k A_k) with z_k uniform on [-h_k, h_k]; the half-extents h_k are parameters
    of the network. Training minimises the mean loss over `train_copies` transformed copies of each image plus the
    regulariser. The trained network averages over `test_copies` copies, with the same elements for every image: a Latin
    hypercube whose axes are as little correlated as possible. A single copy is the image as it is.

    `learning_rate` is that of the half-extents' raw parameters, on the recipe's schedule, without weight decay.
    `reflected` continues images by this many mirrored pixels before they are moved, so that wedges of the background do
    not reveal the angle; beyond, the dataset's background comes in, or black where it is unknown. `before` is an
    augmentation that is not learned and acts first, in training only.

    Generators act on the positions of points and rotate their vectors. Outputs that are labels for pixels or
    trajectories are transformed back before they are averaged, in training and testing: the wrapped network is then
    equivariant, not invariant. Images with such labels are put on a canvas larger by `padding` pixels on each side, so
    that no corner is lost: for rotations by any angle (diagonal - shorter side) / 2, 0.21 of the side of a square.

    Source: Benton et al. 2020, "Learning Invariances in Neural Networks", arXiv:2010.11882. Unlike their code, it uses
    exact exponentials on the device, pixel coordinates (so that oblong images are rotated and not sheared), caps at the
    period instead of switching off the regulariser for all widths, and averages probabilities, not log-probabilities.

    >>> import equistudy as eq
    >>> rotation = eq.RotationGenerator(start=5.0)
    >>> eq.LearnedAugmentation((rotation,), eq.NormRegulariser(0.05)).num_parameters
    1
    """

    REVISION: ClassVar[int] = 3

    generators: tuple[LieGenerator, ...] = AFFINE
    regulariser: Regulariser = ENTROPY
    learning_rate: float = 0.01
    train_copies: int = 1
    test_copies: int = 4
    aggregate: Aggregate = Aggregate.PROBABILITY
    reflected: int = 0
    before: Augmentation = NOTHING
    padding: int = added_field(0)

    inputs: ClassVar[tuple[Modality, ...]] = tuple(Modality)

    def __post_init__(self) -> None:
        self._check_generators()
        for name, kind, example in (
            ("regulariser", Regulariser, "NormRegulariser(0.05)"),
            ("aggregate", Aggregate, "Aggregate.PROBABILITY"),
            ("before", Augmentation, "RandomCrop()"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"{name} must be of type {kind.__name__}, got {name}={getattr(self, name)!r}. Use {example}."
                )
        if not (isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive and finite, got learning_rate={self.learning_rate}.")
        for name, least in (("train_copies", 1), ("test_copies", 1), ("reflected", 0), ("padding", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {name}={getattr(self, name)}. Use {least}.")
        if isinstance(self.before, LearnedAugmentation):
            raise TypeError(
                f"before must be a fixed augmentation, got before={self.before}. Put all generators into one tuple."
            )

    def _check_generators(self) -> None:
        if not isinstance(self.generators, tuple) or not all(isinstance(g, LieGenerator) for g in self.generators):
            raise TypeError(
                f"generators must be a tuple of Lie generators, got generators={self.generators!r}. "
                f"Write (RotationGenerator(),), or AFFINE for all six."
            )
        names = [generator.name for generator in self.generators]
        if len(set(names)) < len(names):
            raise ValueError(f"Generators must have different names, got {', '.join(names)}. Set name=...")
        self._check_learned()

    def _check_learned(self) -> None:
        if not any(generator.learned for generator in self.generators):
            names = [generator.name for generator in self.generators]
            raise ValueError(
                f"A learned augmentation must learn at least one half-extent, got "
                f"{', '.join(names) or 'no generators'}, none of them learned. Use FixedAugmentation, or "
                f"RandomRotation and the like, for fixed ranges."
            )

    def check(self, dataset: Dataset) -> None:
        """ValueError if a generator cannot act on the dataset's inputs, or if the targets cannot follow."""
        self.before.check(dataset)
        points = dataset.modality is Modality.POINTS
        plane = not points or dataset.space == 2
        fitting = {Domain.PLANE if plane else Domain.SPACE} | (set() if points else {Domain.COLOUR})
        wrong = [generator.name for generator in self.generators if generator.domain not in fitting]
        if wrong:
            raise ValueError(
                f"Generators must fit the inputs, got {', '.join(wrong)} for {dataset}, whose inputs are "
                f"{dataset.modality.value} {'in the plane' if plane else 'in space'}. "
                f"Use {'RotationGenerator, AFFINE, GL2' if plane else 'SO3, SE3, AFFINE3'} or some of them."
            )
        if points and self.reflected:
            raise ValueError(f"Points have no border to mirror at, got reflected={self.reflected}. Use 0.")
        if self.padding and dataset.target is not Target.LABELS:
            raise ValueError(
                f"Padding is for outputs that are moved back, got padding={self.padding} for {dataset}, whose "
                f"target is {dataset.target.value}. Use padding=0, and reflected to continue images."
            )

    @property
    def num_parameters(self) -> int:
        """Those of `before`, and one for each unit of each generator and copy."""
        return self.before.num_parameters + self.train_copies * self._num_units

    @property
    def _num_units(self) -> int:
        return sum(generator.num_units for generator in self.generators)

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """The elements of `before`, then units uniform on [-1, 1], which the network scales by its half-extents."""
        import torch

        first = self.before.draw(batch_size, rng)
        size = (batch_size, self.train_copies * self._num_units)
        return torch.cat([first, 2 * torch.rand(*size, generator=rng, device=rng.device) - 1], dim=1)

    @property
    def moves(self) -> bool | None:  # type: ignore[override]
        """As for `before`: the network moves its outputs back itself."""
        return self.before.moves

    def apply_to_targets(
        self, targets: Shaped[Tensor, "B ..."], elements: Float[Tensor, "B P"], dataset: Dataset
    ) -> Shaped[Tensor, "B ..."]:
        """As `before` does."""
        return self.before.apply_to_targets(targets, elements[:, : self.before.num_parameters], dataset)

    def apply(self, images: Float[Tensor, "B ..."], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B ..."]:
        """As `before` does; the network, which holds the half-extents, does the rest."""
        return self.before.apply(images, elements[:, : self.before.num_parameters])

    def apply_on_background(
        self, images: Float[Tensor, "B ..."], elements: Float[Tensor, "B P"], background: float
    ) -> Float[Tensor, "B ..."]:
        """As `before` does; the network knows the dataset's background."""
        return self.before.apply_on_background(images, elements[:, : self.before.num_parameters], background)

    def describe_risk(
        self, dataset: Dataset, label_smoothing: float = 0.0, error_scale: float | None = None
    ) -> str | None:
        """A warning if the labels will not hold the half-extent, or if outputs cannot be moved back everywhere."""
        from equistudy.augmentations.learned.oracle import describe_blow_up

        if dataset.target is Target.LABELS:
            return self._describe_lost_pixels(dataset)
        if not self._turns_alone:
            return None
        return describe_blow_up(self.generators[0], self.regulariser, dataset, label_smoothing, error_scale)

    def expected_extent(
        self, dataset: Dataset, label_smoothing: float = 0.0, error_scale: float | None = None
    ) -> float | None:
        """The half-extent in degrees that training should end with, if a rotation is all that moves the images."""
        from equistudy.augmentations.learned.oracle import predict_extent

        if not self._turns_alone:
            return None
        return predict_extent(self.generators[0], self.regulariser, dataset, label_smoothing, error_scale)

    def _describe_lost_pixels(self, dataset: Dataset) -> str | None:
        """A warning if outputs cannot be moved back everywhere, with the padding that this takes."""
        from equistudy.augmentations.learned.box import Box
        from equistudy.augmentations.learned.motion import find_lost_share, find_needed_padding

        widest = tuple(g.with_start(g.cap if g.learned and g.cap else g.start) for g in self.generators)
        box, size = Box(widest).eval(), dataset.image_shape[1:]
        needed = find_needed_padding(box, *size) if box.acts_on(Domain.PLANE) else 0
        if needed <= self.padding:
            return None
        reached = ", ".join(f"{g.name}={g.start:g}" for g in widest if g.domain is Domain.PLANE)
        return (
            f"Outputs for up to {find_lost_share(box, *size, self.padding):.0%} of the pixels of {dataset} are lost "
            f"when they are moved back, with padding={self.padding} and half-extents of {reached}. Use "
            f"padding={needed}, with which none is lost."
        )

    @property
    def _turns_alone(self) -> bool:
        return len(self.generators) == 1 and isinstance(self.before, NoAugmentation)

    def wrap(
        self,
        network: Module,
        dataset: Dataset,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> Module:
        """The network in its `AugmentedNetwork`."""
        from equistudy.augmentations.learned.motion import build_motion
        from equistudy.augmentations.learned.network import AugmentedNetwork, LearnedSettings

        settings = LearnedSettings(
            self.generators,
            self.regulariser,
            self.learning_rate,
            self.train_copies,
            self.test_copies,
            self.aggregate,
            self.before.num_parameters,
        )
        if dataset.modality is Modality.IMAGES:
            self._check_images(dataset)
        motion = build_motion(dataset, self.reflected, self.padding, mean, std)
        return AugmentedNetwork(network, settings, dataset.target, motion)

    def _check_images(self, dataset: Dataset) -> None:
        """ValueError for generators of colours on other than three channels, or for mirroring beyond the image."""
        channels = dataset.image_shape[0]
        if channels != 3 and any(generator.domain is Domain.COLOUR for generator in self.generators):
            raise ValueError(
                f"Generators of colours need three channels, got {channels} in {dataset} with "
                f"{', '.join(g.name for g in self.generators if g.domain is Domain.COLOUR)}. Leave these out."
            )
        if self.reflected >= min(dataset.image_shape[1:]):
            raise ValueError(
                f"reflected must be less than the image's size, got reflected={self.reflected} for "
                f"{dataset.image_shape[1]} x {dataset.image_shape[2]} pixels. For rotations use a quarter of the size."
            )


NO_REGULARISER = NormRegulariser(0.0)


@dataclass(frozen=True)
class FixedAugmentation(LearnedAugmentation):
    """A `LearnedAugmentation` whose half-extents stay at their starts: only the weights are learned.

    With the same numbers of copies, whatever a learned augmentation gains over this one it gains by learning. In the
    paper the two also differ in the number of copies.

    >>> import equistudy as eq
    >>> eq.FixedAugmentation((eq.RotationGenerator(start=20.0),), test_copies=8).num_parameters
    1
    """

    regulariser: Regulariser = NO_REGULARISER

    def __post_init__(self) -> None:
        fixed = tuple(generator.without_learning() for generator in self.generators)
        object.__setattr__(self, "generators", fixed)
        super().__post_init__()

    def _check_learned(self) -> None:
        if not self.generators:
            raise ValueError("A fixed augmentation needs at least one generator, got none. Use NoAugmentation().")
