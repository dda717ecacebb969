"""The Lie derivative of each stage: how equivariance breaks under infinitesimal transformations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from equistudy.groups.group import Group
from equistudy.groups.one_parameter import OneParameterGroup, Saturation
from equistudy.groups.translation import Border, Translation
from equistudy.measuring.families import FlowMeasure
from equistudy.measuring.measure import MeasuringResult, Subject

if TYPE_CHECKING:
    from equistudy.measuring.flow import Flow
else:
    Flow = Any

__all__ = ["LieContribution", "LieDerivative"]


@dataclass(frozen=True)
class LieDerivative(FlowMeasure):
    """Equivariance to infinitesimal transformations: L f(x) = d/dt g(-t) f(g(t) x) at t = 0, by forward-mode autodiff.

    `raw` is the root mean square of L f over images, channels and cells, per pixel or per degree. `value` divides it by
    the root mean square of the map's own motion, d/dt g(t) f(x), because `raw` falls with the smoothness of the
    features; for vectors, which do not move, it divides by the standard deviation over images. 0: equivariant. 1: as if
    the map stood still while the image moved. `no_motion` is the same for the unmoved map, d/dt f(g(t) x).

    A `Translation` has two rows, for motion along x and along y. With Border.CIRCULAR images and maps are shifted by
    their Fourier transform, and every cell counts, as under `Saturation`, which multiplies values by exp(t). All other
    groups interpolate bilinearly and replicate the border, of which `erosion` cells are left out; every further
    convolution widens the affected border. With strides the value includes aliasing.

    Source: Gruver et al. 2023, "The Lie derivative for measuring learned equivariance", arXiv:2210.02984. Differs from
    the authors' code, which differentiates twice in reverse mode, takes norms of single outputs, does not normalise,
    and returns 0 for outputs that it does not recognise as maps; here those are skipped, with the reason.
    """

    REVISION: ClassVar[int] = 3

    name: ClassVar[str] = "lie_derivative_error"
    title: ClassVar[str] = "Lie derivative, share of the features' own motion"

    group: Group
    erosion: int = 1

    def __post_init__(self) -> None:
        _check_group(type(self).__name__, self.group)
        if self.erosion < 0:
            raise ValueError(f"erosion is a number of cells of at least 0, got erosion={self.erosion}.")

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row for each stage and direction."""
        from equistudy.measuring.derivative_rows import build_derivative_rows

        return build_derivative_rows(self, subject)

    @property
    def edge(self) -> int:
        """The cells of `erosion`."""
        return self.erosion

    def flows(self) -> tuple[Flow, ...]:
        """The directions in which the group moves content."""
        return _create_flows(self.group)


@dataclass(frozen=True)
class LieContribution(FlowMeasure):
    """What each stage adds to the Lie derivative of the network's output.

    Let T_k be the derivative of the output when the map of stage k moves, T_0 when the image does. The contribution of
    stage k is T_{k-1} - T_k: what goes wrong from one stage to the next, carried through the rest of the network. The
    contributions add up to L f = T_0 - T_K as vectors; their norms do not. `raw` is the root mean square over images
    and outputs, per pixel or per degree; `value` divides it by the standard deviation of the outputs
    over images. Stages are those of the subject, in the order in which they run; the output is a vector.

    Source: as `LieDerivative`; its layerwise decomposition. Differs from the authors' code, which estimates the norms
    by random probes: for a vector of outputs they are computed.
    """

    REVISION: ClassVar[int] = 3

    name: ClassVar[str] = "lie_contribution_error"
    title: ClassVar[str] = "Contribution to the Lie derivative of the output"

    group: Group

    def __post_init__(self) -> None:
        _check_group(type(self).__name__, self.group)

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row for each stage and direction."""
        from equistudy.measuring.derivative_rows import build_contribution_rows

        return build_contribution_rows(self, subject)

    def flows(self) -> tuple[Flow, ...]:
        """The directions in which the group moves content."""
        return _create_flows(self.group)


def _check_group(name: str, group: Group) -> None:
    if not isinstance(group, Translation | OneParameterGroup | Saturation):
        raise TypeError(
            f"{name} needs a group that acts continuously, got {group}. Use Translation, Rotation, Scaling, Stretch, "
            "HyperbolicRotation, Shear or Saturation; correlations take finite groups."
        )


def _create_flows(group: Group) -> tuple[Flow, ...]:
    from equistudy.measuring.flow import Flow

    still = (0.0, 0.0, 0.0)
    if isinstance(group, Translation):
        circular = group.border is Border.CIRCULAR
        along_x, along_y = ((0.0, 0.0, 1.0), still, still), (still, (0.0, 0.0, 1.0), still)
        return Flow("d/dx", along_x, circular), Flow("d/dy", along_y, circular)
    if isinstance(group, Saturation):
        return (Flow("d/dt", (still, still, still), circular=True, gain=1.0),)
    assert isinstance(group, OneParameterGroup)
    rate, rows = group.RATE, group.GENERATOR
    (a, b, right), (c, d, down) = (tuple(rate * entry for entry in row) for row in rows[:2])
    return (Flow("d/dt", ((a, b, right), (c, d, down), still), False),)
