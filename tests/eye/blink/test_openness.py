import numpy as np
import polars as pl
import pytest

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import classify
from ocusam.eye.blink.openness import Openness, chord_height, openness
from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import Measurement, SignalTable

STEP_NS = 10_000_000
PUPIL, LIMBUS = 30.0, 80.0


def eye(y: np.ndarray, lid: np.ndarray, size: np.ndarray | float = PUPIL) -> pl.DataFrame:
    """An eye at heights `y` (px, down) under a straight lid edge at `lid` that hides what is above it."""
    table = SignalTable()
    for i, (at, edge, d) in enumerate(zip(y, lid, np.broadcast_to(size, y.shape), strict=True)):
        shapes = {
            "pupil": Ellipse((100, float(at)), (d, d)),
            "iris": Ellipse((100, float(at)), (LIMBUS, LIMBUS)),
        }
        seen = {n: e.area * share(float(at) + e.major / 2 - float(edge), e.major) for n, e in shapes.items()}
        seen["iris"] = max(0.0, seen["iris"] - seen["pupil"])
        for name, shape in shapes.items():
            here = seen[name] > 1.0
            table.add(i, i * STEP_NS, 0, name, Measurement(shape if here else None, seen[name], 0.9, 3.0))
    return table.table()


def of(table: pl.DataFrame) -> Openness:
    """Lid opening of the eye of a table."""
    rows = LongRows.of(table)
    return openness(*(rows.rows(0, name) for name in ("pupil", "iris") if (0, name) in rows.objects))


def share(height: float, diameter: float) -> float:
    """Share of a disc's area that is left below a chord at `height` above its lowest point."""
    a = np.arccos(1 - 2 * np.clip(height / diameter, 0, 1))
    return float((a - np.sin(a) * np.cos(a)) / np.pi)


def test_chord_height_of_known_shares() -> None:
    heights = chord_height(np.array([0.0, 0.5, 1.0, share(0.25, 1.0), np.nan]))
    assert heights[:4] == pytest.approx([0, 0.5, 1, 0.25], abs=2e-3)
    assert np.isnan(heights[4])


def test_opening_follows_the_lid() -> None:
    lid = np.full(400, 55.0)  # just below the top of the limbus, as in most eyes
    lid[200:230] = 55.0 + 65.0 * np.sin(np.linspace(0, np.pi, 30))
    found = of(eye(np.full(400, 95.0), lid))
    assert found.source == "iris"
    assert found.values[:190] == pytest.approx(1.0, abs=0.01)
    # The limbus reaches from 55 to 135: of 80 px there are 15 left at the deepest.
    assert np.nanmin(found.values) == pytest.approx(15 / 80, abs=0.02)


def test_an_eye_that_looks_up_behind_its_lid_does_not_blink() -> None:
    y = np.full(1200, 95.0)
    for start in range(100, 1100, 100):  # ten glances upward of 300 ms
        y[start : start + 30] = 75.0
    signals, blinks = classify(eye(y, np.full(1200, 55.0)))
    assert blinks.is_empty()
    assert signals["lid_opening"].min() > 0.9  # type: ignore[operator]


def test_a_pupil_that_constricts_does_not_blink() -> None:
    i = np.arange(800)
    size = PUPIL * (1 - 0.3 * np.exp(-(((i - 400) / 60.0) ** 2)))
    only = eye(np.full(800, 95.0), np.full(800, 40.0), size).filter(pl.col("object") == "pupil")
    assert of(only).source == "pupil"
    assert classify(only)[1].is_empty()


def test_an_unreliable_iris_is_not_asked() -> None:
    table = eye(np.full(50, 95.0), np.full(50, 55.0))
    poor = table.with_columns(
        pl.when(pl.col("object") == "iris")
        .then(0.3)
        .otherwise(pl.col("predicted_iou"))
        .alias("predicted_iou")
    )
    assert of(poor).source == "pupil"
