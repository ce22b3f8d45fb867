"""Corneal reflections in the tables of a run: found or clicked, and the same after an interruption."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from fake_predictor import FakePredictor, eye_picture
from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.inputs.settings import RunSettings

FRAMES = 60
CLOSED = range(30, 38)


def _lamps(i: int) -> dict[str, tuple[float, float]]:
    x, y = _pupil(i).center
    return {
        "left": (70.0 + 0.5 * (x - 70.0) - 5.0, 0.5 * y + 28.0),
        "right": (75.0 + 0.5 * (x - 70.0), 0.5 * y + 28.0),
    }


def _pupil(i: int) -> Ellipse:
    return Ellipse((75.0 + 9.0 * math.sin(i / 6.0), 58.0 + 3.0 * math.cos(i / 4.0)), (30.0, 27.0), 20.0)


@pytest.fixture(scope="module")
def video() -> NDArray[np.uint8]:
    return _video(dark=range(0))


def _video(dark: range) -> NDArray[np.uint8]:
    """The eye with its two lamps; the right one is out on the frames `dark`."""
    rows, cols = np.mgrid[:120, :160]
    out = []
    for i in range(FRAMES):
        light = eye_picture(None if i in CLOSED else _pupil(i)).astype(np.float64)
        for name, (x, y) in _lamps(i).items() if i not in CLOSED else ():
            if name == "right" and i in dark:
                continue
            light += 220.0 * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * 1.1**2))
        out.append(np.clip(light, 0, 255).astype(np.uint8))
    return np.stack(out)


def _track(
    video: NDArray[np.uint8], glints: str, *more: str, out: Path | None = None, **keywords: object
) -> EyeRecording:
    resume = bool(keywords.pop("resume", False))
    settings = RunSettings(
        glints=glints, overlay=False, report=False, chunk_frames=16, zoom="off", resume=resume
    )
    prompts = None if resume else ["pupil:75,61@5", *more]
    return track_eye(video, prompts, model=FakePredictor(), out=out, settings=settings, **keywords)  # type: ignore[arg-type]


def _far(signals: pl.DataFrame, name: str, lamp: str) -> float:
    """The largest distance from the truth."""
    rows = signals.filter((pl.col("object") == name) & (pl.col("state") == "tracked"))
    places = rows.select("frame_idx", "center_x_px", "center_y_px").rows()
    assert len(places) >= 0.9 * (FRAMES - len(CLOSED))
    return max(math.dist((x, y), _lamps(i)[lamp]) for i, x, y in places)


def test_reflections_are_found_without_a_click(video: NDArray[np.uint8]) -> None:
    rec = _track(video, "auto")
    assert sorted(rec.signals["object"].unique()) == ["cr0", "cr1", "pupil"]
    assert "spots" not in rec.signals.columns
    assert _far(rec.signals, "cr0", "left") < 0.5 and _far(rec.signals, "cr1", "right") < 0.5
    one = rec.signals.filter((pl.col("frame_idx") == 50) & (pl.col("object") == "cr0")).row(0, named=True)
    assert one["edge"] == "picture" and one["center_sd_px"] >= 0.0 and one["predicted_iou"] is None
    pupil = rec.signals.filter((pl.col("frame_idx") == 50) & (pl.col("object") == "pupil")).row(0, named=True)
    assert one["pupil_cr_x_px"] == pytest.approx(pupil["center_x_px"] - one["center_x_px"])
    closed = rec.signals.filter(
        pl.col("frame_idx").is_in(list(CLOSED)) & pl.col("object").str.starts_with("cr")
    )
    assert set(closed["state"]) == {"blink"} and closed["center_x_px"].null_count() == len(closed)
    assert _track(video, "off").signals["object"].unique().to_list() == ["pupil"]
    assert sorted(_track(video, "1").signals["object"].unique()) in (["cr0", "pupil"], ["cr1", "pupil"])


def test_a_click_says_which_and_how_it_is_called(video: NDArray[np.uint8]) -> None:
    x, y = _lamps(5)["right"]
    rec = _track(video, "auto", f"cr3:{round(x)},{round(y)}@5")
    assert sorted(rec.signals["object"].unique()) == ["cr3", "pupil"]
    assert _far(rec.signals, "cr3", "right") < 0.5


def test_a_clicked_reflection_is_the_light_and_not_the_mask() -> None:
    """The fake network's mask of a reflection is the pupil, on every frame; the lamp is out on five."""
    dark = range(42, 47)
    x, y = _lamps(20)["right"]
    rows = _track(_video(dark), "auto", f"cr3:{round(x) + 1},{round(y)}@20").signals
    rows = rows.filter(pl.col("object") == "cr3")
    found = rows.filter(pl.col("state") == "tracked")
    shown = [i for i in range(FRAMES) if i not in CLOSED and i not in dark]
    assert found["frame_idx"].to_list() == shown  # before the click and after it
    places = found.select("frame_idx", "center_x_px", "center_y_px").rows()
    assert max(math.dist((x, y), _lamps(i)["right"]) for i, x, y in places) < 0.5
    gone = rows.filter(pl.col("frame_idx").is_in(list(dark)))
    assert set(gone["state"]) == {"lost"} and gone["center_x_px"].null_count() == len(gone)


def test_an_interrupted_run_comes_to_the_same(video: NDArray[np.uint8], tmp_path: Path) -> None:
    whole = _track(video, "auto", out=tmp_path / "whole")
    assert len(list((tmp_path / "whole" / "masklets").glob("reflections_*.parquet"))) > 0

    def stop(done: int, total: int | None, what: str) -> None:
        if what == "tracking" and done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _track(video, "auto", out=tmp_path / "run", progress=stop)
    again = _track(video, "auto", out=tmp_path / "run", resume=True)
    assert again.signals.equals(whole.signals)
    files = [(tmp_path / name / "signals.csv").read_bytes() for name in ("whole", "run")]
    assert files[0] == files[1]


@pytest.mark.parametrize("wrong", ["many", "0", "9", "-1", ""])
def test_what_can_be_asked_for(wrong: str) -> None:
    with pytest.raises(InputError, match="auto, off or a number from 1 to 8"):
        RunSettings(glints=wrong)
