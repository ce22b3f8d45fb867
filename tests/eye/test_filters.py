import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import classify
from ocusam.eye.filters import Filters, apply_filters, filter_signal, savitzky_golay
from ocusam.eye.signals import Measurement, SignalTable

TIME = np.arange(100) * 10.0


def gappy() -> np.ndarray:
    values = 30.0 + 0.1 * np.arange(100)
    values[40:45] = np.nan
    values[70:90] = np.nan
    values[:3] = np.nan
    return values


def test_nothing_is_done_by_default() -> None:
    values, validity = filter_signal(TIME, gappy(), Filters())
    assert np.array_equal(values, gappy(), equal_nan=True)
    assert set(validity) == {"measured", "missing"}


def test_short_gaps_are_bridged_and_marked() -> None:
    values, validity = filter_signal(TIME, gappy(), Filters(interpolate_ms=100))
    assert values[40:45] == pytest.approx(30.0 + 0.1 * np.arange(40, 45))
    assert validity[39:46] == ["measured"] + ["interpolated"] * 5 + ["measured"]
    assert np.isnan(values[70:90]).all() and set(validity[70:90]) == {"missing"}
    assert validity[0] == "missing"  # nothing before it to bridge from


def test_a_margin_takes_the_lid_on_its_way() -> None:
    raw = gappy()
    raw[[39, 45]] = 5.0
    values, validity = filter_signal(TIME, raw, Filters(interpolate_ms=100, margin_ms=10))
    assert values[39:46] == pytest.approx(30.0 + 0.1 * np.arange(39, 46))
    assert validity[39] == validity[45] == "interpolated"


def test_median_takes_out_spikes_and_does_not_cross_gaps() -> None:
    raw = gappy()
    raw[20] = 90.0
    values, _ = filter_signal(TIME, raw, Filters(median_samples=3))
    assert values[20] == pytest.approx(32.1, abs=0.11)
    assert np.array_equal(np.isnan(values), np.isnan(raw))


def test_savitzky_golay_keeps_polynomials_and_smooths_noise() -> None:
    t = np.arange(60) / 10
    assert savitzky_golay(2 + t - 0.3 * t**2, 11, 2) == pytest.approx(2 + t - 0.3 * t**2)
    noise = np.random.default_rng(0).normal(0, 1, 20000)
    # Variance of the middle weight of a quadratic over 11 samples: 0.2075 (Savitzky and Golay 1964).
    assert savitzky_golay(noise, 11, 2).var() == pytest.approx(0.2075, rel=0.05)


def test_a_blink_gets_no_values_unless_asked_for() -> None:
    table = SignalTable()
    for i in range(120):
        area = 0.0 if 50 <= i < 70 else 250.0 if i in (49, 70) else 660.0
        shape = Ellipse((50.0, 50.0), (30, 28)) if area else None
        table.add(i, i * 10_000_000, 0, "pupil", Measurement(shape, area, 0.9, 1.0))
    signals, _ = classify(table.table())
    smooth = apply_filters(signals, Filters(median_samples=5, savgol_samples=7))
    assert smooth["major_px"].is_null().to_numpy().nonzero()[0].tolist() == list(range(50, 70))
    bridged = apply_filters(signals, Filters(interpolate_ms=500))
    marks = bridged.filter(pl.col("major_px_validity") == "interpolated")["frame_idx"].to_list()
    assert marks == list(range(50, 70)) and bridged["major_px"].null_count() == 0


@pytest.mark.parametrize(
    "wrong", [{"median_samples": 4}, {"savgol_samples": 5, "savgol_degree": 5}, {"margin_ms": -1}]
)
def test_impossible_options(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Filters(**wrong)
    with pytest.raises(InputError, match="No column"):
        apply_filters(SignalTable().table(), Filters(), ("diameter",))
