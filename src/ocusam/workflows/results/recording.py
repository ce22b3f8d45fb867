"""What a live run leaves on disk: the folder of `ocusam eye`, written while frames come.

Purpose: masks, signals and the overlay of a stream that cannot be read a second time.

Notable choices: the overlay is drawn at once, so it says tracked or lost; blinks are known only at the end
and stand in `signals.csv` and `blinks.csv`. Overlay frames follow the stream's own times. The pictures of
`report.html` are frames of the overlay, since the stream is gone by then; without an overlay it has none. The
tables are written before the page is begun, and a page that cannot be made does not spoil the run.

What it does not know: the pictures themselves; record the camera with its own program where they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import OcusamError, OutputError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.report.overlay import overlay_size
from ocusam.report.tables import ReportTables
from ocusam.video.reader import open_video
from ocusam.video.source import NOMINAL_FPS
from ocusam.video.writer import VideoWriter
from ocusam.workflows.results.eye_tables import make_tables, named
from ocusam.workflows.results.report import finish_report
from ocusam.workflows.session.masklets import MaskletWriter
from ocusam.workflows.session.run_folder import RunFolder


class Recording:
    """Context manager of one live run's folder.

    Args:
        path: the folder.
        record: what `run.json` says.
        size: (height, width) of the pictures.
        fps: frame rate of the overlay's header.
        overlay: write `overlay.mp4`.
        report: write `report.html`.

    Raises:
        OutputError: the folder holds another run, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        record: dict[str, Any],
        size: tuple[int, int],
        *,
        fps: float | None = None,
        overlay: bool = True,
        report: bool = True,
    ) -> None:
        self._folder = RunFolder(path, record)
        self._size, self._fps, self._overlay = size, fps or NOMINAL_FPS, overlay
        self._report = report
        self._signals = SignalTable()
        self._masks: MaskletWriter | None = None
        self._video: VideoWriter | None = None

    def __enter__(self) -> Recording:
        self._folder.__enter__()
        self._masks = MaskletWriter(self._folder.file("masklets"), self._size)
        if self._overlay:
            self._video = VideoWriter(self._folder.file("overlay.mp4"), self._fps, overlay_size(self._size))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._video is not None:
            self._video.abort()
        if kind is not None and self._masks is not None and self._folder.computed:
            with suppress(OutputError):  # what ended the run is what is to be told
                self._masks.flush()
        self._folder.__exit__(kind, error, trace)

    def add(
        self,
        objects: Sequence[ObjectFrame],
        measured: Sequence[Measurement],
        picture: NDArray[np.uint8] | None,
        timestamp_ns: int,
    ) -> None:
        """Append one frame: its objects, what was measured of each, and the picture with both drawn."""
        assert self._masks is not None, "use the recording as a context manager"
        self._masks.add(list(objects))
        self._folder.computed = True
        for item, measurement in zip(objects, measured, strict=True):
            self._signals.add(item.frame_idx, item.timestamp_ns, item.view.index, item.name, measurement)
        if self._video is not None and picture is not None:
            self._video.write(picture, timestamp_ns)

    def tell(self, **facts: Any) -> None:
        """Facts for `run.json`, which is written when the recording ends, however it ends."""
        self._folder.record.update(facts)

    def finish(self, **facts: Any) -> None:
        """Write the tables and the rest; `facts` go to `run.json`."""
        assert self._masks is not None
        self._masks.flush()
        height, width = self._size
        tables = make_tables(self._signals.table(), [View(0, (0, 0, width, height))])
        for name, table in named(tables).items():
            self._folder.write_table(name, table)
        if self._video is not None:
            self._video.close()
            self._video = None
        self.tell(**facts)
        if self._report:
            self._page(tables)

    def _page(self, tables: ReportTables) -> None:
        path = self._folder.file("overlay.mp4")
        try:
            source = open_video(path) if self._overlay else None
            try:
                finish_report(self._folder, tables, source, None, drawn=True)
            finally:
                if source is not None:
                    source.close()
        except OcusamError as error:
            self._folder.record["no_report"] = str(error)
