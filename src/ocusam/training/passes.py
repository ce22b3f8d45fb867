"""One training pass through the network: its encoder alone, single pictures, or clips through the memory.

Pictures: the encoder runs once per picture, the decoder on pictures x objects. Clips: the first frame is
prompted, the following ones are found from the memory. On frames that the caller names, correction clicks
follow, one by one from the regions where mask and truth differ, with the previous logits fed back; a later
frame that was corrected becomes a conditioning frame too (Ravi et al. 2024, appendix D.2). Every answer on
every frame carries losses, that to each click included; a hidden object only that of presence.

Which memories a frame attends to follows the tracker's rules (conditioning frames first at the last temporal
index, then up to six recent frames, oldest first; pointers of conditioning frames, then of recent frames,
newest first). Shape suffixes: b object, n point, c channel, h/w/g/s sides.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ocusam.model.eye_parts import PARTS, EyeParts
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, MemorySelection, PointPrompt, StepOutput
from ocusam.training.clicks import PADDING, correction_click
from ocusam.training.clips import Batch
from ocusam.training.losses import LossTerms, mask_iou, object_weight, on_grid, sam2_loss
from ocusam.training.parts_loss import parts_loss
from ocusam.training.scenes import KINDS, VISIBLE_AREA_PX

EMBEDDING_WEIGHT = 0.02
"""Weight of the loss that keeps the image embedding as large as the positions that are added to it."""
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@dataclass
class PassResult:
    """Loss to differentiate and what the log shows."""

    terms: LossTerms
    iou_of_kind: dict[str, tuple[float, int]]
    """Sum of IoUs and count, per kind of object, where present: first answers, of clips on tracked frames."""


def normalised(pictures: Tensor) -> Tensor:
    """Bytes, grey (B, S, S) or RGB (B, S, S, 3), to the network's input (B, 3, S, S), ImageNet mean and
    deviation."""
    shares = (pictures[:, None] if pictures.ndim == 3 else pictures.permute(0, 3, 1, 2)).float() / 255
    mean = torch.tensor(_MEAN, device=shares.device).view(1, 3, 1, 1)
    std = torch.tensor(_STD, device=shares.device).view(1, 3, 1, 1)
    return (shares - mean) / std


def autocast(enabled: bool, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 autocast, or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if enabled else contextlib.nullcontext()


def _clicks_on_errors(
    rng: np.random.Generator, logits_b1hw: Tensor, truth_bgg: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """One click per object from its error region: coordinates (B, 1, 2) and labels (B, 1)."""
    grid = truth_bgg.shape[-1]
    predicted = (on_grid(logits_b1hw.detach(), grid)[:, 0] > 0).cpu().numpy()
    real = (truth_bgg > 0.5).cpu().numpy()
    spots, labels = [], []
    for mine, truth in zip(predicted, real, strict=True):
        click = correction_click(rng, mine, truth, scale=size / grid)
        spots.append([click[0], click[1]] if click else [0.0, 0.0])
        labels.append([click[2] if click else PADDING])
    device = logits_b1hw.device
    return torch.tensor(spots, device=device)[:, None], torch.tensor(labels, device=device)


def _embedding_loss(features: ImageFeatures) -> Tensor:
    """Mean square of the stride-16 embedding beyond 1.

    Nothing in the network normalises the embedding. Trained from scratch it grew a hundredfold within 400
    steps, until the decoder could no longer tell positions, and with them the click, from the picture.
    """
    return EMBEDDING_WEIGHT * torch.relu(features.embedding_bchw.float().square().mean() - 1)


def _encoder_loss(encoded: ImageFeatures, batch: Batch, parts: EyeParts | None, half: bool) -> Tensor:
    """What the encoder learns besides the objects asked for; `encoded` holds pictures x frames.

    Nothing without the second task: published networks have larger embeddings, and are to keep them.
    """
    if parts is None:
        return encoded.embedding_bchw.new_zeros((), dtype=torch.float32)
    loss = _embedding_loss(encoded)
    if not bool(batch.parts_known_b.any()):
        # Gradients of zero instead of none: processes that share a batch must have the same ones.
        nothing = sum((p.sum() for p in parts.parameters()), loss.new_zeros(()))
        return loss + 0 * nothing
    known = batch.parts_known_b.repeat_interleave(batch.pictures_btss.shape[1])
    with autocast(half, known.device):
        logits = parts(encoded if bool(known.all()) else encoded.select(torch.nonzero(known).flatten()))
    truth = batch.parts_bptgg.transpose(1, 2).flatten(0, 1).float() / 255
    return loss + parts_loss(logits, truth[known])


def parts_pass(model: SAM2, batch: Batch, parts: EyeParts, *, half: bool) -> PassResult:
    """Let the image encoder alone learn, by naming the parts of the eye; no object is asked for."""
    with autocast(half, batch.kind_bo.device):
        encoded = model.encode_image(normalised(batch.pictures_btss.flatten(0, 1)))
        logits = parts(encoded)
    truth = batch.parts_bptgg.transpose(1, 2).flatten(0, 1).float() / 255
    loss = parts_loss(logits, truth) + _embedding_loss(encoded)
    nothing = loss.new_zeros(())
    terms = LossTerms(loss, nothing, nothing, nothing, nothing, nothing[None])
    with torch.no_grad():
        iou_np = mask_iou(on_grid(logits, truth.shape[-1]), truth)
    visible = truth.sum((-2, -1)) * (batch.pictures_btss.shape[2] / truth.shape[-1]) ** 2 >= VISIBLE_AREA_PX
    return PassResult(
        terms,
        {
            name: (float(iou_np[seen, k].sum()), int(seen.sum()))
            for k, (name, seen) in enumerate(zip(PARTS, visible.T, strict=True))
            if bool(seen.any())
        },
    )


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
    corrections: Mapping[int, int],
    rng: np.random.Generator,
    half: bool,
    parts: EyeParts | None = None,
) -> PassResult:
    """Follow the objects of a batch through the memory; the losses of all answers averaged.

    A batch of single pictures (T = 1) is prompted and answered, with no memory.

    Args:
        corrections: frame -> correction clicks on it. A first frame whose prompt is a mask gets none.
    """
    count, objects = batch.kind_bo.shape
    frames = batch.pictures_btss.shape[1]
    with autocast(half, batch.kind_bo.device):
        encoded = model.encode_image(normalised(batch.pictures_btss.flatten(0, 1)))
    picture = torch.arange(count, device=batch.kind_bo.device).repeat_interleave(objects)
    past: list[_Remembered] = []
    losses: list[LossTerms] = []
    sums: dict[str, tuple[float, int]] = {}
    for frame in range(frames):
        features = encoded.select(picture * frames + frame)
        clicks = corrections.get(frame, 0)
        answers = _answers(model, features, batch, frame, past, clicks=clicks, rng=rng, half=half)
        if not (frame == 0 and batch.prompt == "mask"):
            own = [_loss(answer, batch, frame) for answer in answers]
            losses += own
            if frame or frames == 1:
                for kind, (total, number) in _iou_of_kind(own[0].real_iou_b, batch, frame).items():
                    before = sums.get(kind, (0.0, 0))
                    sums[kind] = (before[0] + total, before[1] + number)
        if frame + 1 < frames:
            prompted = frame == 0 or len(answers) > 1
            with autocast(half, batch.kind_bo.device):
                past.append(_remember(model, features, answers[-1], _number(batch, frame), prompted=prompted))
    terms = functools.reduce(LossTerms.plus, losses).scaled(1 / len(losses))
    terms.total = terms.total + _encoder_loss(encoded, batch, parts, half)
    return PassResult(terms, sums)


def _answers(
    model: SAM2,
    features: ImageFeatures,
    batch: Batch,
    frame: int,
    past: list[_Remembered],
    *,
    clicks: int,
    rng: np.random.Generator,
    half: bool,
) -> list[StepOutput]:
    """What the network says about a frame: at first, and after each of so many correction clicks."""
    truth = batch.truth_botgg[:, :, frame].flatten(0, 1).float() / 255
    size = batch.pictures_btss.shape[2]
    memory = _memory(model, past, batch, frame)
    points: Tensor | None = None
    labels: Tensor | None = None
    with autocast(half, truth.device):
        if frame == 0:
            answers = [_prompted(model, features, batch, truth)]
            points, labels = batch.points_bon2.flatten(0, 1), batch.labels_bon.flatten(0, 1)
        else:
            answers = [model.track_step(features, memory=memory)]
    for _ in range(0 if frame == 0 and batch.prompt == "mask" else clicks):
        last = answers[-1].low_res_logits_b1hw
        spots, signs = _clicks_on_errors(rng, last, truth, size)
        points = spots if points is None else torch.cat([points, spots], 1)
        labels = signs if labels is None else torch.cat([labels, signs], 1)
        with autocast(half, truth.device):
            answers.append(
                model.track_step(
                    features,
                    points=PointPrompt(points, labels),
                    previous_logits_b1hw=last.detach().float().clamp(-32, 32),
                    memory=memory,
                )
            )
    return answers


def _memory(model: SAM2, past: list[_Remembered], batch: Batch, frame: int) -> MemorySelection | None:
    if frame == 0:
        return None
    config = model.config
    return select_memories(past, frame + batch.gap, config.num_maskmem, config.max_obj_ptrs_in_encoder)


@torch.no_grad()
def follow(model: SAM2, batch: Batch, *, half: bool) -> Iterator[StepOutput]:
    """Track a batch without learning from it; yields each frame's answer."""
    count, objects = batch.kind_bo.shape
    frames = batch.pictures_btss.shape[1]
    past: list[_Remembered] = []
    device = batch.kind_bo.device
    picture = torch.arange(count, device=device).repeat_interleave(objects)
    for frame in range(frames):
        with autocast(half, device):
            encoded = model.encode_image(normalised(batch.pictures_btss[:, frame]))
            features = encoded.select(picture)
            if frame == 0:
                truth = batch.truth_botgg[:, :, 0].flatten(0, 1).float() / 255
                output = _prompted(model, features, batch, truth)
            else:
                output = model.track_step(features, memory=_memory(model, past, batch, frame))
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
        size = batch.pictures_btss.shape[2]
        mask = (
            F.interpolate(truth_bgg[:, None], size=(size, size), mode="bilinear", align_corners=False) > 0.5
        )
        return model.track_step(features, mask_inputs_b1hw=mask.float())
    return model.track_step(
        features, points=PointPrompt(batch.points_bon2.flatten(0, 1), batch.labels_bon.flatten(0, 1))
    )
