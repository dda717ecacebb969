"""What can be chosen of a group-equivariant network, besides its group and its size."""

from enum import Enum

from equistudy.groups.finite import FiniteGroup

__all__ = ["Downsampling", "Factorisation", "Head", "Initialisation"]


class Factorisation(Enum):
    """How the kernel of a regular convolution, k[o, i, s] of k x k entries, is made from fewer parameters.

    FULL: it is not; O I |G| k^2 parameters. G: a spatial filter d[o, i] that all elements share, times p[o, i, s];
    O I (k^2 + |G|). GC: one spatial filter d[o] for each output field, times p[o, i, s]; O (k^2 + I |G|).

    Source: Lengyel and van Gemert 2021, arXiv:2110.01532 (separable group convolutions).
    """

    FULL = "full"
    G = "g"
    GC = "gc"

    def check(self, group: FiniteGroup | None) -> None:
        """ValueError if kernels are to be factorised and there is no group to do it over."""
        if group is None and self is not Factorisation.FULL:
            raise ValueError(
                f"Kernels are factorised over a group, got factorisation={self} with group=None. Name a group, or use "
                f"Factorisation.FULL."
            )


class Initialisation(Enum):
    """The distribution of the weights before training.

    HE: normal with variance 2 / fan-in, so that features keep their scale from layer to layer; the fan-in of a regular
    convolution is I |G| k^2. The factors of a separable kernel have variances 2 / (I |G|) and 1 / k^2.
    GROUPY: weights and biases, also those of both factors, uniform in +-1 / sqrt(I k^2). The group is not counted, so
    that the variance grows |G| / 3 times with each layer, and separable kernels start near zero. It is what the
    published networks start from; on a plain convolution it is torch's default.

    Source: He et al. 2015, arXiv:1502.01852; GrouPy, the code of Cohen and Welling 2016, arXiv:1602.07576.
    """

    HE = "he"
    GROUPY = "groupy"


class Downsampling(Enum):
    """How a residual stage halves the resolution, which decides the image sizes at which a network is exact.

    A layer of kernel k, padding p and stride s commutes with mirror images and quarter turns of n x n cells exactly if
    s divides n + 2p - k: else cells are dropped at one side only.
    STRIDED: a 3 x 3 convolution with stride 2, a 1 x 1 one on the shortcut; exact for odd n.
    EVEN: a 4 x 4 convolution with stride 2, a 2 x 2 mean before a 1 x 1 one on the shortcut; exact for even n, such as
    32 and 224 pixels as they are.
    BLURRED: convolutions with stride 1, and a binomial 3 x 3 low-pass filter with stride 2 behind the first one's ReLU
    and on the shortcut; exact for odd n as STRIDED, and nearer to it at even n.

    Source: Edixhoven et al. 2023, arXiv:2308.11316; Zhang 2019, arXiv:1904.11486, whose filters are not symmetric in
    the padding and so never exact.
    """

    STRIDED = "strided"
    EVEN = "even"
    BLURRED = "blurred"


class Head(Enum):
    """How the last feature map becomes the vector that enters the classifier.

    MEAN_OF_MAXIMA: the largest channel of each field at every position, then the mean over positions. MAXIMUM_OF_MEANS:
    the other way round. MEAN: the mean over both. These three are invariant. ORIENTED: the mean over positions of every
    channel: the classifier sees the orientation, and the logits of an equivariant network move with its input.
    Without a group all four are the mean over positions.
    """

    MEAN_OF_MAXIMA = "mean of maxima"
    MAXIMUM_OF_MEANS = "maximum of means"
    MEAN = "mean"
    ORIENTED = "oriented"
