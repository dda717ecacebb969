"""What `new` writes: a small study that runs as it is, to be changed into another question."""

import shlex
from pathlib import Path

from equistudy.cli.study_reference import PROGRAM
from equistudy.study.file import check_name

__all__ = ["write_study"]

TEXT = '''"""Do crops raise the translation equivariance that a small network learns?

    {program} run {path}
"""

import equistudy as eq

EQUIVARIANCE = eq.WithinCorrelation(eq.Translation(max_pixels=2))
CROPS = eq.Factor("padding", levels=(0, 2, 4), unit="pixels")


def trial(padding: int, seed: int) -> eq.Trial:
    """A small residual network on digits; change what you like."""
    augmentation = eq.RandomCrop(padding) if padding else eq.NoAugmentation()
    recipe = eq.Recipe(epochs=4, batch_size=64)
    return eq.Trial(eq.ResNet(8, width=4), eq.Digits(train_size=960), eq.Classification(), augmentation, recipe, seed)


study = eq.Study(
    question="Do crops raise the translation equivariance that a small network learns?",
    design=eq.factorial(trial, CROPS, seeds=range(3)),
    measures=(eq.Accuracy(), EQUIVARIANCE),
    claims=(eq.Claim("More padding, more equivariance", eq.Trend(EQUIVARIANCE, over=CROPS, expected="increasing")),),
    figures=(eq.Curve(y=EQUIVARIANCE, x=CROPS), eq.LayerProfile(y=EQUIVARIANCE, color=CROPS)),
)
'''


def write_study(path: Path) -> list[str]:
    """Writes the study and gives what to do next. Raises ValueError where a file is, or for a name that cannot be."""
    if path.suffix != ".py":
        raise ValueError(f"A study is a Python file, got {path}. For example {path.stem or 'question'}.py.")
    check_name(path)
    if path.exists():
        raise ValueError(f"{PROGRAM} new does not overwrite files, got {path}, which exists. Choose another name.")
    if not path.parent.is_dir():
        raise ValueError(f"The folder of a new study must exist, got {path.parent}. Create it first.")
    path.write_text(TEXT.format(program=PROGRAM, path=path), encoding="utf-8")
    typed = shlex.quote(str(path))
    return [f"Wrote {path}. Next:", f"  {PROGRAM} plan {typed} --check", f"  {PROGRAM} run {typed}"]
