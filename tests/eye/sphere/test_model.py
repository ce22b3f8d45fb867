"""What pye3d is asked of a recording, and what becomes of its answer; with the real one where it is there."""

import math
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from gazing_eye import NINE, recording
from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.eye.sphere import EyeCamera, SphereSettings, request_of, summary_of, table_of, worker
from ocusam.eye.sphere.model import ANSWER, EYE3D_COLUMNS

VIEW = View(0, (100, 50, 740, 530))  # 640 x 480, somewhere in a larger picture


def moved() -> pl.DataFrame:
    signals = recording(NINE[:3])
    return signals.with_columns(pl.col("center_x_px") + 100, pl.col("center_y_px") + 50)


def test_what_is_asked_are_ellipses_as_pupil_core_tells_them() -> None:
    signals = moved()
    doubts = pl.DataFrame({"view": [0], "object": ["pupil"], "frame_idx": [20]})
    asked = request_of(signals, VIEW, EyeCamera(900.0), doubts=doubts)
    pupil = signals.filter((pl.col("object") == "pupil") & (pl.col("state") == "tracked"))
    assert len(asked.numbers) == len(pupil) < 360  # none of the blinks
    first = pupil.row(0, named=True)
    time, x, y, minor, major, angle, confidence = asked.numbers[0]
    assert (time, minor, major, confidence) == (0.0, first["minor_px"], first["major_px"], 1.0)
    # From the corner of the view, not from the centre of the picture's first pixel.
    assert (x, y) == pytest.approx((first["center_x_px"] - 99.5, first["center_y_px"] - 49.5))
    assert angle == pytest.approx(first["angle_deg"] - 90.0)
    doubted = asked.rows["frame_idx"].to_list().index(20)
    assert asked.numbers[doubted, 6] == 0.75
    assert asked.request["size"] == [640, 480] and asked.request["focal_px"] == 900.0
    # Another principal point moves what is asked, and the answer comes back where it was.
    aside = request_of(signals, VIEW, EyeCamera(900.0, (329.5, 239.5)))
    assert aside.numbers[0, 1] == pytest.approx(x - 10.0)


def test_an_exact_circle_shapes_nothing() -> None:
    # pye3d 0.3.2 puts the pupil metres away for one.
    signals = moved().with_columns(
        minor_px=pl.when(pl.col("frame_idx") == 20).then(pl.col("major_px")).otherwise(pl.col("minor_px"))
    )
    asked = request_of(signals, VIEW, EyeCamera(900.0))
    row = asked.numbers[asked.rows["frame_idx"].to_list().index(20)]
    assert row[3] == pytest.approx(0.9995 * row[4]) and row[6] == 0.75


def test_the_answer_becomes_rows_of_every_frame() -> None:
    signals = moved()
    asked = request_of(signals, VIEW, EyeCamera(900.0))
    turned = math.radians(10.0)
    one = dict.fromkeys(ANSWER, 1.0) | {
        "normal_x": math.sin(turned), "normal_y": 0.0, "normal_z": -math.cos(turned), "diameter_mm": 4.0,
    }  # fmt: skip
    rows = [list({**one, "ellipse_center_x_px": x}.values()) for x in asked.numbers[:, 1]]
    table = table_of(signals, asked, rows)
    assert table.columns == list(EYE3D_COLUMNS)
    frames = signals.filter(pl.col("object") == "pupil")
    assert len(table) == len(frames)
    assert table["diameter_mm"].is_null().to_list() == (frames["state"] != "tracked").to_list()
    there = table.drop_nulls("diameter_mm")
    assert there["direction_x_deg"].to_numpy() == pytest.approx(10.0)
    assert there["direction_y_deg"].to_numpy() == pytest.approx(0.0)
    seen = frames.filter(pl.col("state") == "tracked")["center_x_px"].to_numpy()
    assert there["ellipse_center_x_px"].to_numpy() == pytest.approx(seen)
    summary = summary_of(table, asked, 0.1)
    assert summary["diameter_mm"] == 4.0 and summary["range_x_deg"] == pytest.approx(0.0)
    assert summary["with_pupil"] == len(there) and summary["samples"] == len(table)


def test_what_a_user_can_get_wrong() -> None:
    signals = recording(NINE[:1])
    hidden = signals.with_columns(rim_share=pl.lit(0.4))
    with pytest.raises(InputError, match="at least 30 clean samples"):
        request_of(hidden, VIEW, EyeCamera(900.0))
    with pytest.raises(InputError, match="no pupil"):
        request_of(signals, View(1, (0, 0, 10, 10)), EyeCamera(900.0))
    for bad in (0.0, -3.0, float("nan")):
        with pytest.raises(InputError, match="above 0"):
            EyeCamera(bad)
    with pytest.raises(InputError, match="170"):
        EyeCamera.of_view_angle(180.0, 640)
    with pytest.raises(InputError, match="whole or running"):
        SphereSettings("twice")
    assert EyeCamera.of_view_angle(90.0, 640).focal_px == pytest.approx(320.0)


def test_the_worker_needs_nothing_of_ocusam() -> None:
    # It is run by a Python in which only pye3d is installed; -I keeps ours out of it.
    code = f"import runpy; runpy.run_path({worker.__file__!r})"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif("OCUSAM_PYE3D_PYTHON" not in os.environ, reason="no Python with pye3d was named")
@pytest.mark.parametrize("fit", ["whole", "running"])
def test_the_real_pye3d_finds_where_a_drawn_eye_looks(fit: str) -> None:
    import json

    # The renderer's camera is orthographic: a long focal length from afar. It knows no refraction.
    signals = recording([*NINE, *NINE[::-1]])
    view = View(0, (0, 0, 640, 480))
    asked = request_of(signals, view, EyeCamera(5000.0))
    request = {"views": [asked.request], "refraction": False, "whole": fit == "whole"}
    done = subprocess.run(
        [os.environ["OCUSAM_PYE3D_PYTHON"], str(worker.__file__)],
        input=json.dumps(request), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = table_of(signals, asked, json.loads(done.stdout)["views"][0]["results"])
    late = found.filter(pl.col("frame_idx") >= 9 * 120).drop_nulls("direction_x_deg")
    held = late.filter(pl.col("frame_idx") % 120 > 60)
    true = np.array(NINE[::-1])[held["frame_idx"].to_numpy() // 120 - 9]
    mine = held.select("direction_x_deg", "direction_y_deg").to_numpy()
    rest = (mine - mine.mean(axis=0)) - (true - true.mean(axis=0))
    assert np.median(np.hypot(*rest.T)) < 1.0
