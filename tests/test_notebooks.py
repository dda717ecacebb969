"""Every notebook runs from a clean kernel on the rows that are kept, and draws."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "studies" / "notebooks").glob("*.ipynb"))
nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_output_and_asks_for_one_line(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert cells[0].source.startswith("RESULTS")
    assert "\n" not in cells[0].source
    assert '"../kept"' in cells[0].source
    assert sum("../kept" in cell.source for cell in cells) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_a_clean_kernel(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(path.parents[2]))  # the checkout may not be installed
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:  # what a browser would draw is drawn here
        cell.source = cell.source.replace(
            "import altair as alt\n", 'import altair as alt\nalt.renderers.enable("png")\n'
        )
    place = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    assert all(len(picture) > 5_000 for picture in pictures)
    assert not any(output.output_type == "error" for output in outputs)
