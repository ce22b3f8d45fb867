"""Annotated recordings as other cameras would have filmed them: does nano still follow the pupil?

    python benchmarks/changed_recordings.py ../shared/data/annotations.json OUT [--clips d1,d3]
        [--changes dim,half] [--every 6] [--weights FILE] [--pictures]

The clips of an annotations file are few, and people looked at them while nano was made. So every clip is
changed as a whole, view by view, and tracked again from the same click, with the truth changed alike:
mirrored, turned by 180 degrees (as the second eye camera of head-worn trackers is), by 90 degrees (where
views are square, or there is one), half the size, dim, washed out, noisy, blurred, or coded roughly. Only
every sixth frame and the annotated ones are tracked.

Printed per change and clip: median and mean IoU of the pupil (a lost one counts zero), median centre error
over the diameter, closed frames recognised, false blinks. OUT gets `rows.json` and the changed videos,
losslessly coded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import View
from ocusam.video.reader import open_video
from ocusam.workflows.evaluate import evaluate_clip
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.scoring.annotations import Clip, choose_clips, read_annotations
from ocusam.workflows.scoring.scores import Score
from ocusam.workflows.session.models import open_predictor

Picture = NDArray[np.uint8]
SEED = 31


@dataclass(frozen=True)
class Change:
    """What is done to the picture of one view, and where it moves its points.

    `matrix` maps the view's (x, y, 1) to the new (x, y), pixel centres at integers, given its (height,
    width); None: nothing moves. `square`: only for views that are as wide as high, or alone in the picture.
    """

    draw: Callable[[Picture, np.random.Generator], Picture]
    matrix: Callable[[int, int], NDArray[np.float64]] | None = None
    square: bool = False


def _levels(table: NDArray[np.float64]) -> Callable[[Picture, np.random.Generator], Picture]:
    bytes_ = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return lambda picture, rng: bytes_[picture]


def _half(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def _noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    noise = 12.0 * rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None]
    return np.asarray(np.clip(np.round(picture + noise), 0, 255), np.uint8)


def _blurred(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), picture.shape[1] / 100.0), np.uint8)


def _coded(picture: Picture, rng: np.random.Generator) -> Picture:
    code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 12])[1]
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


_RAMP = np.arange(256.0)
CHANGES = {
    "as it is": Change(lambda p, rng: p),
    "mirrored": Change(lambda p, rng: p[:, ::-1], lambda h, w: np.array([[-1.0, 0, w - 1], [0, 1, 0]])),
    "turned": Change(lambda p, rng: p[::-1, ::-1], lambda h, w: np.array([[-1.0, 0, w - 1], [0, -1, h - 1]])),
    "quarter": Change(
        lambda p, rng: np.rot90(p, -1), lambda h, w: np.array([[0.0, -1, h - 1], [1, 0, 0]]), square=True
    ),
    "half": Change(_half, lambda h, w: np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])),
    "dim": Change(_levels(0.3 * _RAMP)),
    "washed out": Change(_levels(150 + 0.3 * _RAMP)),
    "steep": Change(_levels(255 * (_RAMP / 255) ** 2.2)),
    "flat": Change(_levels(255 * (_RAMP / 255) ** 0.45)),
    "noisy": Change(_noisy),
    "blurred": Change(_blurred),
    "coded": Change(_coded),
}


def moved(ellipse: Ellipse | None, matrix: NDArray[np.float64]) -> Ellipse | None:
    """The ellipse under a map that keeps angles."""
    if ellipse is None:
        return None
    turn, scale = matrix[:, :2], float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    angle = np.deg2rad(ellipse.angle)
    axis = turn @ np.array([np.cos(angle), np.sin(angle)])
    x, y = (turn @ np.array(ellipse.center) + matrix[:, 2]).tolist()
    degrees = float(np.rad2deg(np.arctan2(axis[1], axis[0]))) % 180.0
    return Ellipse((x, y), (ellipse.major * scale, ellipse.minor * scale), degrees)


def maps_of(change: Change, views: list[View]) -> dict[int, NDArray[np.float64]]:
    """view -> map of points of the whole picture to those of the changed one; views keep their order."""
    maps = {}
    for view in views:
        x0, y0, x1, y1 = view.region
        own = np.array([[1.0, 0, 0], [0, 1, 0]])
        if change.matrix is not None:
            own = change.matrix(y1 - y0, x1 - x0)
        scale = float(np.sqrt(abs(np.linalg.det(own[:, :2]))))
        corner = np.array([x0, y0], dtype=np.float64)
        shift = own[:, 2] - own[:, :2] @ corner + scale * corner
        maps[view.index] = np.concatenate([own[:, :2], shift[:, None]], 1)
    return maps


def changed_pictures(clip: Clip, change: Change, views: list[View]) -> Iterator[Picture]:
    """Every frame of the clip, changed."""
    rng = np.random.default_rng(SEED)
    with open_video(clip.path) as source:
        for frame in source:
            parts = []
            for view in views:
                x0, y0, x1, y1 = view.region
                part = np.ascontiguousarray(frame.image[y0:y1, x0:x1])
                parts.append((x0, y0, change.draw(part, rng)))
            if len(parts) == 1:
                yield np.ascontiguousarray(parts[0][2])
                continue
            scale = parts[0][2].shape[1] / (views[0].region[2] - views[0].region[0])
            height, width = (round(scale * side) for side in frame.image.shape[:2])
            whole = np.zeros((height, width, 3), np.uint8)
            for x0, y0, part in parts:
                x, y = round(x0 * scale), round(y0 * scale)
                whole[y : y + part.shape[0], x : x + part.shape[1]] = part
            yield whole


def write_video(path: Path, pictures: Iterable[Picture], rate: Fraction) -> None:
    """Losslessly, RGB."""
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = container.add_stream("ffv1", rate=rate)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "bgr0"
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="bgr0")
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def changed_clip(clip: Clip, name: str, folder: Path) -> Clip | None:
    """The clip under one of `CHANGES`, written into `folder`; None where its views do not fit that one."""
    change = CHANGES[name]
    with open_video(clip.path) as source:
        views, rate = plan_views(source.size), Fraction(source.fps or 30).limit_denominator(1000)
    if (
        change.square
        and len(views) > 1
        and any(v.region[2] - v.region[0] != v.region[3] - v.region[1] for v in views)
    ):
        return None
    path = folder / f"{clip.name}-{name.replace(' ', '-')}.mkv"
    write_video(path, changed_pictures(clip, change, views), rate)
    maps, eyes = maps_of(change, views), clip.eyes(views)
    clicks = []
    for click in clip.clicks:
        of_eye = maps[eyes[str(click["eye"])].index]
        points = {
            o: [float(v) for v in of_eye @ np.array([*click[o], 1.0])]
            for o in ("pupil", "iris")
            if click.get(o)
        }
        clicks.append({**click, **points})
    annotations = [
        replace(a, pupil=moved(a.pupil, at), iris=moved(a.iris, at))
        for a in clip.annotations
        for at in [maps[eyes[a.eye].index]]
    ]
    return replace(clip, path=path, clicks=clicks, annotations=annotations)


def line(pupil: Score) -> str:
    """What is printed of a clip."""
    error = pupil.error_rel_median
    return (
        f"IoU {pupil.iou_median:.3f} (mean {pupil.iou_mean:.3f}), {pupil.found} of {pupil.scored} found, "
        "centre "
        + ("-" if error is None else f"{error:.1%}")
        + f", closed {pupil.closed_called} of {pupil.closed}, false blinks {pupil.false_blinks}"
    )


def main() -> None:
    """Change, track, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", help="names, separated by commas; all by default")
    parser.add_argument("--changes", default=",".join(CHANGES), help=f"of {', '.join(CHANGES)}")
    parser.add_argument("--every", type=int, default=6, help="track every so-manieth frame (default 6)")
    parser.add_argument("--weights", type=Path, help="instead of the packaged ones")
    parser.add_argument(
        "--pictures", action="store_true", help="a sheet of the annotated frames of each clip"
    )
    given = parser.parse_args()
    if unknown := [name for name in given.changes.split(",") if name not in CHANGES]:
        parser.error(f"unknown changes {unknown}: give some of {', '.join(CHANGES)}")
    given.out.mkdir(parents=True, exist_ok=True)
    clips = choose_clips(read_annotations(given.annotations), given.clips.split(",") if given.clips else None)
    opened = open_predictor("nano", given.weights, "cpu")
    rows = []
    for name in given.changes.split(","):
        for clip in clips:
            changed = changed_clip(clip, name, given.out)
            if changed is None:
                continue
            pictures = given.out / name.replace(" ", "-") if given.pictures else None
            result = evaluate_clip(
                changed,
                model=opened,
                every=given.every,
                pictures=pictures,
                settings=RunSettings(masklets=given.pictures, overlay=False),
            )
            pupil = result.scores["pupil"]
            rows.append({"change": name, "clip": clip.name, **pupil.to_dict()})
            print(f"{name:11s} {clip.name}: {line(pupil)}", flush=True)
    (given.out / "rows.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
