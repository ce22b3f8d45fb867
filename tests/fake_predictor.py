"""A predictor without a network, and drawn eye videos it can follow: dark is pupil, grey is iris."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.video.reader import open_video
from ocusam.video.source import EndOfVideo, VideoSource
from ocusam.video.writer import VideoWriter

BACKGROUND, IRIS, PUPIL = 200, 120, 20
_LEVEL = {"pupil": (PUPIL + IRIS) / 2, "iris": (IRIS + BACKGROUND) / 2}
SCALE = 2  # video pixels per logit


@dataclass
class FakeOutput:
    frame_idx: int
    timestamp_ns: int
    obj_ids: list[str]
    low_res_logits: NDArray[np.float32]
    masks: NDArray[np.bool_]
    predicted_iou: NDArray[np.float32]
    object_score: NDArray[np.float32]
    image: NDArray[np.uint8] | None = None


@dataclass
class FakeState:
    source: VideoSource
    prompts: list[tuple[int, str, Any, Any, bool]] = field(default_factory=list)


class FakePredictor:
    """Outlines what is darker than a name's level; remembers what it was asked."""

    def __init__(self) -> None:
        self.states: list[FakeState] = []

    def init_state(self, video_path: Any) -> FakeState:
        self.states.append(FakeState(open_video(video_path)))
        return self.states[-1]

    def add_new_points_or_box(
        self,
        inference_state: FakeState,
        frame_idx: int,
        obj_id: str,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        *,
        box: Any = None,
    ) -> None:
        inference_state.prompts.append((frame_idx, obj_id, points, labels, clear_old_points))

    def add_new_mask(self, inference_state: FakeState, frame_idx: int, obj_id: str, mask: Any) -> None:
        inference_state.prompts.append((frame_idx, obj_id, mask, None, True))

    def propagate(
        self,
        inference_state: FakeState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FakeOutput]:
        names = list(dict.fromkeys(name for _, name, *_ in inference_state.prompts))
        step = -1 if reverse else 1
        index = start_frame_idx or 0
        while index >= 0:
            try:
                frame = inference_state.source.read(index)
            except EndOfVideo:
                return
            grey = frame.image[..., 0].astype(np.float32)
            small = (grey.shape[1] // SCALE, grey.shape[0] // SCALE)
            logits = np.stack([(_LEVEL.get(name, 70.0) - grey) / 10.0 for name in names])
            low = np.stack([cv2.resize(x, small, interpolation=cv2.INTER_AREA) for x in logits])
            masks = logits > 0
            score = np.where(masks.reshape(len(names), -1).any(axis=1), 5.0, -5.0).astype(np.float32)
            iou = np.full(len(names), 0.9, np.float32)
            yield FakeOutput(
                frame.frame_idx, frame.timestamp_ns, names, low[:, None], masks, iou, score, frame.image
            )
            index += step


def eye_picture(pupil: Ellipse | None, size: tuple[int, int] = (120, 160)) -> NDArray[np.uint8]:
    """uint8 (h, w), anti-aliased; a closed eye is plain background."""
    if pupil is None:
        return np.full(size, BACKGROUND, np.uint8)
    iris = Ellipse(pupil.center, (pupil.major * 2, pupil.major * 2), 0.0)
    yy, xx = np.mgrid[0 : size[0], 0 : size[1]]
    at = np.stack([xx, yy], axis=-1)
    inner = np.clip(0.5 - pupil.distance(at), 0, 1)
    outer = np.clip(0.5 - iris.distance(at), 0, 1)
    value = BACKGROUND * (1 - outer) + outer * (IRIS * (1 - inner) + PUPIL * inner)
    return np.round(value).astype(np.uint8)


def eye_truth(num_frames: int, closed: range = range(0)) -> list[Ellipse | None]:
    """A pupil that drifts to the right; no pupil on the frames `closed`."""
    return [
        None if i in closed else Ellipse((60.0 + 0.5 * i, 55.0 + 0.25 * i), (30.0, 24.0), 20.0)
        for i in range(num_frames)
    ]


def write_eye_video(path: Path, truth: list[Ellipse | None], fps: float = 50.0) -> Path:
    with VideoWriter(path, fps, (120, 160), crf=8) as writer:
        for pupil in truth:
            writer.write(eye_picture(pupil))
    return path
