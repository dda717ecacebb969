import pytest
from hypothesis import given
from hypothesis import strategies as st

from equistudy.cli.terminal import escape_controls


@given(st.text())
def test_nothing_is_left_that_a_terminal_acts_on(text: str) -> None:
    harmless = escape_controls(text)
    assert not set(harmless) & {chr(code) for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x202E)}
    harmless.encode()


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb", "a\\rb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udc80", "\\udc80"),
        ("Größe of 2\n\tß ✓", "Größe of 2\n\tß ✓"),
    ],
)
def test_escapes_are_shown_and_other_letters_kept(text: str, harmless: str) -> None:
    assert escape_controls(text) == harmless
