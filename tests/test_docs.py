"""The documentation: its pages build without a warning, and their Python runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(path for path in DOCS.glob("*.md") if BLOCK.search(path.read_text()))


def test_the_pages_with_python_are_these() -> None:
    names = {path.stem for path in PAGES}
    assert names == {"start", "measuring", "measures", "own", "invariance", "exactness", "results"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[path.stem for path in PAGES])
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    code = "\n".join(BLOCK.findall(page.read_text()))
    (tmp_path / "page.py").write_text(code)
    paths = {"PYTHONPATH": str(DOCS.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **paths},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the site is built where its tools are: pip install .[docs]")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path / "site")]
    paths = {"PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **paths})
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference" / "measures.html").read_text()
    assert "WithinCorrelation" in page
    assert not re.search(r'(?:src|href)="https?://[^"]*\.(?:js|css)', page), "offline, a page needs its own files alone"
