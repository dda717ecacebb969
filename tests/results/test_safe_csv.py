import csv
import io

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from equistudy.results.safe_csv import write_safe_csv

RUN = ("=", "+", "-", "@", "\t", "\r")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1))
def test_no_cell_begins_a_formula_and_every_text_can_be_read_back(texts: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(write_safe_csv(pl.DataFrame({"name": texts})), newline="")))[1:]
    for text, (cell,) in zip(texts, rows, strict=True):
        assert not cell.startswith(RUN) or cell == "-" or isinstance(float(cell), float)
        assert cell in (text, f"'{text}")


def test_formulas_are_texts_and_numbers_stay_numbers() -> None:
    frame = pl.DataFrame({"=name": ["=1+1", "@SUM(A1)", "-1e-3", "-", "+x", "a=b", None], "value": [-1.5] * 7})
    text = write_safe_csv(frame)
    assert text.splitlines()[0] == "'=name,value"
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [
        "'=1+1",
        "'@SUM(A1)",
        "-1e-3",
        "-",
        "'+x",
        "a=b",
        "",
    ]
    assert write_safe_csv(pl.DataFrame({"value": [-1, 2]})) == "value\n-1\n2\n"
