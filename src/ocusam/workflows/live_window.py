"""A window that shows the overlay while it runs, where there is a screen, and takes clicks.

Notable choices: OpenCV's window is used where OpenCV was built with one; the dependency of this project,
`opencv-python-headless`, was not, so a user who wants the window installs `opencv-python` in its place.
Without a screen nothing is tried: some window systems end the whole process then. OpenCV tells the place of a
click in px of the picture that is shown, however large the window is drawn; the picture may itself be an
enlarged one, so a click is handed on in shares of its sides. OpenCV's plain window is asked for: in the other
one a right click opens a menu.

What it does not know: what a click leads to (`live_prompts`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.report.overlay import add_line, color_of
from ocusam.workflows.live_prompts import Click

_TITLE = "ocusam camera (q ends)"
_ENDS = (ord("q"), 27)  # q and Esc
_KEYS = {"p": "pupil", "i": "iris", "c": "cr"}
_PRESSED = {cv2.EVENT_LBUTTONDOWN: True, cv2.EVENT_RBUTTONDOWN: False}


def why_no_window() -> str | None:
    """The reason why no window can be shown, or None where one can."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no screen"
    if not cv2.currentUIFramework():
        return "this OpenCV was built without windows (install opencv-python in place of -headless)"
    return None


class LiveWindow:
    """Shows pictures as they come. Made only where `why_no_window()` is None.

    Args:
        names: objects of the run. Those without a letter of their own (p, i, c) get the keys 1 to 9.

    Attributes:
        name: the object that the next click is on.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        others = [name for name in dict.fromkeys(names) if name not in _KEYS.values()]
        self._keys = _KEYS | {str(i): name for i, name in enumerate(others[:9], start=1)}
        self.name = names[0] if names and "pupil" not in names else "pupil"
        self._clicks: list[Click] = []
        self._size: tuple[int, int] | None = None
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
        cv2.setMouseCallback(_TITLE, self._on_mouse)

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show a picture (H, W, 3) RGB; False once the user wants to end."""
        self._size = (picture.shape[0], picture.shape[1])
        legend = add_line(picture, self.legend, color_of(self.name))
        cv2.imshow(_TITLE, cv2.cvtColor(legend, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF  # clicks come while it waits
        self.name = self._keys.get(chr(key), self.name)
        return key not in _ENDS and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1

    @property
    def legend(self) -> str:
        """What keys and buttons do, in a line."""
        keys = "  ".join(f"{key} {name}" for key, name in self._keys.items())
        return f"click: {self.name}, right click: not {self.name}   {keys}   q end"

    def take_clicks(self) -> list[Click]:
        """The clicks since the last call."""
        clicks, self._clicks = self._clicks, []
        return clicks

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(_TITLE)

    def _on_mouse(self, event: int, x: int, y: int, flags: int, data: Any) -> None:
        """Note a click on the picture; beside it there is nothing to click."""
        if event not in _PRESSED or self._size is None:
            return
        height, width = self._size
        if 0 <= x < width and 0 <= y < height:
            place = ((x + 0.5) / width, (y + 0.5) / height)
            self._clicks.append(Click(self.name, place, _PRESSED[event]))
