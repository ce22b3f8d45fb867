"""The annotated recordings can be read, and their first clicks land in the right views. (No network.)"""

from pathlib import Path

import pytest

from ocusam.video.reader import open_video
from ocusam.workflows.evaluate import true_clicks
from ocusam.workflows.inputs.views import plan_views, split_prompts
from ocusam.workflows.scoring.annotations import Clip, read_annotations


@pytest.fixture(scope="module")
def clips(shared_dir: Path) -> dict[str, Clip]:
    return {clip.name: clip for clip in read_annotations(shared_dir / "data" / "annotations.json")}


def test_all_clips_are_there_with_their_frames(clips: dict[str, Clip]) -> None:
    assert {name: len(clip.annotations) for name, clip in clips.items()} == {
        "d1": 42,
        "d2": 50,
        "d3": 27,
        "d4": 10,
    }
    assert all(clip.path.is_file() for clip in clips.values())


@pytest.mark.parametrize(
    ("name", "count", "eyes"),
    [
        ("d1", 2, {"left": 0, "right": 1}),
        ("d2", 4, {"view0": 0, "view2": 2}),
        ("d3", 1, {"only": 0}),
        ("d4", 1, {"only": 0}),
    ],
)
def test_views_are_found_by_themselves(
    name: str, count: int, eyes: dict[str, int], clips: dict[str, Clip]
) -> None:
    clip = clips[name]
    with open_video(clip.path) as source:
        views = plan_views(source.size)
    assert len(views) == count
    assert {eye: view.index for eye, view in clip.eyes(views).items()} == eyes
    parts = split_prompts(clip.prompts(("pupil", "iris")), views)
    assert {index: sorted(p.name for p in part) for index, part in parts.items()} == {
        index: ["iris", "pupil"] for index in eyes.values()
    }


def test_truth_lies_within_its_view(clips: dict[str, Clip]) -> None:
    for clip in clips.values():
        with open_video(clip.path) as source:
            eyes = clip.eyes(plan_views(source.size))
        for a in clip.annotations:
            if a.pupil is not None:
                assert eyes[a.eye].holds(*a.pupil.center), (clip.name, a.frame_idx)
                for prompt in true_clicks(a, ("pupil", "iris")):
                    assert eyes[a.eye].holds(*prompt.center), (clip.name, a.frame_idx, prompt.name)
