"""Calibration on the renderer's own geometry: an eye that looks at nine targets, with noise, blinks and a
pupil that changes its size."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.calibration import calibrate, drift
from ocusam.eye.reflection import with_pupil_cr_vectors
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.synthetic.anatomy import make_view, pose
from ocusam.synthetic.eye import lab_style
from ocusam.synthetic.motion import MotionState

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
        slip = shift * i / (count * len(places))
        slip = shift * math.sin(2 * math.pi * i / 53)
        px = rng.normal(0, noise, 2) + slip
        center = (pupil.center[0] + px[0] + moved[0], pupil.center[1] + px[1] + moved[1])
        e = Ellipse(center, (pupil.major * size, pupil.minor * size), pupil.angle)
        spot = light.translated(*(rng.normal(0, noise, 2) + slip))
        blink, time = i % 97 < 8, round(i * 1e9 / HZ)
        for name, shape_of in (("pupil", e), ("cr0", spot)):
            seen = Measurement(None if blink else shape_of, 0.0 if blink else 900.0, 0.9, 1.0)
            table.add(i, time, 0, name, seen)
    return with_pupil_cr_vectors(table.table())


def test_nine_targets_give_gaze_within_half_a_degree() -> None:
    signals = recording(NINE)
    found = calibrate(signals, TARGETS)
    assert found.accuracy < 0.5
    assert found.errors["target"].to_list() == list(range(9))
    assert len(found.tried) >= 8 and found.tried["error"].is_sorted()
    gaze = found.apply(signals)
    rows = gaze.filter(pl.col("gaze_x_deg").is_not_null())
    assert set(rows["object"]) == {"pupil"} and len(rows) < len(gaze) / 2  # blinks stay empty
    held = rows.filter(pl.col("frame_idx") % 120 > 60)
    true = np.array(NINE)[held["frame_idx"].to_numpy() // 120]
    error = np.hypot(held["gaze_x_deg"].to_numpy() - true[:, 0], held["gaze_y_deg"].to_numpy() - true[:, 1])
    assert np.median(error) < 0.5


def test_both_features_work_and_slip_hurts_the_pupil_alone() -> None:
    slipped = recording(NINE, shift=15.0)
    by = {f: calibrate(slipped, TARGETS, feature=f).accuracy for f in ("pupil", "pupil_cr")}
    assert by["pupil_cr"] < 0.5 < by["pupil"]
    assert calibrate(slipped, TARGETS).feature == "pupil_cr"


def test_pupil_size_moves_gaze_unless_corrected() -> None:
    swaying = recording(NINE, sway=0.1)
    plain = calibrate(swaying, TARGETS, size_correction=False)
    corrected = calibrate(swaying, TARGETS, size_correction=True)
    assert corrected.accuracy < 0.5 * plain.accuracy
    assert calibrate(swaying, TARGETS).with_size


def test_leave_one_out_does_not_reward_bending() -> None:
    signals = recording(NINE, noise=3.0, seed=5)
    tried = calibrate(signals, TARGETS, feature="pupil", size_correction=False).tried
    assert "cubic" not in tried["model"].to_list()  # ten terms and nine targets
    assert tried["error"].min() is not None


def test_drift_is_the_offset_on_targets_shown_again() -> None:
    signals = recording([*NINE, (0.0, 0.0)])
    found = calibrate(signals, TARGETS, feature="pupil")
    later = pl.DataFrame({"t": [9 * HOLD_S], "x": [0.0], "y": [0.0]})
    assert drift(found, signals, later)["error"][0] < 0.5
    off = pl.DataFrame({"t": [9 * HOLD_S], "x": [-2.0], "y": [0.0]})
    row = drift(found, signals, off).row(0, named=True)
    assert (row["offset_x"], row["offset_y"]) == pytest.approx((2.0, 0.0), abs=0.5)


def test_what_a_user_can_get_wrong() -> None:
    signals = recording(NINE[:3])
    with pytest.raises(InputError, match="columns t, x, y"):
        calibrate(signals, TARGETS.rename({"t": "time"}))
    with pytest.raises(InputError, match="at least 4 targets"):
        calibrate(signals, TARGETS.head(3))
    with pytest.raises(InputError, match="pupil_cr or pupil"):
        calibrate(signals, TARGETS, feature="iris")
