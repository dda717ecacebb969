"""Which study and which results a command is about, and the commands that go on from there."""

import shlex
from pathlib import Path
from typing import NamedTuple

from equistudy.models.weights import searched

__all__ = ["DEFAULT_RESULTS", "PROGRAM", "Asked"]

PROGRAM = "python -m equistudy"
DEFAULT_RESULTS = "results"


class Asked(NamedTuple):
    """A study's file, its scale, and the folder or URL of its results."""

    study: Path
    scale: str | None
    folder: str

    @property
    def name(self) -> str:
        """What its page is called: the study, and its scale where it is not the first."""
        from equistudy.study.study import name_at  # here: `--help` needs none of it

        return name_at(self.study.stem, self.scale)

    def command(self, verb: str) -> str:
        """Another command about the same study and results, to be pasted into a shell."""
        scale = ["--scale", self.scale] if self.scale else []
        folder = ["--results", self.folder] if self.folder != DEFAULT_RESULTS else []
        weights = ["--weights-dir", str(searched())] if searched() else []
        return f"{PROGRAM} {shlex.join([verb, str(self.study), *scale, *folder, *weights])}"
