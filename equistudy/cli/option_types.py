"""Types of the command line's options: numbers that are finite and of a usable size, and addresses of Ray."""

import math
import re
from typing import Any

import click

__all__ = ["CPUS", "GPUS", "MAX_PIXELS", "MINUTES", "NUMBER", "PIXELS", "RayAddress", "check_text"]

LARGEST = 1_000_000  # of what is counted: more is a slip, and far more does not fit into Ray's and torch's numbers
MAX_PIXELS = 65_536


class FiniteRange(click.FloatRange):
    """A number between two bounds. NaN, which is outside no range, is refused as well."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; raises click.BadParameter for another text."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number. Use one in the range {self._describe_range()}.", param, ctx)
        return number


class RayAddress(click.ParamType):
    """`auto`, or the host and port of a Ray cluster."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as it is; raises click.BadParameter for one that is no address."""
        found = re.fullmatch(r"([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", value)
        if value == "auto" or (found and 1 <= int(found[2]) <= 65_535):
            return value
        return self.fail(
            f"An address is HOST:PORT with a port from 1 to 65535, or auto, got {value!r}. Use the address that "
            "`ray start --head` prints.",
            param,
            ctx,
        )


CPUS = FiniteRange(0, LARGEST, min_open=True)
GPUS = FiniteRange(0, LARGEST)
MINUTES = FiniteRange(0, LARGEST, min_open=True)
NUMBER = click.IntRange(1, LARGEST)
PIXELS = click.IntRange(8, MAX_PIXELS)


def check_text(words: list[str]) -> None:
    """Raises click.UsageError for a word that no file can store: not UTF-8, or with a NUL character in it."""
    for word in words:
        if "\0" in word or any("\ud800" <= letter <= "\udfff" for letter in word):
            raise click.UsageError(
                f"Arguments must be valid UTF-8 without NUL characters, got {word!r}. Rename the file or folder."
            )
