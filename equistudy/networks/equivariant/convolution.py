"""Group convolutions: ordinary convolutions on folded features, with kernels expanded from fewer parameters."""

from collections import OrderedDict
from collections.abc import Callable
from math import sqrt
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils import skip_init

from equistudy.groups.finite import FiniteGroup
from equistudy.networks.choices import Initialisation
from equistudy.networks.equivariant.cache import TensorCache
from equistudy.networks.equivariant.kernels import build_gather_table, expand_kernels

__all__ = [
    "ConvolutionWindow",
    "DepthwiseConvolution",
    "GroupConvolution",
    "LiftingConvolution",
    "RegularConvolution",
    "SharedConvolution",
    "build_separable_convolution",
]


class ConvolutionWindow(NamedTuple):
    """The window of a convolution: size of the square kernel, stride, padding on each side, and dilation."""

    size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


class StoredWeight(NamedTuple):
    """The shape of a stored weight, and its standard deviation under Initialisation.HE."""

    shape: tuple[int, int, int, int]
    std: float


class GroupConvolution(nn.Module):
    """Base of the group convolutions. `inputs` and `outputs` count fields of |G| channels, or channels of images.

    Exactly equivariant if the stride divides n + 2 padding - dilation (size - 1) - 1, for maps of n x n cells. In
    evaluation mode on the CPU, the kernels are cached until a parameter changes (see `TensorCache`).
    """

    regular: ClassVar[bool] = True

    def __init__(
        self,
        group: FiniteGroup,
        inputs: int,
        outputs: int,
        window: ConvolutionWindow,
        bias: bool = True,
        initialisation: Initialisation = Initialisation.HE,
    ) -> None:
        super().__init__()
        if min(inputs, outputs, window.size, window.stride, window.dilation) < 1 or window.padding < 0:
            raise ValueError(
                f"A group convolution needs positive numbers of fields, size, stride and dilation, and padding of at "
                f"least 0, got inputs={inputs}, outputs={outputs}, {window}. Use ConvolutionWindow(3, padding=1) "
                "for 3 x 3."
            )
        self.group, self.inputs, self.outputs, self.window = group, inputs, outputs, window
        self.channel_groups = 1
        self.register_buffer("table", self._build_table(), persistent=False)
        self._names = tuple(self.stored_weights())
        for name, weight in self.stored_weights().items():
            self.register_parameter(name, nn.Parameter(torch.randn(weight.shape) * weight.std))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        if initialisation is Initialisation.GROUPY:
            self.fill_uniform(1 / sqrt(inputs * window.size**2))
        self._cache = TensorCache()

    def _build_table(self) -> Int64[Tensor, "G P"]:
        return build_gather_table(self.group, self.window.size, regular=self.regular).clone()

    def stored_weights(self) -> dict[str, StoredWeight]:
        """The weights by name, with four axes each, so that a network can be converted to any memory format."""
        raise NotImplementedError

    def build_identity_kernel(self) -> Float[Tensor, "O I k k"]:
        """Kernel 0 of every output field; the other kernels are moved copies of it."""
        weight: Tensor = self.weight  # type: ignore[assignment]
        return weight

    def build_kernels(self) -> Float[Tensor, "D I k k"]:
        """The kernels of every output channel, o |G| + h."""

        def expand() -> Tensor:
            kernel = self.build_identity_kernel()
            table = self.get_buffer("table")
            if table.device != kernel.device:  # weights were assigned to a network built on the meta device
                table = self._build_table().to(kernel.device)
            return expand_kernels(kernel, table)

        if self.training:
            return expand()
        return self._cache.get_or_compute([getattr(self, name) for name in self._names], expand)

    def build_biases(self) -> Float[Tensor, " D"] | None:
        """The bias of every output channel, the same within each field."""
        return None if self.bias is None else self.bias.repeat_interleave(self.group.order)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """From images or folded regular features to folded regular features."""
        _, stride, padding, dilation = self.window
        return conv2d(
            features, self.build_kernels(), self.build_biases(), stride, padding, dilation, self.channel_groups
        )

    def fill_uniform(self, bound: float) -> None:
        """Fills every parameter with values uniform in +- `bound`."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def to_ordinary(self) -> nn.Conv2d:
        """An ordinary convolution with the same outputs and without weight sharing."""
        kernels, biases = self.build_kernels().detach().clone(), self.build_biases()
        inputs = kernels.shape[1] * self.channel_groups
        layer = skip_init(nn.Conv2d, inputs, len(kernels), *self.window, self.channel_groups, bias=False)
        layer.weight = nn.Parameter(kernels)
        layer.bias = None if biases is None else nn.Parameter(biases.detach().clone())
        return layer

    def train(self, mode: bool = True) -> "GroupConvolution":
        """Sets the mode, and empties the cache of kernels."""
        self._cache.clear()
        return super().train(mode)

    def extra_repr(self) -> str:
        """The group, the fields and the window."""
        return f"{self.group}, {self.inputs}, {self.outputs}, {self.window}, bias={self.bias is not None}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        table = self._build_table().to(self.get_buffer("table").device)  # `to_empty` leaves it uninitialised
        self.register_buffer("table", table, persistent=False)
        return self


class LiftingConvolution(GroupConvolution):
    """Images to regular features: (x * k)[h] = x * h.k, of O I k^2 parameters.

    Source: Cohen and Welling 2016, arXiv:1602.07576, section 6.1.
    """

    regular = False

    def stored_weights(self) -> dict[str, StoredWeight]:
        """The kernels of the identity element."""
        size = self.window.size
        return {"weight": StoredWeight((self.outputs, self.inputs, size, size), sqrt(2 / (self.inputs * size**2)))}


class RegularConvolution(GroupConvolution):
    """Regular features to regular features: (f * k)[h] = sum over s of f[s] * h.k[h^-1 s], of O I |G| k^2 parameters.

    Source: Cohen and Welling 2016, arXiv:1602.07576, section 6.1.
    """

    def stored_weights(self) -> dict[str, StoredWeight]:
        """The kernels of the identity element, folded like features."""
        channels, size = self.inputs * self.group.order, self.window.size
        return {"weight": StoredWeight((self.outputs, channels, size, size), sqrt(2 / (channels * size**2)))}


class SharedConvolution(GroupConvolution):
    """A regular convolution with k[o, i, s] = p[o, i, s] d[o, i] (Factorisation.G), of O I (|G| + k^2) parameters."""

    def stored_weights(self) -> dict[str, StoredWeight]:
        """The factors d as `spatial` and p as `pointwise`."""
        channels, size = self.inputs * self.group.order, self.window.size
        return {
            "spatial": StoredWeight((self.outputs, self.inputs, size, size), 1 / size),
            "pointwise": StoredWeight((self.outputs, channels, 1, 1), sqrt(2 / channels)),
        }

    def build_identity_kernel(self) -> Float[Tensor, "O I k k"]:
        """The products, because applying the factors in turn would copy the features for each pair of fields."""
        spatial: Tensor = self.spatial  # type: ignore[assignment]
        pointwise: Tensor = self.pointwise  # type: ignore[assignment]
        return spatial.repeat_interleave(self.group.order, dim=1) * pointwise


class DepthwiseConvolution(GroupConvolution):
    """One spatial filter for each field: (f * d)[h] = f[h] * h.d, of O k^2 parameters. `inputs` equals `outputs`."""

    regular = False

    def __init__(self, group: FiniteGroup, fields: int, window: ConvolutionWindow, bias: bool = True) -> None:
        super().__init__(group, fields, fields, window, bias)
        self.channel_groups = fields * group.order

    def stored_weights(self) -> dict[str, StoredWeight]:
        """The filters of the identity element; their gain is 1, because no ReLU precedes them."""
        return {"weight": StoredWeight((self.outputs, 1, self.window.size, self.window.size), 1 / self.window.size)}


def build_separable_convolution(
    group: FiniteGroup,
    inputs: int,
    outputs: int,
    window: ConvolutionWindow,
    bias: bool = True,
    initialisation: Initialisation = Initialisation.HE,
) -> nn.Sequential:
    """A regular convolution with k[o, i, s] = p[o, i, s] d[o] (Factorisation.GC), computed as p followed by d."""
    pointwise = RegularConvolution(group, inputs, outputs, ConvolutionWindow(1), bias=False)
    depthwise = DepthwiseConvolution(group, outputs, window, bias)
    if initialisation is Initialisation.GROUPY:
        for factor in (pointwise, depthwise):
            factor.fill_uniform(1 / sqrt(inputs * window.size**2))
    return nn.Sequential(OrderedDict(pointwise=pointwise, depthwise=depthwise))
