"""The model of the eyeball (pye3d) on a computed eye whose direction, place and pupil are known.

    python benchmarks/eye3d_geometric.py --pye3d-python pye3d-env/bin/python

The eye is a ball of 12 mm, its limbus a circle of 6 mm, with a spherical cornea of 7.8 mm and refractive
index 1.3375 through the limbus, the pupil in the limbus' plane (as in pye3d). A pinhole camera (400 x
400 px, focal length 560 px) stands 40 mm away; the pupil's rim is traced through the cornea point by point,
and an ellipse is fitted to what arrives. Noise is added to its centre, axes and angle. No picture is drawn
and no network runs: this measures the model and what ocusam hands to it. The eye fixates places within +-15
and +-11 deg around a direction that the camera sees from below, blinks, and its pupil changes between 2.5 and
4.5 mm. With `slip` the camera moves by 1 mm in the middle of the recording.

Printed: the angle between the found and the true optical axis, absolute and after taking off the mean
difference (what any calibration removes), error of the pupil's diameter and of the eyeball's centre.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.ellipse import fit_ellipse
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.eye.sphere import EyeCamera, SphereSettings
from ocusam.workflows.results.eye3d_tables import model_eyes
from ocusam.workflows.results.eye_tables import make_tables, named
from ocusam.workflows.results.finished_run import open_run

F64 = NDArray[np.float64]
SIZE, FOCAL = 400, 560.0
PUPIL_DEPTH, CORNEA, INDEX = math.sqrt(12.0**2 - 6.0**2), 7.8, 1.3375
CORNEA_DEPTH = PUPIL_DEPTH - math.sqrt(CORNEA**2 - 6.0**2)
RIM = 48


@dataclass(frozen=True)
class Sample:
    """The truth of one frame: direction of the axis, centre of the eyeball (mm), diameter (mm), blink."""

    axis: F64
    center: F64
    diameter: float
    blink: bool


def samples(seconds: float, hz: float, slip: float, rng: np.random.Generator) -> list[Sample]:
    """An eye that fixates, blinks and changes its pupil."""
    out, place, until = [], np.zeros(2), 0.0
    for i in range(round(seconds * hz)):
        time = i / hz
        if time >= until:
            place, until = rng.uniform((-15.0, -11.0), (15.0, 11.0)), time + float(rng.uniform(0.25, 0.6))
        x, y = np.radians(place + rng.normal(0, 0.05, 2) + (5.0, -15.0))
        axis = np.array([math.sin(x) * math.cos(y), math.sin(y), -math.cos(x) * math.cos(y)])
        moved = slip if time > seconds / 2 else 0.0
        center = np.array([1.0 + moved, -2.0 + 0.5 * moved, 40.0])
        diameter = 3.5 + math.sin(2 * math.pi * time / 11.0)
        out.append(Sample(axis, center, diameter, i % round(4 * hz) > 3.85 * hz))
    return out


def rim_px(sample: Sample, refracted: bool) -> F64:
    """(RIM, 2) px of the pupil's rim, pixel centres at integers."""
    n = sample.axis
    across = np.cross(n, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    up = np.cross(n, across)
    t = np.linspace(0, 2 * math.pi, RIM, endpoint=False)[:, None]
    middle = sample.center + PUPIL_DEPTH * n
    points = middle + 0.5 * sample.diameter * (np.cos(t) * across + np.sin(t) * up)
    if refracted:
        points = _on_cornea(points, sample.center + CORNEA_DEPTH * n)
    return FOCAL * points[:, :2] / points[:, 2:] + (SIZE - 1) / 2


def _on_cornea(points: F64, middle: F64) -> F64:
    """Where the light of points leaves the cornea towards the camera: Snell's law, by bisection."""
    to_camera = -middle / np.linalg.norm(middle)
    inward = points - middle
    along = inward @ to_camera
    aside = inward - along[:, None] * to_camera
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    low, high = np.zeros(len(points)), np.arctan2((inward * aside).sum(axis=1), along)
    for _ in range(40):
        angle = 0.5 * (low + high)
        normal = np.cos(angle)[:, None] * to_camera + np.sin(angle)[:, None] * aside
        at = middle + CORNEA * normal
        inside, outside = at - points, -at
        sines = [
            np.linalg.norm(np.cross(normal, ray), axis=1) / np.linalg.norm(ray, axis=1)
            for ray in (inside, outside)
        ]
        # At the low end light leaves too steeply for where it comes from, at the high end the other way.
        more = INDEX * sines[0] > sines[1]
        low, high = np.where(more, angle, low), np.where(more, high, angle)
    return at


def signals_of(truth: list[Sample], hz: float, refracted: bool, noise: float, seed: int) -> pl.DataFrame:
    """What a tracker with this noise would deliver."""
    rng, table = np.random.default_rng(seed), SignalTable()
    for i, sample in enumerate(truth):
        shape = None
        if not sample.blink:
            e = fit_ellipse(rim_px(sample, refracted))
            assert e is not None
            x, y, a, b = rng.normal(0.0, noise, 4)
            major, minor = sorted((e.major + a, e.minor + b), reverse=True)
            turned = e.angle + math.degrees(float(rng.normal(0.0, noise)) / max(e.major - e.minor, 2.0))
            shape = Ellipse((e.center[0] + x, e.center[1] + y), (major, minor), turned % 180.0)
        area = 0.0 if shape is None else shape.area
        measured = Measurement(shape, area, 0.9, 4.0, 1.0, 0.2, 1, "picture")
        table.add(i, round(i * 1e9 / hz), 0, "pupil", measured)
    return table.table()


def write_run(folder: Path, signals: pl.DataFrame) -> None:
    """A finished run without a video."""
    for name, table in named(make_tables(signals)).items():
        pl.concat(list(table)).write_csv(folder / name)
    record = {"status": "finished", "input": {"path": "computed", "size_hw": [SIZE, SIZE]}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def angle(a: F64, b: F64) -> F64:
    """Degrees between unit vectors."""
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1.0, 1.0)))


def compare(found: pl.DataFrame, truth: list[Sample]) -> str:
    """One line of figures."""
    rows = found.drop_nulls("normal_x").filter(pl.col("timestamp_ns") > 5_000_000_000)
    mine = rows.select("normal_x", "normal_y", "normal_z").to_numpy()
    picked = [truth[i] for i in rows["frame_idx"]]
    true = np.array([s.axis for s in picked])
    away = angle(mine, true)
    centred = mine - (mine - true).mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    rest = angle(centred, true)
    wide = rows["diameter_mm"].to_numpy() - np.array([s.diameter for s in picked])
    names = [f"sphere_center_{c}_mm" for c in "xyz"]
    place = np.median(rows.select(names).to_numpy() - np.array([s.center for s in picked]), axis=0)
    return (
        f"axis off by {np.median(away):.2f} deg (95 % within {np.percentile(away, 95):.2f}), without the "
        f"mean difference {np.median(rest):.2f} ({np.percentile(rest, 95):.2f}); diameter "
        f"{np.median(wide):+.2f} mm (SD {wide.std():.2f}); centre off by "
        f"{', '.join(f'{v:+.2f}' for v in place)} mm; confident {(rows['model_confidence'] >= 1).mean():.0%}"
    )


def main() -> None:
    """Print a line for each eye and way of fitting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pye3d-python", type=Path, help="Python that has pye3d")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--hz", type=float, default=60.0)
    parser.add_argument("--noise", type=float, default=0.1, help="px, on centre and axes")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name, refracted, slip in (("no cornea", False, 0.0), ("cornea", True, 0.0), ("slip", True, 1.0)):
        truth = samples(given.seconds, given.hz, slip, np.random.default_rng(given.seed))
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder), signals_of(truth, given.hz, refracted, given.noise, given.seed))
            for fit in ("whole", "running"):
                settings = SphereSettings(fit, refracted)
                run = open_run(folder)
                found = model_eyes(run, {0: EyeCamera(FOCAL)}, settings, python=given.pye3d_python)
                print(f"{name}, {fit} (pye3d {found.version}): {compare(found.table, truth)}")


if __name__ == "__main__":
    main()
