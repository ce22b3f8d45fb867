"""`report.html` of a run: at its end, and again from its folder (`ocusam report`).

Purpose: choose the moments worth a picture, draw them, and write the page.

Notable choices: pictures are of equal steps of time, of the middle of blinks and of the most doubtful frames,
at most `MOST` in all; they are decoded in order of time, one at a time. A page without its video has
everything but the pictures. Where `overlay.mp4` lies beside the page, a click shows the very frame from it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import cv2
import numpy as np

from ocusam.core.errors import InputError, OcusamError
from ocusam.eye.events import EventRules
from ocusam.report.html import ReportTables, Thumbnail, pieces
from ocusam.report.overlay import Picture, draw
from ocusam.video.reader import open_video
from ocusam.video.source import VideoSource
from ocusam.workflows.results.eye_tables import named, read_tables, rules_of
from ocusam.workflows.results.free_memory import give_back, lean
from ocusam.workflows.results.gaze_files import read_gaze
from ocusam.workflows.results.overlay_video import drawn_objects
from ocusam.workflows.results.zoom_border import zoom_of_record
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.run_folder import RunFolder, input_of_run

MOST = 250
STEPS, BLINKS, DOUBTS = (24, 160), 40, 50
"""Pictures at equal steps (least, most), in blinks, of doubtful frames."""
STEP_S = 2.5
MIN_WIDTH = 320
"""Least width of a picture when it is drawn, px."""
LONGEST = 480
"""Longest side of a stored picture, px."""


@lean()
def write_report(
    path: Path,
    tables: ReportTables,
    record: dict[str, Any],
    source: VideoSource | None,
    masklets: Masklets | None = None,
    *,
    drawn: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the page.

    Args:
        path: the file to make.
        tables: of the recording.
        record: `run.json`.
        source: the video, for pictures; None or unreadable: without.
        masklets: the masks, for the overlay on the pictures.
        drawn: the source is an overlay already.
        progress: called after every picture.
    """
    there = path.with_name("overlay.mp4").is_file()
    give_back()
    with TemporaryFile() as spool:
        pictures = []
        if source is not None:
            pictures = thumbnails(source, tables, masklets, spool, drawn=drawn, progress=progress)
        give_back()
        page = pieces(tables, record, pictures, overlay=there)
        write_bytes(path, (piece.encode("utf-8") for piece in page))
    give_back()


def remake(
    folder: str | Path,
    *,
    video: str | Path | None = None,
    rules: EventRules | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make the page of a finished run again, with the tables events.csv, quality.csv and doubtful.csv.

    Args:
        folder: of `ocusam eye`.
        video: where the video is now; None: where it was.
        rules: how events are found from now on; None: as before (`run.json`).
        progress: called after every picture.

    Returns:
        Path of the page.

    Raises:
        InputError: no finished run there, or `video` cannot be read.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} holds no run (no run.json); give the folder that `ocusam eye` wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'run.json'} cannot be read ({error}).") from None
    if rules is not None:
        record["event_rules"] = asdict(rules)
    tables = read_tables(folder, rules_of(record), zoom=zoom_of_record(record))
    tables = replace(tables, **page_of(folder, folder / "signals.csv"))
    source = reopen(video, record, folder)
    masklets = Masklets.from_folder(folder / "masklets") if (folder / "masklets").is_dir() else None
    path = folder / "report.html"
    try:
        write_report(path, tables, record, source, masklets, progress=progress)
        for name, table in named(tables).items():
            if name in ("events.csv", "quality.csv", "doubtful.csv"):
                text = "".join(part.write_csv(None, null_value="", float_precision=6) for part in table)
                write_bytes(folder / name, text.encode("utf-8"))
        if rules is not None:
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            write_bytes(folder / "run.json", text.encode("utf-8"))
    finally:
        if source is not None:
            source.close()
    return path


def page_of(gaze: Path, signals: Path) -> dict[str, Any]:
    """Fields of `ReportTables` about gaze, where the folder `gaze` holds one that fits `signals`; else none.

    Raises:
        InputError: its files are damaged.
    """
    found = read_gaze(gaze, signals)
    return {} if found is None else {"gaze": found[0], "gaze_events": found[1], "calibration": found[2]}


def reopen(video: str | Path | None, record: dict[str, Any], folder: Path) -> VideoSource | None:
    """The video of the run in `folder`, or None where it is gone; one that was named must be there."""
    if video is not None:
        return open_video(video)
    path, _ = input_of_run(record, folder)
    try:
        source = open_video(path) if path else None
    except OcusamError:
        return None
    size = record.get("input", {}).get("size_hw")
    if source is not None and size is not None and list(source.size) != list(size):
        source.close()
        return None
    return source


def thumbnails(
    source: VideoSource,
    tables: ReportTables,
    masklets: Masklets | None,
    spool: BinaryIO,
    *,
    drawn: bool = False,
    progress: Progress | None = None,
) -> list[Thumbnail]:
    """Pictures of key moments and doubtful frames with what was found drawn on them (or, of an overlay that
    is `drawn` already, as they are), in order of time; they wait in the file `spool`."""
    wanted = moments(tables)
    rows = tables.signals.on_frames(list(wanted))
    span = tables.signals.span_ns()
    zero_ns = span[0] if span is not None else 0
    by_frame = {int(str(key[0])): part.to_dicts() for key, part in rows.group_by("frame_idx")}
    out = []
    for done, (frame_idx, (why, view)) in enumerate(sorted(wanted.items()), start=1):
        try:
            frame = source.read(frame_idx)
        except OcusamError:
            break  # the video is shorter than the tables; the page does without
        here = by_frame.get(frame_idx, [])
        time_ns = int(here[0]["timestamp_ns"]) if here else frame.timestamp_ns
        picture = frame.image
        if not drawn:
            objects = drawn_objects(masklets, frame_idx, here)
            title = f"frame {frame_idx}  {(time_ns - zero_ns) / 1e9:.3f} s"
            picture = draw(picture, objects, title=title, min_width=MIN_WIDTH)
        out.append(Thumbnail(frame_idx, time_ns, _spooled(spool, _at_most(picture)), why, view))
        if progress is not None:
            progress(done, len(wanted), "pictures")
    return out


def _spooled(spool: BinaryIO, picture: Picture) -> Callable[[], Picture]:
    """Put a picture at the end of a file; returns what reads it back."""
    at, shape = spool.seek(0, os.SEEK_END), picture.shape
    spool.write(picture.tobytes())

    def read() -> Picture:
        spool.seek(at)
        return np.frombuffer(spool.read(math.prod(shape)), dtype=np.uint8).reshape(shape)

    return read


def _at_most(picture: Picture) -> Picture:
    """A picture whose longer side is `LONGEST` px at most: there are many, and one page holds them all."""
    factor = LONGEST / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def moments(tables: ReportTables) -> dict[int, tuple[str, int | None]]:
    """frame_idx -> (why it is shown, view or None), at most `MOST`."""
    frames = tables.signals.frames()
    out: dict[int, tuple[str, int | None]] = {}
    for row in tables.doubtful.head(DOUBTS).iter_rows(named=True):
        out.setdefault(int(row["frame_idx"]), (f"doubtful {row['object']}: {row['reason']}", None))
    for row in _spread(tables.blinks.to_dicts(), BLINKS):
        middle = (int(row["onset_frame"]) + int(row["offset_frame"])) // 2
        out.setdefault(middle, (f"{row.get('kind') or ''} blink".strip(), None))
    first, last = tables.signals.span_ns() or (0, 0)
    steps = min(len(frames), int(np.clip((last - first) / 1e9 / STEP_S, *STEPS)))
    for index in np.linspace(0, max(len(frames) - 1, 0), steps).round().astype(int):
        out.setdefault(int(frames[int(index)]), ("", None))
    return dict(list(out.items())[:MOST])


def _spread(rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most `most` of the rows, evenly."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(i)] for i in np.linspace(0, len(rows) - 1, most).round()]


def finish_report(
    folder: RunFolder,
    tables: ReportTables,
    source: VideoSource | None,
    masklets: Masklets | None,
    *,
    record: dict[str, Any] | None = None,
    drawn: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the page of a run that is about to end; `record` are facts that its run.json will hold too."""
    facts = {**folder.record, "status": "finished", **(record or {})}
    page = folder.file("report.html")
    write_report(page, tables, facts, source, masklets, drawn=drawn, progress=progress)
