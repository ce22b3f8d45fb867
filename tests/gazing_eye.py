"""Signals of an eye that looks at targets, by the renderer's own geometry: noise, blinks, a pupil that
changes its size, a camera that slips; and a finished run made of them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection import with_pupil_cr_vectors
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.synthetic.anatomy import make_view, pose
from ocusam.synthetic.eye import lab_style
from ocusam.synthetic.motion import MotionState
from ocusam.workflows.results.eye_tables import make_tables, named

HZ, HOLD_S = 100.0, 1.2
NINE = [(x, y) for y in (-8.0, 0.0, 8.0) for x in (-12.0, 0.0, 12.0)]
TARGETS = pl.DataFrame(
    {"t": [HOLD_S * i for i in range(9)], "x": [p[0] for p in NINE], "y": [p[1] for p in NINE]}
)


def recording(
    places: list[tuple[float, float]],
    *,
    noise: float = 0.1,
    sway: float = 0.0,
    shift: float = 0.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Signals of an eye that looks at places (deg) one after the other.

    noise: px on every coordinate; sway: how much the pupil's size changes within a target, and its
    centre with it; shift: px by which the camera slips to and fro."""
    style, rng, table = lab_style(), np.random.default_rng(seed), SignalTable()
    style = replace(style, motion=replace(style.motion, gaze_center=(0.0, 0.0)))
    view = make_view(style, (480, 640))
    count = round(HOLD_S * HZ)
    for i in range(count * len(places)):
        # The eye arrives 200 ms after the target and drifts a little.
        x, y = places[max(0, i - 20) // count]
        state = MotionState((x, y), 0.45, 1.0, 0.0, (0.0, 0.0), 0.0, 1.0, (True,) * len(style.light.leds))
        shape = pose(style, view, state)
        pupil, cr = shape.pupil.ellipse(), shape.reflections[0]
        assert cr is not None
        light = cr.ellipse()
        size = 1.0 + sway * math.sin(2 * math.pi * i / 37)
        moved = np.array([6.0, 3.0]) * (size - 1.0) / 0.1 if sway else np.zeros(2)
        slip = shift * math.sin(2 * math.pi * i / 53)
        px = rng.normal(0, noise, 2) + slip
        center = (pupil.center[0] + px[0] + moved[0], pupil.center[1] + px[1] + moved[1])
        e = Ellipse(center, (pupil.major * size, pupil.minor * size), pupil.angle)
        spot = light.translated(*(rng.normal(0, noise, 2) + slip))
        blink, time = i % 97 < 8, round(i * 1e9 / HZ)
        for name, shape_of in (("pupil", e), ("cr0", spot)):
            seen = Measurement(None if blink else shape_of, 0.0 if blink else shape_of.area, 0.9, 1.0)
            table.add(i, time, 0, name, seen)
    return with_pupil_cr_vectors(table.table())


def write_run(folder: Path, signals: pl.DataFrame) -> Path:
    """The folder of a finished run without a video."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in named(make_tables(signals)).items():
        pl.concat(list(table)).write_csv(folder / name)
    record = {"ocusam": "0", "status": "finished", "input": {"path": "gone.mp4", "size_hw": [480, 640]}}
    (folder / "run.json").write_text(json.dumps(record))
    return folder
