"""Eye movements from an eye video: `ocusam eye` and `ocusam.track_eye`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError, PromptError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.core.prompts import PromptPack
from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import KNOWN_OBJECTS, KNOWN_PATTERN, SignalTable
from ocusam.eye.whole_frame import Measured, measure_frame
from ocusam.report.html import ReportTables
from ocusam.workflows.eye_place import zoom_of_run, zoom_start
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.inputs.glints import OFF
from ocusam.workflows.inputs.prompt_tables import as_pack
from ocusam.workflows.inputs.scale import check_iris
from ocusam.workflows.inputs.settings import PromptsLike, RunSettings
from ocusam.workflows.inputs.zoom import zoom_regions
from ocusam.workflows.no_click import settings_of_run, start_without_click
from ocusam.workflows.results.eye_tables import make_tables, named, rules_of
from ocusam.workflows.results.light_masks import LightMasklets
from ocusam.workflows.results.reflections import SPOTS, with_reflections
from ocusam.workflows.results.report import finish_report
from ocusam.workflows.results.ways_out import WaysOut
from ocusam.workflows.results.zoom_border import at_border
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.job import Job, Kind, Tracked, prepare, run
from ocusam.workflows.session.masklets import Masklets
from ocusam.workflows.session.measuring import Apart
from ocusam.workflows.session.recovered import told
from ocusam.workflows.session.resume import holds_run
from ocusam.workflows.track import finish_overlay

KIND = Kind("eye", KNOWN_OBJECTS, KNOWN_PATTERN)


@dataclass(frozen=True, eq=False, repr=False)
class EyeRecording(WaysOut):
    """A tracked eye video; `EyeRecording.load(folder)` reads one back, `to_...` hand it on (`ways_out`).

    Attributes:
        rows: one row per frame, view and object, in parts that are read from `folder` when asked for.
        signals: all of them as a table, made when first asked for (columns: `eye.signals.COLUMNS` and what
            was found).
        blinks: one row per blink (columns: `eye.blink.BLINK_COLUMNS`).
        events: one row per fixation, saccade and blink (columns: `eye.events.event_columns("px")`).
        quality: one row per view and object (columns: `eye.quality.QUALITY_COLUMNS`).
        doubtful: frames to look at again, most doubtful first (columns: `eye.quality.DOUBTFUL_COLUMNS`).
        masklets: the masks, those of followed reflections by their light; None when not kept.
        num_frames: frames tracked.
        truncated: the video announced more frames than could be read.
        fps: frames tracked per second of computing, all views counted.
        folder: where it was written, or None.
        found: where no prompt was given, what the search for the eye says (`find_eye.Finding.to_dict`).
        recoveries: where a lost pupil was looked for and found again: frame, click, and why
            (`session.lookout.told`).
        zoom: where it was asked for, what was decided (`find.eye_place`), and under "at_border" where the eye
            came to a rectangle's border (`results.zoom_border.at_border`).
        scale: where diameters in mm were asked for, how each eye's came about (`eye.scale.PupilScale`).
    """

    rows: LongRows
    blinks: pl.DataFrame
    events: pl.DataFrame
    quality: pl.DataFrame
    doubtful: pl.DataFrame
    masklets: Masklets | None
    num_frames: int
    truncated: bool
    fps: float
    folder: Path | None
    found: dict[str, Any] | None = None
    recoveries: tuple[dict[str, Any], ...] = ()
    zoom: dict[str, Any] | None = None
    scale: list[dict[str, Any]] | None = None

    def __repr__(self) -> str:
        """One line: the tables themselves are long."""
        objects = ", ".join(f"{name} of view {view}" for view, name in self.rows.objects)
        parts = (
            f"{self.num_frames} frames",
            objects,
            f"{len(self.blinks)} blinks",
            f"{len(self.events)} events",
            f"{len(self.doubtful)} rows of doubtful frames",
            f"in {self.folder}" if self.folder is not None else "in memory",
        )
        return f"<EyeRecording: {'; '.join(parts)}>"


def track_eye(
    video: Any,
    prompts: PromptsLike | PromptPack | Path | None = None,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    settings: RunSettings | None = None,
    progress: Progress | None = None,
) -> EyeRecording:
    """Follow an eye and measure it.

    Args:
        video: a file, a folder of pictures, an array (T, H, W[, 3]), a list of pictures, or a `VideoSource`.
        prompts: clicks on pupil, iris, sclera or reflections (cr, cr0, ...), px of the whole picture:
            "pupil:320,240@7", `ObjectPrompt`s, or a mapping {"pupil": (x, y)}; a `PromptPack`; or a file of
            prompts (`workflows.prompt_pack`, `workflows.prompt_tables`). None: the eye is looked for
            (`workflows.find_eye`).
        model: a model's name, a `Sam2Config`, or a ready video predictor.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to write (the tables `signals.csv`, `blinks.csv`, `events.csv`, `quality.csv` and
            `doubtful.csv`, `masklets/`, `overlay.mp4`, `report.html`, `run.json`), or None.
        settings: further options; with `resume` a run that was broken off goes on, and `prompts` may be left
            out.
        progress: called after every frame with (done, in all or None, what).

    Raises:
        PromptError: an unknown name, a point outside the picture; no prompt, and no eye that convinces; an
            assumed iris (`RunSettings.iris_mm`), and a pupil without a tracked one.
        InputError: `settings` are something else.
        OcusamError: the rest of the family; what was computed before is kept in `out`.
    """
    if settings is not None and not isinstance(settings, RunSettings):
        raise InputError(
            f"The settings are RunSettings, such as ocusam.RunSettings(iris_mm=11.7); got {settings!r}."
        )
    pack = as_pack(prompts, video)
    settings, start = settings or RunSettings(), None
    if not pack and not (settings.resume and holds_run(out)):
        start = start_without_click(
            video, model=model, weights=weights, device=device, out=out, settings=settings, progress=progress
        )
        pack, model, settings = start.pack, start.model, start.settings
    elif not pack and out is not None:
        settings = settings_of_run(Path(out), settings)
    check_iris(settings.iris_mm, pack.prompts, pack.references, found=start is not None)
    zoom = None
    if settings.resume and out is not None and holds_run(out):
        settings = zoom_of_run(Path(out), settings)
    else:
        begin = zoom_start(
            video,
            pack,
            model=model,
            weights=weights,
            device=device,
            out=out,
            settings=settings,
            progress=progress,
        )
        model, settings, zoom = begin.model, begin.settings, begin.record
    job = prepare(
        video, pack, model=model, weights=weights, device=device, out=out, settings=settings, kind=KIND
    )
    try:
        check_iris(settings.iris_mm, job.prompts, job.references, job.views, found=start is not None)
    except PromptError:
        job.source.close()
        raise
    found = start.finding.to_dict() if start is not None else None
    if job.folder is not None and found is not None:
        job.folder.record["found"] = found
    if job.folder is not None and zoom is not None:
        job.folder.record["zoom"] = zoom
    elif job.folder is not None:
        zoom = job.folder.record.get("zoom")
    if job.settings.clear_clicks:
        job = replace(job, clear=ClearClicks())
    work = EyeWork(job.settings.glints)
    tracked = run(job, work, progress=progress)
    if zoom is not None and zoom["used"]:
        zoom = {**zoom, "at_border": work.at_border}
    return replace(work.recording(job, tracked), found=found, zoom=zoom)


class EyeWork:
    """What `ocusam eye` does with what is tracked: a row for every object on every frame, tables at the
    end."""

    def __init__(self, glints: str | int = OFF) -> None:
        self._glints = glints
        self._measure = partial(measure_frame, spots=glints != OFF)
        self._rows = SignalTable()
        self._spots: dict[tuple[int, int], bytes] = {}
        self._tables: ReportTables | None = None
        self.at_border: list[dict[str, Any]] = []

    def on_frame(self, objects: list[ObjectFrame]) -> dict[str, Ellipse]:
        """Measure all objects of one view."""
        return self._keep(objects, self._measure(objects))

    def apart(self) -> Apart:
        """The same in two halves. Looking for spots takes as long as an object."""
        return Apart(self._measure, self._keep, beside=int(self._glints != OFF))

    def _keep(self, objects: list[ObjectFrame], found: Measured) -> dict[str, Ellipse]:
        shapes = {}
        for item, measured in zip(objects, found.objects, strict=True):
            self._rows.add(item.frame_idx, item.timestamp_ns, item.view.index, item.name, measured)
            if measured.ellipse is not None:
                shapes[item.name] = measured.ellipse
            if item.name == "pupil" and found.spots is not None:
                self._spots[item.frame_idx, item.view.index] = found.spots
        return shapes

    def rows(self) -> pl.DataFrame:
        """The rows since the last call."""
        table, self._rows = self._rows.table(), SignalTable()
        spots, self._spots = self._spots, {}
        keys = table.select("frame_idx", "view", pupil=pl.col("object") == "pupil").iter_rows()
        column = [spots.get((frame, view)) if pupil else None for frame, view, pupil in keys]
        return table.with_columns(pl.Series(SPOTS, column, dtype=pl.Binary))

    def finish(self, job: Job, tracked: Tracked, progress: Progress | None) -> None:
        """States, blinks and quality of the whole recording, and the overlay."""
        regions = zoom_regions(job.views, job.settings.zoom)
        rules = rules_of(job.folder.record) if job.folder is not None else None
        folder = job.folder.file("masklets") if job.folder is not None else None
        assert tracked.rows is not None, "an eye's job measures every frame"
        rows = with_reflections(tracked.rows, job.prompts, self._glints, folder)
        tables = make_tables(
            rows,
            job.views,
            rules,
            zoom=regions,
            recoveries=tracked.recoveries,
            scaling=job.settings.scaling,
        )
        self.at_border = at_border(tables.signals, regions, job.source.size)
        self._tables = tables
        if job.folder is None:
            return
        if regions and "zoom" in job.folder.record:
            job.folder.record["zoom"] = {**job.folder.record["zoom"], "at_border": self.at_border}
        job.folder.record.pop("scale", None)  # of an earlier end of this run
        if tables.scales:
            job.folder.record["scale"] = [scale.to_dict() for scale in tables.scales]
        for name, table in named(self._tables).items():
            job.folder.write_table(name, table)
        if job.settings.overlay:
            finish_overlay(job, tracked, self._tables.signals, progress)
        if job.settings.report:
            facts = {"frames": tracked.num_frames, "truncated": tracked.truncated}
            finish_report(
                job.folder, self._tables, job.source, tracked.masklets, record=facts, progress=progress
            )

    def recording(self, job: Job, tracked: Tracked) -> EyeRecording:
        """What callers get."""
        assert self._tables is not None
        tables = self._tables
        return EyeRecording(
            tables.signals,
            tables.blinks,
            tables.events,
            tables.quality,
            tables.doubtful,
            None if tracked.masklets is None else LightMasklets(tracked.masklets, tables.signals),
            tracked.num_frames,
            tracked.truncated,
            tracked.steps / max(tracked.seconds, 1e-9),
            job.folder.path if job.folder is not None else None,
            recoveries=tuple(told(tracked.recoveries)),
            scale=[scale.to_dict() for scale in tables.scales] or None,
        )
