"""The training loop: batches in, checkpoints out; seeded, resumable to the bit, with progress and a CSV log.

A training is made of stages (pictures, then clips) that differ in their batches and passes; each stage is
one run of `Trainer`, started from fresh weights, from another stage's weights, or from its own last
checkpoint. All random choices are functions of (seed, step), so a checkpoint needs no generator states. With
a time budget the learning rate follows elapsed time instead of steps; then a resumed run is not the same to
the bit, since clocks are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ocusam.core.errors import ModelError, OcusamError, WeightsError
from ocusam.model.build import at_size
from ocusam.model.config import get_config
from ocusam.model.eye_parts import EyeParts
from ocusam.model.sam2 import SAM2
from ocusam.tracking.build import load_weights
from ocusam.training.checkpoint_file import read_checkpoint, write_checkpoint
from ocusam.training.checkpointing import recompute_blocks
from ocusam.training.clips import Batch, BatchMaker, ClipConfig, MixedMaker, batches
from ocusam.training.log import TrainingLog
from ocusam.training.optim import MovingAverage, OptimConfig, Optimiser, Ranks, learning_rate, point_at_clicks
from ocusam.training.passes import PassResult, clip_pass, parts_pass
from ocusam.training.rendered import Renderer, rendered_eye
from ocusam.training.scores import HELD_OUT_SEED, score, score_parts
from ocusam.training.statistics import freeze_statistics, has_statistics, settle_statistics
from ocusam.weights.checkpoint import check_fits, save_state

STATISTICS_SEED = HELD_OUT_SEED + 1
"""Seed of the pictures by which averaged weights get their running statistics."""
_STATISTICS_BATCHES = 24


@dataclass(frozen=True)
class TrainConfig:
    """One stage of training.

    `alongside` mixes batches of other kinds into it: pairs of a share of the steps and what those batches
    hold (single pictures beside clips, other sizes); the stage's own `clips` get the rest. `steps` bounds
    the run; `minutes` (0 = none) too, and then the learning rate follows the larger share used.
    """

    model: str = "nano"
    stage: Literal["parts", "images", "clips"] = "images"
    """"parts": the image encoder alone learns to name the parts of the eye, on several times as many pictures
    in the same time; for training from random numbers, before clicks mean anything."""
    steps: int = 4000
    minutes: float = 0.0
    seed: int = 1
    clips: ClipConfig = field(default_factory=ClipConfig)
    alongside: tuple[tuple[float, ClipConfig], ...] = ()
    optim: OptimConfig = field(default_factory=OptimConfig)
    correction_share: float = 0.25
    """Share of the steps with correction clicks."""
    max_corrections: int = 7
    """Clicks on one frame at most; how many is drawn evenly from 1 on."""
    second_task: bool = True
    """Let the encoder name the parts of the eye too (`model/eye_parts.py`), where they are known, and keep
    its embedding small; for training from random numbers, and for what came of it."""
    half: bool = True
    frozen_statistics: bool = False
    """Batch normalisation keeps the running statistics it comes with: for clips, of which a batch holds so
    few that its own mean and variance say little."""
    checkpointing: bool = False
    """Keep less of each step in memory and compute it twice."""
    tensorboard: bool = False
    workers: int = 1
    log_every: int = 25
    score_every: int = 250
    held_out_batches: int = 4
    checkpoint_minutes: float = 5.0
    export_minutes: float = 15.0


class Trainer:
    """Train one network on one stage.

    Args:
        config: see `TrainConfig`.
        out_dir: gets `checkpoint.pt`, `log.csv` and `latest.safetensors`.
        weights: file (or folder of transformers) to start from instead of fresh weights; a checkpoint in
            `out_dir` goes first.
        renderer: where pictures come from.
        say: takes the lines of progress.
        record: text values stored beside exported weights.
        device: where the network is.
        held_out: where the pictures come from that are scored now and then; `renderer` by default.
        ranks: with several processes each computes its share of a batch and gradients are averaged; the
            first one writes and speaks. On a CPU, one process of one thread per core beats one process of
            several threads by far when the cores are also used by others.
    """

    def __init__(
        self,
        config: TrainConfig,
        out_dir: Path,
        *,
        weights: Path | None = None,
        renderer: Renderer = rendered_eye,
        say: Callable[[str], None] = print,
        record: dict[str, str] | None = None,
        ranks: Ranks | None = None,
        device: torch.device | str = "cpu",
        held_out: Renderer | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
        self.device = torch.device(device)
        self._used, self._stopped = 0.0, False
        self.config = config
        self.out_dir = out_dir
        self.record = record or {}
        self.renderer = renderer
        self._held_out_renderer = held_out or renderer
        out_dir.mkdir(parents=True, exist_ok=True)
        self.log = TrainingLog(out_dir, say, tensorboard=config.tensorboard and not self.ranks.index)
        torch.manual_seed(config.seed)  # initial weights are PyTorch's own scheme
        # Weights do not depend on the input size, so a stage may train on small pictures, the next on large.
        self.model = SAM2(get_config(config.model, image_size=config.clips.size)).train()
        if weights is None:
            point_at_clicks(self.model)
        else:
            load_weights(self.model, weights)
        own = self.model.config.names_parts
        self.parts = self.model.eye_parts if own else EyeParts(self.model.config)
        self.model.to(self.device)
        self.parts.to(self.device)
        self.optimiser = Optimiser(self.model, config.optim, [] if own else list(self.parts.parameters()))
        self.average = MovingAverage(self.model, config.optim.ema_decay)
        self.step = 0
        self.seconds = 0.0
        """Time spent in this stage, earlier runs included."""
        self._held_out: list[Batch] = []

    # ---- files

    @property
    def checkpoint_path(self) -> Path:
        """Where the state of this stage is kept."""
        return self.out_dir / "checkpoint.pt"

    def save(self) -> None:
        """Write everything needed to go on.

        Raises:
            OutputError: it cannot be written; the one before is untouched.
        """
        state = {
            "model": self.model.state_dict(),
            "parts": self.parts.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        write_checkpoint(self.checkpoint_path, state)

    def resume(self) -> bool:
        """Go on from the checkpoint in `out_dir`, if there is one.

        Raises:
            WeightsError: it is damaged, or belongs to another network.
        """
        if not self.checkpoint_path.exists():
            return False
        state = read_checkpoint(self.checkpoint_path)
        check_fits(self.model.state_dict(), state["model"], source=str(self.checkpoint_path))
        try:
            self.optimiser.load_state_dict(state["optimiser"])
        except ValueError as error:
            raise WeightsError(
                f"{self.checkpoint_path} was made with another optimiser ({error}); "
                "use the same options, or start in another folder with --weights."
            ) from None
        self.model.load_state_dict(state["model"])
        self.parts.load_state_dict(state["parts"])
        self.average.load_state_dict(state["average"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        if not self.ranks.index:
            self.log.forget_after(self.step)
        return True

    def averaged_model(self) -> SAM2:
        """A copy of the network with the averaged weights, in evaluation mode."""
        model = SAM2(self.model.config)
        model.load_state_dict({**self.model.state_dict(), **self.average.state_dict()})
        model = model.to(self.device).eval()
        if self.config.frozen_statistics or not has_statistics(model):
            return model
        # From pictures of the stage's own size alone: those of several sizes suit none of them, those of one
        # serve the others too (docs/lab_log.md).
        clips = self.config.clips
        maker = BatchMaker(clips, STATISTICS_SEED, self.renderer)
        seen = (maker[number * clips.group] for number in range(_STATISTICS_BATCHES))
        return settle_statistics(model, seen, half=self.config.half)

    @property
    def finished(self) -> bool:
        """The steps or the minutes are used up."""
        return self._progress() >= 1

    def export(self, path: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write the averaged weights with the record of how they were made."""
        record = {
            **self.record,
            "stage": self.config.stage,
            "step": str(self.step),
            "seed": str(self.config.seed),
            "hours": f"{self.seconds / 3600:.3f}",
            "config": str(asdict(self.config)),
        }
        save_state(path, self.averaged_model().state_dict(), record, dtype=dtype)

    # ---- training

    def run(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Train until the steps or the minutes are used up, then save and export.

        Args:
            stop: asked after every step; True saves the step and ends. With several processes it is enough
                that one of them says so.

        Raises:
            KeyboardInterrupt: `stop` said so.
            OcusamError: a picture that cannot be read (what was learned before is saved); too little memory.
        """
        config = self.config
        maker = self._maker()
        self._used = self._progress()
        began, before = time.monotonic(), self.seconds
        saved = exported = began
        logged_step = self.step
        logged = began
        for batch in self._fed(maker):
            result, norm, rate = self._train_step(batch, stop=stop())
            now = time.monotonic()
            self.seconds = before + now - began
            self.log.add(result.terms, result.iou_of_kind, norm)
            if self.ranks.index:
                if self._used >= 1:
                    return
                if self._stopped:
                    raise KeyboardInterrupt
                continue
            if self.step % config.log_every == 0:
                self._write_log((now - logged) / (self.step - logged_step), rate)
                logged, logged_step = now, self.step
            if self._stopped and self._used < 1:
                self.save()
                raise KeyboardInterrupt(f"Interrupted; step {self.step} is saved. The same command goes on.")
            if self.step % config.score_every == 0:
                self._score()
            if now - saved > 60 * config.checkpoint_minutes:
                self.save()
                saved = now
            if now - exported > 60 * config.export_minutes:
                self.export(self.out_dir / "latest.safetensors")
                exported = now
            if self._used >= 1:
                break
        if self.ranks.index:
            return
        self.save()
        self.export(self.out_dir / "latest.safetensors")
        self._score()

    def _fed(self, maker: BatchMaker | MixedMaker) -> Iterator[Batch]:
        """Batches; where one cannot be made, what was learned before is saved."""
        try:
            yield from batches(maker, self.step, self.config.steps, workers=self.config.workers)
        except OcusamError:
            if self.step and not self.ranks.index:
                self.save()
            raise

    def _maker(self) -> BatchMaker | MixedMaker:
        config = self.config
        share = (self.ranks.index, self.ranks.count)
        own = BatchMaker(config.clips, config.seed, self.renderer, share)
        if not config.alongside:
            return own
        others = [
            BatchMaker(clips, config.seed + 1000 * number, self.renderer, share)
            for number, (_, clips) in enumerate(config.alongside, start=1)
        ]
        shares = [part for part, _ in config.alongside]
        if min(shares) <= 0 or sum(shares) > 1:
            raise ModelError(
                f"batches alongside with shares of {shares} do not work: each needs more than 0, all "
                "together at most 1 of the steps."
            )
        return MixedMaker([own, *others], [1 - sum(shares), *shares], config.steps, config.seed)

    def _progress(self) -> float:
        used = self.step / max(self.config.steps, 1)
        if self.config.minutes:
            used = max(used, self.seconds / (60 * self.config.minutes))
        return used

    def _train_step(self, batch: Batch, *, stop: bool = False) -> tuple[PassResult, float, float]:
        config = self.config
        rng = np.random.default_rng([config.seed, 5, self.step])
        frames, size = batch.pictures_btss.shape[1:3]
        model = at_size(self.model, size)
        if config.checkpointing:
            recompute_blocks(model)
        if config.frozen_statistics:
            freeze_statistics(model)
        batch = batch.to(self.device)
        if config.stage == "parts" or batch.parts_only:
            result = parts_pass(model, batch, self.parts, half=config.half)
            if config.stage != "parts":
                result.iou_of_kind.clear()  # the log's are those of prompted objects
        else:
            result = clip_pass(
                model,
                batch,
                corrections=self._corrections(rng, frames),
                rng=rng,
                half=config.half,
                parts=self.parts if config.second_task else None,
            )
        result.terms.total.backward()
        # One clock and one end for all processes: they travel with the gradients.
        own = (0.0 if self.ranks.index else self._progress(), float(stop))
        self._used, stops = self.optimiser.average_over(self.ranks, own)
        self._stopped = stops > 0
        rate = learning_rate(config.optim, self.step, self._used)
        norm = self.optimiser.step(rate)
        self.average.update(self.model, self.step)
        self.step += 1
        return result, norm, rate

    def _corrections(self, rng: np.random.Generator, frames: int) -> dict[int, int]:
        """Frame -> correction clicks: none, on the first frame, on a later one, or on both."""
        config = self.config
        if not config.max_corrections or rng.random() >= config.correction_share:
            return {}
        later = [int(rng.integers(1, frames))] if frames > 1 else []
        which = [[0], later, [0, *later]][int(rng.integers(3))] if later else [0]
        return {frame: int(rng.integers(1, config.max_corrections + 1)) for frame in which}

    # ---- what is seen of it

    def _write_log(self, seconds_per_step: float, rate: float) -> None:
        left = (self.config.steps - self.step) * seconds_per_step
        if self.config.minutes:
            left = min(left, 60 * self.config.minutes - self.seconds)
        self.log.write(
            self.step,
            rate=rate,
            seconds=self.seconds,
            seconds_per_step=seconds_per_step,
            minutes_left=left / 60,
        )

    def _score(self) -> None:
        if not self.config.held_out_batches:
            return
        if not self._held_out:
            maker = BatchMaker(self.config.clips, HELD_OUT_SEED, self._held_out_renderer)
            # One batch per group, so that no two share an eye.
            self._held_out = [maker[i * self.config.clips.group] for i in range(self.config.held_out_batches)]
        model = self.averaged_model()
        if self.config.stage == "parts":
            parts = model.eye_parts if model.config.names_parts else self.parts
            scores = score_parts(model, parts, self._held_out, half=True)
        else:
            scores = score(model, self._held_out, half=True)
        self.log.scored(self.step, scores.line(), scores.means())
