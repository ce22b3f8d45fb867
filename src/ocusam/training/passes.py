"""One training pass through the network: single pictures, or clips through the memory.

Pictures: the encoder runs once per picture, the decoder on pictures x objects; then, in a share of the steps,
correction clicks with the previous logits fed back, every pass with its losses. Clips: the first frame is
prompted, the following ones are found from the memory; on a share of the clips one later frame gets a
correction click and becomes a conditioning frame too. All frames of all objects carry losses; a hidden
object only that of presence.

Which memories a frame attends to follows the tracker's rules (conditioning frames first at the last temporal
index, then up to six recent frames, oldest first; pointers of conditioning frames, then of recent frames,
newest first). Shape suffixes: b object, n point, c channel, h/w/g/s sides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ocusam.model.sam2 import SAM2, ImageFeatures, MemorySelection, PointPrompt, StepOutput
from ocusam.training.clicks import PADDING, correction_click
from ocusam.training.clips import KINDS, Batch
from ocusam.training.eye_parts import EyeParts, parts_loss
from ocusam.training.losses import LossTerms, object_weight, on_grid, sam2_loss

EMBEDDING_WEIGHT = 0.02
"""Weight of the loss that keeps the image embedding as large as the positions that are added to it."""
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclass
class PassResult:
    """Loss to differentiate and what the log shows."""

    terms: LossTerms
    iou_of_kind: dict[str, tuple[float, int]]
    """Sum of IoUs and count, per kind of object, present ones only; the last frame or pass."""


def normalised(pictures: Tensor) -> Tensor:
    """Grey bytes (B, S, S) to the network's input (B, 3, S, S), ImageNet mean and deviation."""
    grey = pictures.float()[:, None] / 255
    mean = torch.tensor(_MEAN, device=grey.device).view(1, 3, 1, 1)
    std = torch.tensor(_STD, device=grey.device).view(1, 3, 1, 1)
    return (grey - mean) / std


def autocast(enabled: bool, device: str = "cpu") -> contextlib.AbstractContextManager[object]:
    """bfloat16 autocast, or nothing."""
    return torch.autocast(device, dtype=torch.bfloat16) if enabled else contextlib.nullcontext()


def _corrections(
    rng: np.random.Generator, logits_b1hw: Tensor, truth_bgg: Tensor, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One click per object from its error region: coordinates, labels, and the logits."""
    grid = truth_bgg.shape[-1]
    predicted = (on_grid(logits_b1hw.detach(), grid)[:, 0] > 0).numpy()
    real = (truth_bgg > 0.5).numpy()
    spots, labels = [], []
    for mine, truth in zip(predicted, real, strict=True):
        click = correction_click(rng, mine, truth, scale=size / grid)
        spots.append([click[0], click[1]] if click else [0.0, 0.0])
        labels.append([click[2] if click else PADDING])
    return torch.tensor(spots)[:, None], torch.tensor(labels), logits_b1hw


def _embedding_loss(features: ImageFeatures) -> Tensor:
    """Mean square of the stride-16 embedding beyond 1.

    Nothing in the network normalises the embedding. Trained from scratch it grew a hundredfold within 400
    steps, until the decoder could no longer tell positions, and with them the click, from the picture.
    """
    return EMBEDDING_WEIGHT * torch.relu(features.embedding_bchw.float().square().mean() - 1)


def _encoder_loss(encoded: ImageFeatures, batch: Batch, parts: EyeParts | None, half: bool) -> Tensor:
    """What the encoder learns besides the objects asked for; `encoded` holds pictures x frames."""
    loss = _embedding_loss(encoded)
    if parts is None:
        return loss
    with autocast(half):
        logits = parts(encoded)
    truth = batch.parts_bptgg.transpose(1, 2).flatten(0, 1).float() / 255
    return loss + parts_loss(logits, truth)


def _loss(output: StepOutput, batch: Batch, frame: int) -> LossTerms:
    truth = batch.truth_botgg[:, :, frame].flatten(0, 1).float() / 255
    area = batch.area_bot[:, :, frame].flatten()
    present = batch.present_bot[:, :, frame].flatten()
    candidates = output.candidates
    assert candidates is not None, "a mask taken over as output carries no loss"
    return sam2_loss(
        candidates.logits_bmhw, candidates.iou_bm, output.object_score_b1, truth, present, object_weight(area)
    )


def _iou_of_kind(iou_b: Tensor, batch: Batch, frame: int) -> dict[str, tuple[float, int]]:
    present = batch.present_bot[:, :, frame].flatten()
    kinds = batch.kind_bo.flatten()
    sums = {}
    for number, kind in enumerate(KINDS):
        chosen = iou_b[present & (kinds == number)]
        if len(chosen):
            sums[kind] = (float(chosen.sum()), len(chosen))
    return sums


def picture_pass(
    model: SAM2,
    batch: Batch,
    *,
    corrections: int,
    rng: np.random.Generator,
    half: bool,
    parts: EyeParts | None = None,
) -> PassResult:
    """Prompt, decode and score single pictures (T = 1), with `corrections` further clicks.

    The losses of all decoder passes are averaged.
    """
    count, objects = batch.kind_bo.shape
    size = batch.pictures_btss.shape[-1]
    rows = torch.arange(count).repeat_interleave(objects)
    with autocast(half):
        encoded = model.encode_image(normalised(batch.pictures_btss[:, 0]))
        features = encoded.select(rows)
    points, labels = batch.points_bon2.flatten(0, 1), batch.labels_bon.flatten(0, 1)
    previous: Tensor | None = None
    terms: LossTerms | None = None
    first_iou: Tensor | None = None
    for number in range(corrections + 1):
        with autocast(half):
            output = model.track_step(
                features, points=PointPrompt(points, labels), previous_logits_b1hw=previous
            )
        now = _loss(output, batch, 0)
        terms = now if terms is None else terms.plus(now)
        first_iou = now.real_iou_b if first_iou is None else first_iou
        if number < corrections:
            truth = batch.truth_botgg[:, :, 0].flatten(0, 1).float() / 255
            spots, signs, logits = _corrections(rng, output.low_res_logits_b1hw, truth, size)
            points, labels = torch.cat([points, spots], 1), torch.cat([labels, signs], 1)
            previous = logits.detach().float().clamp(-32, 32)
    assert terms is not None and first_iou is not None
    terms = terms.scaled(1 / (corrections + 1))
    terms.total = terms.total + _encoder_loss(encoded, batch, parts, half)
    return PassResult(terms, _iou_of_kind(first_iou, batch, 0))


@dataclass
class _Remembered:
    frame: int
    conditioning: bool
    maps: Tensor
    pointer_bc: Tensor


def select_memories(
    past: list[_Remembered], frame: int, num_maskmem: int, max_pointers: int
) -> MemorySelection:
    """What frame `frame` attends to, by the tracker's rules for a forward pass."""
    conditioning = [m for m in past if m.conditioning]
    others = {m.frame: m for m in past if not m.conditioning}
    maps = [(m.maps, num_maskmem - 1) for m in conditioning]
    for distance in range(num_maskmem - 1, 0, -1):
        if frame - distance in others:
            maps.append((others[frame - distance].maps, distance - 1))
    pointers = [(m.pointer_bc, (frame - m.frame) / (max_pointers - 1)) for m in conditioning]
    for distance in range(1, max_pointers):
        if frame - distance in others:
            pointers.append((others[frame - distance].pointer_bc, distance / (max_pointers - 1)))
    return MemorySelection(maps=maps, pointers=pointers)


def clip_pass(
    model: SAM2,
    batch: Batch,
    *,
    corrected_frame: int | None,
    rng: np.random.Generator,
    half: bool,
    parts: EyeParts | None = None,
) -> PassResult:
    """Follow the objects of clips through the memory; losses of all frames averaged.

    Args:
        corrected_frame: a later frame that gets a correction click, or None.
    """
    count, objects = batch.kind_bo.shape
    frames, size = batch.pictures_btss.shape[1], batch.pictures_btss.shape[-1]
    with autocast(half):
        encoded = model.encode_image(normalised(batch.pictures_btss.flatten(0, 1)))
    past: list[_Remembered] = []
    terms: LossTerms | None = None
    passes = 0
    sums: dict[str, tuple[float, int]] = {}
    for frame in range(frames):
        rows = torch.arange(count).repeat_interleave(objects) * frames + frame
        features = encoded.select(rows)
        truth = batch.truth_botgg[:, :, frame].flatten(0, 1).float() / 255
        with autocast(half):
            if frame == 0:
                output = _prompted(model, features, batch, truth)
            else:
                memory = select_memories(
                    past, frame + batch.gap, model.config.num_maskmem, model.config.max_obj_ptrs_in_encoder
                )
                output = model.track_step(features, memory=memory)
        if not (frame == 0 and batch.prompt == "mask"):
            now = _loss(output, batch, frame)
            terms, passes = (now if terms is None else terms.plus(now)), passes + 1
            if frame:
                for kind, (total, number) in _iou_of_kind(now.real_iou_b, batch, frame).items():
                    before = sums.get(kind, (0.0, 0))
                    sums[kind] = (before[0] + total, before[1] + number)
        prompted = frame == 0
        if frame == corrected_frame and frame > 0 and terms is not None:
            spots, labels, logits = _corrections(rng, output.low_res_logits_b1hw, truth, size)
            with autocast(half):
                output = model.track_step(
                    features,
                    points=PointPrompt(spots, labels),
                    previous_logits_b1hw=logits.detach().float().clamp(-32, 32),
                    memory=memory,
                )
            terms, passes, prompted = terms.plus(_loss(output, batch, frame)), passes + 1, True
        if frame + 1 < frames:
            with autocast(half):
                past.append(_remember(model, features, output, _number(batch, frame), prompted=prompted))
    assert terms is not None
    terms = terms.scaled(1 / passes)
    terms.total = terms.total + _encoder_loss(encoded, batch, parts, half)
    return PassResult(terms, sums)


@torch.no_grad()
def follow(model: SAM2, batch: Batch, *, half: bool) -> Iterator[StepOutput]:
    """Track a batch without learning from it; yields each frame's answer."""
    count, objects = batch.kind_bo.shape
    frames = batch.pictures_btss.shape[1]
    past: list[_Remembered] = []
    for frame in range(frames):
        with autocast(half):
            encoded = model.encode_image(normalised(batch.pictures_btss[:, frame]))
            features = encoded.select(torch.arange(count).repeat_interleave(objects))
            if frame == 0:
                truth = batch.truth_botgg[:, :, 0].flatten(0, 1).float() / 255
                output = _prompted(model, features, batch, truth)
            else:
                memory = select_memories(
                    past, frame + batch.gap, model.config.num_maskmem, model.config.max_obj_ptrs_in_encoder
                )
                output = model.track_step(features, memory=memory)
            if frame + 1 < frames:
                past.append(_remember(model, features, output, _number(batch, frame), prompted=frame == 0))
        yield output


def _number(batch: Batch, frame: int) -> int:
    """The number that a frame of the clip would have in its video: those after the gap come later."""
    return frame + batch.gap if frame else 0


def _remember(
    model: SAM2, features: ImageFeatures, output: StepOutput, frame: int, *, prompted: bool
) -> _Remembered:
    maps = model.encode_memory(
        features, output.high_res_logits_b1hw, output.object_score_b1, from_prompt=prompted
    )
    return _Remembered(frame, prompted, maps, output.pointer_bc)


def _prompted(model: SAM2, features: ImageFeatures, batch: Batch, truth_bgg: Tensor) -> StepOutput:
    """The first frame of a clip: points, boxes, or the truth as mask."""
    if batch.prompt == "mask":
        size = batch.pictures_btss.shape[-1]
        mask = (
            F.interpolate(truth_bgg[:, None], size=(size, size), mode="bilinear", align_corners=False) > 0.5
        )
        return model.track_step(features, mask_inputs_b1hw=mask.float())
    return model.track_step(
        features, points=PointPrompt(batch.points_bon2.flatten(0, 1), batch.labels_bon.flatten(0, 1))
    )
