"""Blinks found in rendered recordings: F1 by overlap, error of amplitude, onset and offset.

    python benchmarks/blinks_rendered.py --recordings 30 --seconds 12

The truth of the renderer (visible shares, outlines, lid opening) is turned into signals as a network would
deliver them: areas and axes with noise, no mask where little is in sight, now and then a flat shape on the
lash line instead, frames without a mask, and stretches of 80 to 400 ms on which the pupil alone is lost in an
open eye. With the source "eye" only the pupil is tracked, and the network says besides how much eye it sees;
on lids it sees up to half of what they cover. No network runs, so this measures the detector and not the
tracker. The styles are those of training: gaze, pupil size and pictures vary far more than in most
recordings. Blinks cut off by an end of a recording do not count. A found blink is right when it overlaps a
true one by at least half of their union (each used once).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from ocusam.core.geometry import Ellipse
from ocusam.eye.blink import FULL, classify
from ocusam.eye.signals import Measurement, SignalTable
from ocusam.synthetic.eye import EyeFrame, draw_style, iter_eye_frames

SIZE = (72, 96)
LIDS = 0.5  # of what a lid covers, at most: taken for an eye all the same
DONE = 0.05  # share of a blink's own depth at which the truth begins and ends
SOURCES = {
    "fissure": ("pupil", "iris", "sclera"),
    "eye": ("pupil",),
    "iris": ("pupil", "iris"),
    "pupil": ("pupil",),
}


@dataclass(frozen=True)
class Truth:
    """A blink: onset, offset (ns), depth (share of the open value), least visible share of the pupil."""

    onset_ns: int
    offset_ns: int
    depth: float
    visible: float


def frames_of(
    seed: int, seconds: float, fps: float
) -> tuple[list[EyeFrame], list[Truth], list[Truth]] | None:
    """A rendered human recording with its blinks; None where the seed draws another kind of picture."""
    style = draw_style(np.random.default_rng(seed))
    if style.kind != "human" or style.camera.views > 1:
        return None
    # A constant opening between blinks, so that the depth of a blink follows from the lid opening.
    motion = replace(style.motion, openness_drift=0.0, openness=min(style.motion.openness, 1.0), speed=1.0)
    style = replace(style, motion=motion, camera=replace(style.camera, dropout=0.0))
    frames = list(iter_eye_frames(seed, round(seconds * fps), SIZE, fps, style))
    opening = np.array([f.lid_opening for f in frames]) / motion.openness
    closed = np.clip(1.0 - opening, 0.0, 1.0)
    time = [f.timestamp_ns for f in frames]
    visible = np.array([f.pupil_visible_fraction for f in frames])
    # Between blinks some of the pupil may be hidden already (lashes, border): count from there.
    visible = visible / max(float(np.median(visible)), 1e-6)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (closed > 1e-6).astype(np.int8), [0]])))
    blinks, cut = [], []
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        depth = float(closed[first:end].max())
        inner = first + np.flatnonzero(closed[first:end] > DONE * depth)
        last = min(inner[-1] + 1, len(frames) - 1)
        whole = first > 0 and end < len(frames)
        (blinks if whole else cut).append(
            Truth(time[inner[0]], time[last], depth, float(visible[first:end].min()))
        )
    return (frames, blinks, cut) if np.median([f.pupil_visible_fraction for f in frames]) > 0.3 else None


def signals_of(frames: list[EyeFrame], names: tuple[str, ...], seed: int) -> pl.DataFrame:
    """The table that a tracker might deliver for these frames."""
    rng, table = np.random.default_rng(seed), SignalTable()
    step_s = (frames[1].timestamp_ns - frames[0].timestamp_ns) / 1e9
    usual = {n: float(np.median([f.coverage[n].sum() / 255.0 for f in frames])) for n in names}
    lost_until = -1
    for i, frame in enumerate(frames):
        if i > lost_until and rng.random() < step_s / 10:
            lost_until = i + round(rng.uniform(0.08, 0.4) / step_s)
        for name in names:
            area = float(frame.coverage[name].sum() / 255.0)
            share = area / max(usual[name], 1e-6)
            whole = frame.ellipses.get(name)
            if (
                share < rng.uniform(0.02, 0.1)
                or (name == "pupil" and i <= lost_until)
                or rng.random() < 0.003
            ):
                table.add(i, frame.timestamp_ns, 0, name, Measurement(None, 0.0, 0.05, -2.0))
                continue
            shape = None if whole is None else _noisy(whole, share, rng)
            area *= 1.0 + 0.03 * float(rng.normal())
            table.add(
                i, frame.timestamp_ns, 0, name, Measurement(shape, area, 0.8, 4.0, min(1.0, share), 0.3, 1)
            )
    return table.table()


def with_eye_area(signals: pl.DataFrame, frames: list[EyeFrame], seed: int) -> pl.DataFrame:
    """What a network that names the parts of the eye says besides: their area, noisy, with some eye on lids,
    another amount on every frame."""
    rng = np.random.default_rng([seed, 1])
    whole = [np.minimum(sum(c.astype(int) for c in f.coverage.values()), 255).sum() / 255.0 for f in frames]
    area = np.array(whole) * (1.0 + 0.03 * rng.normal(size=len(whole)))
    area += rng.uniform(0.0, LIDS, len(whole)) * np.maximum(np.median(whole) - whole, 0.0)
    added = pl.DataFrame({"frame_idx": range(len(area)), "eye_area_px": area})
    return signals.drop("eye_area_px").join(added, on="frame_idx", how="left", maintain_order="left")


def _noisy(e: Ellipse, share: float, rng: np.random.Generator) -> Ellipse:
    if share < 0.4 and rng.random() < 0.4:  # the lash line instead of the pupil
        return Ellipse((e.center[0], e.center[1] + 0.5 * e.major), (1.2 * e.major, 0.4 * e.minor), 0.0)
    spread = 0.02 * e.major * (1.0 + 2.0 * (1.0 - min(share, 1.0)))
    x, y, a, b = rng.normal(0.0, spread, 4)
    major, minor = sorted((max(e.major + a, 2.0), max(e.minor + b, 1.5)), reverse=True)
    return Ellipse((e.center[0] + x, e.center[1] + y), (major, minor), e.angle)


def overlap(found: dict[str, object], blink: Truth) -> float:
    """Shared time over the time of both together."""
    on, off = int(str(found["onset_ns"])), int(str(found["offset_ns"]))
    both = min(off, blink.offset_ns) - max(on, blink.onset_ns)
    return both / (max(off, blink.offset_ns) - min(on, blink.onset_ns))


def match(truth: list[Truth], found: list[dict[str, object]]) -> list[tuple[Truth, dict[str, object]]]:
    """Pairs that overlap by at least half of their union."""
    pairs, free = [], list(found)
    for blink in truth:
        best, at = 0.5, None
        for other in free:
            share = overlap(other, blink)
            if share >= best:
                best, at = share, other
        if at is not None:
            free.remove(at)
            pairs.append((blink, at))
    return pairs


Recordings = list[tuple[int, list[EyeFrame], list[Truth], list[Truth]]]


def score(recordings: Recordings, source: str, *, verbose: bool = False) -> str:
    """One line of figures for one source of the lid opening."""
    right = false = missed = kinds = unreached = 0
    depth, onset, offset, used = [], [], [], set()
    for number, frames, truth, cut in recordings:
        signals = signals_of(frames, SOURCES[source], number)
        if source == "eye":
            signals = with_eye_area(signals, frames, number)
        _, blinks = classify(signals)
        found = [b for b in blinks.to_dicts() if not any(overlap(b, t) > 0 for t in cut)]
        pairs = match(truth, found)
        hits, hit = [f for _, f in pairs], [t for t, _ in pairs]
        gone, wrong = [t for t in truth if t not in hit], [f for f in found if f not in hits]
        right, false, missed = right + len(pairs), false + len(wrong), missed + len(gone)
        unreached += sum(t.visible > 0.7 for t in gone)
        for t, f in pairs:
            depth.append(float(str(f["amplitude"])) - t.depth)
            onset.append((int(str(f["onset_ns"])) - t.onset_ns) / 1e6)
            offset.append((int(str(f["offset_ns"])) - t.offset_ns) / 1e6)
            kinds += (f["kind"] == FULL) == (t.depth >= 0.8)
            used.add(str(f["source"]))
        if verbose:
            for t in gone:
                span = f"{t.onset_ns / 1e9:.2f}-{t.offset_ns / 1e9:.2f} s"
                print(f"  {number} missed {span}, depth {t.depth:.2f}, pupil {t.visible:.2f}")
            for f in wrong:
                span = f"{int(f['onset_ns']) / 1e9:.2f}-{int(f['offset_ns']) / 1e9:.2f} s"
                print(f"  {number} false {span}, amplitude {f['amplitude']:.2f}")
    f1 = 2 * right / max(2 * right + false + missed, 1)
    reached = 2 * right / max(2 * right + false + missed - unreached, 1)
    error = np.abs(depth)
    return (
        f"{source} ({', '.join(sorted(used))}): {right} right, {missed} missed, {false} false, F1 {f1:.3f}; "
        f"without missed ones that hide less than 30 % of the pupil {reached:.3f}; amplitude error mean "
        f"{error.mean():.3f}, 95 % within {np.percentile(error, 95):.3f}; onset {np.median(onset):+.0f} ms, "
        f"offset {np.median(offset):+.0f} ms; full or partial right {kinds / max(right, 1):.2f}"
    )


def main() -> None:
    """Print one line for each source of the lid opening."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="list what was missed and what is false")
    given = parser.parse_args()
    recordings, seed = [], given.first_seed
    while len(recordings) < given.recordings:
        made = frames_of(seed, given.seconds, given.fps)
        if made is not None:
            recordings.append((seed, *made))
        seed += 1
    for source in SOURCES:
        print(score(recordings, source, verbose=given.verbose))


if __name__ == "__main__":
    main()
