"""The training loop: batches in, checkpoints out; seeded, resumable to the bit, with progress and a CSV log.

A training is made of stages (pictures, then clips) that differ in their batches and passes; each stage is
one run of `Trainer`, started from fresh weights, from another stage's weights, or from its own last
checkpoint. All random choices are functions of (seed, step), so a checkpoint needs no generator states. With
a time budget the learning rate follows elapsed time instead of steps; then a resumed run is not the same to
the bit, since clocks are not.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ocusam.core.errors import ModelError, WeightsError
from ocusam.model.build import at_size
from ocusam.model.config import get_config
from ocusam.model.sam2 import SAM2
from ocusam.training.clips import KINDS, Batch, BatchMaker, ClipConfig, MixedMaker, batches
from ocusam.training.eye_parts import EyeParts
from ocusam.training.optim import MovingAverage, OptimConfig, Optimiser, Ranks, learning_rate, point_at_clicks
from ocusam.training.passes import PassResult, clip_pass, picture_pass
from ocusam.training.rendered import Renderer, rendered_eye
from ocusam.training.scores import HELD_OUT_SEED, score
from ocusam.weights.checkpoint import check_fits, load_state, save_state


@dataclass(frozen=True)
class TrainConfig:
    """One stage of training.

    `alongside` mixes batches of other kinds into it: pairs of a share of the steps and what those batches
    hold (single pictures beside clips, other sizes); the stage's own `clips` get the rest. `steps` bounds
    the run; `minutes` (0 = none) too, and then the learning rate follows the larger share used.
    """

    model: str = "nano"
    stage: Literal["images", "clips"] = "images"
    steps: int = 4000
    minutes: float = 0.0
    seed: int = 1
    clips: ClipConfig = field(default_factory=ClipConfig)
    alongside: tuple[tuple[float, ClipConfig], ...] = ()
    optim: OptimConfig = field(default_factory=OptimConfig)
    correction_share: float = 0.25
    half: bool = True
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
        weights: file to start from instead of fresh weights; a checkpoint in `out_dir` goes first.
        renderer: where pictures come from.
        say: takes the lines of progress.
        record: text values stored beside exported weights.
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
    ) -> None:
        self.ranks = ranks or Ranks()
        self._used = 0.0
        self.config = config
        self.out_dir = out_dir
        self.say = say
        self.record = record or {}
        self.renderer = renderer
        out_dir.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)  # initial weights are PyTorch's own scheme
        # Weights do not depend on the input size, so a stage may train on small pictures, the next on large.
        self.model = SAM2(get_config(config.model, image_size=config.clips.size)).train()
        if weights is None:
            point_at_clicks(self.model)
        else:
            state = load_state(weights)
            check_fits(self.model.state_dict(), state, source=str(weights))
            self.model.load_state_dict(state)
        self.parts = EyeParts(self.model.config)
        self.optimiser = Optimiser(self.model, config.optim, list(self.parts.parameters()))
        self.average = MovingAverage(self.model, config.optim.ema_decay)
        self.step = 0
        self.seconds = 0.0
        """Time spent in this stage, earlier runs included."""
        self._held_out: list[Batch] = []
        self._sums: dict[str, list[float]] = {}

    # ---- files

    @property
    def checkpoint_path(self) -> Path:
        """Where the state of this stage is kept."""
        return self.out_dir / "checkpoint.pt"

    def save(self) -> None:
        """Write everything needed to go on, under a temporary name first."""
        state = {
            "model": self.model.state_dict(),
            "parts": self.parts.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        part = self.checkpoint_path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint_path)

    def resume(self) -> bool:
        """Go on from the checkpoint in `out_dir`, if there is one.

        Raises:
            WeightsError: it belongs to another network.
        """
        if not self.checkpoint_path.exists():
            return False
        state: dict[str, Any] = torch.load(self.checkpoint_path, map_location="cpu", weights_only=True)
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
        return True

    def averaged_model(self) -> SAM2:
        """A copy of the network with the averaged weights, in evaluation mode."""
        model = SAM2(self.model.config)
        model.load_state_dict({**self.model.state_dict(), **self.average.state_dict()})
        return model.eval()

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
        save_state(path, {**self.model.state_dict(), **self.average.state_dict()}, record, dtype=dtype)

    # ---- training

    def run(self) -> None:
        """Train until the steps or the minutes are used up, then save and export."""
        config = self.config
        maker = self._maker()
        self._used = self._progress()
        began, before = time.monotonic(), self.seconds
        saved = exported = began
        logged_step = self.step
        logged = began
        for batch in batches(maker, self.step, config.steps, workers=config.workers):
            result, norm, rate = self._train_step(batch)
            now = time.monotonic()
            self.seconds = before + now - began
            self._add_up(result, norm)
            if self.ranks.index:
                if self._used >= 1:
                    return
                continue
            if self.step % config.log_every == 0:
                self._log((now - logged) / (self.step - logged_step), rate)
                logged, logged_step = now, self.step
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

    def _train_step(self, batch: Batch) -> tuple[PassResult, float, float]:
        config = self.config
        rng = np.random.default_rng([config.seed, 5, self.step])
        corrected = rng.random() < config.correction_share
        frames, size = batch.pictures_btss.shape[1:3]
        model = at_size(self.model, size)
        if frames == 1:
            corrections = int(rng.integers(1, 3)) if corrected else 0
            result = picture_pass(
                model, batch, corrections=corrections, rng=rng, half=config.half, parts=self.parts
            )
        else:
            frame = int(rng.integers(1, frames)) if corrected else None
            result = clip_pass(
                model, batch, corrected_frame=frame, rng=rng, half=config.half, parts=self.parts
            )
        result.terms.total.backward()
        # One clock for all processes: the share used up travels with the gradients.
        self._used = self.optimiser.average_over(self.ranks, 0.0 if self.ranks.index else self._progress())
        rate = learning_rate(config.optim, self.step, self._used)
        norm = self.optimiser.step(rate)
        self.average.update(self.model, self.step)
        self.step += 1
        return result, norm, rate

    # ---- what is seen of it

    def _add_up(self, result: PassResult, norm: float) -> None:
        terms = result.terms
        values = {"loss": terms.total, "focal": terms.focal, "dice": terms.dice, "iou": terms.iou}
        for name, value in {**values, "presence": terms.presence}.items():
            self._sums.setdefault(name, []).append(float(value.detach()))
        self._sums.setdefault("norm", []).append(norm)
        for kind, (total, count) in result.iou_of_kind.items():
            self._sums.setdefault(f"iou_{kind}", []).extend([total / count] * count)

    def _log(self, seconds_per_step: float, rate: float) -> None:
        means = {name: float(np.mean(values)) for name, values in self._sums.items()}
        self._sums = {}
        left = (self.config.steps - self.step) * seconds_per_step
        if self.config.minutes:
            left = min(left, 60 * self.config.minutes - self.seconds)
        kinds = " ".join(f"{kind} {means[f'iou_{kind}']:.3f}" for kind in KINDS if f"iou_{kind}" in means)
        self.say(
            f"step {self.step} loss {means['loss']:.3f} focal {means['focal']:.4f} dice {means['dice']:.3f} "
            f"iou {means['iou']:.3f} presence {means['presence']:.3f} norm {means['norm']:.2f} "
            f"lr {rate:.1e} | {kinds} | {seconds_per_step:.2f} s/step, {left / 60:.0f} min left"
        )
        names = ["loss", "focal", "dice", "iou", "presence", "norm"] + [f"iou_{kind}" for kind in KINDS]
        path = self.out_dir / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "seconds", "lr", "seconds_per_step", *names])
            shown = [f"{means[name]:.5g}" if name in means else "" for name in names]
            writer.writerow(
                [self.step, f"{self.seconds:.1f}", f"{rate:.3e}", f"{seconds_per_step:.3f}", *shown]
            )

    def _score(self) -> None:
        if not self.config.held_out_batches:
            return
        if not self._held_out:
            maker = BatchMaker(self.config.clips, HELD_OUT_SEED, self.renderer)
            # One batch per group, so that no two share an eye.
            self._held_out = [maker[i * self.config.clips.group] for i in range(self.config.held_out_batches)]
        self.say(
            f"held out, step {self.step}: {score(self.averaged_model(), self._held_out, half=True).line()}"
        )
