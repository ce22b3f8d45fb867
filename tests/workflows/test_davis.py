"""Folders scored against folders, and masklets written as such folders."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from ocusam.core.errors import InputError, OutputError
from ocusam.core.masklet import ObjectFrame, View
from ocusam.workflows.davis import export_masklets, names_of_pictures, open_run, score_folders
from ocusam.workflows.scoring.davis_folders import Layout, Mask, find_videos, write_video
from ocusam.workflows.session.masklets import Masklets, MaskletWriter

SIZE = (40, 40)
LAYOUTS = pytest.mark.parametrize("layout", ["palette", "objects"])


def square(column: int, row: int = 10) -> Mask:
    mask = np.zeros(SIZE, dtype=bool)
    mask[row : row + 10, column : column + 10] = True
    return mask


def write(root: Path, name: str, frames: list[Mapping[int, Mask]], layout: Layout) -> None:
    named = [(f"{i:05d}", masks) for i, masks in enumerate(frames)]
    numbers = {number for masks in frames for number in masks}
    write_video(root / name, named, SIZE, numbers, layout)


@pytest.fixture
def folders(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Two videos. Bad ends, which are skipped; between them object 1 is exact on one frame and 2 px aside
    on the other, object 2 is exact. The second video's only object is missed."""
    layout: Layout = request.getfixturevalue("layout")
    good, aside, other, far = square(5), square(7), square(25), square(5, 28)
    truth = [{1: good, 2: other}] * 4
    result = [{1: far, 2: far}, {1: good, 2: other}, {1: aside, 2: other}, {1: far, 2: far}]
    write(tmp_path / "truth", "a", truth, layout)
    write(tmp_path / "result", "a", result, layout)
    write(tmp_path / "truth", "b", [{1: good}] * 3, layout)
    write(tmp_path / "result", "b", [{1: far}] * 3, layout)
    write(tmp_path / "result", "c", [{1: far}] * 3, layout)
    return tmp_path / "truth", tmp_path / "result"


@LAYOUTS
def test_folders_by_hand(folders: tuple[Path, Path], layout: Layout) -> None:
    scores = score_folders(*folders)
    assert [(s.video, int(s.object), s.frames) for s in scores.objects] == [
        ("a", 1, 2),
        ("a", 2, 2),
        ("b", 1, 1),
    ]
    assert [s.j for s in scores.objects] == pytest.approx([(1 + 2 / 3) / 2, 1, 0])
    assert [s.f for s in scores.objects] == pytest.approx([(1 + 0.55) / 2, 1, 0])
    assert scores.j == pytest.approx((5 / 6 + 1) / 3)
    assert scores.f == pytest.approx((0.775 + 1) / 3)
    assert scores.jf == pytest.approx((scores.j + scores.f) / 2)
    assert scores.to_dict()["objects"][0]["j_and_f"] == pytest.approx((5 / 6 + 0.775) / 2)


@LAYOUTS
def test_all_frames(folders: tuple[Path, Path], layout: Layout) -> None:
    scores = score_folders(*folders, skip_first_and_last=False)
    assert [s.frames for s in scores.objects] == [4, 4, 3]
    assert scores.objects[1].j == pytest.approx(1 / 2)


@LAYOUTS
def test_a_result_that_lacks_something_is_refused(folders: tuple[Path, Path], layout: Layout) -> None:
    truth, result = folders
    inside = result / "a" if layout == "palette" else result / "a" / "002"
    (inside / "00000.png").unlink()  # not scored, so not missed
    score_folders(truth, result)
    (inside / "00002.png").rename(result / "kept.png")
    with pytest.raises(InputError, match=r"lacks 00002\.png"):
        score_folders(truth, result)
    if layout == "objects":
        (result / "kept.png").unlink()
        (result / "a" / "002").rename(result / "a" / "003")
        with pytest.raises(InputError, match="lacks the objects 002"):
            score_folders(truth, result)
    else:
        (result / "kept.png").unlink()
    (result / "b").rename(result / "other")
    with pytest.raises(InputError, match="lacks b"):
        score_folders(truth, result)


def test_other_refusals(tmp_path: Path) -> None:
    frames = [{1: square(5)}] * 3
    write(tmp_path / "one", "a", frames, "palette")
    write(tmp_path / "two", "a", frames, "objects")
    with pytest.raises(InputError, match="give both in one layout"):
        score_folders(tmp_path / "one", tmp_path / "two")
    write_video(tmp_path / "small" / "a", [(f"{i:05d}", {}) for i in range(3)], (20, 40), [1])
    with pytest.raises(InputError, match="40 x 20 px in the result, but 40 x 40 px"):
        score_folders(tmp_path / "one", tmp_path / "small")
    write(tmp_path / "short", "a", frames[:2], "palette")
    with pytest.raises(InputError, match="has 2 frames"):
        score_folders(tmp_path / "short", tmp_path / "one")
    write(tmp_path / "void", "a", [{1: square(5) & False}] * 3, "palette")
    with pytest.raises(InputError, match="no object"):
        score_folders(tmp_path / "void", tmp_path / "one")


def test_two_folders_that_are_videos_themselves(tmp_path: Path) -> None:
    frames = [{3: square(5)}] * 3
    write(tmp_path, "truth", frames, "palette")
    write(tmp_path, "result", frames, "palette")
    (score,) = score_folders(tmp_path / "truth", tmp_path / "result").objects
    assert (score.video, score.object, score.jf) == ("truth", "3", 1.0)


def masklets(names: list[str], num_frames: int = 3, folder: Path | None = None) -> Masklets:
    """Objects side by side that move one pixel a frame."""
    writer, view = MaskletWriter(folder, SIZE), View(0, (0, 0, 40, 40))
    logits = np.zeros((10, 10), dtype=np.float32)
    for t in range(num_frames):
        writer.add(
            [
                ObjectFrame(t, t, view, name, logits, square(t, 13 * i), 1.0, 5.0)
                for i, name in enumerate(names)
            ]
        )
    return writer.finish()


@LAYOUTS
def test_masklets_become_folders_that_score_1(tmp_path: Path, layout: Layout) -> None:
    found = export_masklets(masklets(["dog", "cat"]), tmp_path / "out", "film", layout=layout)
    assert found == {1: "cat", 2: "dog"}
    assert json.loads((tmp_path / "out" / "film.objects.json").read_text()) == {"1": "cat", "2": "dog"}
    frames = [{2: square(t, 0), 1: square(t, 13)} for t in range(3)]
    write(tmp_path / "truth", "film", frames, layout)
    scores = score_folders(tmp_path / "truth", tmp_path / "out", skip_first_and_last=False)
    assert len(scores.objects) == 2
    assert scores.jf == 1.0
    with pytest.raises(OutputError, match="exists"):
        export_masklets(masklets(["dog"]), tmp_path / "out", "film", layout=layout)


def test_names_that_are_numbers_are_kept(tmp_path: Path) -> None:
    assert export_masklets(masklets(["7", "12"]), tmp_path, "a") == {12: "12", 7: "7"}
    assert set(np.unique(find_videos(tmp_path)[0].values("00001.png"))) == {0, 7, 12}
    assert export_masklets(masklets(["0", "1"]), tmp_path, "b") == {1: "0", 2: "1"}
    assert export_masklets(masklets(["0", "1"]), tmp_path, "c", layout="objects") == {0: "0", 1: "1"}
    assert export_masklets(masklets(["1", "01"]), tmp_path, "d") == {1: "01", 2: "1"}


def test_frames_take_the_names_of_pictures(tmp_path: Path) -> None:
    export_masklets(masklets(["1"]), tmp_path, "a", frame_names=["x08", "x09", "x10"])
    assert find_videos(tmp_path)[0].frames() == ["x08.png", "x09.png", "x10.png"]
    assert names_of_pictures(tmp_path / "a") == ["x08", "x09", "x10"]
    with pytest.raises(InputError, match="2 frame names for frames up to 2"):
        export_masklets(masklets(["1"]), tmp_path, "b", frame_names=["x", "y"])
    with pytest.raises(InputError, match="not a folder"):
        names_of_pictures(tmp_path / "none")


def test_refused_exports(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="layout='tree'"):
        export_masklets(masklets(["1"]), tmp_path, "a", layout="tree")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="name of a folder"):
        export_masklets(masklets(["1"]), tmp_path, "../a")
    with pytest.raises(InputError, match="no masks"):
        export_masklets(Masklets.empty(SIZE), tmp_path, "a")
    assert not list(tmp_path.iterdir())


def test_a_run_is_opened_with_the_name_of_its_video(tmp_path: Path) -> None:
    masklets(["1"], folder=tmp_path / "run" / "masklets")
    assert open_run(tmp_path / "run")[1] == "run"
    (tmp_path / "run" / "run.json").write_text(json.dumps({"input": {"path": "films/bear.mp4"}}))
    for folder in (tmp_path / "run", tmp_path / "run" / "masklets"):
        found, name = open_run(folder)
        assert (found.num_frames, name) == (3, "bear")
    with pytest.raises(InputError, match="no masklets"):
        open_run(tmp_path)
