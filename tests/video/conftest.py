"""Small rendered videos whose frames carry their own number."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

BITS = 8


def numbered(number: int, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """A picture whose vertical stripes are the bits of its number; survives lossy coding."""
    height, width = size
    image = np.zeros((height, width, 3), dtype=np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            image[:, bit * width // BITS : (bit + 1) * width // BITS] = 255
    return image


MakeVideo = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Write `count` numbered frames and return the path."""

    def make(
        name: str = "clip.mp4",
        count: int = 40,
        *,
        codec: str = "libx264",
        gop: int = 12,
        b_frames: int = 2,
        size: tuple[int, int] = (48, 64),
        turn: float | None = None,
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options or {}) as container:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else pix_fmt
            stream.codec_context.gop_size = gop
            stream.codec_context.max_b_frames = b_frames
            if turn is not None:
                stream.set_display_rotation(turn)
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(numbered(number, size), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return make
