"""What docs/tables.md says of the tables holds in a run, by computations of its own."""

import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from finished_run import make_run

pandas = pytest.importorskip("pandas")
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "tables.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("tables") / "results")


def test_its_code_runs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"pandas": pandas}
    for block in BLOCKS:
        exec(block, names)  # the page's reader types it
    clean, z = names["clean"], names["z"]
    # 40 frames at 50 per second; the lids hide the pupil on 7, and 50 ms around them are 3 more on each side.
    assert clean.sum() == z.notna().sum() == 40 - 7 - 2 - 3  # type: ignore[attr-defined]
    assert names["seconds"].iloc[-1] == pytest.approx(39 / 50)  # type: ignore[attr-defined]


def test_states_say_where_values_are(run: Path) -> None:
    signals = pandas.read_csv(run / "signals.csv")
    tracked = signals.state == "tracked"
    shape = ["center_x_px", "center_y_px", "major_px", "minor_px", "angle_deg", "area_px"]
    assert (signals[shape].notna().all(axis=1) == tracked).all()
    assert signals[shape].isna().all(axis=1)[~tracked].all()
    assert (signals.major_px >= signals.minor_px)[tracked].all()
    assert (signals.loc[signals.center_sd_px.notna(), "edge"] == "picture").all()
    assert len(signals) == len(signals.drop_duplicates(["frame_idx", "view", "object"]))


def test_durations_count_as_it_says(run: Path) -> None:
    signals, events, blinks = (
        pandas.read_csv(run / f"{name}.csv") for name in ("signals", "events", "blinks")
    )
    time = signals.drop_duplicates("frame_idx").set_index("frame_idx").timestamp_ns
    step = int(time.diff().median())
    assert len(blinks) and set(events.event) >= {"blink", "saccade"}
    for event in events.itertuples():
        assert event.onset_ns == time[event.onset_frame]
        after = step if event.event == "blink" else 0
        assert event.offset_ns == time[event.offset_frame] + after
        assert event.duration_ms == pytest.approx((event.offset_ns - event.onset_ns) / 1e6)
    for _, part in events.sort_values("onset_ns").groupby("view"):
        assert (part.onset_frame.values[1:] > part.offset_frame.values[:-1]).all()


def test_quality_by_hand(run: Path) -> None:
    signals, quality = (pandas.read_csv(run / f"{name}.csv") for name in ("signals", "quality"))
    for row in quality.itertuples():
        mine = signals[(signals.view == row.view) & (signals.object == row.object)]
        time, xy = mine.timestamp_ns.to_numpy(), mine[["center_x_px", "center_y_px"]].to_numpy()
        step, tracked = np.median(np.diff(time)), (mine.state == "tracked").sum()
        room = round((time[-1] - time[0]) / step) + 1
        assert row.data_loss == pytest.approx(1 - tracked / room, abs=1e-6)
        assert row.sampling_hz == pytest.approx(1e9 / step, abs=1e-6)
        assert row.effective_frequency_hz == pytest.approx(tracked / (room * step / 1e9), abs=1e-5)
        iou = mine.predicted_iou[mine.state == "tracked"]
        assert row.median_predicted_iou == pytest.approx(iou.median(), abs=1e-6)
        n = round(0.2e9 / step)
        whole = [w for w in (xy[i : i + n] for i in range(len(xy) - n + 1)) if np.isfinite(w).all()]
        rms = np.median([math.sqrt((np.diff(w, axis=0) ** 2).sum(axis=1).mean()) for w in whole])
        std = np.median([math.sqrt(w.var(axis=0, ddof=1).sum()) for w in whole])
        k = -math.log(1 - 0.68)
        bcea = np.median([2 * k * math.pi * math.sqrt(max(0.0, np.linalg.det(np.cov(w.T)))) for w in whole])
        assert (row.precision_rms_s2s_px, row.precision_std_px) == pytest.approx(
            (rms, std), rel=1e-4, abs=1e-5
        )
        assert row.bcea_px2 == pytest.approx(bcea, rel=1e-3, abs=1e-4)
