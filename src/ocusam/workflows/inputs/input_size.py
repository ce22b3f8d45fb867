"""How large the network sees a picture: "fine", "fast", or a side in px.

Purpose: one set of weights serves several sizes of the square input (`model.build.at_size`); this turns what
a user asks for into px.

Notable choices: "fine" is the size that belongs to the network's name, and the default. "fast" is the
smallest at which its accuracy is stated (docs/model_card.md for `nano`): the time of a frame goes with the
area of the input, about. The published networks were trained at 1024 px alone; half of that is "fast".
"""

from __future__ import annotations

from ocusam.core.errors import InputError
from ocusam.model.config import Sam2Config

FINE, FAST = "fine", "fast"
# Side of the input under "fast", px; networks that are not named take half of their own.
_FAST_PX = {"nano": 160}


def parse_size(size: str | int) -> str | int:
    """Return "fine", "fast" or a number of px, as it was meant.

    Raises:
        InputError: anything else.
    """
    text = str(size).strip().lower()
    if text in (FINE, FAST):
        return text
    if text.isdecimal() and int(text) > 0 and int(text) % 32 == 0:
        return int(text)
    raise InputError(f"size={size!r}: give {FINE}, {FAST}, or px, a multiple of 32 such as 192.")


def input_px(size: str | int, config: Sam2Config) -> int:
    """The side in px for a network.

    Raises:
        InputError: as `parse_size`.
    """
    wanted = parse_size(size)
    if isinstance(wanted, int):
        return wanted
    if wanted == FINE:
        return config.image_size
    return _FAST_PX.get(config.name, max(32, config.image_size // 64 * 32))
