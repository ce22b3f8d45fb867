import pytest

from ocusam.core.errors import InputError, PromptError
from ocusam.core.prompts import parse_point
from ocusam.workflows.inputs.settings import RunSettings, as_prompts, with_cross_negatives


def test_prompts_in_all_forms() -> None:
    assert [p.name for p in as_prompts("pupil:1,2")] == ["pupil"]
    assert [p.name for p in as_prompts(["pupil:1,2", parse_point("iris:3,4")])] == ["pupil", "iris"]
    mapped = as_prompts({"pupil": (1, 2), "cr": [(3, 4), (5, 6)]})
    assert [p.points.tolist() for p in mapped] == [[[1, 2]], [[3, 4], [5, 6]]]
    with pytest.raises(PromptError, match=r"give \(x, y\)"):
        as_prompts({"pupil": (1, 2, 3)})
    with pytest.raises(PromptError, match=r"'pupil': give \(x, y\) or a list of them, got 'a'"):
        as_prompts({"pupil": "a"})
    for other in (3, [(1, 2)], [None]):
        with pytest.raises(PromptError, match="A prompt is a text"):
            as_prompts(other)  # type: ignore[arg-type]


def test_how_many_reflections_may_be_a_number() -> None:
    assert RunSettings(glints=2) == RunSettings(glints="2")
    with pytest.raises(InputError, match="1 to 8"):
        RunSettings(glints=9)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_types_of_numbers(dtype: str) -> None:
    assert RunSettings(dtype=dtype).dtype == dtype
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        RunSettings(dtype=f"{dtype}x")


def test_cross_negatives_follow_the_published_rule() -> None:
    prompts = as_prompts(["pupil:1,1", "iris:2,2", "sclera:3,3", "pupil:9,9@5"])
    by_key = {(p.name, p.frame_idx): p for p in with_cross_negatives(prompts)}
    assert by_key["iris", 0].points.tolist() == [[2, 2], [1, 1], [3, 3]]
    assert by_key["iris", 0].labels.tolist() == [1, 0, 0]
    assert by_key["sclera", 0].labels.tolist() == [1, 0, 0]
    assert by_key["pupil", 0].points.tolist() == [[1, 1], [2, 2]]
    assert by_key["pupil", 5].labels.tolist() == [1]
