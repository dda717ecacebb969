"""Equivariance up to a map of the channels, which is fitted on held-out images."""

from dataclasses import dataclass
from typing import ClassVar

from equistudy.measures.correlation import WithinCorrelation
from equistudy.measuring.families import Matching
from equistudy.measuring.measure import MeasuringResult, Subject

__all__ = ["MatchedCorrelation"]


@dataclass(frozen=True)
class MatchedCorrelation(WithinCorrelation):
    """Equivariance of feature maps when an element may act on the channels too: f(g x) against M_g g f(x).

    `WithinCorrelation` keeps channels fixed and therefore underestimates the equivariance of group convolutions. Here
    M_g is fitted per stage and element on the images with even indices, and the correlation is computed on the others,
    which `images` counts. 1: equivariant in some representation. Even a random convolution scores above 0, with LINEAR
    more than with PERMUTATION, so compare the value with that of the untrained network. The floor uses the same M_g.

    Source: Lenc and Vedaldi 2019, "Understanding image representations by measuring their equivariance and equivalence"
    (linear maps); Bokman and Kahl 2023, arXiv:2305.17017 (permutations). Differs from the former, who fit regularised
    maps over a neighbourhood of cells.
    """

    name: ClassVar[str] = "matched_correlation"
    title: ClassVar[str] = "Equivariance up to a map of the channels"
    shares_pass: ClassVar[bool] = False

    matching: Matching = Matching.PERMUTATION

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row for each stage and element."""
        from equistudy.measuring.channel_matching import build_matched_rows

        return build_matched_rows(self, self.matching, subject)
