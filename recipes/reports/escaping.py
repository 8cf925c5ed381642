"""Escapes names from files, with one function for each format that shows them.

A name may hold escape sequences that rewrite a terminal, marks that turn the direction of text, line breaks that fake a
line, HTML, the bars of a table, formulas of a spreadsheet, TeX.
"""

from __future__ import annotations

import re
import unicodedata

# Control characters, invisible ones and marks of direction, halves of characters, separators of lines.
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(text: object, kept: str = "") -> str:
    """Text for a terminal or a log, on one line; `kept` are invisible characters that stay, as line breaks may."""
    given = str(text)
    if given.isascii() and given.isprintable():
        return given
    return "".join(one if one in kept or unicodedata.category(one) not in HIDDEN else ascii(one)[1:-1] for one in given)


def markdown(text: object) -> str:
    """Text for a cell of a table or a sentence in Markdown."""
    quoted = re.sub(r"([\\`*\[\]|~])", r"\\\1", plain(text))
    return quoted.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def csv_field(value: object, also: tuple[str, ...] = ()) -> object:
    """A field of a CSV file: no text begins as a formula of a spreadsheet does. Numbers stay as they are.

    Args:
        value: of the field.
        also: beginnings of text that get an apostrophe in front, too.
    """
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith((*FORMULA, *also)) else text


def drawn(text: object) -> str:
    """Text for a plot, where a dollar sign would begin a formula."""
    return plain(text).replace("$", r"\$")
