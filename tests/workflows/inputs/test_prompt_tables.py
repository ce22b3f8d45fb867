from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocusam.core.errors import PromptError
from ocusam.core.prompts import PromptPack
from ocusam.workflows.inputs.prompt_tables import as_pack, read_prompts, read_reference, read_table

TABLE = "CR\t31\t40\t1\npupil\t60\t55\t1\npupil\t90\t55\t0\n\niris\t90\t60\t1\nsclera\t5\t60\t1\n"


def test_a_table_of_the_research_scripts(tmp_path: Path) -> None:
    path = tmp_path / "trial_01_prompts_all.txt"
    path.write_text(TABLE)
    prompts = {p.name: p for p in read_table(path)}
    assert list(prompts) == ["cr", "pupil", "iris", "sclera"]
    assert prompts["pupil"].points.tolist() == [[60, 55], [90, 55]]
    assert prompts["pupil"].labels.tolist() == [1, 0]


def test_classes_by_number(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("0\t1\t1\t1\n1\t2\t2\t1\n2\t3\t3\t1\n3\t4\t4\t1\n")
    assert read_prompts(tmp_path / "t.tsv").names == ["cr", "pupil", "iris", "sclera"]


@pytest.mark.parametrize("line", ["pupil\t1\t2", "pupil 1 2 1", "pupil\tx\t2\t1", "pupil\t1\t2\t5"])
def test_a_table_names_the_line_at_fault(line: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("pupil\t1\t2\t1\n" + line + "\n")
    with pytest.raises(PromptError, match=r"t\.txt, line 2: write class<TAB>x"):
        read_prompts(tmp_path / "t.txt")


def test_frames_of_one_video_count_from_1_in_the_names(tmp_path: Path) -> None:
    folder = tmp_path / "prompts" / "p07"
    folder.mkdir(parents=True)
    (folder / "left.mp4_x_1_prompts.txt").write_text("pupil\t60\t55\t1\n")
    (folder / "left.mp4_x_24_prompts.txt").write_text("pupil\t61\t55\t1\n")
    (folder / "right.mp4_x_9_prompts.txt").write_text("pupil\t62\t55\t1\n")
    pack = read_prompts(tmp_path / "prompts", tmp_path / "p07" / "left.mp4")
    assert [(p.frame_idx, p.points[0, 0]) for p in pack.prompts] == [(0, 60), (23, 61)]
    with pytest.raises(PromptError, match=r"no prompts for other\.mp4"):
        read_prompts(tmp_path / "prompts", tmp_path / "p07" / "other.mp4")


def test_annotated_pictures_of_a_participant(tmp_path: Path) -> None:
    folder = tmp_path / "p07"
    folder.mkdir()
    for name, table in (("trial_02_prompts_all", TABLE), ("trial_10_prompts_all", "pupil\t1\t1\t1\n")):
        (folder / f"{name}.txt").write_text(table)
    (folder / "trial_02_prompts_all_added.txt").write_text("pupil\t2\t2\t1\n")
    with pytest.raises(PromptError, match=r"trial_02.png is not beside it"):
        read_prompts(tmp_path, folder / "v.mp4")
    for name in ("trial_02", "trial_10"):
        Image.fromarray(np.zeros((100, 120), np.uint8)).save(folder / f"{name}.png")
    pack = read_prompts(tmp_path, tmp_path / "p07" / "v.mp4")
    assert not pack.prompts
    assert [r.name for r in pack.references] == ["trial_02.png", "trial_10.png"]
    assert [r.prompts[0].points.tolist() for r in pack.references] == [[[2, 2]], [[1, 1]]]


def test_a_reference_from_two_files(tmp_path: Path) -> None:
    Image.new("L", (120, 100)).save(tmp_path / "p.png")
    (tmp_path / "p_12_prompts.txt").write_text("pupil\t60\t55\t1\n")
    reference = read_reference(tmp_path / "p.png", tmp_path / "p_12_prompts.txt")
    assert reference.image.shape == (100, 120, 3) and reference.prompts[0].frame_idx == 0


def test_all_forms_a_caller_may_use(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("pupil\t1\t2\t1\n")
    assert not as_pack(None) and not as_pack([])
    for form in ("pupil:1,2", ["pupil:1,2"], {"pupil": (1, 2)}, tmp_path / "t.txt", str(tmp_path / "t.txt")):
        pack = as_pack(form)
        assert isinstance(pack, PromptPack) and pack.prompts[0].points.tolist() == [[1, 2]]
    assert as_pack(pack) is pack
    with pytest.raises(PromptError, match="pupil:320,240"):
        as_pack("pupil 1 2")
