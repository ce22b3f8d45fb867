"""Corneal reflections of a recording, linked over time from the spots that were found on every frame.

Purpose: `with_reflections` adds the rows of reflections to those of the tracked objects. Spots are found
while frames are measured (`find_spots` of `eye.reflection.find`, kept in the column `SPOTS` of the pupil's
rows); which is which needs the whole recording, so it is done once at the end, from what is stored: a run
that was killed and went on, or was corrected, comes to the same as one that was not.

Notable choices: blocks of frames are read, linked and written one after another, so memory does not grow with
the recording. Where reflections were clicked, those are followed, by their names, from the light at the click
in both directions; every later click on one says anew where it is. The network's masks of something a few px
large are poor, so they only have a vote: the light at a mask is one more spot that may be the reflection, and
the network's own rows stay as they are only where no light was found at the click and linking finds the
reflection less often. A followed row has the spot's ellipse and area, no `predicted_iou` or `object_score`,
and is lost where no spot fits; the stored masks remain the network's. Where nothing was clicked,
`eye.reflection.link.discover` looks for reflections on some stretches of the recording.

What it does not know: reflections while no pupil is tracked; those are lost then. Without a pupil among the
tracked objects the network's rows are all there is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ocusam.core.geometry import Ellipse
from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.long_rows import LongRows, ObjectRows, Reader
from ocusam.eye.reflection.follow import GlintFollower, nearest
from ocusam.eye.reflection.link import MAX_GLINTS, Seen, Start, anchored, discover
from ocusam.eye.reflection.packed import unpack
from ocusam.eye.reflection.spot import Spot
from ocusam.eye.signals import COLUMNS, LOST, TRACKED, ellipse_of, is_reflection
from ocusam.workflows.inputs.glints import OFF, wanted_glints
from ocusam.workflows.session.atomic import write_bytes

SPOTS = "spots"
BLOCK = 1024
STRETCHES, STRETCH = 12, 80
LEAST_SHARE = 0.4
"""Share of the pupil's frames on which a reflection that nobody clicked must be seen."""
_CLICK_PX = 3.0  # how far a click may miss the light
_SAME_PX = 1.5  # two spots that are nearer are one
_UNKNOWN_CONTRAST = 30.0  # of the light at a mask, grey levels; the table does not have it
_TRIED = 5  # of the network's own rows of a clicked reflection, where its click shows no light


def with_reflections(
    rows: LongRows, prompts: Sequence[ObjectPrompt], wanted: str | int, folder: Path | None = None
) -> LongRows:
    """Rows with those of reflections, and without the spots.

    Args:
        rows: as measured.
        prompts: those of the run, px of the picture.
        wanted: "auto", "off", or how many at most, see `RunSettings.glints`.
        folder: where the new rows are kept, `reflections_*.parquet`; None: in memory.
    """
    if wanted == OFF:
        return rows.with_parts(without=[SPOTS])
    limit = wanted_glints(wanted) or MAX_GLINTS
    store = _Stored(folder)
    for view in [view for view, name in rows.objects if name == "pupil"]:
        eye = _Eye(rows, view)
        clicks = _clicks(eye, prompts)
        known = {name: [*given, *_best_of_masks(eye, name)] for name, given in clicks.items()}
        start = anchored(known) if clicks else _discovered(eye, limit)
        if start is not None:
            _link(eye, start, store, clicks if clicks else None)
    return rows.with_parts(store.parts, without=[SPOTS])


class _Eye:
    """One view's pupil and spots, some frames at a time."""

    def __init__(self, rows: LongRows, view: int) -> None:
        self.rows, self.view = rows, view
        self.pupil: ObjectRows = rows.rows(view, "pupil")
        names = ("center_x_px", "center_y_px", "major_px", "minor_px")
        self._shape = np.stack([self.pupil.numbers(n) for n in names], axis=1).astype(np.float32)

    def seen(self, first: int, end: int) -> list[Seen]:
        """Frames by their place in the pupil's rows."""
        frames = self.pupil.frame_idx[first:end]
        table = self.rows.on_frames(frames.tolist())
        spots: dict[int, bytes | None] = {}
        if SPOTS in table.columns:
            mine = table.filter((pl.col("view") == self.view) & (pl.col("object") == "pupil"))
            spots = dict(mine.select("frame_idx", SPOTS).iter_rows())
        out = []
        for i, frame in zip(range(first, end), frames.tolist(), strict=True):
            x, y, major, minor = self._shape[i].tolist()
            pupil = Ellipse((x, y), (major, minor)) if np.isfinite(x) else None
            out.append(Seen(frame, pupil, unpack(spots.get(frame))))
        return out

    def lights_at_masks(self, first: int, end: int) -> dict[int, dict[str, Spot]]:
        """Frame -> what the picture shows at the network's masks of reflections, by their names."""
        table = self.rows.on_frames(self.pupil.frame_idx[first:end].tolist())
        is_light = (pl.col("state") == TRACKED) & (pl.col("edge") == "picture")
        is_light &= pl.col("view") == self.view
        out: dict[int, dict[str, Spot]] = {}
        for row in table.filter(is_light).iter_rows(named=True):
            ellipse = ellipse_of(row) if is_reflection(row["object"]) else None
            if ellipse is not None:
                spot = Spot(ellipse, ellipse.area, False, row["center_sd_px"] or 0.0)
                out.setdefault(row["frame_idx"], {})[row["object"]] = spot
        return out

    def lit(self, at: int, name: str) -> Seen:
        """A frame by its place, with the light at the network's mask of a reflection among its spots."""
        one = self.seen(at, at + 1)[0]
        light = self.lights_at_masks(at, at + 1).get(one.frame_idx, {}).get(name)
        if light is None or not _is_new(light, one.spots):
            return one
        return replace(one, spots=[*one.spots, replace(light, contrast=_UNKNOWN_CONTRAST)])

    def place(self, frame: int) -> int | None:
        """Of a frame, in the pupil's rows."""
        i = int(np.searchsorted(self.pupil.frame_idx, frame))
        return i if i < len(self.pupil) and self.pupil.frame_idx[i] == frame else None


Clicks = dict[str, list[tuple[Seen, Ellipse]]]


def _clicks(eye: _Eye, prompts: Sequence[ObjectPrompt]) -> Clicks:
    """Tracked reflections of a view, and where the user clicked each."""
    names = [name for view, name in eye.rows.objects if view == eye.view and is_reflection(name)]
    out: Clicks = {name: [] for name in names}
    for prompt in prompts:
        at, place = eye.place(prompt.frame_idx), _meant(prompt)
        if prompt.name in out and place is not None and at is not None:
            out[prompt.name].append((eye.lit(at, prompt.name), place))
    return out


def _meant(prompt: ObjectPrompt) -> Ellipse | None:
    """Where a prompt says that a reflection is, about."""
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        sides = sorted((max(x1 - x0, 2 * _CLICK_PX), max(y1 - y0, 2 * _CLICK_PX)), reverse=True)
        return Ellipse((0.5 * (x0 + x1), 0.5 * (y0 + y1)), (sides[0], sides[1]))
    on = prompt.points[prompt.labels == 1]
    if not len(on):
        return None
    x, y = on.mean(axis=0).tolist()
    return Ellipse((x, y), (2 * _CLICK_PX, 2 * _CLICK_PX))


def _best_of_masks(eye: _Eye, name: str) -> list[tuple[Seen, Ellipse]]:
    """Where the network saw a reflection best."""
    own = eye.rows.rows(eye.view, name).on(eye.pupil.frame_idx)
    ious = np.where(own.tracked, np.nan_to_num(own.read("predicted_iou"), nan=-1.0), -1.0)
    columns = [own.numbers(c) for c in ("center_x_px", "center_y_px", "major_px", "minor_px")]
    places = []
    for i in np.argsort(-ious, kind="stable")[:_TRIED].tolist():
        x, y, major, minor = (float(c[i]) for c in columns)
        if ious[i] >= 0 and np.isfinite(x):
            places.append((eye.lit(i, name), Ellipse((x, y), (major, minor))))
    return places


def _discovered(eye: _Eye, limit: int) -> Start | None:
    """The best of some stretches of tracked frames, spread over the recording."""
    tracked = np.flatnonzero(eye.pupil.tracked)
    if not len(tracked):
        return None
    count = max(1, min(STRETCHES, len(tracked) // STRETCH))
    best: Start | None = None
    for k in range(count):
        first = int(tracked[min(len(tracked) - 1, (2 * k + 1) * len(tracked) // (2 * count))]) - STRETCH // 2
        first = max(0, min(first, len(eye.pupil) - STRETCH))
        start = discover(eye.seen(first, min(first + STRETCH, len(eye.pupil))), limit)
        if start is not None and (best is None or start.score > best.score):
            best = start
    return best


def _link(eye: _Eye, start: Start, store: _Stored, clicks: Clicks | None) -> None:
    """Follow forward and backward; what convinces becomes parts of the rows. `clicks`: None where nothing was
    clicked."""
    begin = eye.place(start.frame_idx)
    assert begin is not None
    first = eye.seen(begin, begin + 1)[0]
    assert first.pupil is not None
    names, before = list(start.glints), len(store.parts)
    count = dict.fromkeys(names, 0)
    pins: dict[int, dict[str, Ellipse]] = {}
    for name in names:
        for seen, place in (clicks or {}).get(name, ()):
            pins.setdefault(seen.frame_idx, {})[name] = place
    for blocks in (_forward(begin, len(eye.pupil)), _backward(begin)):
        follower = start.follower(first.pupil)
        for low, high, reverse in blocks:
            masks = eye.lights_at_masks(low, high) if clicks else {}
            found = _followed(follower, eye.seen(low, high), reverse, masks, pins)
            table = _table(eye, names, low, found)
            for name, tracked in (
                table.filter(pl.col("state") == TRACKED)["object"].value_counts().iter_rows()
            ):
                count[str(name)] += int(tracked)
            store.add(table)
    there = int(eye.pupil.tracked.sum())
    keep = [n for n in names if count[n] >= LEAST_SHARE * there]
    if clicks is not None:
        keep = [
            n
            for n in names
            if any(nearest(seen.spots, place) for seen, place in clicks[n])
            or count[n] >= int(eye.rows.rows(eye.view, n).tracked.sum())
        ]
    store.keep(before, keep)


def _forward(begin: int, end: int) -> Iterator[tuple[int, int, bool]]:
    for low in range(begin, end, BLOCK):
        yield low, min(low + BLOCK, end), False


def _backward(begin: int) -> Iterator[tuple[int, int, bool]]:
    for high in range(begin, 0, -BLOCK):
        yield max(0, high - BLOCK), high, True


def _followed(
    follower: GlintFollower,
    seen: list[Seen],
    reverse: bool,
    masks: Mapping[int, Mapping[str, Spot]],
    pins: Mapping[int, Mapping[str, Ellipse]],
) -> list[Mapping[str, Spot]]:
    """Spots by name, for each frame in order of time; `masks`: the light at masks, `pins`: clicks."""
    found: list[Mapping[str, Spot]] = []
    for one in reversed(seen) if reverse else seen:
        if one.pupil is None:
            found.append({})
            continue
        spots = list(one.spots)
        for name, spot in masks.get(one.frame_idx, {}).items():
            if name in follower.glints and _is_new(spot, one.spots):
                spots.append(replace(spot, contrast=follower.glints[name].contrast))
        found.append(follower.among(spots, one.pupil, pins.get(one.frame_idx)))
    return found[::-1] if reverse else found


def _is_new(light: Spot, spots: Sequence[Spot]) -> bool:
    return all(math.dist(light.ellipse.center, s.ellipse.center) > _SAME_PX for s in spots)


def _table(eye: _Eye, names: list[str], low: int, found: list[Mapping[str, Spot]]) -> pl.DataFrame:
    """Rows of some frames in order of frame and object."""
    rows: list[dict[str, Any]] = []
    for i, spots in enumerate(found, start=low):
        for name in sorted(names):
            row: dict[str, Any] = {
                "frame_idx": int(eye.pupil.frame_idx[i]),
                "timestamp_ns": int(eye.pupil.time_ns[i]),
                "view": eye.view,
                "object": name,
                "state": LOST,
            }
            spot = spots.get(name)
            if spot is not None:
                e = spot.ellipse
                row |= {"state": TRACKED, "center_x_px": e.center[0], "center_y_px": e.center[1]}
                row |= {"major_px": e.major, "minor_px": e.minor, "angle_deg": e.angle}
                row |= {"area_px": spot.area_px, "edge": "picture", "center_sd_px": spot.center_sd_px}
            rows.append(row)
    return pl.DataFrame(rows, schema=COLUMNS)


class _Stored:
    """Parts of the rows, in memory or each in a file."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.parts: list[Reader] = []
        for old in folder.glob("reflections_*.parquet") if folder is not None else ():
            old.unlink()

    def add(self, table: pl.DataFrame) -> None:
        """Keep some rows."""
        if self._folder is None:
            self.parts.append(lambda names: table if names is None else table.select(names))
            return
        path = self._path(len(self.parts))
        content = io.BytesIO()
        table.write_parquet(content)
        write_bytes(path, content.getvalue())
        self.parts.append(lambda names: pl.read_parquet(path, columns=names, glob=False))

    def keep(self, since: int, objects: Sequence[str]) -> None:
        """Of the parts from number `since` on, only some objects; without one, none."""
        later = self.parts[since:] if objects else []
        if self._folder is not None and not objects:
            for number in range(since, len(self.parts)):
                self._path(number).unlink(missing_ok=True)
        self.parts[since:] = [_only(read, objects) for read in later]

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"reflections_{number:05d}.parquet"


def _only(read: Reader, objects: Sequence[str]) -> Reader:
    def reader(names: list[str] | None) -> pl.DataFrame:
        wider = None if names is None else list(dict.fromkeys([*names, "object"]))
        table = read(wider).filter(pl.col("object").is_in(objects))
        return table if names is None else table.select(names)

    return reader
