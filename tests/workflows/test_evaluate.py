import json
from pathlib import Path

import pytest

from fake_predictor import FakePredictor, eye_truth, write_eye_video
from ocusam.core.errors import InputError
from ocusam.workflows.evaluate import evaluate, write_json
from ocusam.workflows.inputs.settings import Computing, RunSettings
from ocusam.workflows.scoring.annotations import read_annotations
from ocusam.workflows.session.models import OpenedModel

CLOSED = range(20, 30)
TRUTH = eye_truth(60, CLOSED)


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotated")
    write_eye_video(folder / "eye.mp4", TRUTH)
    frames = []
    for i in range(0, 60, 5):
        pupil = TRUTH[i]
        entry = {
            "frame_idx": i,
            "eye": "only",
            "state": "closed" if pupil is None else "open",
            "confidence": "high",
        }
        keys = ("cx", "cy", "major", "minor", "angle_deg")
        values = None if pupil is None else (*pupil.center, *pupil.axes, pupil.angle)
        frames.append({**entry, "iris": None, "pupil": values and dict(zip(keys, values, strict=True))})
    click = {"eye": "only", "frame_idx": 10, "pupil": [65, 58], "iris": [90, 60]}
    clip = {"path": "eye.mp4", "first_click": [click],
            "frames": frames}  # fmt: skip
    path = folder / "annotations.json"
    path.write_text(json.dumps({"clips": {"a": clip, "b": clip}}))
    return path


def test_a_good_tracker_gets_good_scores(annotations: Path, tmp_path: Path) -> None:
    results = evaluate(annotations, clips=["a"], pictures=tmp_path, model=FakePredictor())
    assert list(results) == ["a"]
    s = results["a"].scores["pupil"]
    assert s.scored == 10 and s.found == 10
    assert s.error_rel_median is not None and s.error_rel_median < 0.01
    assert s.iou_median is not None and s.iou_median > 0.95
    assert s.closed == 2 and s.closed_called == 1.0 and s.false_blinks == 0.0
    assert (tmp_path / "a.png").is_file()
    assert len(list((tmp_path / "a").glob("*.png"))) == 12
    write_json(tmp_path / "scores.json", results, annotations)
    written = json.loads((tmp_path / "scores.json").read_text())["clips"]["a"]
    assert (
        written["scores"]["pupil"]["scored"] == 10 and len(written["frames"]) == 14
    )  # closed: pupil and iris


def test_thinned_tracking_scores_the_same_frames(annotations: Path, tmp_path: Path) -> None:
    result = evaluate(annotations, clips=["a"], every=7, pictures=tmp_path, model=FakePredictor())["a"]
    assert result.num_frames == len({*range(0, 60, 7), *range(0, 60, 5)})
    s = result.scores["pupil"]
    assert s.scored == s.found == 10
    assert s.error_rel_median is not None and s.error_rel_median < 0.01
    assert s.closed_called == 1.0


def test_how_the_network_computes_can_be_chosen(annotations: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Computing | None] = []

    def opened(*given: object) -> OpenedModel:
        if isinstance(given[0], OpenedModel):
            return given[0]
        computing = given[3]
        assert isinstance(computing, RunSettings)
        asked.append(computing)
        return OpenedModel(FakePredictor(), {})

    monkeypatch.setattr("ocusam.workflows.evaluate.open_predictor", opened)
    settings = RunSettings(overlay=False, size="fast", dtype="bfloat16")
    evaluate(annotations, clips=["a"], every=20, computing=settings)
    assert asked == [settings]


def test_stills_are_clicked_where_the_truth_says(annotations: Path, tmp_path: Path) -> None:
    predictor = FakePredictor()
    result = evaluate(annotations, clips=["a"], stills=True, pictures=tmp_path, model=predictor)["a"]
    s = result.scores["pupil"]
    assert s.scored == s.found == 10 and s.closed == 0
    assert s.error_rel_median is not None and s.error_rel_median < 0.01
    assert [st.prompts[0][2].tolist()[0] for st in predictor.states] == [
        pytest.approx(pupil.center) for pupil in TRUTH[::5] if pupil is not None
    ]
    assert len(list((tmp_path / "a").glob("*.png"))) == 10


def test_unknown_clips_and_files_are_refused(annotations: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known clips: a, b"):
        evaluate(annotations, clips=["c"], model=FakePredictor())
    with pytest.raises(InputError, match="No such file"):
        read_annotations(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="not an annotations file"):
        read_annotations(tmp_path / "x.json")
