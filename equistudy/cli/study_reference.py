"""Which study and which results a command is about, and the commands that go on from there."""

import shlex
from pathlib import Path
from typing import NamedTuple

from equistudy.models.weights import get_weights_folder

__all__ = ["DEFAULT_RESULTS", "PROGRAM", "StudyReference"]

PROGRAM = "python -m equistudy"
DEFAULT_RESULTS = "results"


class StudyReference(NamedTuple):
    """A study's file, its scale, and the folder or URL of its results."""

    study: Path
    scale: str | None
    folder: str

    @property
    def name(self) -> str:
        """What its page is called: the study, and its scale where it is not the first."""
        from equistudy.study.study import format_study_name  # here: `--help` needs none of it

        return format_study_name(self.study.stem, self.scale)

    def format_command(self, verb: str) -> str:
        """Another command about the same study and results, to be pasted into a shell."""
        scale = ["--scale", self.scale] if self.scale else []
        folder = ["--results", self.folder] if self.folder != DEFAULT_RESULTS else []
        weights = ["--weights-dir", str(get_weights_folder())] if get_weights_folder() else []
        return f"{PROGRAM} {shlex.join([verb, str(self.study), *scale, *folder, *weights])}"
