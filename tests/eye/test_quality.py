import numpy as np
import pytest

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import classify
from ocusam.eye.quality import (
    DOUBTFUL_COLUMNS,
    bcea,
    doubtful,
    precision_rms_s2s,
    quality,
    rms_s2s,
    spread,
    windowed_precision,
)
from ocusam.eye.signals import Measurement, SignalTable

STEP_NS = 5_000_000


def test_loss_and_effective_frequency() -> None:
    table = SignalTable()
    for i in range(200):
        here = not 100 <= i < 120
        shape = Ellipse((50, 50), (30, 28)) if here else None
        # A lid on its way on either side: the pupil does not vanish at once.
        area = 0.0 if not here else 250.0 if i in (99, 120) else 600.0
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, area, 0.9, 1.0))
    row = quality(classify(table.table())[0]).row(0, named=True)
    assert (row["frames"], row["tracked"], row["blink"], row["lost"]) == (200, 180, 20, 0)
    assert row["data_loss"] == pytest.approx(0.1)
    assert row["sampling_hz"] == pytest.approx(200.0)
    assert row["effective_frequency_hz"] == pytest.approx(180.0)
    assert row["precision_rms_s2s_px"] == 0.0


def test_frames_missing_from_the_clock_are_loss() -> None:
    table = SignalTable()
    for i in [*range(50), *range(60, 100)]:
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(Ellipse((50, 50), (30, 28)), 600.0, 0.9, 1.0))
    assert quality(table.table())["data_loss"][0] == pytest.approx(0.1)


def test_rms_s2s_of_white_noise() -> None:
    xy = np.random.default_rng(0).normal(0, 0.3, (5000, 2))
    # Differences of independent samples have variance 2 s^2 in each of two directions.
    assert precision_rms_s2s(xy, STEP_NS) == pytest.approx(0.3 * 2.0, rel=0.02)


def test_rms_s2s_is_that_of_the_fixations_not_the_saccades() -> None:
    rng = np.random.default_rng(1)
    xy = rng.normal(0, 0.1, (2000, 2)) + np.repeat(rng.uniform(0, 100, (10, 2)), 200, axis=0)
    found = precision_rms_s2s(xy, STEP_NS)
    assert found == pytest.approx(0.2, rel=0.1)


def test_windows_of_precision_do_not_run_over_a_hole_in_the_clock() -> None:
    """An eye that glides by 5 px a frame; of every 60 frames three are dropped."""
    kept = np.array([i for i in range(600) if i % 60 > 2])
    xy, time = np.stack([5.0 * kept, np.zeros(len(kept))], axis=1), kept * STEP_NS
    over = windowed_precision(xy, STEP_NS)
    assert over[0] is not None and over[0] > 5.5  # steps of 20 px were no steps from sample to sample
    found = windowed_precision(xy, STEP_NS, time_ns=time)
    assert found[0] == pytest.approx(5.0)
    table = SignalTable()
    for i, (x, y) in zip(kept.tolist(), xy.tolist(), strict=True):
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(Ellipse((x, y), (30, 28)), 600.0, 0.9, 1.0))
    row = quality(table.table()).row(0, named=True)
    assert row["precision_rms_s2s_px"] == pytest.approx(5.0)
    assert row["precision_std_px"] == pytest.approx(found[1])


def test_late_time_stamps_are_no_holes() -> None:
    xy = np.random.default_rng(4).normal(0, 0.3, (400, 2))
    late = np.arange(400) * STEP_NS + np.where(np.arange(400) % 10 == 5, round(0.9 * STEP_NS), 0)
    assert windowed_precision(xy, STEP_NS, time_ns=late) == pytest.approx(
        windowed_precision(xy, STEP_NS), rel=0.02
    )


def test_nothing_to_measure() -> None:
    assert precision_rms_s2s(np.full((100, 2), np.nan), STEP_NS) is None
    assert precision_rms_s2s(np.zeros((1, 2)), STEP_NS) is None
    assert precision_rms_s2s(np.zeros((100, 2)), 0.0) is None
    table = SignalTable()
    table.add(0, 0, 0, "pupil", Measurement(None, 0.0, 0.9, -1.0))
    row = quality(table.table()).row(0, named=True)
    assert row["sampling_hz"] is None and row["data_loss"] == 1.0


def test_precision_of_one_cloud() -> None:
    xy = np.random.default_rng(2).normal(0, [0.3, 0.4], (20000, 2))
    assert spread(xy) == pytest.approx(0.5, rel=0.02)
    assert rms_s2s(xy) == pytest.approx(0.5 * 2**0.5, rel=0.02)
    # Count it: 68 % of a normal cloud lie within the ellipse of this area.
    k = (bcea(xy) or 0.0) / (2 * np.pi * 0.3 * 0.4)
    inside = (xy[:, 0] / 0.3) ** 2 + (xy[:, 1] / 0.4) ** 2 < 2 * k
    assert inside.mean() == pytest.approx(0.68, abs=0.02)
    assert bcea(xy[:2]) is None and rms_s2s(xy[:1]) is None


def test_windows_agree_with_events() -> None:
    xy = np.random.default_rng(3).normal(5000, 0.3, (4000, 2))
    table = SignalTable()
    for i, (x, y) in enumerate(xy.tolist()):
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(Ellipse((x, y), (30, 28)), 600.0, 0.9, 1.0))
    row = quality(table.table()).row(0, named=True)
    assert row["precision_std_px"] == pytest.approx(spread(xy), rel=0.03)
    assert row["bcea_px2"] == pytest.approx(bcea(xy), rel=0.06)
    assert row["sampling_jitter_ms"] == 0.0


def test_doubtful_frames_are_ranked_with_their_reasons() -> None:
    table = SignalTable()
    for i in range(100):
        shape, iou, rms, parts = Ellipse((50, 50), (30, 28)), 0.9, 0.2, 1
        if i == 20:
            shape = Ellipse((62, 50), (30, 28))
        elif i == 40:
            iou = 0.2
        elif i == 60:
            shape, iou, rms, parts = Ellipse((50, 50), (44, 20)), 0.3, 3.0, 3
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, 600.0, iou, 1.0, 0.9, rms, parts))
    found = doubtful(table.table())
    assert dict(found.schema) == DOUBTFUL_COLUMNS
    assert found["frame_idx"].to_list() == [60, 40, 20]
    assert found["rank"].to_list() == [1, 2, 3]
    assert found["reason"][2] == "jump" and found["reason"][1] == "low predicted IoU"
    assert set(found["reason"][0].split("; ")) == {"low predicted IoU", "shape change", "ragged mask"}
    assert quality(table.table())["doubtful"][0] == 3


def test_a_pupil_outside_its_iris_is_doubtful() -> None:
    table = SignalTable()
    for i in range(20):
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(Ellipse((50, 50), (30, 28)), 600.0, 0.9, 1.0))
        table.add(i, i * STEP_NS, 0, "iris", Measurement(Ellipse((90, 50), (80, 78)), 4000.0, 0.9, 1.0))
    assert set(doubtful(table.table())["reason"]) == {"pupil outside iris"}


def test_a_quiet_recording_has_no_doubtful_frames() -> None:
    table = SignalTable()
    rng = np.random.default_rng(4)
    for i in range(200):
        x, y = (50 + rng.normal(0, 0.2, 2) + (20 if i > 100 else 0)).tolist()
        shape = Ellipse((x, y), (30, 28))
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, 600.0, 0.9, 1.0, 0.9, 0.3, 1))
    assert doubtful(table.table()).is_empty()
