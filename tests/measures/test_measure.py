"""What a measure is: a spec that torch is not needed to name."""

import subprocess
import sys

from equistudy.measures.measure import Skipped


def test_naming_measures_needs_no_torch() -> None:
    names = "correlation, agreement, consistency, normalised_variance, lie_derivative, accuracy, measure"
    code = (
        f"import sys; from equistudy.measures import {names}; from equistudy.groups.translation import Translation; "
        "correlation.WithinCorrelation(Translation()).id; "
        "assert not {'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_was_skipped_reads_as_a_sentence() -> None:
    assert str(Skipped("accuracy", "logits", None, "no labels")) == "accuracy of logits: no labels"
    assert str(Skipped("within", "stem", "dx=1", "too small")) == "within of stem at dx=1: too small"
