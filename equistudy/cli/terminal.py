"""Text for a terminal, which acts on some of the characters that names may contain."""

import unicodedata

__all__ = ["escape_controls"]

CONTROL_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # escape sequences, reversed writing, lone surrogates, line breaks


def escape_controls(text: str) -> str:
    """The text with every character that a terminal acts on written as an escape, except newlines and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter) not in CONTROL_CATEGORIES
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
