"""Follow objects in frames that come one at a time, with the offline predictor's own numbers.

Purpose: live streams. Frames are pushed; prompts and objects come and go on the newest frame while it runs.

    camera = build_sam2_camera_predictor("nano")
    camera.load_first_frame(picture)
    camera.add_new_prompt(frame_idx=0, obj_id="pupil", points=[[210, 140]], labels=[1])
    obj_ids, mask_logits = camera.track(next_picture)

Notable choices: this is `SAM2VideoPredictor` over a `PushSource`, and nothing else: each new frame is one
step of its propagation. So results are equal, bit for bit, to those of the offline predictor on the same
frames with the same prompts, for videos of at least as many frames as pointers are kept (16): in shorter ones
the offline predictor divides the pointers' times by the length, which a stream cannot know. (The published
stream ports differ from the offline predictor in the resize, the pointers that are kept and their times.)
What is kept does not grow with the stream, only with the number of objects and of conditioning prompts.

A prompt on the newest frame answers at once; it becomes a memory when the next frame is tracked. Unlike a
propagation from the start, a stream does not pass a frame again, so a refinement is never overwritten.

What it does not know: cameras, windows, files.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from ocusam.core.errors import InputError, PromptError
from ocusam.tracking.outputs import FrameOutput
from ocusam.tracking.session import CACHED_FRAMES, VideoSession, plain_label
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.push import PushSource


class SAM2CameraPredictor:
    """Prompts and tracking on a live stream. One predictor follows one stream at a time.

    Args:
        predictor: the offline predictor that does the work; its options hold here too.
    """

    def __init__(self, predictor: SAM2VideoPredictor) -> None:
        self.predictor = predictor
        self._stream: tuple[PushSource, VideoSession] | None = None

    @classmethod
    def from_pretrained(cls, model_id: str, **options: Any) -> SAM2CameraPredictor:
        """Build a predictor with published weights, by their name on the hub; see `tracking.pretrained`."""
        from ocusam.tracking.pretrained import build_sam2_video_predictor_hf

        return cls(build_sam2_video_predictor_hf(model_id, **options))

    def to(self, *args: Any, **kwargs: Any) -> SAM2CameraPredictor:
        """Move the network, before a stream begins, and return the predictor; arguments as torch's."""
        self.predictor.to(*args, **kwargs)
        return self

    def eval(self) -> SAM2CameraPredictor:
        """Put the network into evaluation mode, in which it is built, and return the predictor."""
        self.predictor.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.predictor.device

    @property
    def image_size(self) -> int:
        """Side of the network's square input, pixels."""
        return self.predictor.image_size

    @property
    def state(self) -> VideoSession:
        """The session of the offline predictor beneath.

        Raises:
            InputError: there is no first frame yet.
        """
        return self._open()[1]

    @property
    def obj_ids(self) -> list[Hashable]:
        """Labels of the objects followed, in the order of their first prompt."""
        return self.state.obj_ids

    @property
    def frame_idx(self) -> int:
        """Number of the newest frame, from 0."""
        return self._open()[0].newest

    # ---- frames --------------------------------------------------------------------------------------------

    def load_first_frame(self, img: Any, timestamp_ns: int | None = None) -> None:
        """Begin a stream; objects and frames of an earlier one are dropped.

        Args:
            img: uint8 (H, W[, 3]) RGB, or a Pillow image.
            timestamp_ns: when it was taken, nanoseconds; None: the nominal frame rate counts.

        Raises:
            InputError: not a picture.
        """
        source = PushSource(img, timestamp_ns, keep=CACHED_FRAMES)
        self._stream = (source, self.predictor.init_state(source))

    def track(self, img: Any) -> tuple[list[Hashable], Tensor]:
        """Follow all objects onto the next frame.

        Args:
            img: the next frame, as for `load_first_frame`.

        Returns:
            The labels of all objects, and their logits (N, 1, H, W) at the size of the picture.

        Raises:
            InputError: no first frame, not a picture, or one of another size.
            PromptError: an object whose prompts were all cleared.
        """
        output = self.step(img)
        return output.obj_ids, output.logits

    def step(self, img: Any, timestamp_ns: int | None = None) -> FrameOutput:
        """As `track`, with scores, and masks that are made only when asked for. Without objects the frame is
        taken in and the output is empty."""
        source, state = self._open()
        if state.objects:
            # Before the frame is taken in, so that an object without prompts leaves the stream as it was.
            self.predictor.propagate_in_video_preflight(state)
        frame_idx = source.push(img, timestamp_ns).frame_idx
        if not state.objects:
            return self.predictor.frame_output(state, frame_idx)
        (output,) = self.predictor.propagate(state, start_frame_idx=frame_idx, max_frame_num_to_track=0)
        return output

    def newest(self) -> FrameOutput:
        """The newest answers for the newest frame, prompts since then included."""
        return self.predictor.frame_output(self.state, self.frame_idx)

    # ---- prompts -------------------------------------------------------------------------------------------

    def add_new_prompt(
        self,
        frame_idx: int | None,
        obj_id: Hashable,
        points: Any = None,
        labels: Any = None,
        bbox: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> tuple[int, list[Hashable], Tensor]:
        """Prompt an object (new or known), and return the masks of all objects.

        Args:
            frame_idx: the newest frame, or None, which means it; the few before it can be had too.
            obj_id: any label.
            points: (N, 2) x, y in pixels of the picture.
            labels: (N,) 1 on the object, 0 off it.
            bbox: x0, y0, x1, y1; needs `clear_old_points=True`.
            clear_old_points: replace the frame's earlier points; else add to them.
            normalize_coords: coordinates are pixels; False: shares of the picture, 0 to 1.

        Returns:
            frame_idx, the labels of all objects, and their logits (N, 1, H, W).

        Raises:
            InputError: there is no first frame yet.
            PromptError: a frame that is not kept, and all that `SAM2VideoPredictor` refuses.
        """
        return self.predictor.add_new_points_or_box(
            self.state,
            self._kept(frame_idx),
            obj_id,
            points=points,
            labels=labels,
            clear_old_points=clear_old_points,
            normalize_coords=normalize_coords,
            box=bbox,
        )

    def add_new_points(
        self,
        frame_idx: int | None,
        obj_id: Hashable,
        points: Any,
        labels: Any,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> tuple[int, list[Hashable], Tensor]:
        """`add_new_prompt` with points, under its older name in the stream ports."""
        return self.add_new_prompt(
            frame_idx, obj_id, points, labels, None, clear_old_points, normalize_coords
        )

    def add_new_prompt_during_track(
        self,
        point: Any = None,
        bbox: Any = None,
        mask: Any = None,
        if_new_target: bool = True,
        obj_id: Hashable = None,
        labels: Any = None,
        clear_old_points: bool = True,
    ) -> tuple[int, list[Hashable], Tensor]:
        """Prompt the newest frame, as the stream ports do while they track; `add_new_prompt` does the same.

        Args:
            point: (N, 2) x, y in pixels of the picture.
            bbox: x0, y0, x1, y1.
            mask: (H, W); excludes the other two.
            if_new_target: without `obj_id`: a new object; else the newest one.
            obj_id: any label; None: the last number and one, or the newest object (`if_new_target`).
            labels: (N,); None: all on the object.
            clear_old_points: replace the frame's earlier points; else add to them.

        Raises:
            InputError, PromptError: as `add_new_prompt`; a mask beside points or a box; no object yet.
        """
        if obj_id is None:
            obj_id = self._implied_object(if_new_target)
        if mask is not None:
            if point is not None or bbox is not None:
                raise PromptError("A mask replaces points and boxes on a frame: give one or the other.")
            return self.add_new_mask(None, obj_id, mask)
        if point is not None and labels is None:
            labels = [1] * (1 if np.ndim(point) == 1 else len(point))
        return self.add_new_prompt(None, obj_id, point, labels, bbox, clear_old_points)

    def _implied_object(self, new: bool) -> Hashable:
        known = self.obj_ids
        if new:
            return 1 + max((int(obj_id) for obj_id in known if isinstance(obj_id, SupportsIndex)), default=0)
        if not known:
            raise PromptError("There is no object yet that the prompt could be for: give obj_id.")
        return known[-1]

    def add_new_mask(
        self, frame_idx: int | None, obj_id: Hashable, mask: Any
    ) -> tuple[int, list[Hashable], Tensor]:
        """Prompt an object with its mask (H, W) on a frame; else as `add_new_prompt`."""
        return self.predictor.add_new_mask(self.state, self._kept(frame_idx), obj_id, mask)

    def clear_all_prompts_in_frame(
        self, frame_idx: int | None, obj_id: Hashable
    ) -> tuple[int, list[Hashable], Tensor]:
        """Drop an object's prompts on a frame; else as `add_new_prompt`.

        Raises:
            PromptError: unknown object, or a frame that is not kept.
        """
        kept = self._kept(frame_idx)
        cleared = self.predictor.clear_all_prompts_in_frame(self.state, kept, obj_id)
        assert cleared is not None
        return cleared

    def remove_object(
        self, obj_id: Hashable, strict: bool = False, need_output: bool = True
    ) -> tuple[list[Hashable], list[tuple[int, Tensor]]]:
        """Drop one object with its prompts and memories.

        Args:
            obj_id: the object.
            strict: an unknown object is an error; else nothing happens.
            need_output: return the masks of the others on the newest frame.

        Returns:
            The remaining labels, and [(frame_idx, logits (N, 1, H, W))] of the newest frame.

        Raises:
            PromptError: unknown object and `strict`.
        """
        obj_id = plain_label(obj_id)
        known = isinstance(obj_id, Hashable) and obj_id in self.state.objects
        remaining, _ = self.predictor.remove_object(self.state, obj_id, strict, need_output=False)
        if not (known and remaining and need_output):
            return remaining, []
        return remaining, [(self.frame_idx, self.newest().logits)]

    def reset_state(self) -> None:
        """Drop all objects, prompts and memories; the stream goes on, ready for new prompts."""
        if self._stream is not None:
            self.predictor.reset_state(self._stream[1])

    def _open(self) -> tuple[PushSource, VideoSession]:
        if self._stream is None:
            raise InputError("There is no picture yet: call load_first_frame first.")
        return self._stream

    def _kept(self, frame_idx: int | None) -> int:
        source, _ = self._open()
        if frame_idx is None:
            return source.newest
        if not isinstance(frame_idx, SupportsIndex) or not source.oldest <= frame_idx <= source.newest:
            raise PromptError(
                f"Frame {frame_idx} cannot be prompted: of a live stream frames {source.oldest} to "
                f"{source.newest} are kept. Prompt the newest one (None)."
            )
        return frame_idx
