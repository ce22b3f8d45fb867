"""What a run's clicks mean, decided before tracking: a click on a pupil or an iris becomes its visible mask.

Purpose: `ClearClicks` is shown the prompts of each view as tracking begins. Where a pupil or an iris has one
click on a frame, the network is asked for all of its answers, the picture for its own outlines
(`eye.meant`), and where one of them is likely right, its mask is entered in place of the click. The tracker
then remembers the object as it is, not a part of it. A click that stays unclear is asked again in several
looks at the picture (`looks`), and what they say together is entered.

Notable choices: the prompts of the run stay what the user gave; what was entered instead is told in
`run.json` under "clicks", and its memory is stored as that of any prompt is, so a run that goes on and a
correction use it too. Several points, a box or a mask of the user's are never replaced. A click on an iris
whose pupil is unclear or was not clicked is entered as it is, and so is one that the network answers with
next to nothing.

What it does not know: other objects than pupil and iris; frames without a click.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.meant import Answer, Meant, Sight, meant_iris, meant_pupil
from ocusam.model.eye_parts import PARTS
from ocusam.model.sam2 import SAM2
from ocusam.model.values import PointPrompt
from ocusam.tracking.prompt_checks import make_points
from ocusam.tracking.session import VideoSession
from ocusam.workflows.find.looks import Looks

NETWORK = "nano"
"""Whose answers the weights of `eye.meant` were fitted on; others' clicks stay as they are."""
LEAST = {"pupil": 0.5, "iris": 0.4}
"""Probability from which an outline is entered in place of a click. Chosen on rendered eyes: by single
pictures (benchmarks/fit_meant.py), where from there on next to none is worse than what the network alone
would give, and after looking at what tracked frames of the first clips of benchmarks/rendered_test_set.py
gained and lost."""
MASK, LOOKS, CLICK = "mask", "mask of several looks", "click"
"""What was entered: the likely outline's mask, what several looks say together, or the click as it is."""
_LEAST_PX = 12  # of a mask that is entered
_LEAST_SURE = 0.3  # predicted IoU of several looks; not varied
_NEAR_CELLS = 2.0  # of the map of parts, from a click to the region it means


class ClearClicks:
    """Replaces single clicks by masks where it is clear what they mean.

    Attributes:
        told: what was decided, click by click; px of the view, and the tracker's frames.
    """

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def in_video(self, corners: Mapping[int, tuple[int, int]], ahead: int) -> list[dict[str, Any]]:
        """What was decided, for `run.json`: px of the whole picture, and frames of the video.

        Args:
            corners: of each view, the x and y of its upper left corner.
            ahead: how many reference pictures the tracker was shown before the video.
        """
        moved = []
        for told in self.told:
            x, y = corners[told["view"]]
            place = {
                "frame_idx": told["frame_idx"] - ahead,
                "click": [told["click"][0] + x, told["click"][1] + y],
                "ellipse": [
                    round(told["ellipse"][0] + x, 2),
                    round(told["ellipse"][1] + y, 2),
                    *told["ellipse"][2:],
                ],
            }
            moved.append(told | place)
        return moved

    def __call__(
        self, predictor: Any, state: Any, view: int, prompts: Sequence[ObjectPrompt]
    ) -> list[ObjectPrompt]:
        """Prompts as they shall be entered.

        Args:
            predictor: the tracker; one without a network of ours gets its prompts as they are.
            state: its state of the view.
            view: number of the view.
            prompts: in the view's coordinates and the tracker's frames.
        """
        network = getattr(predictor, "model", None)
        if not isinstance(network, SAM2) or not isinstance(state, VideoSession):
            return list(prompts)
        if network.config.name != NETWORK:
            return list(prompts)
        by_frame: dict[int, dict[str, ObjectPrompt]] = defaultdict(dict)
        for prompt in prompts:
            if prompt.name in LEAST and single_click(prompt):
                by_frame[prompt.frame_idx][prompt.name] = prompt
        masks: dict[tuple[str, int], ObjectPrompt] = {}
        for frame, clicks in sorted(by_frame.items()):
            if "pupil" not in clicks:
                continue
            looks: Looks | None = None
            for name, meant in mean(network, state, frame, clicks).items():
                mask: NDArray[np.bool_] | None = meant.mask
                entered = MASK
                if meant.probability < LEAST[name] or int(meant.mask.sum()) < _LEAST_PX:
                    looks = looks or Looks(network, state.frame(frame).image, state.features(frame))
                    mask = _seen_together(looks, clicks[name])
                    entered = CLICK if mask is None else LOOKS
                if mask is not None:
                    masks[name, frame] = ObjectPrompt(name, frame, mask=mask)
                self.told.append(_told(view, clicks[name], meant, entered))
        return [masks.get((prompt.name, prompt.frame_idx), prompt) for prompt in prompts]


def single_click(prompt: ObjectPrompt) -> bool:
    """Whether a prompt is one point on the object and nothing else."""
    return prompt.mask is None and prompt.box is None and prompt.labels.tolist() == [1]


def mean(network: SAM2, state: VideoSession, frame: int, clicks: dict[str, ObjectPrompt]) -> dict[str, Meant]:
    """What a click on a pupil means, and one on its iris where the pupil is clear.

    Args:
        network: of the tracker.
        state: of the view.
        frame: the tracker's number.
        clicks: by name, "pupil" and perhaps "iris".
    """
    state.check_frame(frame)
    sight = Sight(state.frame(frame).image)
    pupil = meant_pupil(sight, answers(network, state, clicks["pupil"]), _at(clicks["pupil"]))
    out = {} if pupil is None else {"pupil": pupil}
    # Around an unclear pupil, an iris's likeliest outline is often the pupil's.
    if "iris" in clicks and pupil is not None and pupil.probability >= LEAST["pupil"]:
        iris = meant_iris(sight, answers(network, state, clicks["iris"]), _at(clicks["iris"]), pupil)
        if iris is not None:
            out["iris"] = iris
    return out


@torch.inference_mode()
def answers(network: SAM2, state: VideoSession, prompt: ObjectPrompt) -> list[Answer]:
    """All masks that the network gives for a prompt on a frame, without memory; where it names the parts of
    the eye by itself, also what it calls the prompt's object around the click."""
    points = make_points(prompt.points, prompt.labels, None, state.size, network.config.image_size)
    points = PointPrompt(points.coords_bn2.to(network.device), points.labels_bn.to(network.device))
    features = state.features(prompt.frame_idx)
    candidates = network.track_step(features, points=points).candidates
    if candidates is None:
        return []
    logits = candidates.logits_bmhw[0].float().cpu().numpy()
    out = [Answer(one, float(iou)) for one, iou in zip(logits, candidates.iou_bm[0].tolist(), strict=True)]
    if network.config.names_parts and prompt.name in PARTS:
        named = network.name_parts(features)[0, PARTS.index(prompt.name)].float().cpu().numpy()
        height, width = state.size
        x, y = _at(prompt)
        own = part_at(named, ((x + 0.5) / width, (y + 0.5) / height))
        out += [own] if own is not None else []
    return out


def part_at(logits_hw: NDArray[np.float32], at: tuple[float, float]) -> Answer | None:
    """The region of a part of the eye that lies at a place, with the IoU to be expected of it.

    Args:
        logits_hw: of that part over the whole picture.
        at: (x, y) as shares of the picture's sides.

    Returns:
        None where the part is nowhere within two cells of the place.
    """
    height, width = logits_hw.shape
    count, regions = cv2.connectedComponents((logits_hw > 0).astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    rows, columns = np.nonzero(regions)
    away = np.hypot(columns + 0.5 - at[0] * width, rows + 0.5 - at[1] * height)
    nearest = int(away.argmin())
    if away[nearest] > _NEAR_CELLS:
        return None
    own = regions == regions[rows[nearest], columns[nearest]]
    probability = 1.0 / (1.0 + np.exp(-logits_hw.astype(np.float64)))
    around = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=3) > 0
    expected = probability[own].sum() / (own.sum() + probability[around & ~own].sum())
    # Other regions of the same part are not meant.
    alone = np.where(around, logits_hw, np.minimum(logits_hw, -1.0)).astype(np.float32)
    return Answer(alone, float(expected))


def _at(prompt: ObjectPrompt) -> tuple[float, float]:
    x, y = prompt.points[0].tolist()
    return x, y


def _seen_together(looks: Looks, prompt: ObjectPrompt) -> NDArray[np.bool_] | None:
    """The mask that several looks say together; None where there is hardly one."""
    together = looks.answer(prompt)
    if together is None or together.predicted_iou < _LEAST_SURE:
        return None
    height, width = looks.size
    mask = cv2.resize(together.logits, (width, height), interpolation=cv2.INTER_LINEAR) > 0
    return mask if int(mask.sum()) >= _LEAST_PX else None


def _told(view: int, prompt: ObjectPrompt, meant: Meant, entered: str) -> dict[str, Any]:
    e = meant.ellipse
    return {
        "view": view,
        "frame_idx": prompt.frame_idx,
        "object": prompt.name,
        "click": prompt.points[0].tolist(),
        "entered": entered,
        "probability": round(meant.probability, 3),
        "source": meant.source,
        "on_the_picture": meant.refined,
        "ellipse": [round(v, 2) for v in (*e.center, e.major, e.minor, e.angle)],
        "area_px": int(meant.mask.sum()),
    }
