"""Where datasets lie that no folder is named for, and the command that puts them there."""

import os
from pathlib import Path

__all__ = ["DATA_VARIABLE", "describe_fetch", "get_data_folder"]

DATA_VARIABLE = "EQUISTUDY_DATA"


def get_data_folder() -> Path:
    """The folder of EQUISTUDY_DATA, or ./data/."""
    return Path(os.environ.get(DATA_VARIABLE) or "data")


def describe_fetch(name: str, folder: str | None) -> str:
    """How the files of a dataset come to `folder`, for the end of a message that they are not there."""
    command = f"python -m equistudy fetch {name}"
    if folder is None:
        return f"Or fetch them: {command}"
    if Path(folder).name == name:
        return f"Or fetch them: {command} --into {Path(folder).parent}"
    return f"Or leave the folder out and fetch them to {get_data_folder() / name}: {command}"
