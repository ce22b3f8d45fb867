"""Follow objects through a video, with the method names people know from the published package.

Purpose: prompts on any frame of any object, then propagation forward or backward; frames are read as they are
needed and nothing that is kept grows with the video.

    predictor = build_sam2_video_predictor("nano")
    state = predictor.init_state("eye.mp4")
    predictor.add_new_points_or_box(state, frame_idx=0, obj_id=1, points=[[210, 140]], labels=[1])
    for frame_idx, obj_ids, mask_logits in predictor.propagate_in_video(state):
        ...

Notable choices: the order of events is the published one, so the numbers are: the first prompt on a frame
that was not tracked yet makes a conditioning memory; a prompt on a tracked frame refines that frame only and
is overwritten by the next pass (`add_all_frames_to_correct_as_cond=True` keeps it). Departures, where the
published code fails: a prompt for an object whose prompts were all cleared starts afresh, and
`clear_non_cond_mem_around_input` works. Objects that attend to the same frames share the network's passes.
It does not know files of weights, crops, names of objects, what masks mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

from ocusam.core.errors import PromptError
from ocusam.model.values import PointPrompt
from ocusam.tracking.ahead import FramesAhead
from ocusam.tracking.engine import TrackingEngine
from ocusam.tracking.network_of import network_of
from ocusam.tracking.outputs import FrameOutput
from ocusam.tracking.prompt_checks import join_points, make_mask, make_points
from ocusam.tracking.session import ObjectTrack, VideoSession, frame_order, plain_label
from ocusam.tracking.session_checks import checks_sessions
from ocusam.video.reader import open_video


@checks_sessions
class SAM2VideoPredictor:
    """Prompts and propagation over videos. Sessions are independent: one predictor serves many.

    Args:
        model: the network, in evaluation mode; or a predictor, whose network is taken.
        fill_hole_area: holes of at most this many pixels of the low-res mask are filled; 0 fills none.
        non_overlap_masks: each pixel of an output goes to one object at most.
        clear_non_cond_mem_around_input: forget tracked frames near a prompt when propagation starts.
        add_all_frames_to_correct_as_cond: prompts on tracked frames become conditioning memories too.
        memory_window: frames around the current one that are kept (`MemoryBank`); None: all, as published.

    Raises:
        ModelError: not a network.
    """

    def __init__(
        self,
        model: Any,
        *,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
        clear_non_cond_mem_around_input: bool = False,
        add_all_frames_to_correct_as_cond: bool = False,
        memory_window: int | None = 32,
    ) -> None:
        self.model = network_of(model)
        self._engine = TrackingEngine(
            self.model, fill_hole_area=fill_hole_area, non_overlap_masks=non_overlap_masks
        )
        self.clear_non_cond_mem_around_input = clear_non_cond_mem_around_input
        self.add_all_frames_to_correct_as_cond = add_all_frames_to_correct_as_cond
        self.memory_window = memory_window

    @property
    def fill_hole_area(self) -> int:
        """Largest hole that is filled, in low-res pixels."""
        return self._engine.fill_hole_area

    @property
    def non_overlap_masks(self) -> bool:
        """Whether each pixel of an output goes to one object at most."""
        return self._engine.non_overlap_masks

    @classmethod
    def from_pretrained(cls, model_id: str, **options: Any) -> SAM2VideoPredictor:
        """Build a predictor with published weights, by their name on the hub; see `tracking.pretrained`."""
        from ocusam.tracking.pretrained import build_sam2_video_predictor_hf

        return build_sam2_video_predictor_hf(model_id, **options)

    def to(self, *args: Any, **kwargs: Any) -> SAM2VideoPredictor:
        """Move the network, before any session is begun, and return the predictor; arguments as torch's."""
        self.model.to(*args, **kwargs)
        return self

    def eval(self) -> SAM2VideoPredictor:
        """Put the network into evaluation mode, in which it is built, and return the predictor."""
        self.model.train(False)
        return self

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.device

    @property
    def image_size(self) -> int:
        """Side of the network's square input, pixels."""
        return self.model.config.image_size

    # ---- session -------------------------------------------------------------------------------------------

    def init_state(
        self,
        video_path: Any,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> VideoSession:
        """Open a video and return its state.

        Args:
            video_path: a file, a folder of pictures, an array (T, H, W[, 3]), a list or any iterable of
                pictures, or a `VideoSource` (a `CroppedSource` to follow one view of a picture).
            offload_video_to_cpu: accepted for compatibility; frames are never kept on the device.
            offload_state_to_cpu: keep memories in the main memory.
            async_loading_frames: accepted for compatibility; frames are always read as they are needed.

        Raises:
            InputError: the video cannot be read, or has no frames.
        """
        storage = torch.device("cpu") if offload_state_to_cpu else self.device
        return VideoSession(open_video(video_path), self.model, storage, self.memory_window)

    def reset_state(self, inference_state: VideoSession) -> None:
        """Drop all objects, prompts and memories; the video stays open."""
        inference_state.objects.clear()

    def remove_object(
        self, inference_state: VideoSession, obj_id: Hashable, strict: bool = False, need_output: bool = True
    ) -> tuple[list[Hashable], list[tuple[int, Tensor]]]:
        """Drop one object with its prompts and memories.

        Args:
            inference_state: from `init_state`.
            obj_id: the object.
            strict: an unknown object is an error; else nothing happens.
            need_output: return the new masks of the frames on which it had prompts.

        Returns:
            The remaining labels, and (frame_idx, logits (N, 1, H, W)) of those frames.

        Raises:
            PromptError: unknown object and `strict`.
        """
        updated: list[tuple[int, Tensor]] = []
        obj_id = plain_label(obj_id)
        if not isinstance(obj_id, Hashable) or obj_id not in inference_state.objects:
            if strict:
                inference_state.known_object(obj_id)
            return inference_state.obj_ids, updated
        frames = inference_state.objects.pop(obj_id).prompted_frames
        if need_output and inference_state.objects:
            updated = [(t, self.frame_output(inference_state, t).logits) for t in frames]
        return inference_state.obj_ids, updated

    # ---- prompts -------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def add_new_points_or_box(
        self,
        inference_state: VideoSession,
        frame_idx: int,
        obj_id: Hashable,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> tuple[int, list[Hashable], Tensor]:
        """Prompt an object (new or known) on a frame and return the masks of all objects there.

        Args:
            inference_state: from `init_state`.
            frame_idx: the frame.
            obj_id: any label.
            points: (N, 2) x, y in pixels of the video.
            labels: (N,) 1 on the object, 0 off it.
            clear_old_points: replace the frame's earlier points; else add to them.
            normalize_coords: coordinates are pixels; False: shares of the picture, 0 to 1.
            box: x0, y0, x1, y1; needs `clear_old_points=True`.

        Returns:
            frame_idx, the labels of all objects, and their logits (N, 1, H, W) at the video's size; -1024
            where an object has no answer on this frame.

        Raises:
            PromptError: see `ocusam.tracking.prompt_checks`; a frame outside the video; a box with
                `clear_old_points=False`.
        """
        if box is not None and not clear_old_points:
            raise PromptError(
                "A box together with clear_old_points=False is not possible: the network wants a box "
                "before all points. Give the box first, or all points again together with it."
            )
        frame_idx = inference_state.check_frame(frame_idx)
        new = make_points(
            points, labels, box, inference_state.size, self.image_size, normalize_coords=normalize_coords
        )
        new = PointPrompt(new.coords_bn2.to(self.device), new.labels_bn.to(self.device))
        track = inference_state.object(obj_id)
        prompt = new if clear_old_points else join_points(track.points.get(frame_idx), new)
        track.points[frame_idx] = prompt
        track.mask_frames.discard(frame_idx)

        self._answer(inference_state, track, frame_idx, points=prompt)
        output = self.frame_output(inference_state, frame_idx)
        return frame_idx, output.obj_ids, output.logits

    def add_new_points(self, *args: Any, **kwargs: Any) -> tuple[int, list[Hashable], Tensor]:
        """The older published name of `add_new_points_or_box`."""
        return self.add_new_points_or_box(*args, **kwargs)

    @torch.inference_mode()
    def add_new_mask(
        self, inference_state: VideoSession, frame_idx: int, obj_id: Hashable, mask: Any
    ) -> tuple[int, list[Hashable], Tensor]:
        """Prompt an object with its mask on a frame; returns as `add_new_points_or_box`.

        Args:
            inference_state: from `init_state`.
            frame_idx: the frame.
            obj_id: any label.
            mask: (H, W) of the video's size; true or above zero on the object.

        Raises:
            PromptError: a mask of another size or with negative values (logits); a frame outside the video.
        """
        frame_idx = inference_state.check_frame(frame_idx)
        mask_inputs = make_mask(mask, inference_state.size, self.image_size).to(self.device)
        track = inference_state.object(obj_id)
        track.mask_frames.add(frame_idx)
        track.points.pop(frame_idx, None)
        self._answer(inference_state, track, frame_idx, mask=mask_inputs)
        output = self.frame_output(inference_state, frame_idx)
        return frame_idx, output.obj_ids, output.logits

    @torch.inference_mode()
    def clear_all_prompts_in_frame(
        self, inference_state: VideoSession, frame_idx: int, obj_id: Hashable, need_output: bool = True
    ) -> tuple[int, list[Hashable], Tensor] | None:
        """Drop an object's prompts on a frame; its memory of it stays, as if the frame had been tracked.

        Raises:
            PromptError: unknown object, or a frame outside the video.
        """
        frame_idx = inference_state.check_frame(frame_idx)
        track = inference_state.known_object(obj_id)
        track.points.pop(frame_idx, None)
        track.mask_frames.discard(frame_idx)
        track.pending.pop(frame_idx, None)
        if track.bank.demote(frame_idx):
            track.tracked.remove(frame_idx)
        if not need_output:
            return None
        output = self.frame_output(inference_state, frame_idx)
        return frame_idx, output.obj_ids, output.logits

    def _answer(
        self,
        state: VideoSession,
        track: ObjectTrack,
        frame_idx: int,
        *,
        points: PointPrompt | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """Put the answer to a prompt among the pending ones; the first on an untracked frame conditions."""
        if not self.clear_non_cond_mem_around_input:  # which forgets, too, and is asked for
            state.warn_of_forgotten(frame_idx, stacklevel=6)  # behind `checks_sessions`
        direction = track.tracked.direction(frame_idx)
        first = direction is None or not track.bank.conditioning
        entry = self._engine.answer_prompt(
            state,
            track,
            frame_idx,
            points=points,
            mask_inputs_b1hw=mask,
            reverse=None if first else direction,
        )
        track.pending[frame_idx] = (entry, first or self.add_all_frames_to_correct_as_cond)

    # ---- propagation ---------------------------------------------------------------------------------------

    def propagate_in_video(
        self,
        inference_state: VideoSession,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[int, list[Hashable], Tensor]]:
        """Yield (frame_idx, labels, logits (N, 1, H, W)) frame by frame; see `propagate`."""
        for output in self.propagate(inference_state, start_frame_idx, max_frame_num_to_track, reverse):
            yield output.frame_idx, output.obj_ids, output.logits

    @torch.inference_mode()
    def propagate(
        self,
        inference_state: VideoSession,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameOutput]:
        """Track all objects from frame to frame; objects may be added and removed meanwhile.

        Args:
            inference_state: from `init_state`, with a prompt for each object.
            start_frame_idx: where to begin; None: the earliest conditioning frame.
            max_frame_num_to_track: how many frames after the first one; None: to the end.
            reverse: go backward. From frame 0 this yields nothing.

        Yields:
            One `FrameOutput` per frame. Frames with a conditioning prompt give their stored mask. A video
            that ends early (truncated, or of unknown length) ends the iteration.

        Raises:
            PromptError: no object, an object without prompts, or a start outside the video.
        """
        self.propagate_in_video_preflight(inference_state)
        if start_frame_idx is None:
            start_frame_idx = min(min(track.bank.conditioning) for track in inference_state.objects.values())
        start_frame_idx = inference_state.check_frame(start_frame_idx)
        # While the end is not met, a length that is announced stays what it was when the pass began.
        num_frames = inference_state.num_frames
        order = frame_order(start_frame_idx, num_frames, max_frame_num_to_track, reverse)
        with FramesAhead(inference_state, self.model, order, alone=max_frame_num_to_track == 0) as frames:
            for frame_idx in frames:
                yield self._pass_frame(inference_state, frame_idx, num_frames, reverse)

    def _pass_frame(
        self, state: VideoSession, frame_idx: int, num_frames: int | None, reverse: bool
    ) -> FrameOutput:
        """Track what is not answered by a prompt on a frame, and remember it."""
        for track in state.objects.values():  # what was added, or began afresh, since the pass began
            if track.pending and not track.bank.conditioning:
                self._take_over(state, track)
        tracks = [track for track in state.objects.values() if len(track.bank)]
        unanswered = [t for t in tracks if frame_idx not in t.bank.conditioning]
        self._engine.track(state, unanswered, frame_idx, num_frames=num_frames, reverse=reverse)
        for track in tracks:
            if self.clear_non_cond_mem_around_input and frame_idx in track.bank.conditioning:
                track.bank.forget_around(frame_idx)
            track.tracked.add(frame_idx, reverse)
            track.bank.trim(frame_idx)
        if self.model.config.names_parts:
            state.features(frame_idx)  # where all objects are prompted nothing has asked for them yet
        answers = {t.obj_id: t.bank.get(frame_idx) for t in state.objects.values()}
        return self._engine.output(state, frame_idx, answers)

    @torch.inference_mode()
    def propagate_in_video_preflight(self, inference_state: VideoSession) -> None:
        """Turn waiting answers into memories. `propagate` does this by itself.

        Raises:
            PromptError: no object, or an object without prompts.
        """
        if not inference_state.objects:
            raise PromptError(
                "There is nothing to follow yet: add a point, a box or a mask for an object first."
            )
        for track in inference_state.objects.values():  # all, before anything changes
            if not track.bank.conditioning and not track.pending:
                raise PromptError(
                    f"Object {track.obj_id!r} has no prompts: add a point, a box or a mask, or remove it."
                )
        self._engine.warm_up(len(inference_state.objects))
        for track in inference_state.objects.values():
            self._take_over(inference_state, track)

    def _take_over(self, state: VideoSession, track: ObjectTrack) -> None:
        waiting = list(track.pending.items())
        # An object whose first prompt was cleared has refinements only: they are all that is known of it.
        alone = not track.bank.conditioning and not any(conditioning for _, (_, conditioning) in waiting)
        # Refined frames first, so that a conditioning memory of the same frame takes their place.
        for frame_idx, (entry, conditioning) in sorted(waiting, key=lambda item: item[1][1]):
            entry = self._engine.encode_prompted(state, frame_idx, entry)
            track.bank.add(frame_idx, entry, conditioning=conditioning or alone)
            if self.clear_non_cond_mem_around_input:
                track.bank.forget_around(frame_idx)
        track.pending.clear()

    # ---- answers -------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def frame_output(self, inference_state: VideoSession, frame_idx: int) -> FrameOutput:
        """Return the newest answers for a frame, of all objects."""
        tracks = inference_state.objects.values()
        return self._engine.output(
            inference_state, frame_idx, {t.obj_id: t.answer(frame_idx) for t in tracks}
        )
