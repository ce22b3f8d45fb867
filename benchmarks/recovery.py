"""What does looking again for a lost pupil bring, and does it harm?

    python benchmarks/recovery.py [--rendered 10] [--annotations ../shared/data/annotations.json]
        [--scenes off,out,slip,closed] [--pictures FOLDER] [--tracked]

Every sequence begins with an eye (12 frames, clicked on the first), goes on with 15 frames of nothing (the
eye's mean grey, with noise: the headset is off), and ends with 30 frames of the eye at another place: the
pictures mirrored, so that appearance is known and place is not; 20 frames per second, so that a pupil counts
as lost after ten frames. Rendered eyes have truth on every frame; of recordings the annotated frames are
taken, one after the other, and again from the first where they are few.

Rendered eyes can be had in other scenes: the eye slides out of the picture and comes back elsewhere and
smaller (out), it jumps by a fifth of the picture and is larger from one frame to the next (slip), or its lids
stay closed (closed).

First the decision alone: the track is taken to be lost from the gap on, whatever a tracker would make of it.
Printed: on which frame was clicked, and whether the click lies on the pupil; or that nothing convinced.

With --tracked also the real job of `ocusam eye`, with `recover` and without. Printed for the last part, from
20 frames after the beginning of the gap on (before that nothing may be recovered): frames with a pupil on
which it is tracked rightly (overlap of its ellipse with the true one at least a half), wrongly (less), or not
at all. And during the gap and on frames without a pupil: how many are tracked all the same.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.core.prompts import ObjectPrompt
from ocusam.report.overlay import Drawn, draw
from ocusam.synthetic.draw import draw_style
from ocusam.synthetic.eye import EyeStyle, iter_eye_frames
from ocusam.video.reader import open_video
from ocusam.video.source import SequenceSource
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.find.judge import Judge, judge_of, overlap
from ocusam.workflows.find.recovery import Recovery, is_bright
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.scoring.annotations import read_annotations
from ocusam.workflows.session.models import open_predictor

FIRST_SEED, FPS = 1_100_000, 20.0
BEFORE, AWAY, AFTER = 12, 15, 30
JUDGED_FROM = BEFORE + 20

Picture = NDArray[np.uint8]
Frames = list[tuple[Picture, Ellipse | None]]


@dataclass
class Count:
    """Frames of one sequence and mode."""

    right: int = 0
    wrong: int = 0
    lost: int = 0
    invented: int = 0
    recoveries: list[int] = field(default_factory=list)

    def line(self) -> str:
        """As printed."""
        told = (
            f"right {self.right:2d}  wrong {self.wrong:2d}  lost {self.lost:2d}  invented {self.invented:2d}"
        )
        return f"{told}  clicked on {self.recoveries}" if self.recoveries else told


def mirrored(picture: Picture, pupil: Ellipse | None) -> tuple[Picture, Ellipse | None]:
    """Left and right exchanged."""
    if pupil is not None:
        (x, y), width = pupil.center, picture.shape[1]
        pupil = Ellipse((width - 1 - x, y), pupil.axes, 180.0 - pupil.angle)
    return np.ascontiguousarray(picture[:, ::-1]), pupil


def sequence(frames: Frames, scene: str = "off", closed: Picture | None = None) -> Frames:
    """Eye, then what the scene does to it, then the eye again."""
    first, rest = frames[:BEFORE], frames[BEFORE : BEFORE + AFTER]
    if scene == "slip":
        moved = [shifted(*frame, (0.22, -0.12), 1.25) for frame in rest]
        return [*first, *moved[:AWAY], *moved]
    if scene == "out":
        out = [shifted(*first[-1], (0.3 * (i + 1), 0.0), 1.0) for i in range(4)]
        away = [
            *out,
            *[out[-1]] * (AWAY - 8),
            *[shifted(*rest[0], (0.3 * i, 0.1), 0.9) for i in (4, 3, 2, 1)],
        ]
        return [*first, *away, *[shifted(*frame, (0.12, 0.1), 0.9) for frame in rest]]
    noise = np.random.default_rng(0)
    if scene == "closed" and closed is not None:
        shut = [np.clip(closed + noise.normal(0, 2.0, closed.shape), 0, 255) for _ in range(AWAY)]
        return [*first, *[(picture.astype(np.uint8), None) for picture in shut], *rest]
    shape, level = first[0][0].shape, float(np.mean([p.mean() for p, _ in first]))
    nothing = np.clip(noise.normal(level, 3.0, shape), 0, 255).astype(np.uint8)
    return [*first, *[(nothing, None)] * AWAY, *[mirrored(*frame) for frame in rest]]


def shifted(
    picture: Picture, pupil: Ellipse | None, by: tuple[float, float], scale: float
) -> tuple[Picture, Ellipse | None]:
    """The picture moved by shares of its size and enlarged about its middle; its border goes on beyond."""
    height, width = picture.shape[:2]
    dx = by[0] * width + (1 - scale) * (width - 1) / 2
    dy = by[1] * height + (1 - scale) * (height - 1) / 2
    matrix = np.array([[scale, 0, dx], [0, scale, dy]])
    moved = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    if pupil is not None:
        x, y = pupil.center[0] * scale + dx, pupil.center[1] * scale + dy
        inside = 0 <= x < width and 0 <= y < height
        pupil = Ellipse((x, y), (pupil.major * scale, pupil.minor * scale), pupil.angle) if inside else None
    return np.asarray(moved, dtype=np.uint8), pupil


def rendered(count: int, scenes: list[str]) -> Iterator[tuple[str, Frames]]:
    """Rendered eyes whose pupil shows well on the first frame; others would not be clicked."""
    made, seed = 0, FIRST_SEED
    while made < count:
        style = draw_style(np.random.default_rng(seed))
        style = replace(style, camera=replace(style.camera, views=1))
        frames, closed = open_frames(seed, style)
        if frames and (closed is not None or "closed" not in scenes):
            made += 1
            for scene in scenes:
                yield f"rendered {seed - FIRST_SEED} {scene}", sequence(frames, scene, closed)
        seed += 1


def open_frames(seed: int, style: EyeStyle) -> tuple[Frames, Picture | None]:
    """The first frames of a clip, and one of its first ten seconds on which the eye is closed."""
    frames: Frames = []
    for i, frame in enumerate(iter_eye_frames(seed, round(10 * FPS), (256, 256), FPS, style)):
        clear = frame.pupil_visible_fraction >= 0.6
        if i == 0 and not clear:
            return [], None
        if i < BEFORE + AFTER:
            frames.append((frame.image, frame.ellipses["pupil"] if clear else None))
        elif frame.lid_opening < 0.05:
            return frames, frame.image
    return frames, None


def recordings(path: Path) -> Iterator[tuple[str, Frames]]:
    """Annotated frames of every eye, as if they followed each other."""
    for clip in read_annotations(path):
        with open_video(clip.path) as source:
            for name, view in clip.eyes(plan_views(source.size)).items():
                x0, y0, x1, y1 = view.region
                mine = [a for a in clip.annotations if a.eye == name]
                while mine and mine[0].pupil is None:
                    mine.pop(0)
                frames: Frames = [
                    (
                        np.ascontiguousarray(source.read(a.frame_idx).image[y0:y1, x0:x1]),
                        None if a.pupil is None else a.pupil.translated(-x0, -y0),
                    )
                    for a in islice(cycle(mine), BEFORE + AFTER)
                ]
                yield f"{clip.name} {name}", sequence(frames)


def decided(frames: Frames, judge: Judge | None) -> tuple[str, int | None]:
    """What is clicked when the track is lost from the gap on: right, wrong or refused; and the frame."""
    watch = Recovery()
    for i, (picture, truth) in enumerate(frames):
        time = round(i * 1e9 / FPS)
        if i < BEFORE:
            if truth is not None:
                watch.step(i, time, 1.0, truth)
                watch.bright = is_bright(picture, truth) if watch.bright is None else watch.bright
        elif watch.step(i, time, -1.0, None):
            found = watch.look(time, picture, judge)
            if found is not None:
                on = truth is not None and bool(truth.contains(np.array(found.click)))
                return "right" if on else "wrong", i
    return "refused", None


def judged(frames: Frames, recording: EyeRecording) -> Count:
    """Compare with the truth."""
    count = Count(recoveries=[r["frame_idx"] for r in recording.recoveries])
    rows = recording.signals.filter(pl.col("object") == "pupil")
    for row in rows.iter_rows(named=True):
        picture, truth = frames[row["frame_idx"]]
        shape = ellipse_of(row)
        if row["frame_idx"] < BEFORE:
            continue
        if truth is None:
            count.invented += shape is not None
        elif row["frame_idx"] >= JUDGED_FROM:
            size = (picture.shape[0], picture.shape[1])
            if shape is None:
                count.lost += 1
            elif overlap(shape.mask(size), truth.mask(size)) >= 0.5:
                count.right += 1
            else:
                count.wrong += 1
    return count


def ellipse_of(row: dict[str, object]) -> Ellipse | None:
    """The pupil's shape of a row; None where it is not tracked."""
    keys = ("center_x_px", "center_y_px", "major_px", "minor_px", "angle_deg")
    if row["state"] != "tracked" or any(row[key] is None for key in keys):
        return None
    x, y, major, minor, angle = (float(str(row[key])) for key in keys)
    return Ellipse((x, y), (major, minor), angle)


def save(path: Path, frames: Frames, recording: EyeRecording) -> None:
    """Frames on which was clicked, and the last one: truth green, what was tracked orange."""
    rows = {r["frame_idx"]: r for r in recording.signals.iter_rows(named=True) if r["object"] == "pupil"}
    tiles = []
    for i in [*(r["frame_idx"] for r in recording.recoveries), len(frames) - 1]:
        picture, truth = frames[i]
        shape = ellipse_of(rows[i])
        drawn = [] if truth is None else [Drawn("truth", ellipse=truth, color=(0, 255, 0))]
        drawn += [] if shape is None else [Drawn("pupil", ellipse=shape)]
        tiles.append(draw(picture, drawn))
    cv2.imwrite(str(path), np.concatenate(tiles, axis=1)[..., ::-1])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", type=Path, help="recordings with truth")
    parser.add_argument("--rendered", type=int, default=10, help="rendered eyes (10)")
    parser.add_argument(
        "--scenes", default="off", help="of rendered eyes, with commas between: off, out, slip, closed (off)"
    )
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what was clicked")
    parser.add_argument("--weights", type=Path, help="weights of nano (the packaged ones)")
    parser.add_argument("--tracked", action="store_true", help="run the real job too")
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    predictor = open_predictor("nano", options.weights).predictor
    judge = judge_of(predictor)
    plain = RunSettings(views="none", zoom="off", overlay=False, report=False, masklets=False)
    totals, verdicts = {True: Count(), False: Count()}, Counter[str]()
    sources = [rendered(options.rendered, options.scenes.split(","))]
    if options.annotations is not None:
        sources.append(recordings(options.annotations))
    for name, frames in (pair for source in sources for pair in source):
        truth = frames[0][1]
        assert truth is not None
        verdict, frame = decided(frames, judge)
        verdicts[verdict] += 1
        sys.stdout.write(f"{name:<24} decision {verdict}{'' if frame is None else f' on frame {frame}'}\n")
        sys.stdout.flush()
        click = ObjectPrompt("pupil", 0, np.array([truth.center]), np.array([1]))
        for recover in (False, True) if options.tracked else ():
            pictures = SequenceSource([picture for picture, _ in frames], fps=FPS)
            settings = replace(plain, recover=recover)
            recording = track_eye(pictures, [click], model=predictor, settings=settings)
            count, total = judged(frames, recording), totals[recover]
            for key in ("right", "wrong", "lost", "invented"):
                setattr(total, key, getattr(total, key) + getattr(count, key))
            sys.stdout.write(f"{name:<24} {'recover' if recover else 'without':<8} {count.line()}\n")
            sys.stdout.flush()
            if recover and options.pictures is not None:
                save(options.pictures / f"{name.replace(' ', '_')}.png", frames, recording)
    sys.stdout.write(f"all, decision: {', '.join(f'{n} {v}' for v, n in verdicts.most_common())}\n")
    for recover, total in totals.items() if options.tracked else ():
        sys.stdout.write(f"all, {'recover' if recover else 'without'}: {total.line()}\n")


if __name__ == "__main__":
    main()
