"""The choices that networks offer beside their sizes, as enums that specs and torch modules share."""

from enum import Enum

from equistudy.groups.finite import FiniteGroup

__all__ = [
    "GROUP_HEADS",
    "Aggregate",
    "Downsampling",
    "Factorisation",
    "Head",
    "Initialisation",
    "Padding",
    "PairFeatures",
    "Positions",
    "Shortcut",
    "check_choice",
]


class Aggregate(Enum):
    """What is averaged over the copies of an image when a trained network answers.

    PROBABILITY is the mixture that E_g f(g x) means for a classifier; LOG_PROBABILITY is the geometric mean, what the
    paper's code averages; LOGIT averages the outputs as they are, which is right for everything but classes.
    """

    PROBABILITY = "probability"
    LOGIT = "logit"
    LOG_PROBABILITY = "log-probability"


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


class Shortcut(Enum):
    """How a block's input joins its output where the number of channels and the resolution change.

    PROJECTION (option B of the paper) is a 1 x 1 convolution with stride and batch norm. PADDING (option A) takes every
    second pixel and adds channels of zeros, without parameters.
    """

    PROJECTION = "projection"
    PADDING = "padding"


class Padding(Enum):
    """What the 3 x 3 convolutions see beyond the border: zeros, the other side, or the mirrored map."""

    ZERO = "zero"
    CIRCULAR = "circular"
    REFLECT = "reflect"


class Downsampling(Enum):
    """How a residual stage halves the resolution.

    STRIDE: the block's first convolution and its shortcut have stride 2. The others halve what would enter the second
    convolution and the shortcut: MAX takes the maximum of 2 x 2 cells; BLUR smooths by the binomial filter (1, 2, 1)
    and takes every second cell (Zhang 2019, arXiv:1904.11486; the shortcuts are blurred likewise); POLYPHASE takes
    those of the four ways to take every second cell that have the largest sum of squares in front of the second
    convolution (adaptive polyphase sampling, Chaman and Dokmanic 2021, arXiv:2011.14214). With Padding.CIRCULAR and
    Head.MEAN its logits are then the same for every circular shift, trained or not. EVEN: a 4 x 4 convolution with
    stride 2, and a 2 x 2 mean before a 1 x 1 convolution on the shortcut.

    The choice decides the image sizes at which a group-equivariant network is exact. A layer of kernel k, padding p and
    stride s commutes with mirror images and quarter turns of n x n cells exactly if s divides n + 2p - k: otherwise
    cells are dropped at one side only. STRIDE and BLUR are exact for odd n, and BLUR is nearer to it at even n; EVEN is
    exact for even n, such as 32 and 224 pixels as they are.

    Source: Edixhoven et al. 2023, arXiv:2308.11316; Zhang's filters are not symmetric in the padding, and so never
    exact: the ones of group-equivariant networks here are.
    """

    STRIDE = "stride"
    MAX = "max"
    BLUR = "blur"
    POLYPHASE = "polyphase"
    EVEN = "even"

    @classmethod
    def _missing_(cls, value: object) -> "Downsampling | None":
        """The values under which pre-activation networks keep these choices in ids and tables."""
        return {"strided": cls.STRIDE, "blurred": cls.BLUR}.get(str(value))


class Head(Enum):
    """How the last feature map becomes the vector that enters the classifier.

    MEAN: the mean over positions, and of a group's field over its channels. FLATTEN: the whole map as one vector, which
    ties the network to one image size. MEAN_OF_MAXIMA: the largest channel of each field at every position, then the
    mean over positions. MAXIMUM_OF_MEANS: the other way round. ORIENTED: the mean over positions of every channel: the
    classifier sees the orientation, and the logits of an equivariant network move with its input. MEAN, MEAN_OF_MAXIMA
    and MAXIMUM_OF_MEANS are invariant to the group; without a group they are all the mean over positions.
    """

    MEAN = "mean"
    FLATTEN = "flatten"
    MEAN_OF_MAXIMA = "mean of maxima"
    MAXIMUM_OF_MEANS = "maximum of means"
    ORIENTED = "oriented"

    @classmethod
    def _missing_(cls, value: object) -> "Head | None":
        """The value under which `ResNet` keeps MEAN in tables."""
        return cls.MEAN if value == "average" else None


class PairFeatures(Enum):
    """What a network of points sees of the positions of two points.

    PLACES: both, so that it is invariant to the order of the points alone. DIFFERENCES: one minus the other, invariant
    to shifts. DISTANCES: how far apart they are, invariant to every rigid motion and reflection.
    """

    PLACES = "places"
    DIFFERENCES = "differences"
    DISTANCES = "distances"


class Positions(Enum):
    """What tells the tokens of a transformer where they are.

    LEARNED: a vector added to each, trained. SINE: sines and cosines of row and column, fixed. NONE: nothing, so that
    circular shifts by whole patches permute the tokens and leave the logits as they are.
    """

    LEARNED = "learned"
    SINE = "sine"
    NONE = "none"


GROUP_HEADS = (Head.MEAN_OF_MAXIMA, Head.MAXIMUM_OF_MEANS, Head.MEAN, Head.ORIENTED)


def check_choice(spec: object, field: str, *options: Enum) -> None:
    """ValueError if a spec's field is not one of these options: other networks have the other ones."""
    value = getattr(spec, field)
    if value not in options:
        name = type(spec).__name__
        raise ValueError(
            f"{name}.{field} must be one of {', '.join(map(str, options))}, got {field}={value!s}. "
            f"The default is {options[0]!s}."
        )
