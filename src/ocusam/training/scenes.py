"""One clip with every object in it: which of them are trained, and the prompts that name them.

Purpose: `Scene` is what a renderer or a recording gave, with names; `choose` takes the objects of a batch row
from it, `prompt_for` simulates the user who points at one.

Notable choices: objects have kinds. Those of eyes decide what a click may mean: the whole lid opening is
asked for only by boxes or several clicks, because one click on it means something smaller. Everything that is
no part of an eye (a moving shape, a user's own masks) is an "object". Pupil, iris, sclera and reflections of
one picture are trained next to each other, because a network that sees one object per picture learns to
ignore the click and to take "the dark thing".

What it does not know: augmentation, batches. Coordinates are px of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.training import clicks
from ocusam.training.augment import U8

KINDS = ("pupil", "iris", "sclera", "cr", "lid_opening", "nothing", "object")
LEAST_AREA_PX = {"pupil": 12.0, "iris": 20.0, "sclera": 20.0, "cr": 4.0, "lid_opening": 40.0, "object": 12.0}
"""Visible area below which nobody would click on it, in pixels of the network's input."""
VISIBLE_AREA_PX = 3.0
"""Visible area from which on an object counts as present."""
MAX_POINTS = 3
EYE = ("pupil", "iris", "sclera")
SHAPE = "shape"
"""Names of rendered everyday shapes begin with this."""


@dataclass
class Scene:
    """A clip with every object of it.

    Attributes:
        pictures: (T, S, S) grey or (T, S, S, 3) RGB.
        names: of the objects; several eyes in one picture have a number and a colon in front.
        masks: (N, T, S, S) coverage, 0..255, in the order of `names`.
    """

    pictures: U8
    names: list[str]
    masks: U8

    def kind(self, index: int) -> str:
        """One of `KINDS`."""
        return kind_of(self.names[index])

    @property
    def knows_eye_parts(self) -> bool:
        """Every pixel of the eye is named, or it is known that there is none."""
        names = {name.split(":")[-1] for name in self.names}
        return names >= set(EYE) or all(name.startswith(SHAPE) for name in names)


def kind_of(name: str) -> str:
    """The kind of an object by its name."""
    name = name.split(":")[-1]
    if name.startswith(("cr", "corneal_reflection")) and name.rstrip("0123456789") in (
        "cr",
        "corneal_reflection",
    ):
        return "cr"
    return name if name in LEAST_AREA_PX else "object"


def areas(masks: U8) -> NDArray[np.float64]:
    """Visible areas, px, of the last two axes."""
    return np.asarray(masks.reshape(*masks.shape[:-2], -1).sum(-1, dtype=np.int64) / 255)


def scene_of(pictures: U8, coverage: dict[str, U8]) -> Scene:
    """A scene of a renderer's answer; the lid opening of an eye is added."""
    if not coverage.keys() >= set(EYE):
        return Scene(pictures, list(coverage), np.stack(list(coverage.values())))
    opening = np.zeros(pictures.shape[:3], np.uint16)
    for name in EYE:
        opening += coverage[name]
    layers = {**coverage, "lid_opening": np.minimum(opening, 255).astype(np.uint8)}
    return Scene(pictures, list(layers), np.stack(list(layers.values())))


def begins_well(coverage: dict[str, U8], frame: int) -> bool:
    """Whether a clip can begin with this frame: its pupil can be clicked, or anything where there is none."""
    names = ["pupil"] if "pupil" in coverage else list(coverage)
    return any(float(areas(coverage[n][frame])) >= LEAST_AREA_PX[kind_of(n)] for n in names)


def side_by_side(rng: np.random.Generator, left: Scene, right: Scene) -> Scene:
    """Two eyes squeezed into one picture, as the frames of binocular cameras squashed into a square are."""
    if rng.random() < 0.5:
        left, right = right, left
    size = left.pictures.shape[-1]
    half = size // 2

    def squeeze(stack: U8) -> U8:
        flat = stack.reshape(-1, size, size)
        return np.stack([cv2.resize(p, (half, size), interpolation=cv2.INTER_AREA) for p in flat]).reshape(
            *stack.shape[:-1], half
        )

    pictures = np.concatenate([squeeze(left.pictures), squeeze(right.pictures)], -1)
    blank_left = np.zeros((*left.masks.shape[:-1], half), np.uint8)
    blank_right = np.zeros((*right.masks.shape[:-1], half), np.uint8)
    masks = np.concatenate(
        [
            np.concatenate([squeeze(left.masks), blank_left], -1),
            np.concatenate([blank_right, squeeze(right.masks)], -1),
        ]
    )
    return Scene(pictures, [f"0:{n}" for n in left.names] + [f"1:{n}" for n in right.names], masks)


def choose(rng: np.random.Generator, scene: Scene, prompt: str, objects: int, nothing: float) -> list[int]:
    """Indices of the objects to train in this scene (-1 = nothing), always `objects` of them.

    Args:
        prompt: how they will be pointed at.
        nothing: how often, per object, one place is given to a click on nothing.
    """
    area = areas(scene.masks[:, 0])
    usable = [i for i in range(len(scene.names)) if area[i] >= LEAST_AREA_PX[scene.kind(i)]]
    if prompt == "click":
        usable = [i for i in usable if scene.kind(i) != "lid_opening"]
    usable = [i for i in usable if (scene.masks[i, 0] >= 128).any()]
    rng.shuffle(usable)
    # Pupil and iris first, then at most two reflections, so that the rest of the eye has its turn.
    rank = {"pupil": 0, "iris": 1}
    usable.sort(key=lambda i: rank.get(scene.kind(i), 2))
    chosen = usable[:objects]
    if not chosen:
        return [-1] * objects
    while len(chosen) < objects:
        chosen.append(chosen[int(rng.integers(len(usable)))])
    if rng.random() < nothing * objects:
        chosen[-1] = -1
    return chosen


def _click_on_nothing(rng: np.random.Generator, scene: Scene) -> tuple[float, float]:
    """A click at least 5 px away from everything that can be meant."""
    covered = (scene.masks[:, 0].max(0) > 0).astype(np.uint8)
    far = cv2.dilate(covered, np.ones((11, 11), np.uint8)) == 0
    return clicks.pick(rng, far if far.any() else covered == 0) if (covered == 0).any() else (0.0, 0.0)


def prompt_for(rng: np.random.Generator, scene: Scene, index: int, prompt: str) -> clicks.Points:
    """Points for one object (-1: for nothing), as many for every object of a scene."""
    count = {"click": 1, "box": 2, "clicks": MAX_POINTS, "mask": 1}[prompt]
    if index < 0:
        if prompt == "box":
            x, y = _click_on_nothing(rng, scene)
            w, h = rng.uniform(4, 30, 2)
            return [(x - w, y - h, clicks.BOX_START), (x + w, y + h, clicks.BOX_END)]
        return [(*_click_on_nothing(rng, scene), clicks.POSITIVE) for _ in range(count)]
    coverage = scene.masks[index, 0]
    if prompt == "box":
        box = clicks.box_around(rng, coverage)
        assert box is not None
        return [(box[0], box[1], clicks.BOX_START), (box[2], box[3], clicks.BOX_END)]
    shine = None
    if scene.kind(index) != "cr":
        reflections = [scene.masks[i, 0] for i in range(len(scene.names)) if scene.kind(i) == "cr"]
        shine = np.max(reflections, axis=0) if reflections else None
    points: clicks.Points = []
    for number in range(count):
        if number == 0 or rng.random() < 0.5:
            spot = clicks.first_click(rng, coverage, shine)
            assert spot is not None
            points.append((*spot, clicks.POSITIVE))
        else:
            points.append((*_beside(rng, coverage), clicks.NEGATIVE))
    return points


def _beside(rng: np.random.Generator, coverage: U8) -> tuple[float, float]:
    """A point outside an object but not far from it, as people place negative clicks."""
    solid = (coverage > 0).astype(np.uint8)
    reach = int(rng.integers(7, 61)) | 1
    around = (cv2.dilate(solid, np.ones((reach, reach), np.uint8)) == 1) & (
        cv2.dilate(solid, np.ones((5, 5), np.uint8)) == 0
    )
    return clicks.pick(rng, around if around.any() else solid == 0) if (solid == 0).any() else (0.0, 0.0)
