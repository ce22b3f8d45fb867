"""Asking a network whether it agrees: a click, and how well its mask matches a shape.

Purpose: what `find_eye` needs of a network, in one small class; and what stands in for it in tests.

A network that names the parts of the eye is asked for its map as well (`part_map`).

Notable choices: pictures come at a few hundred px already, so that masks are compared at that size. Of the
three masks of a click the one counts that the network itself rates best, since that is the one tracking would
start from.

What it does not know: eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from ocusam.model.sam2 import SAM2
from ocusam.tracking.image_predictor import SAM2ImagePredictor, picture_to_still_input
from ocusam.video.pictures import as_rgb
from ocusam.workflows.find.part_map import PartMap, part_map

BoolArray = NDArray[np.bool_]


class Judge(Protocol):
    """Answers clicks on a picture."""

    def look(self, picture: NDArray[np.uint8]) -> None:
        """Take a picture (h, w) or (h, w, 3)."""

    def answer(self, points: Sequence[tuple[float, float]]) -> BoolArray:
        """Masks (N, h, w), one for each point (x, y) px on that picture, each by itself."""


@runtime_checkable
class SeesParts(Protocol):
    """Knows the parts of an eye before any click."""

    def parts(self, picture: NDArray[np.uint8]) -> PartMap | None:
        """The map of a picture (h, w) or (h, w, 3); None: this network has none."""


class NetworkJudge:
    """A `Judge` made of a SAM 2 network."""

    def __init__(self, network: SAM2) -> None:
        self._predictor = SAM2ImagePredictor(network)

    def look(self, picture: NDArray[np.uint8]) -> None:
        """Encode a picture."""
        self._predictor.set_image(picture)

    def answer(self, points: Sequence[tuple[float, float]]) -> BoolArray:
        """Masks of single clicks, all in one batch."""
        coords = np.asarray(points, dtype=np.float32).reshape(-1, 1, 2)
        masks, ious, _ = self._predictor.predict(coords, np.ones((len(coords), 1), np.int32))
        if len(coords) == 1:
            masks, ious = masks[None], ious[None]
        best = ious.argmax(axis=1)
        return np.asarray(masks[np.arange(len(best)), best] > 0, dtype=np.bool_)

    @torch.inference_mode()
    def parts(self, picture: NDArray[np.uint8]) -> PartMap | None:
        """Where the network sees the parts of an eye; None (and no work) if it names none."""
        network = self._predictor.model
        if not network.config.names_parts:
            return None
        still = picture_to_still_input(as_rgb(picture, "The picture"), network.config.image_size)
        logits = network.name_parts(network.encode_image(still.to(network.device)))
        seen = torch.sigmoid(logits)[0].cpu().numpy()
        return part_map(np.asarray(seen, dtype=np.float32), (picture.shape[0], picture.shape[1]))


def parts_of_picture(judge: Judge | None, picture: NDArray[np.uint8]) -> PartMap | None:
    """The map of a picture, where there is a judge that has one."""
    return judge.parts(picture) if isinstance(judge, SeesParts) else None


def judge_of(predictor: Any) -> Judge | None:
    """The judge inside a tracker, or None where there is no network (a stand-in)."""
    network = getattr(predictor, "model", None)
    return NetworkJudge(network) if isinstance(network, SAM2) else None


def overlap(mask: BoolArray, shape: BoolArray) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    union = np.count_nonzero(mask | shape)
    return float(np.count_nonzero(mask & shape) / union) if union else 0.0
