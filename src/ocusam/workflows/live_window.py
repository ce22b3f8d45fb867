"""A window that shows the overlay while it runs, where there is a screen.

Notable choices: OpenCV's window is used where OpenCV was built with one; the dependency of this project,
`opencv-python-headless`, was not, so a user who wants the window installs `opencv-python` in its place.
Without a screen nothing is tried: some window systems end the whole process then.
"""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

_TITLE = "ocusam camera (q ends)"
_ENDS = (ord("q"), 27)  # q and Esc


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
    """Shows pictures as they come. Made only where `why_no_window()` is None."""

    def __init__(self) -> None:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show a picture (H, W, 3) RGB; False once the user wants to end."""
        cv2.imshow(_TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        ended = (cv2.waitKey(1) & 0xFF) in _ENDS
        return not ended and cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(_TITLE)
