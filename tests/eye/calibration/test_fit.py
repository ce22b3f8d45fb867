"""Calibration on the renderer's own geometry: an eye that looks at nine targets, with noise, blinks and a
pupil that changes its size."""

import json

import numpy as np
import polars as pl
import pytest

from gazing_eye import HOLD_S, NINE, TARGETS, recording
from ocusam.core.errors import InputError
from ocusam.eye.calibration import Calibration, Choice, calibrate, drift


def test_nine_targets_give_gaze_within_half_a_degree() -> None:
    signals = recording(NINE)
    found = calibrate(signals, TARGETS)
    assert found.accuracy < 0.5
    assert found.checked["target"].to_list() == list(range(1, 10))
    assert len(found.tried) == 6 and found.tried["accuracy_deg"].is_sorted()
    gaze = found.apply(signals)
    rows = gaze.filter(pl.col("gaze_x_deg").is_not_null())
    assert set(rows["object"]) == {"pupil"} and len(rows) < len(gaze) / 2  # blinks stay empty
    held = rows.filter(pl.col("frame_idx") % 120 > 60)
    true = np.array(NINE)[held["frame_idx"].to_numpy() // 120]
    error = np.hypot(held["gaze_x_deg"].to_numpy() - true[:, 0], held["gaze_y_deg"].to_numpy() - true[:, 1])
    assert np.median(error) < 0.5


def test_both_features_work_and_slip_hurts_the_pupil_alone() -> None:
    slipped = recording(NINE, shift=15.0)
    by = {f: calibrate(slipped, TARGETS, choice=Choice(feature=f)).accuracy for f in ("pupil", "pupil_cr")}
    assert by["pupil_cr"] < 0.5 < by["pupil"]
    assert calibrate(slipped, TARGETS).feature == "pupil_cr"


def test_pupil_size_moves_gaze_unless_corrected() -> None:
    swaying = recording(NINE, sway=0.1)
    plain = calibrate(swaying, TARGETS, choice=Choice(size_correction=False))
    corrected = calibrate(swaying, TARGETS, choice=Choice(size_correction=True))
    assert corrected.accuracy < 0.5 * plain.accuracy
    assert calibrate(swaying, TARGETS).with_size


def test_leave_one_out_does_not_reward_bending() -> None:
    signals = recording(NINE, noise=3.0, seed=5)
    tried = calibrate(signals, TARGETS, choice=Choice("pupil", size_correction=False)).tried
    assert "cubic" not in tried["model"].to_list()  # ten terms and nine targets
    assert tried["accuracy_deg"].min() is not None


def test_drift_is_the_offset_on_targets_shown_again() -> None:
    signals = recording([*NINE, (0.0, 0.0)])
    found = calibrate(signals, TARGETS, choice=Choice("pupil"))
    later = pl.DataFrame({"t": [9 * HOLD_S], "x": [0.0], "y": [0.0]})
    assert drift(found, signals, later)["accuracy_deg"][0] < 0.5
    off = pl.DataFrame({"t": [9 * HOLD_S], "x": [-2.0], "y": [0.0]})
    row = drift(found, signals, off).row(0, named=True)
    assert (row["offset_x_deg"], row["offset_y_deg"]) == pytest.approx((2.0, 0.0), abs=0.5)


def test_precision_at_a_target_does_not_step_over_dropped_frames() -> None:
    """Two of ten frames are missing, from the table too; the pupil moves only while they are."""
    jumps = pl.when(pl.col("object") == "pupil").then(pl.col("frame_idx") // 10 % 3 * 8.0).otherwise(0.0)
    still = recording(NINE, noise=0.0).with_columns(pl.col("center_x_px") + jumps)
    signals = still.filter(pl.col("frame_idx") % 10 < 8)
    found = calibrate(signals, TARGETS, choice=Choice("pupil", model="linear"))
    assert found.checked["precision_rms_s2s_deg"].max() < 1e-6 < found.checked["precision_std_deg"].min()


def test_what_a_user_can_get_wrong() -> None:
    signals = recording(NINE[:3])
    with pytest.raises(InputError, match="columns t, x, y"):
        calibrate(signals, TARGETS.rename({"t": "time"}))
    with pytest.raises(InputError, match="at least 4 targets"):
        calibrate(signals, TARGETS.head(3))
    with pytest.raises(InputError, match="pupil_cr or pupil"):
        Choice(feature="iris")


def test_targets_without_the_eye_are_left_out_and_named() -> None:
    signals = recording(NINE)
    lost = pl.col("timestamp_ns").is_between(int(2 * HOLD_S * 1e9), int(3 * HOLD_S * 1e9))
    empty = pl.when(lost).then(pl.lit("lost")).otherwise(pl.col("state"))
    found = calibrate(signals.with_columns(state=empty), TARGETS)
    row = found.checked.filter(pl.col("target") == 3).row(0, named=True)
    assert row["accuracy_deg"] is None and "1 valid samples of 81" in row["note"]
    assert found.accuracy < 0.6 and len(found.places) == 8


def test_a_place_shown_twice_is_left_out_twice() -> None:
    signals = recording([*NINE, *NINE])
    twice = pl.concat([TARGETS, TARGETS.with_columns(pl.col("t") + 9 * HOLD_S)])
    found = calibrate(signals, twice, choice=Choice("pupil", model="quadratic"))
    once = calibrate(signals, TARGETS, choice=Choice("pupil", model="quadratic"))
    assert len(found.checked) == 18 and len(found.places) == 9
    # Were its twin kept, a corner would be known beforehand.
    assert found.accuracy > 0.6 * once.accuracy


def test_a_calibration_survives_json() -> None:
    signals = recording(NINE)
    found = calibrate(signals, TARGETS)
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.apply(signals).equals(found.apply(signals))
    assert again.checked.equals(found.checked) and again.tried.equals(found.tried)
    for damage in ({"weights": [[1.0, 2.0]]}, {"model": "bent"}, {"targets": 3}):
        with pytest.raises(InputError, match="no calibration"):
            Calibration.from_dict(found.to_dict() | damage)


def test_what_lies_beyond_the_calibration_is_marked() -> None:
    signals = recording([*NINE, (25.0, 0.0)])
    gaze = calibrate(signals, TARGETS, choice=Choice("pupil")).apply(signals).filter(object="pupil")
    far = gaze.filter((pl.col("frame_idx") > 9 * 120 + 40) & pl.col("gaze_x_deg").is_not_null())
    assert far["outside_targets"].all() and not far["outside_sizes"].any()
    assert gaze.filter(pl.col("frame_idx") < 9 * 120)["outside_targets"].mean() < 0.02
    wide = signals.with_columns(pl.col("major_px") * 1.5)
    wider = calibrate(signals, TARGETS, choice=Choice("pupil")).apply(wide).filter(object="pupil")
    assert wider["outside_sizes"].mean() == 1.0
