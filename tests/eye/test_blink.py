import polars as pl
import pytest

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import BlinkRules, PupilPresence, classify
from ocusam.eye.signals import BLINK, LOST, TRACKED, Measurement, SignalTable

STEP_NS = 10_000_000  # 100 frames per second


def recording(
    pupil: list[float | None], iris: list[float | None] | None = None, view: int = 0
) -> pl.DataFrame:
    """Visible areas on successive frames; None: not found."""
    table = SignalTable()
    for name, areas in (("pupil", pupil), ("iris", iris)):
        for i, area in enumerate(areas or []):
            here = area is not None
            shape = Ellipse((50, 50), (30, 28), 0) if here else None
            table.add(i, i * STEP_NS, view, name, Measurement(shape, area or 0.0, 0.9, 3.0 if here else -3.0))
    return table.table()


def states(signals: pl.DataFrame, name: str = "pupil") -> list[str]:
    return signals.filter(pl.col("object") == name).sort("frame_idx")["state"].to_list()


def gap(frames: int, before: int = 50, after: int = 50) -> list[float | None]:
    return [700.0] * before + [None] * frames + [700.0] * after


def test_a_gap_of_200_ms_is_a_blink() -> None:
    signals, blinks = classify(recording(gap(20)))
    assert states(signals) == [TRACKED] * 50 + [BLINK] * 20 + [TRACKED] * 50
    assert blinks.rows() == [(0, 50, 69, 50 * STEP_NS, 70 * STEP_NS, 200.0)]


@pytest.mark.parametrize("frames", [2, 101])
def test_too_short_or_too_long_is_lost(frames: int) -> None:
    signals, blinks = classify(recording(gap(frames)))
    assert set(states(signals)[50 : 50 + frames]) == {LOST}
    assert blinks.is_empty()


def test_limits_are_counted_as_time_not_frames() -> None:
    assert len(classify(recording(gap(3)))[1]) == 1
    assert len(classify(recording(gap(3)), BlinkRules(min_ms=31))[1]) == 0


@pytest.mark.parametrize("areas", [[None] * 20 + [700.0] * 50, [700.0] * 50 + [None] * 20])
def test_a_gap_at_either_end_is_lost(areas: list[float | None]) -> None:
    assert BLINK not in states(classify(recording(areas))[0])


def test_a_pupil_that_vanishes_in_an_open_eye_is_lost() -> None:
    signals, blinks = classify(recording(gap(20), [2000.0] * 120))
    assert set(states(signals)[50:70]) == {LOST}
    assert blinks.is_empty()


def test_with_the_iris_gone_too_it_is_a_blink_for_both() -> None:
    signals, blinks = classify(recording(gap(20), gap(20)))
    assert len(blinks) == 1
    assert set(states(signals, "iris")[50:70]) == {BLINK}


def test_a_sliver_counts_as_covered_and_keeps_no_shape() -> None:
    areas: list[float | None] = [700.0] * 50 + [60.0] * 20 + [700.0] * 50
    signals, blinks = classify(recording(areas))
    assert len(blinks) == 1
    covered = signals.filter(pl.col("frame_idx").is_between(50, 69))
    assert covered["center_x_px"].is_null().all()
    assert covered["area_px"].is_null().all()


def test_a_pupil_that_narrows_slowly_stays_tracked() -> None:
    areas: list[float | None] = [700.0 * 0.995**i for i in range(400)]
    assert set(states(classify(recording(areas))[0])) == {TRACKED}


def test_presence_is_causal() -> None:
    areas = [700.0] * 30 + [None] * 5 + [650.0, 100.0, 700.0]
    whole, part = PupilPresence(), PupilPresence()
    seen = [whole.step(i * STEP_NS, a) for i, a in enumerate(areas)]
    assert [part.step(i * STEP_NS, a) for i, a in enumerate(areas[:33])] == seen[:33]
    assert seen[-3:] == [True, False, True]


def test_eyes_are_judged_apart() -> None:
    both = pl.concat([recording(gap(20)), recording([700.0] * 120, view=1)])
    signals, blinks = classify(both)
    assert blinks["view"].to_list() == [0]
    assert set(states(signals.filter(pl.col("view") == 1))) == {TRACKED}


def test_without_a_pupil_nothing_is_called_a_blink() -> None:
    only_iris = recording([], gap(20))
    signals, blinks = classify(only_iris)
    assert states(signals, "iris").count(LOST) == 20
    assert blinks.is_empty()
