import json
from pathlib import Path

import polars as pl
import pytest

from ocusam.core.errors import InputError, OutputError
from ocusam.workflows.session.run_folder import RunFolder, describe_input, input_of_run


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with RunFolder(out, {"prompts": [1]}) as folder:
        assert json.loads((out / "run.json").read_text())["status"] == "running"
        folder.write_table("signals.csv", pl.DataFrame({"x": [1.25, None]}))
        folder.record["frames"] = 2
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished" and record["frames"] == 2 and record["prompts"] == [1]
    assert {"python", "numpy", "polars"} <= record["versions"].keys()
    assert (out / "signals.csv").read_text() == "x\n1.250000\n\n" or (
        out / "signals.csv"
    ).read_text().startswith("x\n1.25")
    assert sorted(p.name for p in out.iterdir()) == ["run.json", "signals.csv"]


def test_bad_input_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with pytest.raises(InputError), RunFolder(out, {}) as folder:
        folder.write_table("signals.csv", pl.DataFrame({"x": [1]}))
        (out / "masklets").mkdir()
        raise InputError("broken")
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError), RunFolder(tmp_path, {}):
        raise InputError("broken")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("broken"), MemoryError("none left")])
def test_a_run_that_ends_early_keeps_what_is_done_and_says_why(error: BaseException, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(type(error)), RunFolder(out, {}) as folder:
        (out / "masklets").mkdir()
        folder.computed = True
        raise error
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "interrupted" and record["reason"]
    assert (out / "masklets").is_dir()


def test_a_run_that_goes_on_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError), RunFolder(tmp_path, {"started": "then"}, going_on=True):
        raise InputError("broken")
    assert json.loads((tmp_path / "run.json").read_text())["started"] == "then"


@pytest.mark.parametrize("name", ["run.json", "signals.csv", "overlay.mp4"])
def test_another_run_is_refused_before_anything_happens(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("old")
    with pytest.raises(OutputError, match=f"holds another run .*{name}"):
        RunFolder(tmp_path, {})
    assert (tmp_path / name).read_text() == "old"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        RunFolder(tmp_path / "f", {})


def test_the_input_has_a_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"abc")
    said = describe_input(path)
    assert said["bytes"] == 3
    assert said["sha256_first_mib"].startswith("ba7816bf")
    assert describe_input([1, 2]) == {"type": "list"}
    for name in ("2.png", "10.png", "notes.txt"):
        (tmp_path / name).touch()
    assert describe_input(tmp_path)["pictures"] == 2


def test_a_recording_has_the_fingerprints_of_its_eye_videos(tmp_path: Path) -> None:
    """Without them `--resume` would go on with the recording of somebody else."""
    (tmp_path / "segments" / "1").mkdir(parents=True)
    (tmp_path / "segments" / "1" / "eyesstream.mp4").write_bytes(b"abc")
    said = describe_input(tmp_path)
    (video,) = said["videos"]
    assert Path(video["path"]) == Path("segments/1/eyesstream.mp4") and video["bytes"] == 3
    assert video["sha256_first_mib"].startswith("ba7816bf") and "pictures" not in said


def test_the_input_is_found_from_the_run_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("study/data", "study/out", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "study/data/eye.mp4").write_bytes(b"abc")
    (tmp_path / "elsewhere/eye.mp4").write_bytes(b"another")
    monkeypatch.chdir(tmp_path / "study/data")
    record = {"input": describe_input("eye.mp4", Path("../out")) | {"size_hw": [2, 3]}}
    assert record["input"]["path_from_run"] == "../data/eye.mp4"

    monkeypatch.chdir(tmp_path / "elsewhere")  # where another video has the same name
    found, places = input_of_run(record, tmp_path / "study/out")
    assert found is not None and found.read_bytes() == b"abc" and len(places) == 2
    (tmp_path / "study").rename(tmp_path / "moved")
    found, _ = input_of_run(record, tmp_path / "moved/out")
    assert found is not None and found.read_bytes() == b"abc"

    assert input_of_run(record, tmp_path / "elsewhere")[0] is None
    assert input_of_run({"input": {"type": "list"}}, tmp_path) == (None, [])
    old = {"input": {k: v for k, v in record["input"].items() if k != "path_from_run"}}
    monkeypatch.chdir(tmp_path / "moved/data")
    assert input_of_run(old, tmp_path)[0] == Path("eye.mp4")
