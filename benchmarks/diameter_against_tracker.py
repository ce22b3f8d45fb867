"""Pupil diameter of ocusam (px) beside that of the eye tracker which made the recording (mm).

    python benchmarks/diameter_against_tracker.py ../shared/data --every 3 --keep signals

Recordings: Pupil Labs Neon (`eye_state`, 200 Hz, beside both parts of the eye video) and Tobii Glasses 2
(`pd` of `livedata.json.gz`, 50 Hz). Every eye is tracked from one click on the pupil and one on the iris (the
first clicks of `annotations.json`), every n-th frame. For each eye the table says

- how much either diameter varies (SD) and how noisy it is: the SD of the difference between a value and the
  mean of its neighbours, over sqrt(1.5), that is what white noise alone would give;
- the correlation r, and the highest that such noise would allow: sqrt of the product of the reliabilities
  (Spearman 1904), reliability being 1 - noise variance / variance;
- the lag at which r is greatest (positive: the tracker's value comes later), and r there;
- what is left, after mm = a + b px: share of it that the pupil's place in the picture explains (distance and
  direction to the camera; the tracker's diameter is that of a 3D model, ours that of the ellipse in the
  picture), and what the visible share of the rim adds to it.

Frames of blinks, lost frames, and 100 ms on either side are left out, and so are values of the tracker of 0.
`--iris-mm 11.7` adds the diameter in mm by an assumed diameter of the iris (`eye.scale`), beside theirs.
`--keep` stores the signals, so that a second call does not track again. Which eye a view shows is not told
by the recordings: both are tried, and the better one is named.
"""

from __future__ import annotations

import argparse
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.video.reader import open_video
from ocusam.video.thinned import ThinnedSource
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings

F64 = NDArray[np.float64]
NEON = ("eye_state ps2", "eye_state ps3")
"""Beside the eye videos ps1 and ps2."""
PAD_NS = 100_000_000


@dataclass(frozen=True)
class Tracker:
    """A tracker's own diameters: time (ns) and mm of each eye, NaN where it has none."""

    time_ns: NDArray[np.int64]
    mm: dict[str, F64]


def neon(folder: Path) -> Tracker:
    """Columns of `eye_state`: left diameter, eyeball xyz, axis xyz, right the same."""
    raw = np.concatenate([np.fromfile(folder / f"{n}.raw", dtype="<f4").reshape(-1, 14) for n in NEON])
    time = np.concatenate([np.fromfile(folder / f"{n}.time", dtype="<i8") for n in NEON])
    return Tracker(time, {"left": raw[:, 0].astype(np.float64), "right": raw[:, 7].astype(np.float64)})


def tobii(folder: Path) -> Tracker:
    """Entries `pd` (mm) with status 0, times in microseconds."""
    found: dict[str, dict[int, float]] = {"left": {}, "right": {}}
    with gzip.open(folder / "livedata.json.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if "pd" in entry and entry["s"] == 0:
                found[entry["eye"]][int(entry["ts"])] = float(entry["pd"])
    times = np.array(sorted({t for part in found.values() for t in part}), dtype=np.int64)
    values = {eye: np.array([part.get(int(t), np.nan) for t in times]) for eye, part in found.items()}
    return Tracker(times * 1000, {eye: np.where(v > 0, v, np.nan) for eye, v in values.items()})


def signals_of(
    video: Path, clicks: list[str], every: int, kept: Path | None, iris_mm: float | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(pupil rows, blinks) of every n-th frame, from the store where they are there."""
    if kept is not None and kept.with_suffix(".parquet").is_file():
        return tuple(pl.read_parquet(kept.with_suffix(s)) for s in (".parquet", ".blinks.parquet"))
    with open_video(video) as whole:
        count = len(whole.timestamps_ns)
        settings = RunSettings(overlay=False, report=False, masklets=False, iris_mm=iris_mm)
        found = track_eye(ThinnedSource(whole, list(range(0, count, every))), clicks, settings=settings)
    if found.scale is not None:
        print(*found.scale, sep="\n")
    pupil = found.signals.filter(pl.col("object") == "pupil")
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        pupil.write_parquet(kept.with_suffix(".parquet"))
        found.blinks.write_parquet(kept.with_suffix(".blinks.parquet"))
    return pupil, found.blinks


def usable(pupil: pl.DataFrame, blinks: pl.DataFrame) -> pl.DataFrame:
    """Tracked frames of one eye, away from blinks and lost frames."""
    time = pupil["timestamp_ns"].to_numpy()
    bad = [(t, t) for t in time[(pupil["state"] != "tracked").to_numpy()].tolist()]
    good = (pupil["state"] == "tracked").to_numpy().copy()
    for onset, offset in bad + blinks.select("onset_ns", "offset_ns").rows():
        good &= (time < onset - PAD_NS) | (time > offset + PAD_NS)
    return pupil.filter(pl.Series(good))


def noise(values: F64) -> float:
    """SD of white noise that would make a value differ so from the mean of its neighbours."""
    away = values[1:-1] - 0.5 * (values[:-2] + values[2:])
    return float(np.sqrt(np.nanmean(away**2) / 1.5))


def left_over(y: F64, *columns: F64) -> float:
    """Variance of y that a linear fit on the columns leaves."""
    design = np.stack([np.ones_like(y), *columns], axis=1)
    return float(np.var(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]))


def compare(rows: pl.DataFrame, tracker: Tracker, eye: str) -> dict[str, float]:
    """Figures of one eye."""
    time, px = rows["timestamp_ns"].to_numpy(), rows["major_px"].to_numpy()
    known = np.isfinite(tracker.mm[eye])
    mm = tracker.mm[eye][known]
    start = int(time[0])
    theirs = (tracker.time_ns[known] - start) / 1e6
    mine = (time - start) / 1e6

    def at(lag_ms: float) -> F64:
        # No value where the tracker has a gap around it.
        near = (
            np.abs(
                theirs[np.clip(np.searchsorted(theirs, mine + lag_ms), 1, len(theirs) - 1)] - mine - lag_ms
            )
            < 50
        )
        inside = (mine + lag_ms >= theirs[0]) & (mine + lag_ms <= theirs[-1]) & near
        return np.where(inside, np.interp(mine + lag_ms, theirs, mm), np.nan)

    def r(lag_ms: float) -> float:
        value = at(lag_ms)
        ok = np.isfinite(value)
        return float(np.corrcoef(px[ok], value[ok])[0, 1]) if ok.sum() > 20 else float("nan")

    value = at(0.0)
    ok = np.isfinite(value)
    x, y, d, share = (rows[c].to_numpy()[ok] for c in ("center_x_px", "center_y_px", "major_px", "rim_share"))
    share = np.nan_to_num(share.astype(np.float64), nan=float(np.nanmean(share)))
    lags = np.arange(-200.0, 201.0, 5.0)
    by_lag = np.array([r(lag) for lag in lags])
    best = int(np.nanargmax(by_lag))
    x, y = x - x.mean(), y - y.mean()
    noises = noise(px), noise(mm)
    reliable = [max(0.0, 1 - n**2 / np.var(v)) for n, v in zip(noises, (d, value[ok]), strict=True)]
    rest = left_over(value[ok], d)
    by_place = left_over(value[ok], d, x, y, x * x, y * y, x * y)
    by_rim = left_over(value[ok], d, x, y, x * x, y * y, x * y, share)
    return {
        "frames": float(ok.sum()), "px": float(d.mean()), "mm": float(value[ok].mean()),
        "sd_px": float(d.std()),
        "sd_mm": float(value[ok].std()), "noise_px": noises[0], "noise_mm": noises[1], "r": r(0.0),
        "ceiling": float(np.sqrt(reliable[0] * reliable[1])), "lag_ms": float(lags[best]),
        "r_lag": float(by_lag[best]), "rest_mm": float(np.sqrt(rest)), "place": 1 - by_place / rest,
        "rim": (by_place - by_rim) / rest, "r_place": float(np.sqrt(1 - by_place / np.var(value[ok]))),
    }  # fmt: skip


def jobs(data: Path) -> list[tuple[str, Path, list[str], Tracker]]:
    """(name, video, clicks, the tracker's own) of all recordings."""
    clips = json.loads((data / "annotations.json").read_text(encoding="utf-8"))["clips"]

    def clicks(clip: str) -> list[str]:
        return [
            f"{name}:{c[name][0]},{c[name][1]}@{c['frame_idx']}" for c in clips[clip]["first_click"]
            for name in ("pupil", "iris")
        ]  # fmt: skip

    places = {"neon": ("neon", "d1", neon), "tobii": ("tobii_glasses_2", "d2", tobii)}
    return [
        (name, data / folder, clicks(clip), read(data / folder))
        for name, (folder, clip, read) in places.items()
    ]


def thinned(clicks: list[str], every: int) -> list[str]:
    """Clicks on the frames that are left: a click moves to the nearest of them."""
    out = []
    for click in clicks:
        where, frame = click.split("@")
        out.append(f"{where}@{round(int(frame) / every)}")
    return out


def main() -> None:
    """Print one block for each eye of each recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--every", type=int, default=1, help="use every n-th frame (Tobii: as many per second)"
    )
    parser.add_argument("--keep", type=Path, help="folder for signals")
    parser.add_argument("--iris-mm", type=float, help="assumed diameter of the iris, mm (adults: about 11.7)")
    parser.add_argument("--only", help="recordings whose name contains this")
    given = parser.parse_args()
    for name, video, clicks, tracker in jobs(given.data):
        if given.only and given.only not in name:
            continue
        kept = given.keep / f"{name.replace(' ', '_')}_{given.every}" if given.keep else None
        pupils, blinks = signals_of(video, thinned(clicks, given.every), given.every, kept, given.iris_mm)
        for (view,), part in sorted(pupils.group_by("view"), key=lambda item: int(str(item[0][0]))):
            rows = usable(part.sort("frame_idx"), blinks.filter(pl.col("view") == view))
            if len(rows) < 30:
                print(f"{name}, view {view}: {len(rows)} usable frames of {len(part)}")
                continue
            results = {eye: compare(rows, tracker, eye) for eye in ("left", "right")}
            eye = max(results, key=lambda e: results[e]["r"])
            f, other = results[eye], results["right" if eye == "left" else "left"]
            print(
                f"{name}, view {view} = {eye} eye (the other: r {other['r']:.2f}), {f['frames']:.0f} of "
                f"{len(part)} frames\n"
                f"    {f['px']:.2f} px = {f['mm']:.2f} mm; SD {f['sd_px']:.2f} px, {f['sd_mm']:.3f} mm; "
                f"noise {f['noise_px']:.3f} px, {f['noise_mm']:.4f} mm\n"
                f"    r {f['r']:.3f} (noise allows {f['ceiling']:.3f}); best at lag {f['lag_ms']:+.0f} ms: "
                f"{f['r_lag']:.3f}\n"
                f"    left of mm = a + b px: {f['rest_mm']:.3f} mm; place explains {f['place']:.0%} of it "
                f"(then R {f['r_place']:.3f}), visible rim {f['rim']:.0%} more"
            )
            if "diameter_mm" in rows.columns and rows["diameter_mm"].count():
                ours = float(np.nanmedian(rows["diameter_mm"].to_numpy()))
                theirs = ", ".join(f"{e} {np.nanmedian(v):.2f}" for e, v in tracker.mm.items())
                print(f"    by the iris: median {ours:.2f} mm (the tracker's own medians: {theirs} mm)")


if __name__ == "__main__":
    main()
