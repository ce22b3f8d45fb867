import numpy as np
import pytest

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import classify
from ocusam.eye.quality import precision_rms_s2s, quality
from ocusam.eye.signals import Measurement, SignalTable

STEP_NS = 5_000_000


def test_loss_and_effective_frequency() -> None:
    table = SignalTable()
    for i in range(200):
        here = not 100 <= i < 120
        shape = Ellipse((50, 50), (30, 28)) if here else None
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, 600.0 if here else 0.0, 0.9, 1.0))
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


def test_nothing_to_measure() -> None:
    assert precision_rms_s2s(np.full((100, 2), np.nan), STEP_NS) is None
    assert precision_rms_s2s(np.zeros((1, 2)), STEP_NS) is None
    assert precision_rms_s2s(np.zeros((100, 2)), 0.0) is None
    table = SignalTable()
    table.add(0, 0, 0, "pupil", Measurement(None, 0.0, 0.9, -1.0))
    row = quality(table.table()).row(0, named=True)
    assert row["sampling_hz"] is None and row["data_loss"] == 1.0
