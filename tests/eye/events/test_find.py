"""Events of drawn eye movements: steps with the course of a saccade, noise, gaps."""

import itertools

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.eye.blink import BLINK_COLUMNS
from ocusam.eye.events import (
    EventRules,
    event_columns,
    find_events,
    fixations,
    main_sequence,
    saccades,
    with_both_eyes,
)

HZ = 500.0


def course(targets: list[float], hold: int = 150, noise: float = 0.01, seed: int = 0) -> NDArray[np.float64]:
    """Horizontal positions, deg: fixations of `hold` samples and saccades of 2.2 ms/deg + 21 ms between."""
    parts = [np.full(hold, targets[0])]
    for a, b in itertools.pairwise(targets):
        t = np.linspace(0, 1, round((0.021 + 0.0022 * abs(b - a)) * HZ))
        parts += [a + (b - a) * t**3 * (10 - 15 * t + 6 * t * t), np.full(hold, b)]
    x = np.concatenate(parts)
    return np.asarray(x + np.random.default_rng(seed).normal(0, noise, len(x)))


def samples(x: NDArray[np.float64], keep: NDArray[np.bool_] | None = None) -> pl.DataFrame:
    n = np.arange(len(x))
    y = np.random.default_rng(9).normal(0, 0.01, len(x))
    table = pl.DataFrame({"frame_idx": n, "timestamp_ns": (n * 1e9 / HZ).astype(np.int64), "x": x, "y": y})
    return table if keep is None else table.filter(pl.Series(keep))


@pytest.mark.parametrize("method", ["adaptive", "ivt", "idt"])
def test_saccades_and_fixations_of_a_staircase(method: str) -> None:
    found = find_events(samples(course([0, 5, 2, 12, 4])), EventRules(method=method), unit="deg")
    assert dict(found.schema) == event_columns("deg")
    saccades = found.filter(pl.col("event") == "saccade")
    assert len(saccades) == 4 and len(found.filter(pl.col("event") == "fixation")) == 5
    # I-DT gives up to its threshold of either end of a saccade to the fixations beside it.
    tolerance = 2.0 if method == "idt" else 0.4
    assert saccades["amplitude_deg"].to_list() == pytest.approx([5, 3, 10, 8], abs=tolerance)
    directions = [min(d, 360 - d) for d in saccades["direction_deg"]]
    assert directions == pytest.approx([0, 180, 0, 180], abs=2)
    fixations = found.filter(pl.col("event") == "fixation")
    assert fixations["center_x_deg"].to_list() == pytest.approx([0, 5, 2, 12, 4], abs=0.15)
    if method != "idt":
        # Minimum jerk: the peak is 1.875 times the mean velocity.
        expected = [1.875 * a / (0.021 + 0.0022 * a) for a in (5, 3, 10, 8)]
        assert saccades["peak_velocity_deg_s"].to_list() == pytest.approx(expected, rel=0.1)
        assert fixations["precision_std_deg"].median() == pytest.approx(0.01 * 2**0.5, rel=0.2)


def test_adaptive_needs_no_units() -> None:
    found = find_events(samples(course([0, 5, 2, 12, 4]) * 37.0), unit="px")
    assert len(found.filter(pl.col("event") == "saccade")) == 4


def test_no_event_bridges_a_gap_or_a_blink() -> None:
    x = course([0, 0.0])
    keep = np.ones(len(x), dtype=bool)
    keep[60:90] = False  # frames that the clock misses
    x[200:230] += 5.0  # a lid artefact
    blink: dict[str, object] = dict.fromkeys(BLINK_COLUMNS) | {
        "view": 0, "onset_frame": 200, "offset_frame": 229, "onset_ns": 400_000_000, "offset_ns": 460_000_000,
        "duration_ms": 60.0,
    }  # fmt: skip
    blinks = pl.DataFrame([blink], schema=BLINK_COLUMNS)
    found = find_events(samples(x, keep), EventRules(method="ivt"), blinks=blinks, unit="deg")
    assert found["event"].to_list() == ["fixation", "fixation", "blink", "fixation"]
    ends = list(zip(found["onset_frame"], found["offset_frame"], strict=True))
    assert ends[0] == (0, 59) and ends[1][0] == 90 and ends[1][1] < 200 and ends[3][0] > 229


def test_main_sequence() -> None:
    targets = np.cumsum(np.random.default_rng(1).choice([-1, 1], 40) * np.geomspace(1, 20, 40)).tolist()
    found = find_events(samples(course([0.0, *targets])), unit="deg")
    law = main_sequence(found)
    assert law is not None
    # v = 1.875 a / (0.021 + 0.0022 a), as a power law between 1 and 20 deg.
    a = np.geomspace(1, 20, 40)
    p, log_k = np.polyfit(np.log(a), np.log(1.875 * a / (0.021 + 0.0022 * a)), 1)
    assert law == pytest.approx((np.exp(log_k), p), rel=0.1)
    assert main_sequence(found.head(6)) is None


@pytest.mark.parametrize(
    ("rules", "unit", "message"),
    [
        (EventRules(method="nonsense"), "deg", "known methods: adaptive"),
        (EventRules(method="ivt"), "px", "threshold in px"),
        (EventRules(method="remodnav"), "px", "needs degrees"),
        (EventRules(), "mm", "px or deg"),
    ],
)
def test_what_a_user_can_get_wrong(rules: EventRules, unit: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_events(samples(course([0, 5])), rules, unit=unit)


def test_nothing_to_find() -> None:
    assert find_events(samples(np.zeros(100))).filter(pl.col("event") == "saccade").is_empty()
    assert find_events(samples(np.zeros(1))).is_empty()
    assert find_events(samples(np.full(100, np.nan))).is_empty()


def test_an_event_at_a_gap_is_marked_and_not_part_of_the_main_sequence() -> None:
    x = course([0, 5, 2, 12, 4])
    keep = np.ones(len(x), dtype=bool)
    keep[163:180] = False  # the first saccade loses its end
    found = find_events(samples(x, keep), EventRules(method="ivt"), unit="deg")
    first = saccades(found).row(0, named=True)
    assert first["cut"] and first["amplitude_deg"] < 4.9
    assert saccades(found)["cut"].to_list()[1:] == [False] * 3
    assert fixations(found)["cut"].to_list() == [True, True, False, False, True]
    many = pl.concat([found] * 4)
    law, clean = main_sequence(many), main_sequence(many.filter(~pl.col("cut")))
    assert law is not None and law == clean


def test_the_quality_of_an_event_is_that_of_its_samples() -> None:
    x = course([0, 5.0])
    doubtful = np.zeros(len(x), dtype=bool)
    doubtful[10:25] = True
    table = samples(x).with_columns(diameter_px=pl.lit(40.0), doubtful=pl.Series(doubtful))
    found = find_events(table, EventRules(method="ivt"), unit="deg")
    fixation, saccade = fixations(found).row(0, named=True), saccades(found).row(0, named=True)
    assert fixation["samples"] == pytest.approx(150, abs=4) and fixation["data_loss"] == 0
    assert fixation["effective_frequency_hz"] == pytest.approx(500, rel=0.01)
    assert fixation["sampling_jitter_ms"] == pytest.approx(0, abs=1e-6) and fixation["diameter_px"] == 40
    assert fixation["doubtful_share"] == pytest.approx(0.1, abs=0.01) and saccade["doubtful_share"] == 0
    assert "amplitude_deg" not in fixation and "center_x_deg" not in saccade


def test_microsaccades_and_both_eyes() -> None:
    one = find_events(samples(course([0, 0.6, 5])), EventRules(method="ivt"), unit="deg")
    assert saccades(one)["microsaccade"].to_list() == [True, False]
    other = find_events(samples(course([0, 0, 5])), EventRules(method="ivt"), view=1, unit="deg")
    both = with_both_eyes(pl.concat([one, other]).sort("onset_ns", "view"))
    assert one["binocular"].null_count() == len(one)
    mine = both.filter((pl.col("view") == 0) & (pl.col("event") == "saccade"))
    assert mine["binocular"].to_list() == [False, True]


def test_where_no_events_were_looked_for_there_are_none() -> None:
    assert fixations(pl.DataFrame()).is_empty() and saccades(pl.DataFrame()).is_empty()
