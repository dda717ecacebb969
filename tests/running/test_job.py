import subprocess
from pathlib import Path

from equistudy.running.job import TrialPhase, TrialProgress, collect_provenance


def test_provenance_names_commit_changes_and_versions(tmp_path: Path) -> None:
    assert collect_provenance(tmp_path / "study.py").commit is None
    assert collect_provenance(tmp_path / "study.py").dirty is None

    def git(*arguments: str) -> None:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True, capture_output=True)

    study = tmp_path / "study.py"
    study.write_text("1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    clean = collect_provenance(study)
    assert clean.commit is not None
    assert len(clean.commit) == 40
    assert clean.dirty is False
    study.write_text("2\n")
    assert collect_provenance(study).dirty is True
    assert {"python", "torch", "ray"} <= clean.versions.keys()


def test_progress_is_final_when_the_row_is_written() -> None:
    phases = {
        TrialPhase.TRAINING: False,
        TrialPhase.MEASURING: False,
        TrialPhase.DONE: True,
        TrialPhase.FAILED: True,
        TrialPhase.STOPPED: True,
    }
    assert {phase: TrialProgress("t", phase, 0, 1, "width=2").is_final for phase in phases} == phases
