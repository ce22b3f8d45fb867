"""Where `--zoom auto` puts the rectangle, and how a run in it comes back in px of the picture."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from fake_predictor import BACKGROUND, FakeOutput, FakePredictor, FakeState, eye_picture, eye_truth
from ocusam.core.errors import InputError, OutputError, PromptError
from ocusam.core.prompts import parse_point
from ocusam.video.reader import open_video
from ocusam.workflows.eye import EyeRecording, track_eye
from ocusam.workflows.eye_place import LOOKS, choose_rectangles
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.results.report import remake
from ocusam.workflows.track import track

TRUTH = eye_truth(24)
X0, Y0 = 107, 61  # of the small eye picture within the large one
CLICKS = [f"pupil:{X0 + 65},{Y0 + 58}@10", f"iris:{X0 + 90},{Y0 + 60}@10"]
QUICK = RunSettings(overlay=False, report=False)


class SizedPredictor(FakePredictor):
    """The stand-in says how large its input is."""

    image_size = 256


def large(n: int = len(TRUTH), size: tuple[int, int] = (301, 401)) -> NDArray[np.uint8]:
    """The drawn eye, small in a large picture."""
    out = np.full((n, *size), BACKGROUND, np.uint8)
    for picture, pupil in zip(out, TRUTH, strict=False):
        picture[Y0 : Y0 + 120, X0 : X0 + 160] = eye_picture(pupil)
    return out


def run(zoom: str = "auto", predictor: FakePredictor | None = None, **options: object) -> EyeRecording:
    settings = RunSettings(**{**QUICK.to_dict(), "zoom": zoom})
    return track_eye(large(), CLICKS, model=predictor or SizedPredictor(), settings=settings, **options)  # type: ignore[arg-type]


def test_the_rectangle_holds_the_eye_everywhere_and_results_are_in_px_of_the_picture() -> None:
    predictor = SizedPredictor()
    rec, whole = run(predictor=predictor), run("off")
    assert rec.zoom is not None and rec.zoom["used"] and rec.zoom["at_border"] == []
    (view,) = rec.zoom["views"]
    x0, y0, x1, y1 = view["region"]
    assert predictor.states[-1].source.size == (y1 - y0, x1 - x0)
    assert view["gain"] > 2 and view["frames_seen"] == 1 + 24 // 12
    for pupil in TRUTH:
        assert pupil is not None
        left, top, right, bottom = pupil.scaled(2.0, about=pupil.center).translated(X0, Y0).bounds
        assert x0 < left and y0 < top and right < x1 and bottom < y1
    assert whole.zoom is None
    both = rec.signals.join(whole.signals, on=["frame_idx", "object"], suffix="_whole")
    assert len(both) == len(rec.signals) == 2 * len(TRUTH)
    for column in ("center_x_px", "center_y_px", "major_px", "minor_px"):
        assert (both[column] - both[f"{column}_whole"]).abs().max() < 0.05  # type: ignore[operator]
    assert rec.masklets is not None and whole.masklets is not None
    for frame in (0, 10, 23):
        for name in ("pupil", "iris"):
            mask = rec.masklets.mask(frame, name)
            assert mask.shape == (301, 401) and (mask == whole.masklets.mask(frame, name)).all()


def test_a_click_on_a_later_frame_and_one_reflection_elsewhere() -> None:
    source = open_video(large())
    prompts = [parse_point(t) for t in (*CLICKS, f"cr:{X0 + 150},{Y0 + 10}@20")]
    (choice,) = choose_rectangles(source, prompts, SizedPredictor(), plan_views(source.size))
    assert choice.region is not None and choice.region[2] > X0 + 150 and choice.region[1] < Y0 + 10


def test_an_eye_that_is_large_already_is_looked_at_once() -> None:
    frames = np.stack([eye_picture(pupil) for pupil in TRUTH])
    predictor = SizedPredictor()
    rec = track_eye(frames, ["pupil:65,58@10"], model=predictor, settings=QUICK)
    assert rec.zoom is not None and not rec.zoom["used"] and rec.zoom["views"][0]["frames_seen"] == 1
    assert len(predictor.states) == 2  # the one look, and the run


@pytest.mark.parametrize(("close", "used"), [(0.85, True), (0.75, False)])
def test_a_rectangle_in_which_the_network_is_less_sure_is_dropped(close: float, used: bool) -> None:
    class Doubtful(SizedPredictor):
        def propagate(self, inference_state: FakeState, *args: Any, **more: Any) -> Iterator[FakeOutput]:
            zoomed = inference_state.source.size != (301, 401)
            for output in super().propagate(inference_state, *args, **more):
                sure = {"pupil": close if zoomed else 0.9}  # the iris is not asked where there is a pupil
                output.predicted_iou[:] = [sure.get(name, 0.6) for name in output.obj_ids]
                yield output

    rec = run(predictor=Doubtful())
    assert rec.zoom is not None and rec.zoom["used"] is used
    (view,) = rec.zoom["views"]
    assert ("region" in view) is used and view["frames_seen"] == 1 + 24 // 12
    if not used:
        assert "less sure" in view["why"] and "0.75 instead of 0.90" in view["why"]


def test_a_damaged_picture_behind_the_click_leaves_the_rectangle_unchecked() -> None:
    source = open_video(large())
    original = source.read

    def read(index: int) -> Any:
        if index == 11:
            raise InputError("frame 11 is damaged")
        return original(index)

    source.read = read  # type: ignore[method-assign]
    (choice,) = choose_rectangles(source, [parse_point(CLICKS[0])], SizedPredictor(), plan_views(source.size))
    assert choice.region is not None


def test_each_view_has_its_own_rectangle() -> None:
    pair = np.concatenate([large()[:, :, :301], large()[:, :, 100:]], axis=2)  # 602 x 301
    clicks = [CLICKS[0], f"pupil:{301 - 100 + X0 + 65},{Y0 + 58}@10"]
    rec = track_eye(pair, clicks, model=SizedPredictor(), settings=QUICK)
    assert rec.zoom is not None
    first, second = (view["region"] for view in rec.zoom["views"])
    assert first[2] <= 301 <= second[0]
    apart = (
        rec.signals.filter(pl.col("view") == 1)["center_x_px"]
        - rec.signals.filter(pl.col("view") == 0)["center_x_px"]
    )
    assert apart.to_list() == pytest.approx([201.0] * len(TRUTH), abs=0.1)


def test_who_cannot_look_beforehand_says_so() -> None:
    silent = run(predictor=FakePredictor())
    assert silent.zoom is not None and not silent.zoom["used"] and "input" in silent.zoom["why"]
    stream = track_eye(iter(large(12)), [CLICKS[0][:-3]], model=SizedPredictor(), settings=QUICK)
    assert stream.zoom is not None and "stream" in stream.zoom["why"]


def test_at_most_so_many_frames_are_looked_at() -> None:
    predictor, read = SizedPredictor(), []
    source = open_video(np.repeat(large(1), 400, axis=0))
    original = source.read
    source.read = lambda i: (read.append(i), original(i))[1]  # type: ignore[method-assign,func-returns-value]
    choose_rectangles(source, [parse_point(CLICKS[0])], predictor, plan_views(source.size))
    assert len(set(read)) == LOOKS + 2 and max(read) > 380  # the click, and the frame after it


def test_a_run_in_a_folder_keeps_its_rectangle(tmp_path: Path) -> None:
    out = tmp_path / "run"
    rec = run(out=out)
    record = json.loads((out / "run.json").read_text())
    assert record["zoom"] == rec.zoom and record["views"] == [[0, 0, 401, 301]]
    region = record["zoom"]["views"][0]["region"]
    assert record["settings"]["zoom"] == ",".join(map(str, region))
    # Going on asks for "auto" again, and neither looks nor chooses anew.
    predictor = SizedPredictor()
    again = track_eye(
        large(),
        CLICKS,
        model=predictor,
        out=out,
        settings=RunSettings(overlay=False, report=False, resume=True),
    )
    assert len(predictor.states) <= 1 and again.zoom == rec.zoom
    assert again.signals.equals(rec.signals)
    with pytest.raises(OutputError, match="zoom"):
        off = RunSettings(overlay=False, report=False, resume=True, zoom="off")
        track_eye(large(), CLICKS, model=SizedPredictor(), out=out, settings=off)


def test_an_eye_that_leaves_its_rectangle_is_doubtful(tmp_path: Path) -> None:
    out = tmp_path / "run"
    region = (X0 + 30, Y0 + 25, X0 + 92, Y0 + 120)  # the pupil drifts to the right, out of it
    rec = run(",".join(map(str, region)), out=out)
    assert rec.zoom is not None and rec.zoom["asked"] == rec.zoom["asked"]
    (at,) = rec.zoom["at_border"]
    assert at["view"] == 0 and at["frames"] >= 5 and at["first_frame"] > 5
    marked = rec.doubtful.filter(pl.col("reason").str.contains("border of the zoom"))
    assert set(marked["object"]) == {"pupil"} and marked["frame_idx"].min() == at["first_frame"]
    # Made again from its folder, the table is the same.
    before = (out / "doubtful.csv").read_text()
    remake(out)
    assert (out / "doubtful.csv").read_text() == before


def test_a_click_outside_of_a_rectangle_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(PromptError, match="--zoom off"):
        run("200,110,240,160", out=out)
    assert not out.exists()
    with pytest.raises(PromptError, match="picture is"):
        run("200,110,940,160", out=out)


def test_track_zooms_where_it_is_told_to() -> None:
    box = "100,55,280,190"
    for zoom, shape in (("auto", (301, 401)), (box, (135, 180))):
        predictor = SizedPredictor()
        settings = RunSettings(views="none", zoom=zoom)
        masklets = track(large(4), {"ball": (X0 + 60, Y0 + 55)}, model=predictor, settings=settings)
        assert predictor.states[0].source.size == shape and len(predictor.states) == 1
        assert masklets.mask(0, "ball")[Y0 + 55, X0 + 60] and masklets.mask(0, "ball").shape == (301, 401)
