from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocusam.core.errors import InputError
from ocusam.workflows.inputs.recording_list import FEWEST_PICTURES, BatchItem, list_recordings


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_csv(folder: Path, *lines: str) -> Path:
    (folder / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return folder / "list.csv"


def test_a_folder_with_subfolders(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "in" / "results"
    touch(folder / "b10.mp4", folder / "b9.MP4", folder / "p07" / "left.avi", folder / "notes.txt")
    touch(folder / "p07" / "left.prompts.json", folder / ".hidden" / "x.mp4", folder / "b9.avi")
    touch(out / "old.mp4", folder / "run" / "run.json", folder / "run" / "overlay.mp4")
    common = BatchItem("", folder, out, points=("pupil:1,2",), prompts=tmp_path / "all.json", views="2x1")
    items = list_recordings(folder, out, common)
    assert [i.name for i in items] == ["b9.avi", "b9.MP4", "b10", "p07/left"]
    assert [i.participant for i in items] == ["", "", "", "p07"]
    assert [i.prompts and i.prompts.name for i in items] == [*["all.json"] * 3, "left.prompts.json"]
    assert items[3].out == out / "p07/left" and items[3].video == folder / "p07" / "left.avi"
    assert all(i.views == "2x1" and i.points == ("pupil:1,2",) for i in items)


def test_a_table(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path,
        "video, participant,point,prompts,out,views",
        'a/eye0.mp4,"p 07",pupil:3,,,',
        "a/eye0.mp4,p 07,pupil:3,,,".replace("pupil:3", "pupil:3@4") and "b/eye0.mp4,p 07,,,,",
        ",,,,,",
        "c/eye0.mp4,p08,,pack.json,mine/c,2x1",
    )
    path.write_text(path.read_text(encoding="utf-8-sig").replace("pupil:3,", '"pupil:3,4 iris:5,6@2",'))
    common = BatchItem("", path, tmp_path / "out", points=("pupil:9,9",))
    items = list_recordings(path, tmp_path / "out", common)
    assert [i.name for i in items] == ["p_07_eye0", "p_07_eye0_2", "mine/c"]
    assert [i.video.parent.name for i in items] == ["a", "b", "c"]
    assert [i.points for i in items] == [("pupil:3,4", "iris:5,6@2"), ("pupil:9,9",), ()]
    assert items[2].prompts == tmp_path / "pack.json" and items[2].views == "2x1"
    assert [i.out for i in items] == [tmp_path / "out" / i.name for i in items]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["vidoe"], "unknown column 'vidoe'"),
        (["participant"], "no column video"),
        (["video"], "lists no recordings"),
        (["video,participant", ",p07"], "line 2: no video"),
        (["video", "a.mp4,b"], "line 2: more cells"),
        (["video,point", "a.mp4,pupil"], "line 2: Cannot read the point 'pupil'"),
        (["video,out", "a.mp4,x", "b.mp4,x"], "the same folder .*a.mp4 and .*b.mp4"),
    ],
)
def test_tables_that_are_refused(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        list_recordings(write_csv(tmp_path, *lines), tmp_path / "out")


@pytest.mark.parametrize(("between", "encoding"), [(";", "cp1252"), ("\t", "utf-16"), (",", "utf-8-sig")])
def test_tables_as_spreadsheets_save_them(between: str, encoding: str, tmp_path: Path) -> None:
    rows = [("video", "participant", "point"), ("a.mp4", "Jürgen", '"pupil:3,4"'), ("", "", "")]
    path = tmp_path / "list.csv"
    path.write_bytes("\r\n".join(between.join(row) for row in rows).encode(encoding))
    (item,) = list_recordings(path, tmp_path / "out", BatchItem("", tmp_path, tmp_path))
    assert (item.participant, item.points, item.video.name) == ("Jürgen", ("pupil:3,4",), "a.mp4")


def test_other_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no videos"):
        list_recordings(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="No such file"):
        list_recordings(tmp_path / "x.csv", tmp_path / "out")
    touch(tmp_path / "v.mp4")
    with pytest.raises(InputError, match="ocusam eye"):
        list_recordings(tmp_path / "v.mp4", tmp_path / "out")


def test_stacks_and_folders_of_pictures_are_recordings(tmp_path: Path) -> None:
    """They were passed over without a word."""
    page = Image.fromarray(np.zeros((4, 6), np.uint8))
    (tmp_path / "in").mkdir()
    page.save(tmp_path / "in" / "stack.tif", save_all=True, append_images=[page])
    page.save(tmp_path / "in" / "figure.tif")
    touch(*(tmp_path / "in" / "mouse1" / f"frame_{i}.tiff" for i in range(FEWEST_PICTURES)))
    touch(*(tmp_path / "in" / "few" / f"{i}.png" for i in range(3)), tmp_path / "in" / "few" / "v.mj2")
    names = [item.name for item in list_recordings(tmp_path / "in", tmp_path / "out")]
    assert names == ["few/v", "mouse1", "stack"]
    (alone,) = list_recordings(tmp_path / "in" / "mouse1", tmp_path / "out")
    assert alone.video == tmp_path / "in" / "mouse1"


def test_many_stacks_are_as_many_recordings(tmp_path: Path) -> None:
    """And no folder of pictures."""
    page = Image.fromarray(np.zeros((4, 6), np.uint8))
    (tmp_path / "in").mkdir()
    for i in range(FEWEST_PICTURES):
        page.save(tmp_path / "in" / f"{i}.tif", save_all=True, append_images=[page])
    names = [item.name for item in list_recordings(tmp_path / "in", tmp_path / "out")]
    assert names == [str(i) for i in range(FEWEST_PICTURES)]


def test_files_of_times(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.mp4", *(tmp_path / "in" / "b" / f"{i}.png" for i in range(FEWEST_PICTURES)))
    items = list_recordings(tmp_path / "in", tmp_path / "out", times="{name}_times.csv")
    assert [item.times for item in items] == [tmp_path / "in" / f"{name}_times.csv" for name in "ab"]
    table = write_csv(tmp_path, "video,times", "in/a.mp4,clock.csv", "in/b,")
    own, other = list_recordings(table, tmp_path / "out", times="{name}/t.csv")
    assert (own.times, other.times) == (tmp_path / "clock.csv", tmp_path / "in" / "b" / "t.csv")
    assert all(item.times is None for item in list_recordings(tmp_path / "in", tmp_path / "out"))
