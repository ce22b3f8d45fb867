import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco

from ocusam.core.errors import InputError, PromptError
from ocusam.core.prompts import ObjectPrompt, PromptPack
from ocusam.workflows.inputs import prompt_pack
from ocusam.workflows.inputs.prompt_pack import read_json, reference_picture, write_json


def write(folder: Path, **data: Any) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps({"ocusam_prompts": 1, **data}))
    return path


def test_a_pack_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((12, 17)) > 0.5
    shown = reference_picture(
        rng.integers(0, 255, (9, 8, 3), dtype=np.uint8), [ObjectPrompt("iris", box=(1, 2, 5, 6))]
    )
    pack = PromptPack(
        (
            ObjectPrompt("pupil", 3, np.array([[1.5, 2], [3, 4]]), np.array([1, 0])),
            ObjectPrompt("iris", 0, box=(1, 2, 8.5, 9)),
            ObjectPrompt("sclera", 7, mask=mask),
        ),
        (shown,),
        (12, 17),
    )
    back = read_json(write_json(tmp_path / "run", pack))
    assert [p.to_dict() for p in back.prompts] == [p.to_dict() for p in pack.prompts]
    assert (back.prompts[2].mask == mask).all()
    assert back.size_hw == (12, 17)
    assert (back.references[0].image == shown.image).all()
    assert back.references[0].prompts[0].box == (1, 2, 5, 6)


def test_what_may_be_left_out(tmp_path: Path) -> None:
    pack = read_json(write(tmp_path, prompts=[{"object": "pupil", "points": [[4, 5], [6, 7]]}]))
    (prompt,) = pack.prompts
    assert (prompt.frame_idx, prompt.labels.tolist(), pack.size_hw) == (0, [1, 1], None)


def test_masks_from_a_picture_and_from_run_lengths(tmp_path: Path) -> None:
    mask = np.zeros((6, 5), bool)
    mask[2:4, 1:3] = True
    Image.fromarray(mask.astype(np.uint8) * 7).save(tmp_path / "m.png")
    runs = {"size": [6, 5], "counts": [8, 2, 4, 2, 14]}
    path = write(tmp_path, prompts=[{"object": "a", "mask": "m.png"}, {"object": "b", "mask": runs}])
    for prompt in read_json(path).prompts:
        assert (prompt.mask == mask).all()


@given(hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_compressed_counts_are_read_as_pycocotools_reads_them(mask: np.ndarray) -> None:
    text = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    found = prompt_pack._mask({"size": list(mask.shape), "counts": text}, Path(), "here")
    assert (found == mask).all()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"points": [[1, 2]]}, r"prompts\[1\]: \"object\" must name"),
        ({"object": "iris", "point": [[1, 2]]}, r"prompts\[1\]: unknown key 'point'"),
        ({"object": "iris", "points": [[1, 2, 3]]}, r"prompts\[1\] \(iris\): \"points\" is a list"),
        ({"object": "iris", "points": [[1, "x"]]}, r"prompts\[1\] \(iris\): \"points\" is a list"),
        ({"object": "iris", "points": [[1, 2]], "labels": [2]}, r"\(iris\): \"labels\""),
        ({"object": "iris", "points": [[1, 2]], "labels": [1, 1]}, r"prompts\[1\] \(iris\): .*2 labels"),
        ({"object": "iris", "frame_idx": -1, "points": [[1, 2]]}, r"\(iris\): .*count from 0"),
        ({"object": "iris", "frame_idx": 1.5, "points": [[1, 2]]}, r"\(iris\): \"frame_idx\""),
        ({"object": "iris", "box": [1, 2, 3]}, r"\(iris\): \"box\""),
        ({"object": "iris", "box": [5, 2, 3, 4]}, r"\(iris\): .*x0 < x1"),
        ({"object": "iris"}, r"prompts\[1\] \(iris\): .*is empty"),
        ({"object": "iris", "mask": "none.png"}, r"\(iris\): No such file"),
        ({"object": "iris", "mask": {"size": [4, 4], "counts": "0"}}, r"\(iris\): \"mask\" is COCO RLE"),
        ({"object": "iris", "mask": {"size": [4, 4], "counts": "n~"}}, r"do not describe 4 x 4"),
        ({"object": "iris", "mask": {"size": [4, 4], "counts": [20, -4]}}, r"do not describe 4 x 4"),
        ({"object": "iris", "mask": {"size": [4], "counts": "0"}}, r"mask size is \[height, width\]"),
        (["iris"], r"prompts\[1\]: an entry is an object"),
    ],
)
def test_errors_name_the_entry(entry: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, prompts=[{"object": "pupil", "points": [[1, 2]]}, entry])
    with pytest.raises(PromptError, match=message):
        read_json(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no prompts"),
        ('{"ocusam_prompts": 9, "prompts": []}', "reads 1"),
        ('{"ocusam_prompts": 1, "prompts": []}', "holds no prompt"),
        ('{"ocusam_prompts": 1, "prompts": {}}', "prompts must be a list"),
        ('{"ocusam_prompts": 1, "references": [{"image": "no.png"}]}', r"references\[0\]: No such file"),
    ],
)
def test_errors_of_the_whole_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PromptError, match=message):
        read_json(tmp_path / "p.json")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_json(tmp_path / "none.json")


def test_a_reference_is_checked_against_its_own_picture(tmp_path: Path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "p07.png")
    entry = {"image": "p07.png", "prompts": [{"object": "pupil", "points": [[9, 3]]}]}
    with pytest.raises(PromptError, match=r"references\[0\]: Reference picture p07.png: .*8 x 6 px"):
        read_json(write(tmp_path, references=[entry]))
