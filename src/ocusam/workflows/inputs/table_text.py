"""The text of tables as people's programs save them: which encoding, which separator.

Purpose: a list of recordings and a table of targets come out of spreadsheets.

Notable choices: names of columns, numbers and most paths are the same in UTF-8 and Windows-1252, so text that
is not the one is read as the other. The separator is the one that the first line holds most of.

What it does not know: what the cells mean.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from ocusam.core.errors import InputError


def decoded(content: bytes) -> str:
    """A table's text: UTF-8, UTF-16 with its mark (a spreadsheet's "Unicode text"), or Windows-1252.

    Raises:
        UnicodeDecodeError: half a character of UTF-16.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def separator(text: str) -> str:
    """What stands between the cells of the first line: a comma, a semicolon or a tab."""
    return max(",;\t", key=text.lstrip("\r\n").split("\n", 1)[0].count)


def read_table(path: Path, what: str) -> pl.DataFrame:
    """A table, separated by commas, semicolons or tabs; between semicolons or tabs a number's
    comma is its decimal point, as spreadsheets of many countries write it. UTF-8, UTF-16 with its mark (a
    spreadsheet's "Unicode text") or Windows-1252. Rows without any value are left out.

    Args:
        path: the file.
        what: what it holds, for errors: "targets".

    Raises:
        InputError: it cannot be read.
    """
    try:
        text = decoded(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"There is no table of {what} {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The {what} {path} cannot be read ({error}).") from None
    if not text.strip():
        raise InputError(f"The table of {what} {path} is empty.")
    between = separator(text)
    numbers = re.findall(rf"(?:^|{between})[ \"]*[+-]?\d*([.,])\d+(?=[ \"]*(?:{between}|\r?$))", text, re.M)
    try:
        table = pl.read_csv(
            text.encode(),
            separator=between,
            decimal_comma=between != "," and "," in numbers and "." not in numbers,
            infer_schema_length=None,
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"The {what} {path} cannot be read ({_uneven(text, between) or str(error).splitlines()[0]})."
        ) from None
    table = table.with_columns(pl.col(pl.String).str.strip_chars().replace("", None))
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    return table.rename({name: name.strip() for name in table.columns})


def _uneven(text: str, between: str) -> str:
    """The first line with more cells than the header, in words; "" without one."""
    header, *lines = text.strip().splitlines()
    for number, line in enumerate(lines, start=2):
        if (cells := line.count(between) + 1) > (named := header.count(between) + 1):
            hint = "; decimal commas need semicolons or tabs between the cells" if between == "," else ""
            return f"line {number} has {cells} cells, the header {named}{hint}"
    return ""
