"""The text of tables as people's programs save them: which encoding, which separator.

Purpose: a list of recordings and a table of targets come out of spreadsheets.

Notable choices: names of columns, numbers and most paths are the same in UTF-8 and Windows-1252, so text that
is not the one is read as the other. The separator is the one that the first line holds most of.

What it does not know: what the cells mean.
"""

from __future__ import annotations


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
