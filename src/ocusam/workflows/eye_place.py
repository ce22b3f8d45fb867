"""Where the eye is in the picture, and how large: what `--zoom auto` needs to know before tracking.

Purpose: `zoom_start` turns "auto" into rectangles (`inputs.zoom`) or into a reason to do without, once,
before a run begins.

Notable choices: the network answers the prompts on the whole picture first; where the eye is large already,
that is the only picture looked at. Else some frames spread over the whole video are tracked, one after the
other, with the memory that tracking has: masks are coarse then, but say where the eye goes, which no single
frame can. Masks that the network itself rates low are left out. The iris is that of the picture
(`eye.candidates`) where its rim is clear, since a coarse mask of it is often too large. Then the prompted
frames and those after them are tracked in the rectangle and in the whole picture, with the prompts made clear
as the run will make them, and the rectangle is dropped where the network is clearly less sure in it: the
place was wrong, or the picture too coarse to be enlarged. What was decided is stored with the run, so that a
run that goes on, and a correction, have the same rectangle.

What it does not know: what happens between the frames looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame, View
from ocusam.core.prompts import ObjectPrompt, PromptPack, check_inside, check_names
from ocusam.eye.candidates import find_candidates
from ocusam.eye.signals import KNOWN_OBJECTS, KNOWN_PATTERN
from ocusam.eye.whole_frame import measure_object
from ocusam.video.source import IterableSource, VideoSource
from ocusam.video.thinned import ThinnedSource
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.inputs.frame_times import open_timed
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.inputs.zoom import AUTO, OFF, Choice, Sighting, choose, zoom_text, zoomed
from ocusam.workflows.session.follow import Clear, Predictor, Progress, follow
from ocusam.workflows.session.models import open_predictor
from ocusam.workflows.session.resume import read_record
from ocusam.workflows.session.run_folder import check_free

LOOKS = 16
"""Frames spread over the video that are looked at; at most one of `_ONE_OF` frames."""
_ONE_OF = 12
_SURE = 0.5  # predicted IoU from which a mask says where the eye is
_LESS_SURE = 0.1  # predicted IoU by which a rectangle may be worse: more than that is usually off by
_CLEAR_LIMBUS = 0.08  # of the picture's contrast, as in `find_parts`
_SAME = 0.5  # overlap from which a shape on the picture and the network's mask are the same pupil


@dataclass(frozen=True, eq=False)
class ZoomStart:
    """What a run begins with.

    Attributes:
        model: the network, opened.
        settings: with rectangles, or "off", in place of "auto".
        record: for `run.json`: what was asked and decided, view by view; None where nothing was asked.
    """

    model: Any
    settings: RunSettings
    record: dict[str, Any] | None


def zoom_start(
    video: Any,
    pack: PromptPack,
    *,
    model: Any,
    weights: str | Path | None,
    device: str,
    out: str | Path | None,
    settings: RunSettings,
    progress: Progress | None = None,
) -> ZoomStart:
    """Look where the eye is, where `settings.zoom` is "auto".

    Args:
        video: anything `video.reader.open_video` takes.
        pack: prompts of the run, px of the whole picture.
        model, weights, device: see `models.open_predictor`.
        out: the run's folder, refused here already where it holds another run.
        settings: of the run.
        progress: called after every frame that was looked at.

    Raises:
        OcusamError: the family; nothing has been written.
    """
    if settings.zoom != AUTO:
        record = None if settings.zoom == OFF else {"asked": settings.zoom, "used": True, "why": "asked for"}
        return ZoomStart(model, settings, record)
    if out is not None and not settings.resume:
        check_free(Path(out))
    check_names(pack.prompts, KNOWN_OBJECTS, pattern=KNOWN_PATTERN)
    source = open_timed(video, settings)
    try:
        pack.check_size(source.size)
        check_inside(pack.prompts, source.size, source.num_frames)
        views = plan_views(source.size, settings.views)
        opened = open_predictor(model, weights, device, settings)
        why = _why_not(source, pack, opened.predictor)
        clear = ClearClicks if settings.clear_clicks else None
        choices = (
            []
            if why
            else choose_rectangles(source, pack.prompts, opened.predictor, views, progress, clear=clear)
        )
    finally:
        if not isinstance(video, VideoSource):
            source.close()
    regions = [choice.region for choice in choices if choice.region is not None]
    record = {"asked": AUTO, "used": bool(regions)}
    record |= {"why": why} if why else {"views": [_told(choice) for choice in choices]}
    return ZoomStart(opened, replace(settings, zoom=zoom_text(regions)), record)


def zoom_of_run(out: Path, settings: RunSettings) -> RunSettings:
    """Settings to go on with a run: with the rectangles that were found when it began."""
    record = read_record(out) or {}
    zoom = record.get("zoom")
    if isinstance(zoom, dict) and zoom.get("asked") == settings.zoom:
        return replace(settings, zoom=str(record["settings"]["zoom"]))
    return settings


def _why_not(source: VideoSource, pack: PromptPack, predictor: Predictor) -> str | None:
    if pack.references:
        return "an annotated picture stands before the video, so the whole picture is tracked"
    if isinstance(source, IterableSource):
        return "a stream can be read only once, so the eye cannot be looked for beforehand"
    if getattr(predictor, "image_size", None) is None:
        return "the tracker does not say how large its input is"
    return None


def _told(choice: Choice) -> dict[str, Any]:
    out: dict[str, Any] = {"view": choice.view, "why": choice.why, "frames_seen": choice.sightings}
    for key in ("pupil_px", "iris_px"):
        value = getattr(choice, key)
        out[key] = None if value is None else round(value, 1)
    if choice.region is not None:
        out |= {"region": list(choice.region), "gain": round(choice.gain, 2)}
    return out


def choose_rectangles(
    source: VideoSource,
    prompts: Sequence[ObjectPrompt],
    predictor: Predictor,
    views: Sequence[View],
    progress: Progress | None = None,
    clear: Callable[[], Clear] | None = None,
) -> list[Choice]:
    """Look at the prompted frames, then, where a rectangle may help, at frames all over the video.

    Args:
        source: the video, read by frame number, not closed.
        prompts: px of the whole picture.
        predictor: a tracker that tells its `image_size`.
        views: of the picture.
        progress: called after every frame.
        clear: makes what the run will make prompts clear with; None: they are entered as they are.

    Returns:
        One choice for every view with a prompt, in order.
    """
    side = int(predictor.image_size)  # type: ignore[attr-defined]
    clicked = sorted({prompt.frame_idx for prompt in prompts})

    def decide(frames: Sequence[int]) -> dict[int, Choice]:
        seen = _look(source, prompts, predictor, views, frames, progress)
        return {v.index: choose(v, seen[v.index].eye, prompts, side) for v in views if v.index in seen}

    choices = decide(clicked)
    spread = _spread(source.num_frames)
    if spread and any(choice.region is not None for choice in choices.values()):
        try:
            wider = decide(sorted({*clicked, *spread}))
        except InputError:
            wider = {}  # a damaged picture: what the prompted frames show has to do
        # More frames can only say that a view needs more room.
        choices |= {view: c for view, c in wider.items() if choices[view].region is not None}
    regions = [choice.region for choice in choices.values() if choice.region is not None]
    if regions:
        tried = _with_next(clicked, source.num_frames)

        def follow_on(places: Sequence[View]) -> dict[int, _Seen]:
            own = None if clear is None else clear()
            return _look(source, prompts, predictor, places, tried, progress, own)

        with suppress(InputError):  # a damaged picture behind a prompted one: the rectangle stands unchecked
            wide, narrow = follow_on(views), follow_on(zoomed(views, zoom_text(regions)))
            choices = {k: _unless_less_sure(choice, wide[k], narrow[k]) for k, choice in choices.items()}
    return [choices[view] for view in sorted(choices)]


def _unless_less_sure(choice: Choice, whole: _Seen, narrow: _Seen) -> Choice:
    """The choice, without its rectangle where the network is less sure of the prompts in it."""
    if choice.region is None or not narrow.sure < whole.sure - _LESS_SURE:
        return choice
    why = (
        f"the network is less sure in a rectangle around the eye: predicted IoU {narrow.sure:.2f} instead of "
        f"{whole.sure:.2f}"
    )
    return replace(choice, region=None, gain=1.0, why=why)


def _with_next(clicked: Sequence[int], count: int | None) -> list[int]:
    """Prompted frames and the ones after them, as far as there are any."""
    return sorted({*clicked, *(k + 1 for k in clicked if count is None or k + 1 < count)})


@dataclass
class _Seen:
    """What was seen of a view on some frames."""

    eye: list[Sighting] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    """Predicted IoU of the pupil (where none is tracked, of the iris) on every frame without a prompt; 0
    where not found."""

    @property
    def sure(self) -> float:
        """How sure the network is of the eye on average; nan where it does not say."""
        return sum(self.answers) / len(self.answers) if self.answers else math.nan


def _spread(count: int | None) -> list[int]:
    """The middle of each of at most `LOOKS` equal stretches of a video."""
    number = min(LOOKS, (count or 0) // _ONE_OF)
    return [int((k + 0.5) * (count or 0) / number) for k in range(number)]


def _look(
    source: VideoSource,
    prompts: Sequence[ObjectPrompt],
    predictor: Predictor,
    views: Sequence[View],
    frames: Sequence[int],
    progress: Progress | None,
    clear: Clear | None = None,
) -> dict[int, _Seen]:
    """Track some frames; what was seen of each view."""
    number = {frame: i for i, frame in enumerate(frames)}
    moved = [replace(prompt, frame_idx=number[prompt.frame_idx]) for prompt in prompts]
    out: dict[int, _Seen] = {}
    thin = ThinnedSource(source, list(frames))
    told: Progress | None = None
    if progress is not None:
        said = progress

        def told(done: int, total: int | None, what: str) -> None:
            said(done, None, "looking where the eye is")

    prompted = {number[prompt.frame_idx] for prompt in prompts}
    for objects in follow(thin, moved, predictor, views, progress=told, clear=clear):
        of_view = out.setdefault(objects[0].view.index, _Seen())
        seen = _sighting(objects)
        if seen is not None:
            of_view.eye.append(replace(seen, frame_idx=frames[seen.frame_idx]))
        eye = {o.name: o.predicted_iou if o.object_score > 0 else 0.0 for o in objects}
        if ("pupil" in eye or "iris" in eye) and objects[0].frame_idx not in prompted:
            of_view.answers.append(eye["pupil"] if "pupil" in eye else eye["iris"])
    return out


def _sighting(objects: list[ObjectFrame]) -> Sighting | None:
    """Pupil and iris on one frame, the iris as the picture shows it, if it does."""
    found: dict[str, Ellipse] = {}
    for item in objects:
        if item.name not in ("pupil", "iris") or not item.predicted_iou >= _SURE:
            continue
        measured = measure_object(replace(item, picture=None))
        if measured.ellipse is not None:
            found[item.name] = measured.ellipse
    pupil, iris = found.get("pupil"), found.get("iris")
    if pupil is not None and objects[0].picture is not None:
        iris = _limbus(objects[0], pupil) or iris
    return Sighting(objects[0].frame_idx, pupil, iris) if pupil or iris else None


def _limbus(item: ObjectFrame, pupil: Ellipse) -> Ellipse | None:
    """The outline of the iris around a pupil as the picture alone shows it, px of the whole picture."""
    assert item.picture is not None
    x0, y0 = item.view.region[:2]
    for candidate in find_candidates(item.picture):
        same = candidate.ellipse.translated(x0, y0).iou(pupil) >= _SAME
        if same and candidate.limbus is not None and candidate.limbus_clear >= _CLEAR_LIMBUS:
            return candidate.limbus.translated(x0, y0)
    return None
