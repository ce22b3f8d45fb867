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
import polars as pl
from numpy.typing import NDArray

from ocusam.core.errors import OcusamError, OutputError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, PromptPack
from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import SignalTable
from ocusam.eye.whole_frame import Measured
from ocusam.report.overlay import overlay_size
from ocusam.report.tables import ReportTables
from ocusam.video.reader import open_video
from ocusam.video.source import NOMINAL_FPS
from ocusam.video.writer import VideoWriter
from ocusam.workflows.inputs.glints import OFF
from ocusam.workflows.inputs.prompt_pack import write_json
from ocusam.workflows.results.eye_tables import make_tables, named
from ocusam.workflows.results.reflections import SPOTS, with_reflections
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
        glints: reflections at the end, from the spots that are handed in, as of `RunSettings`.

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
        glints: str | int = OFF,
    ) -> None:
        self._folder = RunFolder(path, record)
        self._size, self._fps, self._overlay = size, fps or NOMINAL_FPS, overlay
        self._report, self._glints = report, glints
        self._signals = SignalTable()
        self._spots: dict[int, bytes] = {}
        self._prompts: Sequence[ObjectPrompt] = ()
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
        measured: Measured,
        picture: NDArray[np.uint8] | None,
        timestamp_ns: int,
    ) -> None:
        """Append one frame: its objects, what was measured of each, and the picture with both drawn."""
        assert self._masks is not None, "use the recording as a context manager"
        self._masks.add(list(objects))
        self._folder.computed = True
        for item, measurement in zip(objects, measured.objects, strict=True):
            self._signals.add(item.frame_idx, item.timestamp_ns, item.view.index, item.name, measurement)
            if item.name == "pupil" and measured.spots is not None:
                self._spots[item.frame_idx] = measured.spots
        if self._video is not None and picture is not None:
            self._video.write(picture, timestamp_ns)

    def prompted(self, prompts: Sequence[ObjectPrompt]) -> None:
        """All prompts so far: into `prompts.json` at once, into `run.json` however the recording ends."""
        self._prompts = tuple(prompts)
        self._folder.record["prompts"] = [prompt.to_dict() for prompt in prompts]
        write_json(self._folder.path, PromptPack(self._prompts, size_hw=self._size))

    def finish(self, **facts: Any) -> None:
        """Write the tables and the rest; `facts` go to `run.json`."""
        assert self._masks is not None
        self._masks.flush()
        height, width = self._size
        tables = make_tables(self._rows(), [View(0, (0, 0, width, height))])
        for name, table in named(tables).items():
            self._folder.write_table(name, table)
        if self._video is not None:
            self._video.close()
            self._video = None
        self._folder.record.update(facts)
        if self._report:
            self._page(tables)

    def _rows(self) -> LongRows:
        """What was measured, with the rows of reflections."""
        table = self._signals.table()
        if self._glints == OFF:
            return LongRows.of(table)
        keys = table.select("frame_idx", pupil=pl.col("object") == "pupil").iter_rows()
        spots = [self._spots.get(frame) if pupil else None for frame, pupil in keys]
        rows = LongRows.of(table.with_columns(pl.Series(SPOTS, spots, dtype=pl.Binary)))
        return with_reflections(rows, self._prompts, self._glints)

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
