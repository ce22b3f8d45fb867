"""The packets of a video file: times and key frames, read without decoding.

Purpose: what random access needs to know beforehand, 9 bytes a frame.

Notable choices: nothing is trusted that does not fit together; `exact` says whether packets number the frames
(one picture a packet, each with its own time, nothing cut away by an edit list).

What it does not know: whether a packet decodes.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PacketIndex:
    """Times of a file's packets in display order, and which of them are key frames."""

    pts: NDArray[np.int64]
    key_idx: NDArray[np.int64]
    discarded: int
    damaged: int
    exact: bool  # one picture per packet, each with its own time
    untimed: int  # packets beside those of `pts`, without a time

    def has(self, frame_idx: int, pts: int) -> bool:
        """Whether a frame has this time."""
        return frame_idx < len(self.pts) and int(self.pts[frame_idx]) == pts

    def key_before(self, frame_idx: int) -> int:
        """The last key frame that is not after a frame."""
        return int(self.key_idx[max(0, int(np.searchsorted(self.key_idx, frame_idx, side="right")) - 1)])


def index_packets(path: Path) -> PacketIndex:
    """Read a file's packets without decoding them."""
    times = array("q")
    keys = array("q")
    discarded = damaged = missing = 0
    with av.open(str(path.absolute())) as container:
        stream = container.streams.video[0]
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.error.FFmpegError, OSError):
                damaged += 1
                break
            if packet.size == 0:  # the marker at the end
                continue
            damaged += bool(packet.is_corrupt)
            discarded += bool(packet.is_discard)
            if packet.pts is None:
                missing += 1
                continue
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    pts = np.sort(np.array(times, dtype=np.int64))
    key_idx = np.searchsorted(pts, np.sort(np.array(keys, dtype=np.int64)))
    unique = len(np.unique(pts)) == len(pts)
    exact = bool(len(pts)) and not missing and not discarded and unique and bool(len(key_idx))
    exact = exact and int(key_idx[0]) == 0
    return PacketIndex(pts, key_idx, discarded, damaged, exact, missing)


def announced_duration(stream: Any) -> float | None:
    """Seconds that a file says its pictures last; None where it says nothing that can be trusted.

    Matroska tells it in a tag of the stream; a file's own duration may be that of its sound."""
    told = str(stream.metadata.get("DURATION", ""))
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", told)
    if match is None:
        return None
    hours, minutes, seconds = (float(part) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
