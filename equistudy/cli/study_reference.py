"""Which study and which results a command is about, and the commands that go on from there."""

import shlex
from pathlib import Path
from typing import NamedTuple

from equistudy.models.weights import get_weights_folder

__all__ = ["DEFAULT_RESULTS", "PROGRAM", "StudyReference"]

PROGRAM = "python -m equistudy"
DEFAULT_RESULTS = "results"


class StudyReference(NamedTuple):
    """A study's file, its scale, the folder or URL of its results, and what is set otherwise than in the file."""

    study: Path
    scale: str | None
    folder: str
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its page is called: the study, its scale where it is not the first, and its settings."""
        from equistudy.study.settings import format_settings, parse_setting  # here: `--help` needs none of it
        from equistudy.study.study import format_study_name

        name = format_study_name(self.study.stem, self.scale)
        settings = format_settings([parse_setting(text) for text in self.settings])
        return f"{name}-{settings}" if settings else name

    def format_command(self, verb: str) -> str:
        """Another command about the same study and results, to be pasted into a shell."""
        return f"{PROGRAM} {shlex.join(self.build_arguments(verb))}"

    def build_arguments(self, verb: str) -> list[str]:
        """The arguments of that command."""
        scale = ["--scale", self.scale] if self.scale else []
        settings = [word for text in self.settings for word in ("--set", text)]
        folder = ["--results", self.folder] if self.folder != DEFAULT_RESULTS else []
        weights = ["--weights-dir", str(get_weights_folder())] if get_weights_folder() else []
        return [verb, str(self.study), *scale, *settings, *folder, *weights]
