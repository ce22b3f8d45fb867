"""The option `--glints`: whether, and how many, corneal reflections are looked for beside tracked objects.

Purpose: reading and refusing its values, without loading anything heavy.
"""

from __future__ import annotations

from ocusam.core.errors import InputError

AUTO, OFF = "auto", "off"
MOST = 8


def wanted_glints(wanted: str | int) -> int | None:
    """How many at most; None where nobody said.

    Raises:
        InputError: neither "auto", "off" nor a number from 1 to 8.
    """
    text = str(wanted)
    if text in (AUTO, OFF):
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise InputError(f"glints={text!r}: give {AUTO}, {OFF} or a number from 1 to {MOST}.")
    return int(text)
