"""Trials against figures computed from the known course of a pupil."""

import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.quality import DOUBTFUL_COLUMNS
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.eye.trial_table import TrialSettings, make_trials
from ocusam.eye.trials import EyeData, measure_trials

HZ, FRAMES = 50.0, 500
SPAN = (0, round((FRAMES - 1) * 1e9 / HZ))
BLINK = range(130, 140)  # 2.6 to 2.8 s


def size(seconds: np.ndarray) -> np.ndarray:
    """40 px, and from 2 s on a rise by 5 px that is over after a second; slower drift beneath."""
    rise = np.clip(seconds - 2.0, 0.0, 1.0)
    return 40.0 + 5.0 * rise + 0.2 * seconds


TIME = np.arange(FRAMES) / HZ
SIZE = size(TIME)


def recording(mm_per_px: float | None = None) -> EyeData:
    table = SignalTable()
    for i in range(FRAMES):
        e = None if i in BLINK else Ellipse((60.0, 50.0), (float(SIZE[i]), float(SIZE[i]) - 2.0))
        table.add(i, round(i * 1e9 / HZ), 0, "pupil", Measurement(e, 0.0 if e is None else e.area, 0.9, 1.0))
    signals = table.table()
    if mm_per_px is not None:
        signals = signals.with_columns(diameter_mm=pl.col("major_px") * mm_per_px)
    blinks = pl.DataFrame(
        {"view": [0], "onset_ns": [2_600_000_000], "offset_ns": [2_800_000_000], "duration_ms": [200.0]}
    )
    doubts = pl.DataFrame(
        {"rank": [1], "frame_idx": [170], "timestamp_ns": [3_400_000_000], "view": [0], "object": ["pupil"],
         "score": [1.5], "reason": ["jump"]}, schema=DOUBTFUL_COLUMNS,
    )  # fmt: skip
    events = pl.DataFrame(
        {
            "view": [0, 0, 0, 0],
            "event": ["fixation", "saccade", "fixation", "saccade"],
            "onset_ns": [1_500_000_000, 2_300_000_000, 2_340_000_000, 4_100_000_000],
            "duration_ms": [700.0, 40.0, 400.0, 30.0],
            "amplitude_deg": [None, 7.5, None, 2.0],
        }
    )
    return EyeData(signals, blinks, doubts, events)


def test_figures_of_a_trial() -> None:
    settings = TrialSettings(baseline_s=(-0.5, 0.0))
    table = pl.DataFrame({"start": [2.0], "end": [4.0], "condition": ["bright"]})
    rows, samples = measure_trials(recording(), make_trials(table, SPAN, settings), settings)
    (row,) = rows.to_dicts()
    within = (TIME >= 2.0) & (TIME < 4.0)
    near_blink = (TIME >= 2.55) & (TIME <= 2.85)
    usable = within & ~near_blink & (np.arange(FRAMES) != 170)
    baseline = np.median(SIZE[(TIME >= 1.5) & (TIME < 2.0)])
    assert (row["trial"], row["view"], row["condition"], row["samples"]) == ("1", 0, "bright", 100)
    assert row["data_loss"] == pytest.approx(0.1) and row["usable_share"] == pytest.approx(usable.sum() / 100)
    assert (row["baseline_samples"], row["baseline_px"]) == (25, pytest.approx(baseline))
    assert row["diameter_mean_px"] == pytest.approx(SIZE[usable].mean())
    assert row["diameter_change_mean_px"] == pytest.approx(SIZE[usable].mean() - baseline)
    assert row["diameter_change_max_px"] == pytest.approx(SIZE[199] - baseline)
    assert (row["diameter_change_max_ms"], row["diameter_change_min_ms"]) == (pytest.approx(1980.0), 0.0)
    everywhere = ~near_blink & (np.arange(FRAMES) != 170)
    z = (SIZE[usable].mean() - SIZE[everywhere].mean()) / SIZE[everywhere].std(ddof=1)
    assert row["diameter_mean_z"] == pytest.approx(z)
    assert (row["blinks"], row["blink_share"]) == (1, pytest.approx(0.1))
    assert (row["fixations"], row["fixation_duration_mean_ms"]) == (1, 400.0)
    assert (row["saccades"], row["first_saccade_ms"], row["first_saccade_amplitude_deg"]) == (1, 300.0, 7.5)

    assert len(samples) == 125 and samples["time_ms"][0] == -500.0 and samples["time_ms"][-1] == 1980.0
    at = samples.filter(pl.col("frame_idx") == 150).row(0, named=True)
    assert at["diameter_change_px"] == pytest.approx(SIZE[150] - baseline) and at["usable"]
    doubted = samples.filter(pl.col("frame_idx") == 170).row(0, named=True)
    assert not doubted["usable"] and doubted["diameter_px"] is None and doubted["state"] == "tracked"


def test_what_lies_on_a_border_belongs_to_one_trial() -> None:
    """The blink from 2.6 to 2.8 s ends one trial and begins the next; a saccade begins with the last."""
    data = recording()
    assert data.events is not None
    shuffled = EyeData(data.signals, data.blinks, data.doubts, data.events.reverse())
    table = pl.DataFrame({"start": [1.0, 2.0, 2.6, 2.7, 4.1], "end": [2.0, 2.6, 2.7, 4.1, 5.0]})
    rows, _ = measure_trials(shuffled, make_trials(table, SPAN, TrialSettings()), TrialSettings())
    assert rows["blinks"].to_list() == [0, 0, 1, 0, 0]
    assert rows["blink_share"].to_list() == pytest.approx([0.0, 0.0, 1.0, 0.1 / 1.4, 0.0])
    assert rows["saccades"].to_list() == [0, 1, 0, 0, 1] and rows["fixations"].to_list() == [1, 1, 0, 0, 0]
    whole, _ = measure_trials(
        shuffled, make_trials(pl.DataFrame({"start": [1.0]}), SPAN, TrialSettings()), TrialSettings()
    )
    assert (whole["first_saccade_ms"][0], whole["saccades"][0]) == (1300.0, 2)


def test_one_odd_sample_does_not_move_a_baseline() -> None:
    data = recording()
    odd = pl.when(pl.col("frame_idx") == 45).then(400.0).otherwise(pl.col("major_px"))
    moved = EyeData(data.signals.with_columns(major_px=odd), data.blinks, data.doubts)
    table = make_trials(pl.DataFrame({"start": [1.0], "end": [2.0]}), SPAN, TrialSettings())
    rows, _ = measure_trials(moved, table, TrialSettings())
    assert rows["baseline_px"][0] == pytest.approx(SIZE[45], abs=0.1) and rows["baseline_samples"][0] == 10


def test_in_mm_where_there_is_a_scale_and_without_a_baseline() -> None:
    """The second trial's baseline lies in the blink: no change can be told, and none is."""
    table = pl.DataFrame({"trial": ["a", "b"], "start": [1.0, 2.8], "duration": [0.5, 1.0], "view": [7, 8]})
    rows, samples = measure_trials(recording(0.1), make_trials(table, SPAN, TrialSettings()), TrialSettings())
    assert rows["baseline_mm"].to_list() == [pytest.approx(0.1 * SIZE[40:50].mean(), abs=1e-3), None]
    assert rows["diameter_mean_mm"][1] == pytest.approx(0.1 * SIZE[150:190].mean(), abs=0.05)
    assert rows["diameter_change_mean_mm"][1] is None and rows["diameter_change_max_ms"][1] is None
    assert rows["view_given"].to_list() == [7, 8]  # a column of the table that has the name of one of ours
    assert samples.filter(pl.col("trial") == "b")["diameter_change_mm"].null_count() == 60


def test_an_eye_without_a_scale_keeps_its_samples() -> None:
    """The iris of one eye was not tracked: its pupil has no mm, and in mm would have no sample."""
    data = recording(0.1)
    other = data.signals.with_columns(view=pl.lit(1, dtype=pl.Int64), diameter_mm=pl.lit(None, pl.Float64))
    two = EyeData(pl.concat([data.signals, other]), data.blinks, data.doubts)
    table = make_trials(pl.DataFrame({"start": [1.0], "end": [2.0]}), SPAN, TrialSettings())
    rows, _ = measure_trials(two, table, TrialSettings())
    assert rows["usable_share"].to_list() == [1.0, 1.0] and rows["baseline_px"].null_count() == 0


LOG = pl.DataFrame(
    {
        "t": [0.5, 1.0, 1.5, 2.0, 3.0, 3.5],
        "msg": ["calibration", "TRIAL 7 START", "cue", "TRIAL 7 END", "TRIAL 8 START", "TRIAL 9 START"],
    }
)


def test_messages_of_a_log() -> None:
    settings = TrialSettings(r"TRIAL (\d+) START", "TRIAL .* END")
    made = make_trials(LOG.reverse(), SPAN, settings)
    assert made.select("trial", "start_ns", "end_ns").rows() == [
        ("7", 1_000_000_000, 2_000_000_000), ("8", 3_000_000_000, None), ("9", 3_500_000_000, None),
    ]  # fmt: skip
    rows, _ = measure_trials(recording(), made, settings)
    assert rows["samples"].to_list() == [50, None, None]  # no end, no figures
    to_the_next = make_trials(LOG, SPAN, TrialSettings("START"))
    assert to_the_next["trial"].to_list() == ["1", "2", "3"]
    assert to_the_next["end_ns"].to_list() == [3_000_000_000, 3_500_000_000, SPAN[1] + 1]


def test_columns_of_bids_and_nanoseconds() -> None:
    bids = pl.DataFrame({"onset": [1.0], "duration": [0.5], "trial_type": ["go"]})
    made = make_trials(bids, (10**9, 5 * 10**9), TrialSettings(clock="first-frame"))
    assert made.rows() == [("1", 2_000_000_000, 2_500_000_000, "go")]
    exact = pl.DataFrame({"start_ns": [1_728_546_126_508_032_163], "end_ns": [1_728_546_127_508_032_163]})
    span = (1_728_546_126_000_000_000, 1_728_546_136_000_000_000)
    assert make_trials(exact, span, TrialSettings())["start_ns"][0] == 1_728_546_126_508_032_163


def test_ends_that_are_missing() -> None:
    """An aborted trial, as spreadsheets and R write it; a last trial after the recording had stopped."""
    for ends in ([2.0, None, 6.0], ["2", "NA", "6.0"], ["2", "n/a", "6"]):
        made = make_trials(pl.DataFrame({"start": [1.0, 3.0, 5.0], "end": ends}), SPAN, TrialSettings())
        assert made["end_ns"].to_list() == [2_000_000_000, None, 6_000_000_000]
    lengths = pl.DataFrame({"onset": [1.0, 3.0], "duration": ["n/a", "0.5"]})
    assert make_trials(lengths, SPAN, TrialSettings())["end_ns"].to_list() == [None, 3_500_000_000]
    exact = pl.DataFrame(
        {"start_ns": [1728546126508032163, 1728546126508032165], "end_ns": [None, 1728546126508032167]}
    )
    span = (1728546126000000000, 1728546136000000000)
    assert make_trials(exact, span, TrialSettings())["end_ns"].to_list() == [None, 1728546126508032167]
    late = pl.DataFrame({"start": [1.0, 3.0, 20.0]})
    assert make_trials(late, SPAN, TrialSettings())["end_ns"].to_list() == [
        3_000_000_000,
        20_000_000_000,
        None,
    ]


def test_names_and_other_columns_are_kept() -> None:
    times = {"start_ns": [0, 10**9, 2 * 10**9], "end": [0.5, 1.5, 2.5]}
    others = {"onset": [0.1, 1.2, 2.3], "duration": [1, 2, 3]}
    table = pl.DataFrame({**others, **times, "trial": ["a", None, "c"]})
    made = make_trials(table, SPAN, TrialSettings())
    assert made["trial"].to_list() == ["a", "2", "c"]
    assert made["onset"].to_list() == [0.1, 1.2, 2.3] and made["duration"].to_list() == [1, 2, 3]
    assert made.columns == ["trial", "start_ns", "end_ns", "onset", "duration"]
    own = pl.DataFrame({"start": [1.0], "view": ["left"], "view_given": ["right"]})
    rows, _ = measure_trials(recording(), make_trials(own, SPAN, TrialSettings()), TrialSettings())
    assert rows.select("view_given_given", "view_given").row(0) == ("left", "right")


def test_a_log_of_triggers_with_columns_of_its_own() -> None:
    log = pl.DataFrame({"t": [1.0, 2.0, 3.0, 4.0], "trigger": [0, 1, 0, 1], "cue": ["x", None, "y", None],
                        "trial": [7, 7, 8, 8]})  # fmt: skip
    made = make_trials(log, SPAN, TrialSettings("^0$", "^1$"))
    assert made.rows() == [("7", 10**9, 2 * 10**9, 0, "x"), ("8", 3 * 10**9, 4 * 10**9, 0, "y")]
    names = make_trials(log.with_columns(trigger=pl.Series(["go 1", "end", "go", "end"])), SPAN,
                        TrialSettings(r"go ?(\d+)?", "end"))  # fmt: skip
    assert names["trial"].to_list() == ["1", "2"] and names["trial_given"].to_list() == [7, 8]


@pytest.mark.parametrize(
    ("table", "asked", "message"),
    [
        ({"begin": [1.0]}, {}, "need a time"),
        ({"start": [1.0, None]}, {}, "no number in row 2"),
        ({"start": [2.0], "end": [1.0]}, {}, "ends before it begins"),
        ({"start": [1000.0, 2000.0, 3.0]}, {}, "2 of 3 trials lie outside"),
        ({"start": [1.0]}, {"start": "go"}, "needs a column message"),
        ({"t": [1.0], "msg": ["stop"]}, {"start": "go"}, "matches 'go'"),
        ({"t": [1.0], "msg": ["go"]}, {"start": "go", "end": "stop"}, "after a start matches 'stop'"),
        ({"start": []}, {}, "no rows"),
        ({"start": [1.7e18]}, {}, "nanoseconds go into start_ns"),
        ({"start": [1.0], "end": [1e300]}, {}, "nanoseconds go into end_ns"),
        ({"start": [1.0, 2.0], "end": ["2", "soon"]}, {}, "'end' of the trials has no number in row 2"),
    ],
)
def test_tables_that_are_refused(table: dict[str, list[object]], asked: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_trials(pl.DataFrame(table), SPAN, TrialSettings(**asked))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "("},
        {"end": "x"},
        {"baseline_s": (0.0, 0.0)},
        {"baseline_s": (-np.inf, 0.0)},
        {"clock": "wall"},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TrialSettings(**wrong)  # type: ignore[arg-type]


def test_a_still_pupil_has_no_z() -> None:
    data = recording()
    still = EyeData(data.signals.with_columns(major_px=pl.lit(40.0)), data.blinks, data.doubts)
    rows, _ = measure_trials(
        still, make_trials(pl.DataFrame({"start": [1.0]}), SPAN, TrialSettings()), TrialSettings()
    )
    assert rows["diameter_mean_z"][0] is None and "saccades" not in rows.columns


def test_an_eye_without_gaze_has_no_count_of_movements() -> None:
    data = recording()
    two = pl.concat([data.signals, data.signals.with_columns(view=pl.lit(1, dtype=pl.Int64))])
    gaze = data.signals.select("frame_idx", "view", gaze_x_deg=pl.lit(1.0))
    table = make_trials(pl.DataFrame({"start": [2.0], "end": [4.0]}), SPAN, TrialSettings())
    both = EyeData(two, data.blinks, data.doubts, data.events, gaze)
    rows, samples = measure_trials(both, table, TrialSettings())
    assert rows["saccades"].to_list() == [1, None] and rows["first_saccade_ms"].to_list() == [300.0, None]
    assert rows["blinks"].to_list() == [1, 0]
    assert samples.filter(view=1)["gaze_x_deg"].null_count() == samples.filter(view=1).height


def test_trials_of_one_name_are_told_apart_in_the_samples() -> None:
    table = pl.DataFrame({"trial": [1, 1], "start": [1.0, 3.0], "end": [2.0, 4.0]})
    rows, samples = measure_trials(recording(), make_trials(table, SPAN, TrialSettings()), TrialSettings())
    counted = samples.filter(pl.col("time_ms") >= 0).group_by("trial", "view", "start_ns").len()
    joined = rows.join(counted, on=["trial", "view", "start_ns"])
    assert joined["len"].to_list() == joined["samples"].to_list() == [50, 50]
