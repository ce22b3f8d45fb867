"""Training batches: pictures or clips with several objects of each side by side.

A batch is a pure function of (seed, step), so an interrupted training resumes exactly. One background process
renders; its batches arrive in order.

Notable choices: the prompt's kind is drawn per batch, since the decoder's multimask policy depends on the
number of points; `group` consecutive steps share their rendered eyes (other gaze, lid and pupil, other
augmentation), which divides the cost of drawing an eye, and `uses` lets them come back later; clips run
forward or backward.
It does not know the network; pictures are bytes and normalised by the trainer.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ocusam.core.errors import OcusamError
from ocusam.model.eye_parts import PARTS
from ocusam.training.augment import U8, AugmentConfig, augment
from ocusam.training.rendered import Renderer, Wish, rendered_eye
from ocusam.training.scenes import (
    KINDS,
    VISIBLE_AREA_PX,
    Scene,
    areas,
    begins_well,
    choose,
    prompt_for,
    scene_of,
    side_by_side,
)

USED_AGAIN_AFTER = 12
"""Blocks of `ClipConfig.group` steps between two uses of an eye."""
PROMPTS = ("click", "box", "clicks", "mask")


@dataclass(frozen=True)
class ClipConfig:
    """What a batch holds. `group` must be 1 for clips of more than one frame."""

    size: int = 256
    grid: int = 128
    frames: int = 1
    pictures: int = 16
    objects: int = 4
    group: int = 4
    uses: int = 1
    """How often the frames of a rendered eye are seen, of single pictures: drawing one costs as much as
    learning from it, and cut, turned and lit otherwise it has more to teach. Steps that share an eye lie
    `group * USED_AGAIN_AFTER` apart."""
    prompt_shares: tuple[float, float, float, float] = (0.7, 0.15, 0.15, 0.0)
    nothing: float = 0.06
    two_eyes: float = 0.03
    shapes: float = 0.0
    """Share of the pictures or clips that show everyday moving shapes and no eye."""
    gap: float = 0.5
    """Share of the clips whose first frame lies long before the others, as the click does in all but the
    first moments of a recording."""
    longest_gap: int = 3000
    """Frames; gaps are drawn evenly on a logarithmic scale."""
    blink: float = 0.35
    """Share of the clips with a blink after the first frame, filmed slowly enough for the eye to open
    again; of single pictures those with `parts_only`, of which then about one in four is closed."""
    parts_only: bool = False
    """Only the image encoder learns from these pictures, by naming the parts of the eye; no object is asked
    for. A tenth of the cost, so several times as many pictures."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass
class Batch:
    """B pictures or clips of T frames with O objects each; shapes as named.

    Coordinates and areas are in pixels of the network's input.
    """

    pictures_btss: Tensor
    """Grey bytes, or with a fifth axis RGB."""
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
    parts_known_b: Tensor
    """False where somebody's own masks leave open what the rest of the picture is."""
    prompt: str
    """One of PROMPTS; with "mask" the truth of the first frame is the prompt."""
    step: int
    gap: int = 0
    """Frames between the first frame and the second that nobody sees."""
    parts_only: bool = False
    """As in `ClipConfig`."""

    @property
    def present_bot(self) -> Tensor:
        """True where the object is visible."""
        return self.area_bot >= VISIBLE_AREA_PX

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in own.items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(list(key))


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
        self._eyes: dict[tuple[int, int], Scene] = {}

    def __getitem__(self, step: int) -> Batch:
        config = self.config
        rng = _generator(self.seed, 1, step)
        prompt = str(rng.choice(PROMPTS, p=np.array(config.prompt_shares) / sum(config.prompt_shares)))
        scenes = [self._frames_of(step, i) for i in self.pictures]
        rows = []
        for number, (i, scene) in enumerate(zip(self.pictures, scenes, strict=True)):
            own = _generator(self.seed, 2, step, i)
            other = scenes[(number + 1) % len(scenes)]
            binocular = own.random() < config.two_eyes and len(scenes) > 1
            if binocular and "pupil" in scene.names and "pupil" in other.names:
                scene = side_by_side(own, scene, other)
            rows.append(self._row(own, scene, prompt))
        stacks = [torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)]
        # A row's parts come in the order of the first fields.
        tensors: dict[str, Any] = dict(zip((f.name for f in fields(Batch)), stacks, strict=False))
        return Batch(**tensors, prompt=prompt, step=step, gap=self._gap(step), parts_only=config.parts_only)

    def _gap(self, step: int) -> int:
        """One gap for all clips of a batch, since they go through the network frame by frame."""
        config = self.config
        rng = _generator(self.seed, 6, step)
        if config.frames < 2 or rng.random() >= config.gap:
            return 0
        return int(np.exp(rng.uniform(0, np.log(config.longest_gap))))

    def _frames_of(self, step: int, index: int) -> Scene:
        """The clip of picture `index`: one frame of a shared rendering, or a clip of its own."""
        config = self.config
        if config.frames > 1:
            pictures, coverage = self._clip(step, index)
            return scene_of(pictures, coverage)
        block, offset = divmod(step, config.group)
        key = self._home(block, index)
        if key not in self._eyes:
            oldest = block - (config.uses - 1) * USED_AGAIN_AFTER
            self._eyes = {k: eye for k, eye in self._eyes.items() if k[0] >= oldest}
            self._eyes[key] = self._eye(*key)
        eye = self._eyes[key]
        return Scene(eye.pictures[offset : offset + 1], eye.names, eye.masks[:, offset : offset + 1])

    def _home(self, block: int, index: int) -> tuple[int, int]:
        """Block and picture for which the eye of this one was drawn: its own, or an earlier one's."""
        uses = self.config.uses
        place = self.pictures.index(index)
        drawn = block - place % uses * USED_AGAIN_AFTER
        return (drawn, self.pictures[place - place % uses]) if drawn >= 0 else (block, index)

    def _eye(self, block: int, index: int) -> Scene:
        """`group` frames of one eye, slow enough to differ."""
        config = self.config
        rng = _generator(self.seed, 3, block, index)
        blink = config.parts_only and bool(rng.random() < config.blink)
        fps = float(np.exp(rng.uniform(*((np.log(4), np.log(12)) if blink else (np.log(0.5), np.log(8))))))
        shapes = self._shows_shapes(block, index)
        seed = int(rng.integers(2**31))
        wish = Wish(seed, config.group, fps, config.size, blink=blink, shapes=shapes)
        scene = scene_of(*self.renderer(wish))
        return _parts_alone(scene) if config.parts_only else scene

    def _shows_shapes(self, step: int, index: int) -> bool:
        return bool(_generator(self.seed, 8, step, index).random() < self.config.shapes)

    def _clip(self, step: int, index: int) -> tuple[U8, dict[str, U8]]:
        """A clip that begins with a visible pupil; forward or (without a gap) backward, at any frame rate."""
        config, gap = self.config, self._gap(step)
        backward = False
        for attempt in range(4):
            rng = _generator(self.seed, 4, step, index, attempt)
            blink = bool(rng.random() < config.blink)
            fps = float(np.exp(rng.uniform(np.log(6 if blink else 8), np.log(40 if blink else 200))))
            shapes = self._shows_shapes(step, index)
            seed = int(rng.integers(2**31))
            pictures, coverage = self.renderer(
                Wish(seed, config.frames, fps, config.size, gap, blink, shapes)
            )
            if gap:
                if begins_well(coverage, 0):
                    break
                continue
            backward = bool(rng.random() < 0.5)
            if not begins_well(coverage, -1 if backward else 0):
                backward = not backward
            if begins_well(coverage, -1 if backward else 0):
                break
        if backward:
            return pictures[::-1], {name: layer[::-1] for name, layer in coverage.items()}
        return pictures, coverage

    def _row(self, rng: np.random.Generator, scene: Scene, prompt: str) -> tuple[NDArray[np.generic], ...]:
        """Augment one scene and pack what a batch needs of it."""
        config = self.config
        scene = self._augmented(rng, scene)
        chosen = [] if config.parts_only else choose(rng, scene, prompt, config.objects, config.nothing)
        points, labels, truth, area, kind = [], [], [], [], []
        blank = np.zeros((config.frames, config.size, config.size), np.uint8)
        for index in chosen:
            placed = prompt_for(rng, scene, index, prompt)
            mask = scene.masks[index] if index >= 0 else blank
            points.append([p[:2] for p in placed])
            labels.append([p[2] for p in placed])
            truth.append(
                [cv2.resize(m, (config.grid, config.grid), interpolation=cv2.INTER_AREA) for m in mask]
            )
            area.append(areas(mask))
            kind.append(KINDS.index(scene.kind(index) if index >= 0 else "nothing"))
        return (
            scene.pictures,
            np.array(truth, np.uint8),
            np.array(area, np.float32),
            np.array(kind, np.int64),
            np.array(points, np.float32),
            np.array(labels, np.int64),
            self._parts(scene),
            np.array(scene.knows_eye_parts),
        )

    def _augmented(self, rng: np.random.Generator, scene: Scene) -> Scene:
        changes = self.config.augment
        if scene.names[0].startswith("0:"):  # two eyes side by side are squeezed already
            changes = replace(changes, squash=0.0, frame_eye=0.0)
        if not any(scene.kind(i) == "pupil" for i in range(len(scene.names))):
            changes = replace(changes, frame_eye=0.0)
        pictures = scene.pictures
        if pictures.ndim == 3:
            pictures, masks = augment(rng, pictures, scene.masks, changes)
            return Scene(pictures, scene.names, masks)
        # Colours go through as three grey pictures.
        planes = np.moveaxis(pictures, -1, 0).reshape(-1, *pictures.shape[1:3])
        planes, masks = augment(rng, planes, scene.masks, changes)
        back = np.moveaxis(planes.reshape(3, *pictures.shape[:3]), 0, -1)
        return Scene(np.ascontiguousarray(back), scene.names, masks)

    def _parts(self, scene: Scene) -> U8:
        """All of the eye's parts on the grid, (parts, T, g, g), whatever was chosen as objects."""
        grid = (self.config.grid, self.config.grid)
        layers = []
        for part in PARTS:
            own = [scene.masks[i] for i in range(len(scene.names)) if scene.kind(i) == part]
            whole = np.max(own, axis=0) if own else np.zeros(scene.pictures.shape[:3], np.uint8)
            layers.append([cv2.resize(m, grid, interpolation=cv2.INTER_AREA) for m in whole])
        return np.array(layers, np.uint8)


def _parts_alone(scene: Scene) -> Scene:
    """The scene without what only prompts need: one mask for each part of the eye, reflections together."""
    if not scene.knows_eye_parts or not any(scene.kind(i) in PARTS for i in range(len(scene.names))):
        return scene
    layers = {}
    for part in PARTS:
        own = [scene.masks[i] for i in range(len(scene.names)) if scene.kind(i) == part]
        if own:
            layers[part] = np.max(own, axis=0)
    return Scene(scene.pictures, list(layers), np.stack(list(layers.values())))


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


class _Told(Dataset[Batch | OcusamError]):
    """Batches of a maker; what a user can mend travels as a value, since an error that a background process
    raises arrives with that process's traceback in its text."""

    def __init__(self, maker: BatchMaker | MixedMaker) -> None:
        self.maker = maker

    def __getitem__(self, step: int) -> Batch | OcusamError:
        try:
            return self.maker[step]
        except OcusamError as error:
            return error


def _quiet_worker(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which in a terminal reaches all of them, from their first
    moment on: the one that trains says when to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def batches(
    maker: BatchMaker | MixedMaker, first: int, last: int, *, workers: int = 1, ahead: int = 4
) -> Iterator[Batch]:
    """Yield the batches of steps first..last-1 in order, made `ahead` of time by background processes.

    Raises:
        OcusamError: a picture cannot be read; a background process died.
    """
    loader: DataLoader[Batch | OcusamError] = DataLoader(
        _Told(maker),
        batch_size=None,
        sampler=_Steps(first, last),
        num_workers=workers,
        prefetch_factor=ahead if workers else None,
        worker_init_fn=_quiet_worker,
        multiprocessing_context="spawn" if workers else None,
    )
    try:
        with _deaf_children():
            made = iter(loader)
        for batch in made:
            if isinstance(batch, OcusamError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OcusamError(
            "A background process that makes batches ended unexpectedly, most often for want of memory: take "
            "fewer (--workers), or smaller batches."
        ) from None
