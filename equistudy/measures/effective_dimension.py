"""How many directions of its weights a network's training data determines."""

from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import ClassVar

from jaxtyping import Float

from equistudy.measuring.measure import Measure, Measurement, MeasuringResult, Skipped, Subject
from equistudy.spec import Tensor

__all__ = ["EffectiveDimension"]

FORWARD_SIZE = 128


@dataclass(frozen=True)
class EffectiveDimension(Measure):
    """N_eff(z) = sum_i lambda_i / (lambda_i + z), with lambda_i the eigenvalues of the Hessian of the training loss.

    One row for each z: the smaller N_eff, the flatter the minimum. The loss is the mean cross-entropy of the network in
    evaluation mode (with a learned or fixed augmentation, of its averaged probabilities) over `images` training images,
    evenly spaced in their order, as they are; `measure` takes them from the images it is given. Weight decay is no part
    of the loss. The Hessian is that by the weights alone, not by half-extents. `raw` is the largest eigenvalue.

    Eigenvalues come from `steps` steps of Lanczos with full orthogonalisation, which take 8 bytes of memory for each
    step and weight. Each lies below the eigenvalue of its rank, so values are lower bounds; with as many steps as
    weights they are exact. Negative eigenvalues count as 0. There is no interval over images. Values of networks with
    different numbers of weights, or of losses on different data, are not comparable.

    Source: MacKay 1992; Maddox, Benton and Wilson 2020, arXiv:2003.02139; for learned augmentations Benton et al. 2020,
    arXiv:2010.11882, whose 50 steps these are.
    """

    z: tuple[float, ...] = (0.1, 1.0, 10.0)
    steps: int = 50
    images: int = 1000

    name: ClassVar[str] = "effective_dimension"
    title: ClassVar[str] = "Effective dimension"

    def __post_init__(self) -> None:
        if not self.z or not all(isfinite(z) and z > 0 for z in self.z):
            raise ValueError(
                f"z must hold positive finite numbers, at least one, got z={self.z}. Use (0.1, 1.0, 10.0)."
            )
        if self.steps < 1 or self.images < 1:
            raise ValueError(
                f"steps and images must be at least 1, got steps={self.steps}, images={self.images}. Use 50 and 1000."
            )

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row for each z, or none for a network whose training images have no classes."""
        from equistudy.measuring.curvature import compute_effective_dimension

        if (found := self._find_spectrum(subject)) is None:
            return MeasuringResult([], [Skipped(self.name, subject.output, None, "its images have no classes")])
        eigenvalues, size, images = found
        rest = size - len(eigenvalues)
        row = Measurement(
            measure=self.name,
            measure_id=self.id,
            revision=self.REVISION,
            stage=subject.output,
            depth=1.0,
            stride=None,
            group=None,
            element=None,
            magnitude=None,
            grid_aligned=None,
            value=0.0,
            low=None,
            high=None,
            images=images,
            note=f"a lower bound: {rest} of {size} eigenvalues are left out" if rest else None,
            raw=float(eigenvalues[0]),
        )
        values = [(f"z = {z:g}", compute_effective_dimension(eigenvalues, z)) for z in self.z]
        return MeasuringResult([replace(row, element=element, value=value) for element, value in values], [])

    def _find_spectrum(self, subject: Subject) -> tuple[Float[Tensor, " K"], int, int] | None:
        """The eigenvalues, the number of weights, and that of images; None for images without classes."""
        from copy import deepcopy

        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.nn.functional import cross_entropy

        from equistudy.float32 import use_full_float32
        from equistudy.measuring.curvature import find_eigenvalues, make_hessian_product, space_evenly
        from equistudy.measuring.stages import prepare_images

        if subject.train is None:
            places = space_evenly(len(subject.images), self.images)
            images, targets = subject.images[places], None if subject.targets is None else subject.targets[places]
        else:
            images, targets = subject.train(self.images)
        if targets is None:
            return None
        parts = zip(images.split(FORWARD_SIZE), targets.split(FORWARD_SIZE), strict=True)
        network = deepcopy(subject.network).eval().requires_grad_(True)
        # fused attention has no second derivatives
        with use_full_float32(), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            batches = [(prepare_images(given, subject, network), labels.to(given.device)) for given, labels in parts]
            product, size = make_hessian_product(network, partial(cross_entropy, reduction="sum"), batches)
            rng = torch.Generator().manual_seed(subject.seed)
            return find_eigenvalues(product, size, self.steps, rng, batches[0][0].device), size, len(images)
