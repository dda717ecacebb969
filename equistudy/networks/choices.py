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
    """What is averaged over the transformed copies of an image in evaluation.

    PROBABILITY averages probabilities, the meaning of E_g f(g x) for a classifier. LOG_PROBABILITY takes their
    geometric mean, as the paper's code does. LOGIT averages the outputs themselves, as is right for anything but
    classes.
    """

    PROBABILITY = "probability"
    LOGIT = "logit"
    LOG_PROBABILITY = "log-probability"


class Factorisation(Enum):
    """How the kernel of a regular convolution, k[o, i, s] of k x k entries, is factorised to save parameters.

    FULL: not factorised, O I |G| k^2 parameters. G: a spatial filter d[o, i] shared by all elements times p[o, i, s],
    O I (k^2 + |G|) parameters. GC: one spatial filter d[o] per output field times p[o, i, s], O (k^2 + I |G|).

    Source: Lengyel and van Gemert 2021, arXiv:2110.01532 (separable group convolutions).
    """

    FULL = "full"
    G = "g"
    GC = "gc"

    def check(self, group: FiniteGroup | None) -> None:
        """Raises ValueError if kernels are to be factorised without a group."""
        if group is None and self is not Factorisation.FULL:
            raise ValueError(
                f"Factorised kernels need a group, got factorisation={self} with group=None. Set a group, or use "
                f"Factorisation.FULL."
            )


class Initialisation(Enum):
    """The distribution of the weights before training.

    HE: normal with variance 2 / fan-in, so that features keep their scale from layer to layer; the fan-in of a regular
    convolution is I |G| k^2. The factors of a separable kernel have variances 2 / (I |G|) and 1 / k^2.
    GROUPY: weights and biases, also those of both factors, uniform in +-1 / sqrt(I k^2). The fan-in ignores the group,
    so the variance grows by |G| / 3 with each layer, and separable kernels start near zero. The published networks use
    it; for a plain convolution it is torch's default.

    Source: He et al. 2015, arXiv:1502.01852; GrouPy, the code of Cohen and Welling 2016, arXiv:1602.07576.
    """

    HE = "he"
    GROUPY = "groupy"


class Shortcut(Enum):
    """The shortcut of a block that changes the number of channels and the resolution.

    PROJECTION (option B of the paper) is a strided 1 x 1 convolution with batch norm. PADDING (option A) takes every
    second pixel and appends channels of zeros, without parameters.
    """

    PROJECTION = "projection"
    PADDING = "padding"


class Padding(Enum):
    """How 3 x 3 convolutions pad the map: with zeros, circularly, or by reflection."""

    ZERO = "zero"
    CIRCULAR = "circular"
    REFLECT = "reflect"


class Downsampling(Enum):
    """How a residual stage halves the resolution.

    STRIDE: the block's first convolution and its shortcut have stride 2. MAX, BLUR and POLYPHASE instead downsample the
    inputs of the second convolution and of the shortcut. MAX takes the maximum of 2 x 2 cells. BLUR smooths with the
    binomial filter (1, 2, 1) and takes every second cell, also on the shortcut (Zhang 2019, arXiv:1904.11486).
    POLYPHASE chooses, among the four grids of every second cell, the one whose values before the second convolution
    have the largest sum of squares (adaptive polyphase sampling, Chaman and Dokmanic 2021, arXiv:2011.14214); with
    Padding.CIRCULAR and Head.MEAN the logits are invariant to circular shifts, trained or not. EVEN: a 4 x 4
    convolution with stride 2, and a 2 x 2 mean before a 1 x 1 convolution on the shortcut.

    The choice determines the image sizes at which a group-equivariant network is exact. A layer with kernel size k,
    padding p and stride s commutes with reflections and quarter turns of n x n cells exactly if s divides n + 2p - k;
    otherwise it drops cells on one side only. STRIDE and BLUR are exact for odd n, and at even n the error of BLUR is
    smaller. EVEN is exact for even n, such as 32 and 224 pixels.

    Source: Edixhoven et al. 2023, arXiv:2308.11316. Zhang's filters are padded asymmetrically and therefore never
    exact; those of the group-equivariant networks here are padded symmetrically.
    """

    STRIDE = "stride"
    MAX = "max"
    BLUR = "blur"
    POLYPHASE = "polyphase"
    EVEN = "even"

    @classmethod
    def _missing_(cls, value: object) -> "Downsampling | None":
        """Resolves the values that pre-activation networks use for these choices in ids and tables."""
        return {"strided": cls.STRIDE, "blurred": cls.BLUR}.get(str(value))


class Head(Enum):
    """How the last feature map becomes the vector that enters the classifier.

    MEAN: the mean over positions and, with a group, over the channels of each field. FLATTEN: the whole map as one
    vector, which ties the network to one image size. MEAN_OF_MAXIMA: the maximum over each field at every position,
    then the mean over positions. MAXIMUM_OF_MEANS: the mean over positions, then the maximum over each field. ORIENTED:
    the mean over positions of every channel, so that the classifier sees the orientation and the logits of an
    equivariant network depend on it. MEAN, MEAN_OF_MAXIMA and MAXIMUM_OF_MEANS are invariant to the group; without a
    group they are all the mean over positions.
    """

    MEAN = "mean"
    FLATTEN = "flatten"
    MEAN_OF_MAXIMA = "mean of maxima"
    MAXIMUM_OF_MEANS = "maximum of means"
    ORIENTED = "oriented"

    @classmethod
    def _missing_(cls, value: object) -> "Head | None":
        """Resolves the value that `ResNet` uses for MEAN in tables."""
        return cls.MEAN if value == "average" else None


class PairFeatures(Enum):
    """The features of a pair of positions that a network of points sees.

    PLACES: both positions, invariant only to the order of the points. DIFFERENCES: their difference, invariant to
    translations. DISTANCES: their distance, invariant to all rigid motions and reflections.
    """

    PLACES = "places"
    DIFFERENCES = "differences"
    DISTANCES = "distances"


class Positions(Enum):
    """The position embedding of a transformer.

    LEARNED: a learned vector per token. SINE: fixed sines and cosines of row and column. NONE: no embedding, so that
    circular shifts by whole patches permute the tokens and leave the logits unchanged.
    """

    LEARNED = "learned"
    SINE = "sine"
    NONE = "none"


GROUP_HEADS = (Head.MEAN_OF_MAXIMA, Head.MAXIMUM_OF_MEANS, Head.MEAN, Head.ORIENTED)


def check_choice(spec: object, field: str, *options: Enum) -> None:
    """Raises ValueError if a spec's field is not one of the options that its network implements."""
    value = getattr(spec, field)
    if value not in options:
        name = type(spec).__name__
        raise ValueError(
            f"{name}.{field} must be one of {', '.join(map(str, options))}, got {field}={value!s}. "
            f"The default is {options[0]!s}."
        )
