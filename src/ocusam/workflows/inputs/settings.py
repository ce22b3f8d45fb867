"""Settings that tracking jobs share, and reading prompts in the forms callers have them.

Purpose: one frozen record of options, stored in `run.json`, and `as_prompts`; `Computing`, the part of them
that concerns the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from ocusam.core.errors import InputError, PromptError
from ocusam.core.prompts import ObjectPrompt, merge_prompts, parse_point
from ocusam.engines.choice import ENGINES, TORCH
from ocusam.eye.scale import Scaling
from ocusam.workflows.inputs.frame_times import check_clock
from ocusam.workflows.inputs.glints import wanted_glints
from ocusam.workflows.inputs.input_size import FINE, parse_size
from ocusam.workflows.inputs.zoom import AUTO, parse_zoom

FLOAT32 = "float32"
DTYPES = (FLOAT32, "bfloat16", "float16")


class Computing(Protocol):
    """How a network is to compute: the options that `models.open_predictor` looks at, as `RunSettings` and
    `CameraSettings` have them."""

    @property
    def dtype(self) -> str:
        """Type of its numbers, one of `DTYPES`."""

    @property
    def size(self) -> str | int:
        """Side of its square input: "fine", "fast" or px (`input_size`)."""

    @property
    def compiled(self) -> bool:
        """Whether `torch.compile` goes over it first."""

    @property
    def engine(self) -> str:
        """What runs it, "torch" or "openvino" (`ocusam.engines`)."""


def check_computing(wanted: Computing) -> None:
    """Refuse a type, a size or an engine that cannot be.

    Raises:
        InputError: says which, and what is allowed.
    """
    if wanted.dtype not in DTYPES:
        raise InputError(f"dtype={wanted.dtype!r}: the network computes in {', '.join(DTYPES)}.")
    parse_size(wanted.size)
    if wanted.engine not in ENGINES:
        raise InputError(f"engine={wanted.engine!r}: the network runs on {' or '.join(ENGINES)}.")
    if wanted.compiled and wanted.engine != TORCH:
        raise InputError("--compile is for the engine torch: leave one of the two options out.")


@dataclass(frozen=True)
class RunSettings:
    """Options of a tracking job.

    Attributes:
        views: "auto", "none" or "CxR": several eyes in one picture (`views.plan_views`).
        zoom: "auto", "off" or "X0,Y0,X1,Y1": the rectangle to track in, px of the picture (`zoom`); "auto"
            looks for one around the eye, and is "off" where other objects are tracked.
        overlay: write `overlay.mp4`.
        report: write `report.html` (`ocusam eye` only).
        masklets: keep the masks.
        cross_negatives: give the pupil's clicks to the iris as points not on it, and the other way round.
        chunk_frames: frames a chunk: what a kill can cost.
        snapshot_frames: the tracker's memory is stored after every so-manieth frame, for corrections (0: only
            where a pass begins). A snapshot of `nano` takes 0.25 MB an object.
        recover: look again for a pupil that has been lost for longer than a blink (`session.lookout`); other
            objects are not looked for.
        clear_clicks: enter the visible mask of a clicked pupil or iris in place of the click, where picture
            and network together make clear what is meant (`find.clicks`; `ocusam eye` with nano only).
        dtype: type of the network's weights and of what is computed with them, one of `DTYPES`.
        size: side of the network's square input: "fine" (the size by which the network is known), "fast"
            (smaller, several times as quick; `input_size`), or px, a multiple of 32.
        compiled: send the network through `torch.compile` first (`tracking.compiled`), for a GPU.
        engine: what runs the network: "torch", or "openvino" (CPU only).
        glints: corneal reflections beside the tracked objects: "auto" follows those that were clicked, or
            else looks for some by itself; a number: looks for at most so many; "off" (`ocusam eye` only).
        mm_per_px: stated scale at the distance of the eye, for the column `diameter_mm`; None: none.
        iris_mm: assumed diameter of the visible iris, mm (adults about 11.7): the scale of that column
            follows from the tracked iris (`eye.scale`); None: not assumed. At most one of both (`ocusam eye`
            only).
        resume: go on with the run that the output folder holds; begin where it holds none.
        times: a file with the time of every frame, in place of the video's own times
            (`frame_times.read_times`).
        times_column, times_unit: which of its columns, and s, ms, us or ns; None: by the columns' names.
        fps: frames per second, in place of the video's own times. Not together with `times`.
    """

    views: str = "auto"
    zoom: str = AUTO
    overlay: bool = True
    report: bool = True
    masklets: bool = True
    cross_negatives: bool = False
    chunk_frames: int = 500
    snapshot_frames: int = 64
    recover: bool = True
    clear_clicks: bool = True
    dtype: str = FLOAT32
    size: str | int = FINE
    compiled: bool = False
    engine: str = TORCH
    glints: str | int = AUTO
    mm_per_px: float | None = None
    iris_mm: float | None = None
    resume: bool = False
    times: str | None = None
    times_column: str | None = None
    times_unit: str | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        parse_zoom(self.zoom)
        wanted_glints(self.glints)
        object.__setattr__(self, "glints", str(self.glints))  # 2 and "2" are the same run
        check_computing(self)
        _ = self.scaling  # refuses what cannot be
        object.__setattr__(self, "times", None if self.times is None else str(self.times))  # may be a Path
        check_clock(self)
        if self.chunk_frames < 1 or self.snapshot_frames < 0:
            raise InputError(
                f"chunk_frames={self.chunk_frames}, snapshot_frames={self.snapshot_frames}: give at least 1 "
                "frame a chunk, and 0 or more frames between snapshots."
            )

    @property
    def scaling(self) -> Scaling:
        """Where mm come from."""
        return Scaling(self.mm_per_px, self.iris_mm)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what decides the result. Whence the times came is a matter of the input."""
        apart = ("resume", "times", "times_column", "times_unit", "fps")
        return {key: value for key, value in asdict(self).items() if key not in apart}


PromptsLike = Iterable[ObjectPrompt | str] | Mapping[str, Any] | str | ObjectPrompt


def as_prompts(prompts: PromptsLike) -> list[ObjectPrompt]:
    """Prompts from `ObjectPrompt`s, texts like "pupil:320,240@7", or a mapping {"pupil": (x, y)}.

    Raises:
        PromptError: another form.
    """
    if isinstance(prompts, str | ObjectPrompt):
        prompts = [prompts]
    out: list[ObjectPrompt] = []
    if isinstance(prompts, Mapping):
        for name, value in prompts.items():
            try:
                points = np.asarray(value, dtype=np.float64)
            except (TypeError, ValueError):
                raise PromptError(
                    f"Prompt for {name!r}: give (x, y) or a list of them, got {value!r}."
                ) from None
            if points.size == 0 or points.shape[-1] != 2 or points.ndim > 2:
                raise PromptError(
                    f"Prompt for {name!r}: give (x, y) or a list of them, got shape {points.shape}."
                )
            points = points.reshape(-1, 2)
            out.append(ObjectPrompt(str(name), 0, points, np.ones(len(points), dtype=np.int64)))
        return out
    for item in prompts if isinstance(prompts, Iterable) else [prompts]:
        if not isinstance(item, str | ObjectPrompt):
            raise PromptError(
                f"A prompt is a text such as 'pupil:320,240', or a mapping {{'pupil': (x, y)}}, got {item!r}."
            )
        out.append(parse_point(item) if isinstance(item, str) else item)
    return merge_prompts(out)


def with_cross_negatives(prompts: list[ObjectPrompt]) -> list[ObjectPrompt]:
    """Add other objects' clicks as points not on an object, by the rule of the published research scripts:
    pupil points are negative for iris and sclera, iris points for sclera, sclera points for iris; iris points
    for pupil."""
    negative_for = {"iris": ("pupil", "sclera"), "sclera": ("pupil", "iris"), "pupil": ("iris",)}
    extra: list[ObjectPrompt] = []
    for prompt in (p for p in prompts if p.mask is None):
        for other in prompts:
            if other.name in negative_for.get(prompt.name, ()) and other.frame_idx == prompt.frame_idx:
                on = other.points[other.labels == 1]
                # Those of an earlier run stand in its prompts.json already.
                known = prompt.points[prompt.labels == 0]
                on = on[[not (known == point).all(axis=1).any() for point in on]]
                if len(on):
                    extra.append(
                        ObjectPrompt(prompt.name, prompt.frame_idx, on, np.zeros(len(on), dtype=np.int64))
                    )
    return merge_prompts([*prompts, *extra])
