import shlex
from pathlib import Path

from equistudy.command_line.asked import Asked


def test_a_command_can_be_pasted_into_a_shell() -> None:
    plain = Asked(Path("studies/capacity.py"), None, "results")
    assert plain.command("status") == "python -m equistudy status studies/capacity.py"
    odd = Asked(Path("my studies/it's.py"), "paper", "s3://bucket/all results")
    words = ["python", "-m", "equistudy", "run", "my studies/it's.py", "--scale", "paper"]
    assert shlex.split(odd.command("run")) == [*words, "--results", "s3://bucket/all results"]
