"""A run in a rectangle is the run of the video that was cut to it beforehand, moved by the rectangle's place;
also when it is broken off and corrected."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from killed_run import contents, predictor
from ocusam.core.errors import PromptError
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows.correct import CorrectSettings, correct
from ocusam.workflows.eye import track_eye
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.masklets import Masklets

X0, Y0, X1, Y1 = REGION = (11, 3, 78, 36)  # 67 x 33 px of 112 x 40
OPTIONS = {"overlay": False, "report": False, "views": "none", "chunk_frames": 5, "snapshot_frames": 4}
CLICKS = {"pupil": (25.0, 20.0, 6), "iris": (60.0, 22.5, 9)}
CORRECTION = (31.0, 18.0, 12)


def frames() -> NDArray[np.uint8]:
    """20 pictures, 40 x 112: discs that move over a texture."""
    ground = np.random.default_rng(3).integers(40, 90, (40, 112, 3))
    y, x = np.mgrid[:40, :112]
    out = np.repeat(ground[None], 20, axis=0)
    for t, picture in enumerate(out):
        for cx in (20 + t, 60 - t // 2):
            picture[(x - cx) ** 2 + (y - 20) ** 2 < 64] = (220, 200, 180)
    return out.astype(np.uint8)


def points(dx: int = 0, dy: int = 0) -> list[str]:
    return [f"{name}:{x - dx},{y - dy}@{frame}" for name, (x, y, frame) in CLICKS.items()]


@pytest.fixture(scope="module")
def network() -> SAM2VideoPredictor:
    return predictor()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, network: SAM2VideoPredictor) -> tuple[Path, Path]:
    """The run in the rectangle, and that of the video cut to it, both corrected."""
    folder = tmp_path_factory.mktemp("zoom")
    zoom = ",".join(map(str, REGION))
    whole, cut = frames(), np.ascontiguousarray(frames()[:, Y0:Y1, X0:X1])
    x, y, frame = CORRECTION
    for name, video, dx, dy, text in (("zoomed", whole, 0, 0, zoom), ("cut", cut, X0, Y0, "off")):
        settings = RunSettings(**OPTIONS, zoom=text)  # type: ignore[arg-type]
        track_eye(video, points(dx, dy), model=network, out=folder / name, settings=settings)
        correct(
            folder / name, f"pupil:{x - dx},{y - dy}@{frame}", video=video, model=network,
            settings=CorrectSettings("both", stop_iou=None),
        )  # fmt: skip
    return folder / "zoomed", folder / "cut"


def test_masks_and_signals_are_those_of_the_cut_video_moved(runs: tuple[Path, Path]) -> None:
    zoomed, cut = (Masklets.from_folder(folder / "masklets") for folder in runs)
    assert zoomed.size == (40, 112) and cut.size == (33, 67)
    assert zoomed.table.equals(cut.table)
    for frame in range(20):
        for name in CLICKS:
            inside = np.zeros((40, 112), bool)
            inside[Y0:Y1, X0:X1] = cut.mask(frame, name)
            assert (zoomed.mask(frame, name) == inside).all()
    one, other = (pl.read_csv(folder / "signals.csv") for folder in runs)
    moved = other.with_columns(pl.col("center_x_px") + X0, pl.col("center_y_px") + Y0)
    assert one["center_x_px"].drop_nulls().len() > 0
    numbers = [c for c, t in one.schema.items() if t == pl.Float64]
    assert one.drop(numbers).equals(moved.drop(numbers))
    for column in numbers:
        assert one[column].is_null().equals(moved[column].is_null())
        assert ((one[column] - moved[column]).abs().max() or 0.0) < 2e-5  # type: ignore[operator]


def test_a_run_that_is_broken_off_keeps_its_rectangle(
    runs: tuple[Path, Path], tmp_path: Path, network: SAM2VideoPredictor
) -> None:
    zoom = ",".join(map(str, REGION))
    settings = RunSettings(**OPTIONS, zoom=zoom, resume=True)  # type: ignore[arg-type]

    def stop(done: int, total: int | None, what: str) -> None:
        if done == 13:
            raise KeyboardInterrupt

    for out, progress in ((tmp_path / "broken", stop), (tmp_path / "undisturbed", None)):
        if progress is not None:
            with pytest.raises(KeyboardInterrupt):
                track_eye(frames(), points(), model=network, out=out, settings=settings, progress=progress)
        track_eye(frames(), points(), model=network, out=out, settings=settings)
    assert contents(tmp_path / "broken") == contents(tmp_path / "undisturbed")


def test_a_correction_outside_is_refused_and_changes_nothing(
    runs: tuple[Path, Path], network: SAM2VideoPredictor
) -> None:
    before = contents(runs[0])
    with pytest.raises(PromptError, match="11,3,78,36"):
        correct(runs[0], "pupil:90,20@12", video=frames(), model=network)
    assert contents(runs[0]) == before
