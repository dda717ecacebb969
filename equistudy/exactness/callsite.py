"""The place of a traced call, and what its rule may record besides findings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from equistudy.exactness.constants import ConstantMemory, align_constant
from equistudy.exactness.elements import ALL_ELEMENTS, ElementParameters, find_commuting_elements
from equistudy.exactness.findings import BreakingLayer, Cause
from equistudy.exactness.layout import AxisLetters, FunctionCall, TracedLayout, get_layout

__all__ = ["CallSite", "Rule", "Ruling"]

NOT_MOVED: tuple[AxisLetters, bool] = (frozenset(), False)


@dataclass(frozen=True)
class CallSite:
    """The layer of a call, the layout of its input, and the order of the group of the network's own convolutions.

    `uncovered` collects the calls that no rule covers, and `constants` what is known of tensors that do not depend on
    the image.
    """

    name: str
    layout: TracedLayout
    order: int = 0
    uncovered: set[tuple[str, str]] = field(default_factory=set)
    constants: ConstantMemory = field(default_factory=ConstantMemory)

    def note_uncovered(self, function: str) -> None:
        """Records that no rule covers this call of a function."""
        self.uncovered.add((self.name, function))

    def judge_constants(
        self, constants: Iterable[Tensor], layout: TracedLayout, shape: Sequence[int], function: str
    ) -> list[BreakingLayer]:
        """Finds constants that tell positions, or elements of the group, apart where they meet features."""
        findings = []
        for constant in constants:
            if constant.numel() == 1:
                continue
            aligned, dims = align_constant(getattr(constant, "numbers", constant), layout, shape)
            survives = self.constants.find_symmetries((self.name, function), aligned, dims)
            survives = frozenset({(0.0, 0.0)}) if survives is None else survives
            if survives != ALL_ELEMENTS:
                if layout.frame[0]:
                    self.note_uncovered(function)
                findings.append(self._create_position_finding(constant, function, survives))
            if any("g" in letters and size > 1 for size, letters in zip(aligned.shape, dims, strict=True)):
                detail = f"{function} has other numbers for different group elements"
                findings.append(BreakingLayer(self.name, Cause.NORM, detail, frozenset({(0.0, 0.0)})))
        return findings

    def _create_position_finding(
        self, constant: Tensor, function: str, survives: frozenset[ElementParameters]
    ) -> BreakingLayer:
        how = HOW.get(function.strip("_"), f"combined by {function}")
        detail = f"{how} with numbers of their own for every position"
        return BreakingLayer(getattr(constant, "path_in_network", self.name), Cause.POSITION, detail, survives)

    def judge_frame(self) -> list[BreakingLayer]:
        """Finds that learned filters, or an output, see the features flipped or with rows and columns exchanged."""
        if self.layout.frame == NOT_MOVED:
            return []
        return [_create_flip_finding(self.layout, find_commuting_elements(*self.layout.frame))]

    def judge_streams(self, call: FunctionCall) -> list[BreakingLayer]:
        """Finds streams that are combined although one is flipped or exchanged relative to another."""
        layouts = [layout for tensor in call.tensors if (layout := get_layout(tensor)) and layout.letters & {"h", "w"}]
        findings = []
        for other in layouts[1:]:
            common = layouts[0].letters & other.letters
            flipped = (layouts[0].flipped ^ other.flipped) & common
            transposed = layouts[0].is_transposed != other.is_transposed and common >= {"h", "w"}
            if flipped or transposed:
                moved = other if other.frame != NOT_MOVED else layouts[0]
                findings.append(_create_flip_finding(moved, find_commuting_elements(flipped, transposed)))
        return findings


HOW = {"add": "added", "sub": "added", "mul": "multiplied", "div": "multiplied", "cat": "joined as channels"}


def _create_flip_finding(layout: TracedLayout, survives: frozenset[ElementParameters]) -> BreakingLayer:
    detail = "features are flipped or exchanged, but filters or other features that meet them are not"
    return BreakingLayer(layout.mover or "(the network itself)", Cause.FLIPPED, detail, survives)


Ruling = tuple[TracedLayout | list[TracedLayout], list[BreakingLayer]]  # of one result, or of each of several
Rule = Callable[[FunctionCall, CallSite], Ruling]
