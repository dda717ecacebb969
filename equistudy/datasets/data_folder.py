"""The default folder of datasets, and the command that downloads them there."""

import os
from pathlib import Path

__all__ = ["DATA_VARIABLE", "describe_fetch", "get_data_folder"]

DATA_VARIABLE = "EQUISTUDY_DATA"


def get_data_folder() -> Path:
    """The folder of EQUISTUDY_DATA, or ./data/."""
    return Path(os.environ.get(DATA_VARIABLE) or "data")


def describe_fetch(name: str, folder: str | None) -> str:
    """A sentence, for errors about missing files, with the command that downloads a dataset to `folder`."""
    command = f"python -m equistudy fetch {name}"
    if folder is None:
        return f"Or fetch them: {command}"
    if Path(folder).name == name:
        return f"Or fetch them: {command} --into {Path(folder).parent}"
    return f"Or leave the folder out and fetch them to {get_data_folder() / name}: {command}"
