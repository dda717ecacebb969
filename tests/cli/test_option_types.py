import click
import pytest

from equistudy.cli.option_types import CPUS, GPUS, NUMBER, RayAddress, check_text


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "0", "-1", "two", "1000001", ""])
def test_a_number_is_finite_and_within_its_bounds(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not (a finite number|in the range|a valid float)"):
        CPUS.convert(text, None, None)


@pytest.mark.parametrize(("text", "number"), [("0.25", 0.25), ("1e-9", 1e-9), ("1000000", 1e6)])
def test_numbers_within_the_bounds_are_kept(text: str, number: float) -> None:
    assert CPUS.convert(text, None, None) == GPUS.convert(text, None, None) == number
    assert GPUS.convert("0", None, None) == 0


@pytest.mark.parametrize("text", ["9" * 30, "9" * 5000, "1.0", "0x10", "True", "nan"])
def test_a_count_is_a_whole_number_of_usable_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not (in the range|a valid integer)"):
        NUMBER.convert(text, None, None)


@pytest.mark.parametrize("text", ["auto", "10.0.0.1:6379", "head-node.local:1", "[::1]:6379", "a_b:65535"])
def test_addresses_are_kept(text: str) -> None:
    assert RayAddress().convert(text, None, None) == text


@pytest.mark.parametrize("text", ["", "h", "h:", ":1", "h:notaport", "h:0", "h:65536", "h:-1", "h:1:2", "ray://h:1"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"HOST:PORT with a port from 1 to 65535, or auto, got .*ray start"):
        RayAddress().convert(text, None, None)


def test_words_are_text_that_files_can_store() -> None:
    check_text(["études.py", "--results", "~/x"])
    for word in ("a\0b", "\udc80"):
        with pytest.raises(click.UsageError, match=r"valid UTF-8 without NUL characters, got .* Rename"):
            check_text(["plan", word])
