"""Reading a finished run, and its tables and masks in the files of others."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner

from finished_run import CLOSED, FRAMES, LEFT, RIGHT, START_NS, make_run
from ocusam.cli.main import app
from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame, View
from ocusam.eye.filters import Filters
from ocusam.eye.signals import COLUMNS
from ocusam.workflows.results.export_masks import write_coco, write_npz, write_png
from ocusam.workflows.results.export_tables import (
    pupil_positions,
    to_pandas,
    to_pymovements,
    write_filtered,
    write_parquet,
)
from ocusam.workflows.results.finished_run import FinishedRun, open_run
from ocusam.workflows.session.masklets import Masklets, MaskletWriter


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return open_run(make_run(tmp_path_factory.mktemp("exports") / "run"))


def test_a_run_is_read_back_with_its_types(run: FinishedRun) -> None:
    assert run.size == (120, 320) and [v.region for v in run.views] == [(0, 0, 160, 120), (160, 0, 320, 120)]
    assert list(run.signals.columns)[: len(COLUMNS)] == list(COLUMNS)
    assert run.signals.schema["timestamp_ns"] == pl.Int64 and run.signals["timestamp_ns"][0] == START_NS
    assert run.signals.schema["center_x_px"] == pl.Float64
    assert run.quality.height == 3 and run.events is not None
    assert sorted(run.masklets.objects) == ["iris", "pupil"]


def test_folders_that_are_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(InputError, match="cannot be read"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"status": "running", "input": {"size_hw": [1, 2]}}')
    with pytest.raises(InputError, match="--resume"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"status": "finished", "input": {"size_hw": [1, 2]}}')
    with pytest.raises(InputError, match=r"no signals\.csv"):
        _ = open_run(tmp_path).signals


def test_parquet_holds_what_the_run_holds(run: FinishedRun, tmp_path: Path) -> None:
    names = [path.stem for path in write_parquet(run, tmp_path)]
    assert {"signals", "blinks", "quality"} <= set(names) == {path.stem for path in run.folder.glob("*.csv")}
    assert pl.read_parquet(tmp_path / "signals.parquet").equals(run.signals)
    pytest.importorskip("pandas")
    frame = to_pandas(run.signals)
    assert frame["timestamp_ns"].iloc[0] == START_NS and len(frame) == run.signals.height


def test_filtered_signals_mark_every_sample(run: FinishedRun, tmp_path: Path) -> None:
    options = ["--median", "3", "--interpolate", "2000"]
    said = CliRunner().invoke(
        app, ["export", str(run.folder), "-f", "filtered", "-o", str(tmp_path / "f [1]"), *options]
    )
    assert said.exit_code == 0, said.output
    table = pl.read_csv(tmp_path / "f [1]" / "signals_filtered.csv", glob=False)
    assert json.loads((tmp_path / "f [1]" / "signals_filtered.json").read_text())["interpolate_ms"] == 2000
    assert (
        table.height == run.signals.height
        and table.columns[: len(run.signals.columns)] == run.signals.columns
    )
    for was, row in zip(run.signals.iter_rows(named=True), table.iter_rows(named=True), strict=True):
        bridged = row["major_px_validity"] == "interpolated"
        assert bridged == (was["state"] != "tracked") and row["major_px"] is not None
    assert (table["major_px_validity"] == "interpolated").any()
    refused = CliRunner().invoke(
        app, ["export", str(run.folder), "-f", "filtered", "-o", str(tmp_path / "g"), "--median", "4"]
    )
    assert refused.exit_code == 2 and "odd number" in refused.output and not (tmp_path / "g").exists()


def test_without_filters_nothing_is_changed_but_marked(run: FinishedRun, tmp_path: Path) -> None:
    path, _ = write_filtered(run, tmp_path, Filters())
    table = pl.read_csv(path, schema_overrides=run.signals.schema)
    values = pl.col("center_x_px", "center_y_px", "major_px")
    tracked = run.signals.filter(pl.col("state") == "tracked").select(values)
    assert table.filter(pl.col("major_px_validity") == "measured").select(values).equals(tracked)
    assert set(table["major_px_validity"]) == {"measured", "missing"}


def test_pupil_positions_describe_the_same_ellipses(run: FinishedRun) -> None:
    table = pupil_positions(run, ["left", "right"])
    assert table.columns[:5] == ["pupil_timestamp", "world_index", "eye_id", "confidence", "norm_pos_x"]
    assert len(table.columns) == 34 and table.height == 2 * FRAMES
    for eye_id, truth in ((1, LEFT), (0, RIGHT)):
        eye = table.filter(pl.col("eye_id") == eye_id)
        for row, pupil in zip(eye.iter_rows(named=True), truth, strict=True):
            if pupil is None:
                assert (row["confidence"], row["diameter"], row["norm_pos_y"]) == (0.0, 0.0, 1.0)
                continue
            # Axis a lies along the angle, as in OpenCV.
            found = Ellipse(
                (row["ellipse_center_x"], row["ellipse_center_y"]),
                (row["ellipse_axis_a"], row["ellipse_axis_b"]),
                row["ellipse_angle"],
            )
            assert found.iou(pupil) > 0.95 and abs(found.angle - pupil.angle) < 6
            assert row["norm_pos_x"] == pytest.approx(pupil.center[0] / 160, abs=0.005)
            assert row["norm_pos_y"] == pytest.approx(1 - pupil.center[1] / 120, abs=0.005)
    only = pupil_positions(run, ["-", "left"])
    assert only["eye_id"].unique().to_list() == [1] and only.height == FRAMES
    assert pupil_positions(run)["eye_id"].unique().sort().to_list() == [0, 1]
    with pytest.raises(InputError, match="each of the 2 views"):
        pupil_positions(run, ["left"])


def test_pymovements_takes_a_recording(run: FinishedRun) -> None:
    pytest.importorskip("pymovements")
    gaze = to_pymovements(run.signals, run.blinks, view=0)
    assert gaze.samples.height == FRAMES and gaze.samples["time"][1] == 20
    assert gaze.experiment.sampling_rate == 50
    pixel = gaze.samples["pixel"].to_list()
    assert pixel[0] == pytest.approx(list(LEFT[0].center if LEFT[0] else ()), abs=0.5)
    assert pixel[CLOSED[2]] == [None, None]
    assert gaze.events.frame.height == run.blinks.filter(pl.col("view") == 0).height
    with pytest.raises(InputError, match=r"pupil \(view 1\)"):
        to_pymovements(run.signals, run.blinks, view=1, name="iris")


def test_any_name_of_an_object_stays_in_the_folder_of_pictures(tmp_path: Path) -> None:
    view, names = View(0, (0, 0, 8, 6)), ["..", "left/eye", "left:eye", "../../out"]
    writer = MaskletWriter(tmp_path / "run/masklets", (6, 8))
    mask = np.ones((6, 8), dtype=np.bool_)
    writer.add(
        [ObjectFrame(0, 0, view, name, np.zeros((4, 4), np.float32), mask, 0.9, 3.0) for name in names]
    )
    writer.finish()
    assert write_png(Masklets.from_folder(tmp_path / "run/masklets"), tmp_path / "png") == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["png", "run"]
    folders = sorted(path.parent.name for path in (tmp_path / "png").rglob("*.png"))
    assert folders == ["_", "_.._out", "left_eye", "left_eye_"]


def test_masks_come_back_from_every_form(run: FinishedRun, tmp_path: Path) -> None:
    names = {(0, "iris"): "view0_iris", (0, "pupil"): "view0_pupil", (1, "pupil"): "view1_pupil"}
    assert write_png(run.masklets, tmp_path / "png") == 3 * FRAMES
    count = write_coco(run.masklets, tmp_path / "masks.json")
    assert count == 3 * FRAMES - 2 * len(CLOSED)
    coco = COCO(str(tmp_path / "masks.json"))
    assert write_npz(run.masklets, tmp_path / "masks.npz") == 3
    with np.load(tmp_path / "masks.npz") as arrays:
        assert sorted(arrays) == sorted(names.values())
        for pair, name in names.items():
            stack = arrays[name]
            assert stack.shape == (FRAMES, 120, 320) and stack.dtype == bool
            category = next(c["id"] for c in coco.loadCats(coco.getCatIds()) if c["name"] == name)
            for frame in (0, CLOSED[0], FRAMES - 1):
                expected = run.masklets.mask(frame, pair[1], pair[0])
                assert (stack[frame] == expected).all()
                picture = np.asarray(Image.open(tmp_path / "png" / name / f"{frame:06d}.png"))
                assert ((picture == 255) == expected).all()
                found = coco.loadAnns(coco.getAnnIds(imgIds=[frame], catIds=[category]))
                assert len(found) == bool(expected.any())
                if found:
                    assert (coco.annToMask(found[0]) == expected).all()
                    x, y, w, h = found[0]["bbox"]
                    assert expected[y : y + h, x : x + w].sum() == expected.sum() == found[0]["area"]


@pytest.mark.parametrize(
    ("format", "arguments", "made"),
    [
        ("parquet", [], "signals.parquet"),
        ("pupil-core", ["--eyes", "left,right"], "pupil_positions.csv"),
        ("masks-coco", [], "masks.json"),
        ("masks-npz", [], "masks.npz"),
        ("masks-png", [], "view1_pupil/000039.png"),
        ("bids", ["--subject", "01", "--task", "t", "--eyes", "left,right"], "dataset_description.json"),
    ],
)
def test_on_the_command_line(
    run: FinishedRun, format: str, arguments: list[str], made: str, tmp_path: Path
) -> None:
    command = ["export", str(run.folder), "--format", format, "-o", str(tmp_path / "out"), *arguments]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / made).is_file() and "written " in result.output
    assert not list((tmp_path / "out").rglob("*.part"))


def test_command_lines_that_are_refused(run: FinishedRun, tmp_path: Path) -> None:
    for arguments, word in (
        (["export", str(tmp_path), "-f", "parquet", "-o", str(tmp_path / "o")], "no run.json"),
        (
            ["export", str(run.folder), "-f", "bids", "-o", str(tmp_path / "o")],
            "--subject, --task and --eyes",
        ),
        (["export", str(run.folder), "-f", "pupil-core", "-o", str(tmp_path / "o"), "--eyes", "l"], "'l'"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2 and word in result.stderr, result.output
    assert list(tmp_path.iterdir()) == []


def test_the_record_names_the_clock(run: FinishedRun) -> None:
    assert json.loads((run.folder / "run.json").read_text())["input"]["clock"] == "presentation times"
