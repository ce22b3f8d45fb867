"""A camera that speaks RTSP, as small as one can be: H.264 over one TCP connection, for one viewer.

It knows what `av.open("rtsp://...", options={"rtsp_transport": "tcp"})` asks for and nothing else (RFC 2326
section 10; RTP between the answers, section 10.12; RFC 6184 section 5.6, one unit of H.264 in each packet).
"""

import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray

_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
)
_TICKS_PER_S = 90_000


class RtspCamera:
    """Context manager; sends its pictures (H, W, 3) once to whoever plays `address`, then hangs up."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], fps: int) -> None:
        self._units, self._fps = encode(pictures, fps), fps
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(20.0)
        self.address = f"rtsp://127.0.0.1:{self._listening.getsockname()[1]}/eye"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "RtspCamera":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        self._thread.join(20.0)

    def _serve(self) -> None:
        viewer, _ = self._listening.accept()
        with viewer, viewer.makefile("rb") as asked:
            for method, number in requests(asked):
                head, body = "Session: 1\r\n", ""
                if method == "OPTIONS":
                    head = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method == "DESCRIBE":
                    head, body = "Content-Type: application/sdp\r\n", _SDP
                elif method == "SETUP":
                    head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                size = f"Content-Length: {len(body)}\r\n" if body else ""
                viewer.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{head}{size}\r\n{body}".encode())
                if method == "PLAY":
                    self._send(viewer)
                    return

    def _send(self, viewer: socket.socket) -> None:
        sequence = 0
        for i, units in enumerate(self._units):
            for j, unit in enumerate(units):
                last = (j == len(units) - 1) << 7
                header = struct.pack(">BBHII", 0x80, last | 96, sequence, i * _TICKS_PER_S // self._fps, 7)
                viewer.sendall(struct.pack(">cBH", b"$", 0, len(header) + len(unit)) + header + unit)
                sequence += 1


def requests(asked: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """(method, CSeq) of each request, as they come."""
    lines: list[str] = []
    for raw in asked:
        line = raw.decode("ascii", "replace").strip()
        if line:
            lines.append(line)
            continue
        if lines:
            number = next(text.split(":")[1].strip() for text in lines if text.startswith("CSeq"))
            yield lines[0].split()[0], number
        lines = []


def encode(pictures: Sequence[NDArray[np.uint8]], fps: int) -> list[list[bytes]]:
    """The H.264 units of each picture; every picture stands for itself."""
    height, width = pictures[0].shape[:2]
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.framerate, codec.gop_size = fps, 1
    codec.options = {"tune": "zerolatency", "qp": "10", "x264-params": "repeat-headers=1"}
    units = []
    for i, picture in enumerate([*pictures, None]):
        frame = None
        if picture is not None:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = i
        units += [[u for u in split(bytes(packet)) if u] for packet in codec.encode(frame)]
    return units


def split(stream: bytes) -> list[bytes]:
    """Units between start codes (00 00 01, or 00 00 00 01)."""
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")]
