"""Training batches: rendered eyes, several objects of one picture side by side, and the prompts that name
them.

A batch is a pure function of (seed, step), so an interrupted training resumes exactly. One background process
renders; its batches arrive in order. Pupil, iris, sclera and reflections of one picture are trained next to
each other, because a network that sees one object per picture learns to ignore the click and to take "the
dark thing".

Notable choices: the prompt's kind is drawn per batch, since the decoder's multimask policy depends on the
number of points; the whole lid opening is asked for only by boxes or several clicks, because one click on it
means something smaller; `group` consecutive steps share their rendered eyes (other gaze, lid and pupil,
other augmentation), which divides the cost of drawing an eye.
It does not know the network; pictures are grey bytes and normalised by the trainer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ocusam.training import clicks
from ocusam.training.augment import U8, AugmentConfig, augment
from ocusam.training.eye_parts import PARTS
from ocusam.training.rendered import Renderer, Wish, rendered_eye

KINDS = ("pupil", "iris", "sclera", "cr", "lid_opening", "nothing")
LEAST_AREA_PX = {"pupil": 12.0, "iris": 20.0, "sclera": 20.0, "cr": 4.0, "lid_opening": 40.0}
"""Visible area below which nobody would click on it, in pixels of the network's input."""
VISIBLE_AREA_PX = 3.0
"""Visible area from which on an object counts as present."""
PROMPTS = ("click", "box", "clicks", "mask")
MAX_POINTS = 3


@dataclass(frozen=True)
class ClipConfig:
    """What a batch holds. `group` must be 1 for clips of more than one frame."""

    size: int = 256
    grid: int = 128
    frames: int = 1
    pictures: int = 16
    objects: int = 4
    group: int = 4
    prompt_shares: tuple[float, float, float, float] = (0.7, 0.15, 0.15, 0.0)
    nothing: float = 0.06
    two_eyes: float = 0.03
    gap: float = 0.5
    """Share of the clips whose first frame lies long before the others, as the click does in all but the
    first moments of a recording."""
    longest_gap: int = 3000
    """Frames; gaps are drawn evenly on a logarithmic scale."""
    blink: float = 0.35
    """Share of the clips with a blink after the first frame, filmed slowly enough for the eye to open
    again."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass
class Batch:
    """B pictures or clips of T frames with O objects each; shapes as named.

    Coordinates and areas are in pixels of the network's input.
    """

    pictures_btss: Tensor
    """Grey bytes."""
    truth_botgg: Tensor
    """Covered share of each cell of the grid, bytes 0..255."""
    area_bot: Tensor
    """Visible area, px."""
    kind_bo: Tensor
    """Index into KINDS."""
    points_bon2: Tensor
    """Prompt on the first frame: (x, y) px."""
    labels_bon: Tensor
    """1 positive, 0 negative, 2 and 3 the corners of a box."""
    parts_bptgg: Tensor
    """Covered share of each cell by each of `eye_parts.PARTS`, bytes 0..255."""
    prompt: str
    """One of PROMPTS; with "mask" the truth of the first frame is the prompt."""
    step: int
    gap: int = 0
    """Frames between the first frame and the second that nobody sees."""

    @property
    def present_bot(self) -> Tensor:
        """True where the object is visible."""
        return self.area_bot >= VISIBLE_AREA_PX


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(list(key))


@dataclass
class _Scene:
    """A clip with every object of it: `masks` (N, T, S, S) in the order of `names`."""

    pictures: U8
    names: list[str]
    masks: U8

    def kind(self, index: int) -> str:
        name = self.names[index].split(":")[-1]
        return "cr" if name.startswith("cr") else name


def _scene(pictures: U8, coverage: dict[str, U8]) -> _Scene:
    opening = np.zeros(pictures.shape, np.uint16)
    for name in ("pupil", "iris", "sclera"):
        opening += coverage[name]
    layers = {**coverage, "lid_opening": np.minimum(opening, 255).astype(np.uint8)}
    return _Scene(pictures, list(layers), np.stack(list(layers.values())))


def _side_by_side(rng: np.random.Generator, left: _Scene, right: _Scene) -> _Scene:
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
    return _Scene(pictures, [f"0:{n}" for n in left.names] + [f"1:{n}" for n in right.names], masks)


def _choose(rng: np.random.Generator, scene: _Scene, config: ClipConfig, prompt: str) -> list[int]:
    """Indices of the objects to train in this scene (-1 = nothing), always `config.objects` of them."""
    areas = scene.masks[:, 0].reshape(len(scene.names), -1).sum(1, dtype=np.int64) / 255
    usable = [i for i in range(len(scene.names)) if areas[i] >= LEAST_AREA_PX[scene.kind(i)]]
    if prompt == "click":
        usable = [i for i in usable if scene.kind(i) != "lid_opening"]
    usable = [i for i in usable if (scene.masks[i, 0] >= 128).any()]
    rng.shuffle(usable)
    # Pupil and iris first, then at most two reflections, so that the rest of the eye has its turn.
    rank = {"pupil": 0, "iris": 1, "sclera": 2, "cr": 2, "lid_opening": 2}
    usable.sort(key=lambda i: rank[scene.kind(i)])
    chosen = usable[: config.objects]
    if not chosen:
        return [-1] * config.objects
    while len(chosen) < config.objects:
        chosen.append(chosen[int(rng.integers(len(usable)))])
    if rng.random() < config.nothing * config.objects:
        chosen[-1] = -1
    return chosen


def _click_on_nothing(rng: np.random.Generator, scene: _Scene) -> tuple[float, float]:
    """A click at least 5 px away from everything that can be meant."""
    covered = (scene.masks[:, 0].max(0) > 0).astype(np.uint8)
    far = cv2.dilate(covered, np.ones((11, 11), np.uint8)) == 0
    return clicks._pick(rng, far if far.any() else covered == 0) if (covered == 0).any() else (0.0, 0.0)


def _prompt(rng: np.random.Generator, scene: _Scene, index: int, prompt: str) -> tuple[clicks.Points, bool]:
    """Points for one object, and whether they could be placed."""
    count = {"click": 1, "box": 2, "clicks": MAX_POINTS, "mask": 1}[prompt]
    if index < 0:
        if prompt == "box":
            x, y = _click_on_nothing(rng, scene)
            w, h = rng.uniform(4, 30, 2)
            return [(x - w, y - h, clicks.BOX_START), (x + w, y + h, clicks.BOX_END)], False
        return [(*_click_on_nothing(rng, scene), clicks.POSITIVE) for _ in range(count)], False
    coverage = scene.masks[index, 0]
    if prompt == "box":
        box = clicks.box_around(rng, coverage)
        assert box is not None
        return [(box[0], box[1], clicks.BOX_START), (box[2], box[3], clicks.BOX_END)], True
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
    return points, True


def _beside(rng: np.random.Generator, coverage: U8) -> tuple[float, float]:
    """A point outside an object but not far from it, as people place negative clicks."""
    solid = (coverage > 0).astype(np.uint8)
    reach = int(rng.integers(7, 61)) | 1
    around = (cv2.dilate(solid, np.ones((reach, reach), np.uint8)) == 1) & (
        cv2.dilate(solid, np.ones((5, 5), np.uint8)) == 0
    )
    return clicks._pick(rng, around if around.any() else solid == 0) if (solid == 0).any() else (0.0, 0.0)


class BatchMaker(Dataset[Batch]):
    """`maker[step]` is the batch of that step, whatever was asked for before.

    Args:
        share: (rank, ranks): make only every `ranks`-th picture of each batch, from `rank` on.
    """

    def __init__(
        self,
        config: ClipConfig,
        seed: int,
        renderer: Renderer = rendered_eye,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.config = config
        self.pictures = range(share[0], config.pictures, share[1])
        self.seed = seed
        self.renderer = renderer
        self._block: tuple[int, dict[int, tuple[U8, dict[str, U8]]]] | None = None

    def __getitem__(self, step: int) -> Batch:
        config = self.config
        rng = _generator(self.seed, 1, step)
        prompt = str(rng.choice(PROMPTS, p=np.array(config.prompt_shares) / sum(config.prompt_shares)))
        scenes = [self._frames_of(step, i) for i in self.pictures]
        rows = []
        for number, (i, scene) in enumerate(zip(self.pictures, scenes, strict=True)):
            own = _generator(self.seed, 2, step, i)
            if own.random() < config.two_eyes and len(scenes) > 1:
                scene = _side_by_side(own, scene, scenes[(number + 1) % len(scenes)])
            rows.append(self._row(own, scene, prompt))
        pictures, truth, area, kind, points, labels, parts = (
            np.stack(part) for part in zip(*rows, strict=True)
        )
        return Batch(
            torch.from_numpy(pictures),
            torch.from_numpy(truth),
            torch.from_numpy(area),
            torch.from_numpy(kind),
            torch.from_numpy(points),
            torch.from_numpy(labels),
            torch.from_numpy(parts),
            prompt,
            step,
            self._gap(step),
        )

    def _gap(self, step: int) -> int:
        """One gap for all clips of a batch, since they go through the network frame by frame."""
        config = self.config
        rng = _generator(self.seed, 6, step)
        if config.frames < 2 or rng.random() >= config.gap:
            return 0
        return int(np.exp(rng.uniform(0, np.log(config.longest_gap))))

    def _frames_of(self, step: int, index: int) -> _Scene:
        """The clip of picture `index`: one frame of a shared rendering, or a clip of its own."""
        config = self.config
        if config.frames > 1:
            pictures, coverage = self._clip(step, index)
            return _scene(pictures, coverage)
        block, offset = divmod(step, config.group)
        if self._block is None or self._block[0] != block:
            eyes = {}
            for i in self.pictures:
                rng = _generator(self.seed, 3, block, i)
                fps = float(np.exp(rng.uniform(np.log(0.5), np.log(8))))
                eyes[i] = self.renderer(Wish(int(rng.integers(2**31)), config.group, fps, config.size))
            self._block = (block, eyes)
        pictures, coverage = self._block[1][index]
        own = slice(offset, offset + 1)
        return _scene(pictures[own], {name: layer[own] for name, layer in coverage.items()})

    def _clip(self, step: int, index: int) -> tuple[U8, dict[str, U8]]:
        """A clip that begins with a visible pupil; forward or (without a gap) backward, at any frame rate."""
        config, gap = self.config, self._gap(step)
        backward = False
        for attempt in range(4):
            rng = _generator(self.seed, 4, step, index, attempt)
            blink = bool(rng.random() < config.blink)
            fps = float(np.exp(rng.uniform(np.log(6 if blink else 8), np.log(40 if blink else 200))))
            wish = Wish(int(rng.integers(2**31)), config.frames, fps, config.size, gap, blink)
            pictures, coverage = self.renderer(wish)
            areas = coverage["pupil"].reshape(config.frames, -1).sum(1, dtype=np.int64) / 255
            if gap:
                if areas[0] >= LEAST_AREA_PX["pupil"]:
                    break
                continue
            backward = bool(rng.random() < 0.5)
            if areas[-1 if backward else 0] < LEAST_AREA_PX["pupil"]:
                backward = not backward
            if areas[-1 if backward else 0] >= LEAST_AREA_PX["pupil"]:
                break
        if backward:
            return pictures[::-1], {name: layer[::-1] for name, layer in coverage.items()}
        return pictures, coverage

    def _row(self, rng: np.random.Generator, scene: _Scene, prompt: str) -> tuple[NDArray[np.generic], ...]:
        """Augment one scene and pack what a batch needs of it."""
        config = self.config
        changes = config.augment
        if scene.names[0].startswith("0:"):
            changes = replace(
                changes, squash=0.0, frame_eye=0.0
            )  # two eyes side by side are squeezed already
        scene.pictures, scene.masks = augment(rng, scene.pictures, scene.masks, changes)
        chosen = _choose(rng, scene, config, prompt)
        points, labels, truth, area, kind = [], [], [], [], []
        nothing = np.zeros((config.frames, config.size, config.size), np.uint8)
        for index in chosen:
            placed, _ = _prompt(rng, scene, index, prompt)
            mask = scene.masks[index] if index >= 0 else nothing
            points.append([p[:2] for p in placed])
            labels.append([p[2] for p in placed])
            truth.append(
                [cv2.resize(m, (config.grid, config.grid), interpolation=cv2.INTER_AREA) for m in mask]
            )
            area.append(mask.reshape(config.frames, -1).sum(1, dtype=np.int64) / 255)
            kind.append(KINDS.index(scene.kind(index) if index >= 0 else "nothing"))
        return (
            scene.pictures,
            np.array(truth, np.uint8),
            np.array(area, np.float32),
            np.array(kind, np.int64),
            np.array(points, np.float32),
            np.array(labels, np.int64),
            self._parts(scene),
        )

    def _parts(self, scene: _Scene) -> U8:
        """All of the eye's parts on the grid, (parts, T, g, g), whatever was chosen as objects."""
        grid = (self.config.grid, self.config.grid)
        layers = []
        for part in PARTS:
            own = [scene.masks[i] for i in range(len(scene.names)) if scene.kind(i) == part]
            whole = np.max(own, axis=0) if own else np.zeros(scene.pictures.shape, np.uint8)
            layers.append([cv2.resize(m, grid, interpolation=cv2.INTER_AREA) for m in whole])
        return np.array(layers, np.uint8)


class MixedMaker(Dataset[Batch]):
    """Batches of several kinds in one training, such as clips beside single pictures of several sizes.

    Which kind a step is depends on (seed, step) alone; each kind counts its own steps, so that `group` works
    in it as alone.

    Args:
        makers: one per kind.
        shares: how often each is drawn.
        steps: of the whole training.
        seed: of the draw.
    """

    def __init__(self, makers: list[BatchMaker], shares: list[float], steps: int, seed: int) -> None:
        self.makers = makers
        odds = np.array(shares) / sum(shares)
        self.kinds = _generator(seed, 7).choice(len(makers), size=steps, p=odds)
        self.counts = [np.cumsum(self.kinds == kind) - 1 for kind in range(len(makers))]

    def __getitem__(self, step: int) -> Batch:
        kind = int(self.kinds[step])
        return self.makers[kind][int(self.counts[kind][step])]


class _Steps(Sampler[int]):
    def __init__(self, first: int, last: int) -> None:
        self.steps = range(first, last)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)


def _quiet_worker(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def batches(
    maker: BatchMaker | MixedMaker, first: int, last: int, *, workers: int = 1, ahead: int = 4
) -> Iterator[Batch]:
    """Yield the batches of steps first..last-1 in order, made `ahead` of time by background processes."""
    loader: DataLoader[Batch] = DataLoader(
        maker,
        batch_size=None,
        sampler=_Steps(first, last),
        num_workers=workers,
        prefetch_factor=ahead if workers else None,
        worker_init_fn=_quiet_worker,
        multiprocessing_context="spawn" if workers else None,
    )
    return iter(loader)
