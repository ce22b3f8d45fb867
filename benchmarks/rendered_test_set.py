"""How well does `nano` follow rendered eyes that no training has seen, after one click on each object?

    python benchmarks/rendered_test_set.py OUT_FOLDER [--clips 1000] [--weights FILE] [--size 256]
        [--part 1/2] [--sheet 24] [--zoom auto]

Seeds begin at 2^31, where training's own never reach (`training/clips.py` draws them below). Each clip has
`--frames` frames of 320 x 240 px, some with a blink, and begins on a frame whose pupil can be clicked. Pupil,
iris and up to two reflections get one click each there; every later frame counts, lost ones as IoU 0. Small
eyes are tracked in a rectangle around them, chosen as `ocusam eye` chooses it (`--zoom off`: never).

Scored are the network's masks against what is visible, and (`picture`) what `ocusam eye` makes of them: whole
ellipses refined on the picture's own edge, against the whole outlines. A reflection's centre counts where at
least half of it is visible: measured at the network's mask alone (`mask`), at the mask on the picture
(`picture`), and as `ocusam eye` hands it out, followed from the click among the picture's spots (`followed`);
`alone` are those whose light does not run together with another's (glints_rendered.py). Present means 3 px of
the network's input or more, as in training; the F1 of presence counts present frames as hits, that of absence
absent ones.

One line a clip goes to OUT_FOLDER/rows*.jsonl at once, so a run that is broken off goes on where it was;
`--part K/N` lets N processes share the clips (one thread each). OUT_FOLDER/scores.json has the scores of all
lines there, split by stratum (rendered_strata.py: what is ordinary, what hard), and OUT_FOLDER/worst.png the
clips with the worst pupils: truth green, masks in colours. `--only ordinary` draws such clips alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from glints_rendered import alone
from numpy.typing import NDArray
from rendered_scores import Row, by_stratum, summary, table
from rendered_strata import VERSION, strata_of

from ocusam.core.errors import OcusamError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.long_rows import LongRows
from ocusam.eye.signals import TRACKED
from ocusam.eye.whole_frame import measure_frame
from ocusam.model.config import get_config
from ocusam.report.overlay import Drawn, draw
from ocusam.synthetic.draw import draw_style
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames
from ocusam.training.clicks import first_click
from ocusam.training.scenes import LEAST_AREA_PX, VISIBLE_AREA_PX
from ocusam.video.source import SequenceSource
from ocusam.workflows.eye import EyeWork
from ocusam.workflows.eye_place import choose_rectangles
from ocusam.workflows.find.clicks import ClearClicks
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.inputs.zoom import AUTO, OFF, zoom_text, zoomed
from ocusam.workflows.results.eye_tables import make_tables
from ocusam.workflows.results.reflections import with_reflections
from ocusam.workflows.session.follow import follow
from ocusam.workflows.session.models import OpenedModel, open_predictor

FIRST_SEED = 2**31
ATTEMPTS = 16
PICTURE = (240, 320)
REFLECTIONS = 2


@dataclass
class TestClip:
    """A rendered clip and the clicks on its first frame."""

    seed: int
    fps: float
    frames: list[EyeFrame]
    prompts: list[ObjectPrompt]

    def source(self) -> SequenceSource:
        """Its pictures as a video."""
        return SequenceSource([frame.image for frame in self.frames], fps=self.fps)


def make_clip(number: int, frames: int, cell_px: float, first_seed: int = FIRST_SEED) -> TestClip:
    """Clip `number` of the set: the first of its seeds that begins with a pupil to click on.

    Args:
        cell_px: area of a pixel of the picture in pixels of the network's input.
    """
    for attempt in range(ATTEMPTS):
        seed = first_seed + ATTEMPTS * number + attempt
        rng = np.random.default_rng([seed, 1])
        blink = bool(rng.random() < 0.35)
        fps = float(np.exp(rng.uniform(np.log(6 if blink else 8), np.log(40 if blink else 200))))
        style = draw_style(np.random.default_rng(seed))
        # Pictures of several eyes are divided before they are tracked; here the eye is alone.
        style = replace(style, camera=replace(style.camera, views=1))
        drawn = list(iter_eye_frames(seed, frames, PICTURE, fps, style, blink=blink))
        first = drawn[0]
        area = first.coverage["pupil"].sum(dtype=np.int64) / 255 * cell_px
        if area >= LEAST_AREA_PX["pupil"] and first.pupil_visible_fraction >= 0.5:
            break
    return TestClip(seed, fps, drawn, _clicks(rng, first, cell_px))


def _clicks(rng: np.random.Generator, frame: EyeFrame, cell_px: float) -> list[ObjectPrompt]:
    """One click on pupil, iris and the largest reflections that are there."""
    areas = {name: c.sum(dtype=np.int64) / 255 * cell_px for name, c in frame.coverage.items()}
    shine = [frame.coverage[name] for name in areas if name.startswith("cr")]
    spots = sorted((n for n in areas if n.startswith("cr")), key=lambda name: -areas[name])[:REFLECTIONS]
    prompts = []
    for name in ("pupil", "iris", *spots):
        avoid = np.max(shine, axis=0) if shine and name not in spots else None
        spot = first_click(rng, frame.coverage[name], avoid)
        if spot is not None and areas[name] >= LEAST_AREA_PX["cr" if name in spots else name]:
            prompts.append(ObjectPrompt(name, 0, np.array([spot]), np.array([1])))
    return prompts


def track_clip(
    clip: TestClip, opened: OpenedModel, *, zoom: str = AUTO, bare: bool = False
) -> Iterator[list[ObjectFrame]]:
    """Masks of every frame, as `ocusam eye` gets them; `bare`: from the clicks alone."""
    views, clear = plan_views(PICTURE, "none"), None if bare else ClearClicks
    if zoom == AUTO:
        choices = choose_rectangles(clip.source(), clip.prompts, opened.predictor, views, clear=clear)
        views = zoomed(views, zoom_text(c.region for c in choices if c.region is not None))
    own = None if clear is None else clear()
    yield from follow(clip.source(), clip.prompts, opened.predictor, views, clear=own)


def whole_mask(item: ObjectFrame) -> NDArray[np.bool_]:
    """bool (H, W) of the whole picture; False outside the rectangle that was tracked."""
    out = np.zeros(PICTURE, dtype=np.bool_)
    x0, y0, x1, y1 = item.view.region
    out[y0:y1, x0:x1] = item.mask
    return out


def score_frame(objects: list[ObjectFrame], truth: EyeFrame, cell_px: float) -> list[Row]:
    """All objects of one frame: confidence, IoU of the mask, and what the measurement makes of it."""
    by_mask = measure_frame([replace(item, picture=None) for item in objects], spots=False).objects
    by_picture = measure_frame(objects, spots=False).objects
    return [
        score_object(item, truth, cell_px, {"mask": mask.ellipse, "picture": picture.ellipse})
        for item, mask, picture in zip(objects, by_mask, by_picture, strict=True)
    ]


def score_object(
    item: ObjectFrame, truth: EyeFrame, cell_px: float, outlines: dict[str, Ellipse | None]
) -> Row:
    """One object on one frame, with its ellipses by the ways of measuring."""
    coverage, whole = truth.coverage[item.name], truth.ellipses[item.name]
    visible = float(coverage.sum(dtype=np.int64)) / 255
    present = visible * cell_px >= VISIBLE_AREA_PX
    row: Row = {
        "frame": item.frame_idx,
        "object": item.name,
        "present": present,
        "score": round(item.object_score, 3),
        "predicted_iou": round(item.predicted_iou, 4),
        "visible_share": round(min(visible / max(whole.area, 1e-6), 1.0), 3) if whole is not None else 0.0,
    }
    if not present:
        return row
    found, real = whole_mask(item) & (item.object_score > 0), coverage >= 128
    union = int((found | real).sum())
    row["iou"] = round(int((found & real).sum()) / union, 4) if union else 0.0
    if whole is None:
        return row
    for way, ellipse in outlines.items():
        row[f"off_px_{way}"] = None if ellipse is None else round(math.dist(ellipse.center, whole.center), 3)
        row[f"ellipse_iou_{way}"] = None if ellipse is None else round(whole.iou(ellipse), 4)
    row["major_px"] = round(whole.major, 2)
    return row


def score_followed(rows: list[Row], clip: TestClip, work: EyeWork) -> None:
    """Add to the rows of reflections what the tables of `ocusam eye` say of them."""
    measured = with_reflections(LongRows.of(work.rows()), clip.prompts, "auto")
    tables = make_tables(measured, plan_views(PICTURE, "none"))
    found = {
        (row["frame_idx"], row["object"]): (row["center_x_px"], row["center_y_px"])
        for part in tables.signals.windows()
        for row in part.iter_rows(named=True)
        if row["state"] == TRACKED and row["center_x_px"] is not None
    }
    for row in rows:
        if not row["object"].startswith("cr"):
            continue
        frame, place = clip.frames[row["frame"]], found.get((row["frame"], row["object"]))
        truth = frame.ellipses[row["object"]]
        row["followed"] = place is not None
        if row["present"] and truth is not None:
            row["off_px_followed"] = None if place is None else round(math.dist(place, truth.center), 3)
            row["alone"] = alone(frame, row["object"])


def run_clip(number: int, opened: OpenedModel, given: argparse.Namespace) -> Row:
    """Track and score one clip; what becomes its line."""
    cell = given.size**2 / (PICTURE[0] * PICTURE[1])
    clip = make_clip(number, given.frames, cell, given.first_seed)
    rows, work = [], EyeWork("auto")
    zoom = "whole"
    for objects in track_clip(clip, opened, zoom=given.zoom, bare=given.bare_clicks):
        if objects[0].view.size != PICTURE:
            zoom = "zoomed"
        work.on_frame([item for item in objects if item.name == "pupil" or item.name.startswith("cr")])
        if objects[0].frame_idx > 0:
            rows += score_frame(objects, clip.frames[objects[0].frame_idx], cell)
    score_followed(rows, clip, work)
    strata = {**strata_of(clip.frames[0], clip.fps), "tracked in": zoom}
    return {"clip": number, "seed": clip.seed, "strata": strata, "rows": rows}


# ---- pictures


def sheet(lines: list[Row], opened: OpenedModel, given: argparse.Namespace) -> NDArray[np.uint8] | None:
    """The worst frame of each of the clips whose pupil was followed worst, RGB."""

    def shown(line: Row) -> list[Row]:
        # Nearly closed eyes would fill the sheet and say little.
        rows = [r for r in line["rows"] if r["object"] == "pupil" and r["present"]]
        return [r for r in rows if r["visible_share"] >= 0.3]

    def pupil_iou(line: Row) -> float:
        own = shown(line)
        return float(np.mean([r["iou"] for r in own])) if own else 1.0

    tiles = []
    lines = [line for line in lines if given.only in ("", line["strata"]["conditions"])]
    for line in sorted(lines, key=pupil_iou)[: given.sheet]:
        cell = given.size**2 / (PICTURE[0] * PICTURE[1])
        clip = make_clip(line["clip"], given.frames, cell, given.first_seed)
        own = shown(line)
        worst = min(own, key=lambda r: r["iou"])["frame"] if own else 1
        for objects in track_clip(clip, opened, zoom=given.zoom, bare=given.bare_clicks):
            if objects[0].frame_idx == worst:
                tiles.append(_tile(clip, line, worst, objects))
                break
    if not tiles:
        return None
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    return np.concatenate([np.concatenate(tiles[k : k + 4], axis=1) for k in range(0, len(tiles), 4)])


def _tile(clip: TestClip, line: Row, frame: int, objects: list[ObjectFrame]) -> NDArray[np.uint8]:
    truth = clip.frames[frame]
    drawn = [Drawn(o.name, mask=whole_mask(o) if o.object_score > 0 else None) for o in objects]
    drawn += [
        Drawn("truth", ellipse=truth.ellipses[name], color=(0, 255, 0))
        for name in ("pupil", "iris")
        if truth.ellipses[name] is not None
    ]
    grey = np.repeat(truth.image[..., None], 3, axis=2)
    return draw(grey, drawn, title=f"clip {line['clip']} frame {frame}", min_width=PICTURE[1])


# ---- files


def read_lines(folder: Path, head: Row) -> list[Row]:
    """The finished clips of a folder; refuses those of other weights or settings."""
    lines: dict[int, Row] = {}
    for path in sorted(folder.glob("rows*.jsonl")):
        words = path.read_text().splitlines()
        if words and json.loads(words[0]) != head:
            raise OcusamError(f"{path} has clips of other weights or settings; choose another folder.")
        for text in words[1:]:
            try:
                line = json.loads(text)
            except ValueError:
                continue  # the last line of a run that was broken off
            lines[line["clip"]] = line
    return [lines[k] for k in sorted(lines)]


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder; made where it is not there")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip; the first one is clicked")
    parser.add_argument("--size", type=int, default=256, help="side of the network's input, px")
    parser.add_argument("--weights", type=Path, help="other weights than the packaged ones")
    parser.add_argument(
        "--bare-clicks", action="store_true", help="as `ocusam eye --bare-clicks`: never a mask for a click"
    )
    parser.add_argument("--zoom", choices=(AUTO, OFF), default=AUTO, help="as `ocusam eye --zoom`")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="only every N-th clip, from K on")
    parser.add_argument("--table", action="store_true", help="print the strata as a table in Markdown too")
    parser.add_argument(
        "--only", default="", help="sheet: clips of these conditions alone, ordinary or hard; scores hold all"
    )
    parser.add_argument("--sheet", type=int, default=24, help="clips in worst.png; 0: none")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help="2^31 or more; other ones for fitting than scoring"
    )
    given = parser.parse_args()
    if given.first_seed < FIRST_SEED or given.frames < 2:
        parser.error("--first-seed is at least 2147483648 and --frames at least 2")
    return given


def main() -> None:
    """Run what is missing, then score everything."""
    given = parse()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    opened = open_predictor(get_config("nano", image_size=given.size), given.weights)
    head = {
        "weights_sha256": opened.record["weights_sha256"],
        "size": given.size,
        "frames": given.frames,
        "first_seed": given.first_seed,
        "strata": VERSION,
        "bare_clicks": given.bare_clicks,
        "zoom": given.zoom,
    }
    done = {line["clip"] for line in read_lines(given.out, head)}
    k, n = map(int, given.part.split("/"))
    path = given.out / ("rows.jsonl" if n == 1 else f"rows-{k}-of-{n}.jsonl")
    began, made = time.process_time(), 0
    with path.open("a") as file:
        # A line that a broken-off run left half written must not swallow the next one.
        file.write(json.dumps(head) + "\n" if file.tell() == 0 else "\n")
        for number in range(k - 1, given.clips, n):
            if number in done:
                continue
            file.write(json.dumps(run_clip(number, opened, given)) + "\n")
            file.flush()
            made += 1
            if made % 25 == 0:
                each = (time.process_time() - began) / made
                sys.stderr.write(f"clip {number}, {each:.2f} s of processor time a clip\n")
    lines = read_lines(given.out, head)
    scores = {"settings": head, "all": summary(lines), "strata": by_stratum(lines)}
    (given.out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(json.dumps(scores["all"], indent=1))
    if given.table:
        print(table(scores))
    if given.sheet and (picture := sheet(lines, opened, given)) is not None:
        cv2.imwrite(str(given.out / "worst.png"), picture[..., ::-1])


if __name__ == "__main__":
    main()
