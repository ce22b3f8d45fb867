import numpy as np
import polars as pl
import pytest

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import LID_OPENING, BlinkRules, classify, perclos
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
    """A pupil of 700 px^2 that nothing hides, `frames` without it, and a lid on its way on either side."""
    return [700.0] * before + [400.0] + [None] * frames + [400.0] + [700.0] * after


def dip(depth: float, frames: int = 20, size: float = 2000.0) -> list[float | None]:
    """The visible area falls by `depth` and comes back within `frames`."""
    way = 1.0 - depth * np.sin(np.linspace(0.0, np.pi, frames))
    return [size] * 50 + [float(size * v) for v in way] + [size] * 50


def test_a_gap_of_200_ms_is_a_blink() -> None:
    signals, blinks = classify(recording(gap(20)))
    assert states(signals) == [TRACKED] * 51 + [BLINK] * 20 + [TRACKED] * 51
    row = blinks.row(0, named=True)
    assert (row["onset_frame"], row["offset_frame"]) == (50, 71)
    assert (row["onset_ns"], row["offset_ns"], row["duration_ms"]) == (50 * STEP_NS, 72 * STEP_NS, 220.0)
    assert (row["kind"], row["amplitude"], row["source"]) == ("full", 1.0, "pupil")


@pytest.mark.parametrize("frames", [0, 101])
def test_too_short_or_too_long_is_lost(frames: int) -> None:
    signals, blinks = classify(recording(gap(frames)), BlinkRules(min_ms=40))
    assert BLINK not in states(signals)
    assert blinks.is_empty()


def test_limits_are_counted_as_time_not_frames() -> None:
    assert len(classify(recording(gap(3)))[1]) == 1
    assert len(classify(recording(gap(3)), BlinkRules(min_ms=51))[1]) == 0


def test_a_pupil_gone_from_one_frame_to_the_next_is_lost() -> None:
    areas = [a for a in gap(20) if a != 400.0]
    signals, blinks = classify(recording(areas))
    assert states(signals)[50:70] == [LOST] * 20 and blinks.is_empty()


def test_amplitude_and_velocities_of_a_partial_blink() -> None:
    # Iris and pupil cover a limbus disc; the areas fall together, as under a lid.
    table = SignalTable()
    for i, share in enumerate(np.asarray(dip(0.6, size=1.0), dtype=float)):
        for name, shape in (("pupil", Ellipse((50, 50), (30, 30))), ("iris", Ellipse((50, 50), (80, 80)))):
            whole = Ellipse((50, 50), (80, 80)).area - Ellipse((50, 50), (30, 30)).area
            area = share * (shape.area if name == "pupil" else whole)
            table.add(i, i * STEP_NS, 0, name, Measurement(shape, area, 0.9, 3.0))
    signals, blinks = classify(table.table())
    row = blinks.row(0, named=True)
    # 40 % of a disc's area are left under a straight edge at 42 % of its height.
    assert (row["kind"], row["source"]) == ("partial", "iris")
    assert row["amplitude"] == pytest.approx(0.579, abs=0.01)
    assert row["closing_velocity_per_s"] == pytest.approx(row["opening_velocity_per_s"], rel=0.05)
    assert 6 < row["closing_velocity_per_s"] < 15
    assert set(states(signals)) == {TRACKED}
    assert signals[LID_OPENING].min() == pytest.approx(1 - row["amplitude"], abs=1e-9)


def test_a_shallow_dip_is_no_blink() -> None:
    assert classify(recording(dip(0.1), dip(0.1)))[1].is_empty()


def test_a_lash_line_taken_for_the_pupil_keeps_no_shape() -> None:
    table = SignalTable()
    for i, area in enumerate(gap(20)):
        shape: Ellipse | None = Ellipse((50, 50), (30, 28))
        if area is None:
            shape, area = (Ellipse((55, 70), (60, 14)), 500.0) if i % 2 else (None, 0.0)
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, area, 0.9, 3.0))
    signals, blinks = classify(table.table())
    assert len(blinks) == 1
    inside = signals.filter(pl.col("frame_idx").is_between(51, 70))
    assert set(inside["state"]) == {BLINK} and inside["center_y_px"].is_null().all()


def test_a_pupil_that_leaves_its_view_is_not_a_blink() -> None:
    table = SignalTable()
    for i, area in enumerate(gap(20)):
        shape = None if area is None else Ellipse((8.0 if 45 < i < 75 else 50.0, 50), (30, 28))
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, area or 0.0, 0.9, 3.0 if shape else -3.0))
    view = {0: (0, 0, 100, 100)}
    assert len(classify(table.table())[1]) == 1
    assert classify(table.table(), regions=view)[1].is_empty()


def test_perclos_counts_covered_frames_and_leaves_out_lost_ones() -> None:
    signals, _ = classify(recording([None] * 10 + gap(20)))
    assert perclos(signals) == pytest.approx(20 / 122)
    assert perclos(signals.clear()) is None


@pytest.mark.parametrize("areas", [[None] * 20 + [700.0] * 50, [700.0] * 50 + [None] * 20])
def test_a_gap_at_either_end_is_lost(areas: list[float | None]) -> None:
    assert BLINK not in states(classify(recording(areas))[0])


def test_a_pupil_that_vanishes_in_an_open_eye_is_lost() -> None:
    signals, blinks = classify(recording(gap(20), [2000.0] * 122))
    assert set(states(signals)[51:71]) == {LOST}
    assert blinks.is_empty()


def test_with_the_iris_gone_too_it_is_a_blink_for_both() -> None:
    signals, blinks = classify(recording(gap(20), gap(20)))
    assert len(blinks) == 1
    assert set(states(signals, "iris")[51:71]) == {BLINK}


def test_a_sliver_counts_as_covered_and_keeps_no_shape() -> None:
    areas: list[float | None] = [700.0] * 50 + [400.0] + [60.0] * 20 + [700.0] * 50
    signals, blinks = classify(recording(areas))
    assert len(blinks) == 1
    covered = signals.filter(pl.col("frame_idx").is_between(51, 70))
    assert covered["center_x_px"].is_null().all()
    assert covered["area_px"].is_null().all()


def test_a_pupil_that_narrows_slowly_stays_tracked() -> None:
    table = SignalTable()
    for i in range(400):
        shape = Ellipse((50, 50), (30 * 0.997**i, 28 * 0.997**i))
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, shape.area, 0.9, 3.0))
    assert set(states(classify(table.table())[0])) == {TRACKED}


def test_eyes_are_judged_apart() -> None:
    both = pl.concat([recording(gap(20)), recording([700.0] * 122, view=1)])
    signals, blinks = classify(both)
    assert blinks["view"].to_list() == [0]
    assert set(states(signals.filter(pl.col("view") == 1))) == {TRACKED}


def test_without_a_pupil_nothing_is_called_a_blink() -> None:
    only_iris = recording([], gap(20))
    signals, blinks = classify(only_iris)
    assert states(signals, "iris").count(LOST) == 20
    assert blinks.is_empty()


def with_eye(signals: pl.DataFrame, area: list[float]) -> pl.DataFrame:
    """The same rows, with the area of the open eye that a network saw besides."""
    more = pl.DataFrame({"frame_idx": range(len(area)), "eye_area_px": area})
    return signals.drop("eye_area_px").join(more, on="frame_idx", how="left", maintain_order="left")


def test_what_is_tracked_on_a_closed_lid_is_no_pupil() -> None:
    closed = with_eye(recording([700.0] * 120), [5000.0 * v for v in np.asarray(dip(0.97, 20, 1.0))])
    signals, blinks = classify(closed)
    row = blinks.row(0, named=True)
    assert (row["kind"], row["source"]) == ("full", "eye")
    # An opening below a fifth: from .97 sin(x) > .8 on, eight of twenty frames.
    assert states(signals)[56:64] == [BLINK] * 8 and states(signals).count(BLINK) == 8
    assert signals["major_px"][59] is None and signals["major_px"][45] == 30


@pytest.mark.parametrize(("diameter", "kept"), [(30.0, True), (27.0, True), (21.0, False), (39.0, False)])
def test_in_a_blink_a_pupil_of_another_size_keeps_no_shape(diameter: float, kept: bool) -> None:
    """What two lids leave of a pupil; its ellipse is round and rests on what is in sight."""
    table = SignalTable()
    for i in range(120):
        d = diameter if 57 <= i < 63 else 30.0
        shape = Ellipse((50, 50), (d, 0.93 * d))
        table.add(i, i * STEP_NS, 0, "pupil", Measurement(shape, min(shape.area, 600.0), 0.9, 3.0))
    lid = with_eye(table.table(), [5000.0 * v for v in np.asarray(dip(0.7, 20, 1.0))])
    signals, blinks = classify(lid)
    assert blinks["kind"].to_list() == ["partial"]
    assert states(signals)[57:63] == ([TRACKED] if kept else [BLINK]) * 6
    assert signals["major_px"].is_null().sum() == (0 if kept else 6)


def test_an_iris_doubted_on_a_closed_lid_is_none() -> None:
    seen = recording(gap(20), [2000.0] * 122)
    iris = pl.col("object") == "iris"
    closed = pl.col("frame_idx").is_between(51, 70)
    for doubt, expected in ((0.4, BLINK), (0.9, TRACKED)):
        told = pl.when(iris & closed).then(doubt).otherwise(pl.col("predicted_iou")).alias("predicted_iou")
        area = [5000.0] * 51 + [400.0] * 20 + [5000.0] * 51
        signals, blinks = classify(with_eye(seen.with_columns(told), area))
        assert blinks["kind"].to_list() == ["full"]
        assert set(states(signals, "iris")[51:71]) == {expected}
        assert states(signals, "iris").count(TRACKED) == (102 if expected == BLINK else 122)
        shapes = signals.filter(iris & closed)["center_x_px"]
        assert shapes.is_null().all() == (expected == BLINK)


def test_a_closed_eye_does_not_open_for_what_is_seen_on_its_lid() -> None:
    pupil = gap(20)
    pupil[58:61] = [300.0] * 3  # on the shining lid, of which the network sees as much as of half an eye
    area = [5000.0] * 51 + [400.0] * 7 + [2800.0] * 3 + [400.0] * 10 + [5000.0] * 51
    signals, blinks = classify(with_eye(recording(pupil), area))
    assert blinks.select("onset_frame", "offset_frame", "kind").rows() == [(51, 70, "full")]
    assert states(signals)[51:71] == [BLINK] * 20 and signals["major_px"][59] is None
    assert signals["lid_opening"][51:71].max() <= 0.2  # type: ignore[operator]


def test_spots_on_a_lid_are_no_reflections() -> None:
    spots = recording(gap(20), [50.0] * 122).with_columns(
        pl.col("object").replace("iris", "cr0"),
        pl.when(pl.col("object") == "iris")
        .then(None)
        .otherwise(pl.col("predicted_iou"))
        .alias("predicted_iou"),
    )
    for area, expected in ((400.0, BLINK), (5000.0, LOST)):
        signals, _ = classify(with_eye(spots, [5000.0] * 51 + [area] * 20 + [5000.0] * 51))
        assert states(signals, "cr0")[51:71] == [expected] * 20
        assert states(signals, "cr0").count(TRACKED) == 102
        there = signals.filter(pl.col("object") == "cr0")["center_x_px"].is_not_null().to_list()
        assert there == [True] * 51 + [False] * 20 + [True] * 51


def test_a_pupil_lost_in_an_open_eye_is_no_blink_though_nothing_else_was_clicked() -> None:
    signals, blinks = classify(with_eye(recording(gap(20)), [5000.0] * 122))
    assert blinks.is_empty()
    assert states(signals)[51:71] == [LOST] * 20


def test_some_eye_seen_on_closed_lids_does_not_divide_a_blink() -> None:
    area = [5000.0] * 122
    area[50:72] = [3500.0, 2000.0, 2500.0, 3600.0, 1500.0, *[3000.0, 2000.0, 3600.0, 1800.0] * 4, 3500.0]
    signals, blinks = classify(with_eye(recording(gap(20)), area))
    assert blinks.select("onset_frame", "offset_frame", "kind").rows() == [(50, 71, "full")]
    assert states(signals)[51:71] == [BLINK] * 20


def test_a_lid_that_does_not_reach_the_pupil_is_seen_by_the_eyes_area() -> None:
    area = [5000.0 * v for v in np.asarray(dip(0.5, 20, 1.0))]
    signals, blinks = classify(with_eye(recording([700.0] * 120), area))
    assert blinks["kind"].to_list() == ["partial"] and set(states(signals)) == {TRACKED}
    assert blinks["amplitude"][0] == pytest.approx(0.5, abs=0.02)
    assert classify(recording([700.0] * 120))[1].is_empty()


def test_a_lid_on_its_way_does_not_pass_for_an_eye_that_looks_elsewhere() -> None:
    """What is left of a pupil under a closing lid, and what is taken for one on the closed lid, lies lower
    than any open eye; the quadratic in the pupil's place must not learn there that little is usual."""
    closing, closed = [4400, 3200, 2000, 1300], [2300, 2100, 2900, 3300, 3200, 3700, 3400, *[2400, 1500] * 4]
    low = dict(
        zip([2, 3, 4, 8, 10, 16], [13.0, 27.0, 21.0, 7.0, 10.0, 6.0], strict=True)
    )  # px, of diameter 30
    area = np.full(170, 5200.0)
    y = 100 + np.tile([0.0, 1.0, -1.0, 0.5], 43)[:170]
    there = np.full(170, True)
    for onset in (40, 110):
        area[onset : onset + 19] = closing + closed
        area[onset + 19 : onset + 35] = np.linspace(3500, 5000, 16)
        there[onset + 4 : onset + 19] = False
        for i, below in low.items():
            y[onset + i], there[onset + i] = 100 + below, True
    table = SignalTable()
    for i in range(170):
        shape = Ellipse((100, float(y[i])), (30, 30)) if there[i] else None
        measured = Measurement(shape, 700.0 * there[i], 0.9, 5.0 if there[i] else -1.0)
        table.add(i, i * STEP_NS, 0, "pupil", measured)
    signals, blinks = classify(with_eye(table.table(), area.tolist()))
    assert blinks["onset_frame"].to_list() == [40, 110] and set(blinks["kind"]) == {"full"}
    opening = signals["lid_opening"].to_numpy()
    for onset in (40, 110):
        assert opening[onset + 2 : onset + 19].max() < 0.7


@pytest.mark.parametrize("area", [[float("nan")] * 60 + [5000.0] * 60, [300.0] * 120])
def test_an_eyes_area_that_says_little_is_not_asked(area: list[float]) -> None:
    half = with_eye(recording(gap(18)), area).with_columns(pl.col("eye_area_px").fill_nan(None))
    assert classify(half)[1]["source"].to_list() == ["pupil"]
