import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equistudy.cli.errors import ExitCode, escape_controls, get_user_message
from equistudy.models.resnet import ResNet
from equistudy.models.sized import compute_patch_grid
from equistudy.results.store import Store
from equistudy.study.file import load_study


def caught(function, *arguments) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_what_our_code_raises_is_told(tmp_path: Path) -> None:
    assert get_user_message(caught(ResNet, 21)) == "ResNet depth must be 6n + 2, got depth=21. Nearest: 20, 26."
    assert "There are no results in" in str(get_user_message(caught(Store.open, tmp_path / "none", False)))
    assert "does not exist" in str(get_user_message(caught(load_study, tmp_path / "none.py")))


def test_the_same_kinds_of_errors_from_elsewhere_are_bugs() -> None:
    assert get_user_message(caught(int, "x")) is None
    assert get_user_message(caught(lambda: len(3))) is None  # type: ignore[arg-type]
    assert get_user_message(caught(lambda: {}["x"])) is None
    # Python raises it inside our code, but no statement of ours does
    assert get_user_message(caught(compute_patch_grid, None, 2, (8, 8))) is None
    assert get_user_message(ValueError("never raised")) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_the_system_refuses_is_told_with_the_way_out(number: int) -> None:
    def refuse(*names: str) -> None:
        raise OSError(number, "It said no", *names)

    way_out = "Free some space, change the permissions, or choose another folder with --results."
    rule = "Cannot read or write files"
    assert get_user_message(caught(refuse, "a/file")) == f"{rule}: It said no for a/file. {way_out}"
    assert get_user_message(caught(refuse)) == f"{rule}: It said no. {way_out}"


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNREFUSED, errno.ETIMEDOUT])
def test_what_the_network_refuses_says_nothing_about_files(number: int) -> None:
    def refuse() -> None:
        raise OSError(number, "It said no")

    assert get_user_message(caught(refuse)) is None


def test_the_exit_codes_are_those_that_shells_know() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 130]


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
