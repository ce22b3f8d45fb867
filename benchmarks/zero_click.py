"""How often is the right pupil found without a click?

    python benchmarks/zero_click.py [--annotations ../shared/data/annotations.json] [--rendered 40]
        [--pictures FOLDER] [--weights FILE] [--every-frame] [--rows FILE]

Runs the search of `ocusam eye VIDEO` (not the tracking) on every annotated recording and on rendered clips
(seeds 1,000,000 and up, one eye each, 12 frames within three seconds, of which 8 are looked at) and prints,
for each eye: the frame and the place it chose, its score, whether the click lies on the pupil, and the
distance of the click and of the pupil's fitted centre from the true centre. With --rows every rendered clip's
row goes to that file at once, and a later call with the same weights goes on where it ended.

Truth of a recording is taken from the annotated frame nearest in time; where that is another frame than the
chosen one, the pupil may have moved. A clip counts as *right* when the click is on the pupil; as *rightly
refused* when no frame shows half of a pupil and nothing was proposed; as *missed* when a pupil was there and
nothing was proposed; as *wrong* otherwise. Distances enter the summary only where the truth is of the chosen
frame itself.

With --every-frame each annotated frame of the recordings is also searched by itself, without the network and
without other frames: how often the likeliest place is the pupil, its centre error, and how likely anything
looks while the eye is closed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.candidates import find_candidates
from ocusam.report.overlay import Drawn, draw
from ocusam.synthetic.draw import draw_style
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames
from ocusam.video.reader import open_video
from ocusam.video.source import SequenceSource
from ocusam.workflows.find.find_eye import find_eye
from ocusam.workflows.find.judge import Judge, judge_of
from ocusam.workflows.find.search import FoundEye
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.scoring.annotations import read_annotations
from ocusam.workflows.session.models import open_predictor

FIRST_SEED = 1_000_000
OPEN = 0.5


@dataclass
class Row:
    """One eye: what was chosen, and what came of it."""

    name: str
    verdict: str
    frame_idx: int | None
    score: float
    click_off: float  # distance of the click from the true centre over the pupil's diameter
    centre_off: float  # the same for the centre of the fitted rim
    note: str = ""
    exact: bool = True  # the truth is of the chosen frame itself

    def line(self) -> str:
        """As printed."""
        where = "-" if self.frame_idx is None else str(self.frame_idx)
        return (
            f"{self.name:<22} {self.verdict:<16} frame {where:>5}  score {self.score:.2f}  "
            f"click {self.click_off:6.1%}  centre {self.centre_off:6.1%}  {self.note}"
        )


def judge_found(name: str, eye: FoundEye, truth: Ellipse | None, ever_open: bool, note: str = "") -> Row:
    """Compare one decision with the truth on its frame."""
    best = eye.best
    score, frame = (best.score, best.frame_idx) if best is not None else (0.0, None)
    if best is None or eye.click is None or not eye.prompts:
        if not ever_open:
            return Row(name, "rightly refused", frame, score, math.nan, math.nan, note)
        near = eye.click is not None and truth is not None and bool(truth.contains(np.array(eye.click)))
        note = f"{'its best place was right' if near else 'its best place was wrong'} {note}"
        return Row(name, "missed", frame, score, math.nan, math.nan, note.strip())
    if truth is None:
        return Row(name, "wrong", frame, score, math.nan, math.nan, f"no pupil there {note}")
    e, (x0, y0, _, _) = best.candidate.ellipse, eye.view.region
    centre = ((e.center[0] + 0.5) / eye.factor - 0.5 + x0, (e.center[1] + 0.5) / eye.factor - 0.5 + y0)
    on = bool(truth.contains(np.array(eye.click)))
    others = " ".join(p.name for p in eye.prompts[1:])
    return Row(
        name,
        "right" if on else "wrong",
        frame,
        score,
        math.dist(eye.click, truth.center) / truth.major,
        math.dist(centre, truth.center) / truth.major,
        f"{others} {note}".strip(),
    )


def picture_of(
    image: NDArray[np.uint8], eyes: list[FoundEye], truths: list[Ellipse | None]
) -> NDArray[np.uint8]:
    """The chosen frame with rim (orange), limbus (blue), truth (green) and clicks."""
    drawn, clicks = [], []
    for eye, truth in zip(eyes, truths, strict=True):
        if truth is not None:
            drawn.append(Drawn("truth", ellipse=truth, color=(0, 255, 0)))
        if eye.best is None:
            continue
        x0, y0 = eye.view.region[:2]
        c = eye.best.candidate
        for name, e in (("pupil", c.ellipse), ("iris", c.limbus)):
            if e is not None and (name == "pupil" or eye.prompts):
                whole = e.scaled(1 / eye.factor, about=(-0.5, -0.5)).translated(x0, y0)
                drawn.append(Drawn(name, ellipse=whole))
        clicks += [tuple(p.points[0]) for p in eye.prompts]
    out = draw(image, drawn)
    k = out.shape[1] / image.shape[1]
    for x, y in clicks:
        at = (round((x + 0.5) * k), round((y + 0.5) * k))
        cv2.drawMarker(out, at, (255, 0, 0), cv2.MARKER_CROSS, 10, 2)
    return out


def recordings(path: Path, judge: Judge | None, folder: Path | None) -> list[Row]:
    """Every annotated clip, and other recordings of the same folders (without truth)."""
    rows: list[Row] = []
    clips = read_annotations(path)
    for clip in clips:
        with open_video(clip.path) as source:
            finding = find_eye(source, judge)
            views = {view.index: name for name, view in clip.eyes(plan_views(source.size)).items()}
            truths: list[Ellipse | None] = []
            for eye in finding.eyes:
                name = views.get(eye.view.index, f"view {eye.view.index} (no truth)")
                at = eye.best.frame_idx if eye.best is not None else 0
                mine = [a for a in clip.annotations if a.eye == name and a.pupil is not None]
                nearest = min(mine, key=lambda a: abs(a.frame_idx - at), default=None)
                truths.append(nearest.pupil if nearest is not None else None)
                if nearest is None:
                    verdict = "proposed" if eye.prompts else "refused"
                    score = eye.best.score if eye.best is not None else 0.0
                    where = f"at {eye.click}, look at the picture" if eye.prompts else ""
                    rows.append(Row(f"{clip.name} {name}", verdict, at, score, math.nan, math.nan, where))
                    continue
                apart = f"truth of frame {nearest.frame_idx}" if nearest.frame_idx != at else ""
                row = judge_found(f"{clip.name} {name}", eye, nearest.pupil, True, apart)
                row.exact = nearest.frame_idx == at
                rows.append(row)
                sys.stderr.write(rows[-1].line() + "\n")
            if folder is not None:
                save(folder / f"{clip.name}.png", source, finding.eyes, truths)
    for other in sorted(
        {p for clip in clips for p in clip.path.parent.glob("*.mp4")} - {c.path for c in clips}
    ):
        with open_video(other) as source:
            finding = find_eye(source, judge)
            for eye in finding.eyes:
                verdict = "proposed" if eye.prompts else "refused"
                score, at = (eye.best.score, eye.best.frame_idx) if eye.best is not None else (0.0, None)
                note = f"at {eye.click}, no truth: look at the picture"
                rows.append(
                    Row(
                        f"{other.stem[-3:]} view {eye.view.index}",
                        verdict,
                        at,
                        score,
                        math.nan,
                        math.nan,
                        note,
                    )
                )
            if folder is not None:
                save(folder / f"{other.stem[-3:]}.png", source, finding.eyes, [None] * len(finding.eyes))
    return rows


def every_frame(path: Path) -> list[str]:
    """Each annotated frame by itself: lines for printing."""
    out = []
    for clip in read_annotations(path):
        with open_video(clip.path) as source:
            views = clip.eyes(plan_views(source.size))
            on, errors, shown, closed = 0, [], 0, []
            for a in clip.annotations:
                x0, y0, x1, y1 = views[a.eye].region
                found = find_candidates(source.read(a.frame_idx).image[y0:y1, x0:x1], 1, bright=False)
                if a.pupil is None:
                    closed.append(found[0].probability if found else 0.0)
                    continue
                shown += 1
                if found:
                    place = found[0].ellipse.translated(x0, y0)
                    if a.pupil.contains(np.array(place.center)):
                        on += 1
                        errors.append(math.dist(place.center, a.pupil.center) / a.pupil.major)
        rest = (
            f"; closed or empty: likeliest place at most {max(closed):.2f} ({len(closed)})" if closed else ""
        )
        out.append(
            f"{clip.name}: likeliest place on the pupil in {on} of {shown} frames, centre off by "
            f"{np.median(errors):.1%} of its diameter (median){rest}"
        )
    return out


def save(path: Path, source: object, eyes: list[FoundEye], truths: list[Ellipse | None]) -> None:
    """One picture for each chosen frame, side by side."""
    frames = sorted({eye.best.frame_idx for eye in eyes if eye.best is not None}) or [0]
    tiles = []
    for i in frames:
        mine = [k for k, eye in enumerate(eyes) if eye.best is not None and eye.best.frame_idx == i]
        image = source.read(i).image  # type: ignore[attr-defined]
        tiles.append(picture_of(image, [eyes[k] for k in mine], [truths[k] for k in mine]))
    cv2.imwrite(str(path), np.concatenate(tiles, axis=1)[..., ::-1])


def one_rendered(number: int, judge: Judge | None, folder: Path | None) -> Row:
    """One rendered clip."""
    seed = FIRST_SEED + number
    style = draw_style(np.random.default_rng(seed))
    style = replace(style, camera=replace(style.camera, views=1))
    frames: list[EyeFrame] = list(iter_eye_frames(seed, 12, (256, 256), 4.0, style))
    finding = find_eye(SequenceSource([f.image for f in frames], fps=4.0), judge, views="none")
    eye = finding.eyes[0]
    at = eye.best.frame_idx if eye.best is not None else 0
    shown = [f.ellipses["pupil"] is not None and f.pupil_visible_fraction >= OPEN for f in frames]
    truth = frames[at].ellipses["pupil"] if frames[at].pupil_visible_fraction > 0.05 else None
    row = judge_found(f"rendered {number}", eye, truth, any(shown), style.kind)
    if folder is not None:
        tile = picture_of(frames[at].image, [eye], [truth])[..., ::-1]
        tile = cv2.resize(np.ascontiguousarray(tile), (256, 256), interpolation=cv2.INTER_AREA)
        text = f"{number} {row.verdict} {row.score:.2f}"
        cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 255), 1)
        cv2.imwrite(str(folder / f"rendered_{number:03d}.png"), tile)
    return row


def rendered(
    count: int, judge: Judge | None, folder: Path | None, rows_file: Path | None, weights: str
) -> list[Row]:
    """Rendered clips; those of `rows_file` that were done with these weights are not done again."""
    done: dict[str, Row] = {}
    if rows_file is not None and rows_file.exists():
        for line in rows_file.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            if told.pop("weights") == weights:
                done[told["name"]] = Row(**told)
    rows: list[Row] = []
    for number in range(count):
        row = done.get(f"rendered {number}")
        if row is None:
            row = one_rendered(number, judge, folder)
            sys.stderr.write(row.line() + "\n")
            if rows_file is not None:
                with rows_file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**asdict(row), "weights": weights}) + "\n")
        rows.append(row)
    if folder is not None:
        make_sheet(folder, count)
    return rows


def make_sheet(folder: Path, count: int) -> None:
    """The pictures of rendered clips on one sheet."""
    read = (cv2.imread(str(folder / f"rendered_{number:03d}.png")) for number in range(count))
    tiles = [np.asarray(tile, dtype=np.uint8) for tile in read if tile is not None]
    if tiles:
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 8)
        sheet = [np.concatenate(tiles[k : k + 8], axis=1) for k in range(0, len(tiles), 8)]
        cv2.imwrite(str(folder / "rendered.png"), np.concatenate(sheet))


def summary(rows: list[Row]) -> str:
    """Counts and medians."""
    count = Counter(row.verdict for row in rows)
    right = [row for row in rows if row.verdict == "right" and row.exact]
    text = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
    if right:
        text += (
            f"; of the right ones: median distance from the true centre, in pupil diameters: click "
            f"{np.nanmedian([r.click_off for r in right]):.1%}, fitted centre "
            f"{np.nanmedian([r.centre_off for r in right]):.1%}"
        )
    return text


def digest(network: Any) -> str:
    """What tells two sets of weights apart: the beginning of a SHA-256 over all numbers."""
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        total.update(name.encode() + tensor.cpu().numpy().tobytes())
    return total.hexdigest()[:16]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--rendered", type=int, default=40)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the choices")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rows", type=Path, help="file of rendered clips' rows, to go on with")
    parser.add_argument("--every-frame", action="store_true", help="each annotated frame by itself as well")
    parser.add_argument("--no-network", action="store_true", help="without asking the network")
    options = parser.parse_args()
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    opened = open_predictor("nano", options.weights)
    judge = None if options.no_network else judge_of(opened.predictor)
    weights = "no network" if judge is None else digest(opened.predictor.model)
    sys.stdout.write(f"weights: {weights}\n")
    groups = []
    if options.annotations is not None:
        groups.append(("recordings", recordings(options.annotations, judge, options.pictures)))
        if options.every_frame:
            sys.stdout.write("\n".join(every_frame(options.annotations)) + "\n")
    if options.rendered:
        groups.append(
            ("rendered", rendered(options.rendered, judge, options.pictures, options.rows, weights))
        )
    for name, rows in groups:
        for row in rows:
            sys.stdout.write(row.line() + "\n")
        sys.stdout.write(f"{name}: {summary(rows)}\n")


if __name__ == "__main__":
    main()
