import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.workflows.scoring.scores import Annotation, compare, score

E = Ellipse((50, 50), (20, 16), 30)


def annotation(
    frame: int, state: str = "open", pupil: Ellipse | None = E, confidence: str = "high"
) -> Annotation:
    return Annotation(frame, "left", state, pupil, None, confidence)


def table(found: dict[int, Ellipse | None], states: dict[int, str] | None = None) -> pl.DataFrame:
    rows = SignalTable()
    for frame, shape in found.items():
        area = shape.area if shape else 0.0
        rows.add(frame, frame, 0, "pupil", Measurement(shape, area, 0.9, 1.0))
    signals = rows.table()
    for frame, state in (states or {}).items():
        new = pl.when(pl.col("frame_idx") == frame).then(pl.lit(state)).otherwise(pl.col("state"))
        signals = signals.with_columns(new.alias("state"))
    return signals


def test_errors_are_relative_to_the_true_diameter() -> None:
    found = {0: E.translated(1, 0), 1: E.translated(0, 3), 2: E.translated(2, 0)}
    s = score(compare([annotation(i) for i in range(3)], table(found), {"left": 0}))
    assert s.error_px_median == pytest.approx(2.0)
    assert s.error_rel_median == pytest.approx(0.1)
    assert s.within_5px == 1.0
    assert s.scored == s.found == 3


def test_lost_frames_count_as_zero_in_one_iou_and_not_in_the_other() -> None:
    s = score(compare([annotation(i) for i in range(4)], table({0: E, 1: None, 2: None}), {"left": 0}))
    assert (s.scored, s.found) == (4, 1)
    assert s.iou_median == 0.0
    assert s.iou_mean == pytest.approx(0.25)
    assert s.iou_median_found == 1.0
    assert s.within_5px == 0.25
    assert s.open_lost == 0.75


def test_low_confidence_is_not_scored() -> None:
    s = score(
        compare([annotation(0), annotation(1, "partial", E, "low")], table({0: E, 1: None}), {"left": 0})
    )
    assert (s.scored, s.low_confidence, s.iou_median) == (1, 1, 1.0)


def test_closed_frames_ask_for_the_state() -> None:
    truth = [annotation(0), *(annotation(i, "closed", None) for i in (1, 2, 3)), annotation(4)]
    found = table({0: E, 1: None, 2: E, 3: None, 4: None}, {1: "blink", 4: "blink"})
    s = score(compare(truth, found, {"left": 0}))
    assert s.closed == 3 and s.closed_called == pytest.approx(2 / 3)
    assert s.open_frames == 2 and s.false_blinks == 0.5


def test_nothing_to_score_is_not_zero() -> None:
    s = score([])
    assert s.iou_median is None and s.closed_called is None and s.false_blinks is None


def test_reading_an_annotation() -> None:
    entry = {
        "frame_idx": 14, "eye": "left", "state": "open", "confidence": "high", "iris": None,
        "pupil": {"cx": 103.0, "cy": 104.2, "major": 22.6, "minor": 18.0, "angle_deg": 130.6},
    }  # fmt: skip
    a = Annotation.from_dict(entry)
    assert a.pupil == Ellipse((103.0, 104.2), (22.6, 18.0), 130.6) and a.iris is None
    with pytest.raises(InputError, match="unknown state"):
        Annotation.from_dict({**entry, "state": "ajar"})
    with pytest.raises(InputError, match="eye"):
        Annotation.from_dict({k: v for k, v in entry.items() if k != "eye"})
