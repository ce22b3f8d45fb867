"""What a network says of a click when it looks at the picture several times: larger, and mirrored.

Purpose: `Looks` asks the network the same question of the same picture in another size and mirrored, and
takes the mean of its answers, each weighed by how sure it says to be.

Notable choices: a network is not quite the same function of a picture and of its mirror image, and it errs in
other ways where it sees finer; where one look goes wrong the others are mostly surer, so the weighed mean is
much better than the first look, and no worse than the surest (docs/lab_log.md). That costs as much as six
frames, once for each frame with an unclear click. Every frame would take so much, so frames that are tracked
are looked at once.

What it does not know: what comes of the answer.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.meant import Answer
from ocusam.model.build import at_size
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, PointPrompt
from ocusam.tracking.prompt_checks import make_points
from ocusam.video.frames import picture_to_input

LARGER = 1.5
"""Of the network's input: the other size that pictures are looked at in, to a multiple of 32 px."""
SURENESS = 8
"""A look counts by its predicted IoU to this power: of looks that differ the sure one is meant."""
_LEAST_WEIGHT = 1e-6


class Looks:
    """Several looks at one picture; each is encoded once, for all questions.

    Args:
        network: with its weights; its own size is the first of two.
        picture: uint8 (H, W) or (H, W, 3) RGB of one view.
        first: what the network sees in its own size, where that is at hand.
    """

    def __init__(self, network: SAM2, picture: NDArray[np.uint8], first: ImageFeatures | None = None) -> None:
        self._picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        own = network.config.image_size
        larger = max(32, round(LARGER * own / 32) * 32)
        self._seen: dict[tuple[int, bool], ImageFeatures] = {} if first is None else {(own, False): first}
        self._networks = {own: network, larger: at_size(network, larger)}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self._picture.shape[0], self._picture.shape[1]

    @torch.inference_mode()
    def answer(self, prompt: ObjectPrompt) -> Answer | None:
        """The mean answer to a prompt of points; None where the network gives none.

        The logits are those of the finest look's grid.
        """
        found = [
            answer
            for size, network in self._networks.items()
            for mirrored in (False, True)
            if (answer := self._look(network, size, prompt, mirrored=mirrored)) is not None
        ]
        if not found:
            return None
        grid = max(logits.shape[-1] for logits, _ in found)
        sure = np.array([iou for _, iou in found])
        weights = np.maximum(sure, 0.0) ** SURENESS + _LEAST_WEIGHT
        weights /= weights.sum()
        mean = torch.zeros(1, 1, grid, grid)
        for weight, (logits, _) in zip(weights.tolist(), found, strict=True):
            mean += weight * F.interpolate(logits, (grid, grid), mode="bilinear", align_corners=False)
        return Answer(mean[0, 0].numpy(), float(weights @ sure))

    def _look(
        self, network: SAM2, size: int, prompt: ObjectPrompt, *, mirrored: bool
    ) -> tuple[torch.Tensor, float] | None:
        """The surest mask of one look, float32 (1, 1, size / 4, size / 4), and its predicted IoU."""
        points = make_points(prompt.points, prompt.labels, None, self.size, size)
        coords = points.coords_bn2.clone()
        if mirrored:
            coords[..., 0] = size - 1 - coords[..., 0]
        asked = PointPrompt(coords.to(network.device), points.labels_bn.to(network.device))
        candidates = network.track_step(self._features(network, size, mirrored), points=asked).candidates
        if candidates is None:
            return None
        best = int(candidates.iou_bm[0].argmax())
        logits = candidates.logits_bmhw[:, best : best + 1].float().cpu()
        return logits.flip(-1) if mirrored else logits, float(candidates.iou_bm[0, best])

    def _features(self, network: SAM2, size: int, mirrored: bool) -> ImageFeatures:
        if (size, mirrored) not in self._seen:
            picture = self._picture[:, ::-1] if mirrored else self._picture
            pixels = picture_to_input(np.ascontiguousarray(picture), size)
            self._seen[size, mirrored] = network.encode_image(
                torch.from_numpy(pixels)[None].to(network.device)
            )
        return self._seen[size, mirrored]
