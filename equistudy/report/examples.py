"""The figure of a learned augmentation: test images moved across the learned distribution."""

import base64
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.datasets.dataset import Modality, Split
from equistudy.report.figures import ReportFigure
from equistudy.spec import format_label
from equistudy.study.design import Factor
from equistudy.study.trial import Trial

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from polars import DataFrame

    from equistudy.analysis.table import StudyTable
else:
    # Study files name figures, so Polars, Altair and torch are imported only when something is drawn.
    TopLevelMixin = DataFrame = StudyTable = Any

__all__ = ["LearnedImages"]

COLUMNS = ["row", "level", "place", "moved", "image"]


@dataclass(frozen=True)
class LearnedImages(ReportFigure):
    """A test image moved by elements from one end of the learned box to the other, one row per level of `rows`.

    Each row shows the first trial of its level that learned an augmentation and has curves, with its final
    half-extents. Several generators act together, along the points of a Latin hypercube in their box.
    """

    rows: Factor
    image: int = 0
    count: int = 9

    def __post_init__(self) -> None:
        if self.image < 0 or self.count < 2:
            raise ValueError(
                f"image must be an index into the test split and count at least 2, got image={self.image}, "
                f"count={self.count}. Use image=0, count=9."
            )

    @property
    def title(self) -> str:
        """What is drawn, and by which factor."""
        return self._describe_by_factors("Images across the learned distribution")

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: row (an index), level, place (an index), moved (how far, in words), image (a PNG as a data URL)."""
        import polars as pl

        tails = {
            (row["trial"], row["name"]): row["value"]
            for row in table.curve_rows.to_dicts()
            if _is_extent_tail(row["name"])
        }
        drawn: dict[str, list[dict[str, Any]]] = {}
        for _, cell in table.study.design.identified_cells:
            level = format_label(cell.levels.get(self.rows.name))
            if level not in drawn and (found := self._render_row(cell.trial, tails)):
                drawn[level] = found
        order = [format_label(level) for level in self.rows.levels if format_label(level) in drawn]
        rows = [{"row": row, "level": level, **each} for row, level in enumerate(order) for each in drawn[level]]
        return pl.DataFrame(
            rows, schema={name: pl.Int64 if name in ("row", "place") else pl.String for name in COLUMNS}
        )

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """The pictures in rows."""
        from equistudy.report.charts import draw_pictures

        return draw_pictures(frame, self.rows)

    def caption(self, frame: DataFrame) -> str:
        """What the pictures show."""
        return "A test image transformed by elements from one end of the learned range to the other; one trial per row."

    def _render_row(self, trial: Trial, tails: dict[tuple[str, str], float]) -> list[dict[str, Any]]:
        """One row of pictures; empty for a trial that is unfinished or has no learned augmentation."""
        from equistudy.augmentations.learned.box import Box, latin_hypercube
        from equistudy.augmentations.learned.motion import ImageMotion

        augmentation, dataset = trial.augmentation, trial.dataset
        if not isinstance(augmentation, LearnedAugmentation):
            return []
        ends = [
            tails.get((trial.id, f"{g.name}_extent_tail")) if g.learned else g.start for g in augmentation.generators
        ]
        if None in ends or dataset.modality is not Modality.IMAGES:
            return []
        boxed = zip(augmentation.generators, ends, strict=True)
        generators = tuple(replace(generator, start=float(end)) for generator, end in boxed if end is not None)
        units = latin_hypercube(self.count, len(generators))
        units = (
            units / units[:, :1].abs().max() if len(generators) == 1 else units
        )  # a single axis is shown up to its ends
        image = dataset.load(Split.TEST).inputs[self.image : self.image + 1].float() / 255
        ones = (1.0,) * image.shape[1]
        motion = ImageMotion((0.0,) * len(ones), ones, dataset.background or 0.0, augmentation.reflected)
        moved = motion.move_inputs(image.expand(self.count, -1, -1, -1), units, Box(generators).eval()).detach()
        told = [
            ", ".join(f"{u * e:.3g}" for u, e in zip(row, ends, strict=True) if e is not None) for row in units.tolist()
        ]
        return [{"place": i, "moved": told[i], "image": _encode_data_url(picture)} for i, picture in enumerate(moved)]


def _is_extent_tail(name: str) -> bool:
    return name.endswith("_extent_tail")


def _encode_data_url(picture: Any) -> str:
    """A PNG of (C, H, W) in [0, 1] as a data URL."""
    from PIL import Image

    values = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(values.squeeze(-1) if values.shape[-1] == 1 else values).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
