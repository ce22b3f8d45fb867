"""The job of training, `ocusam train`: the stages of a file one after the other.

Purpose: from `train_config.TrainingPlan` to OUT/weights.safetensors.

Notable choices: each stage has a folder (`1-pictures`, `2-clips`) with its checkpoint, log and weights, and
starts from the averaged weights of the one before. A training that was broken off goes on where it was, if
its plan is still the same. With `torchrun` every process computes its share of each batch, and the first one
writes; on a CPU one process of one thread per core is fastest:

    torchrun --nproc-per-node 2 -m ocusam train configs/nano.toml -o runs/nano --threads 1 --workers 0

What it does not know: losses, pictures; see `ocusam.training`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ocusam.core.errors import InputError, OutputError, WeightsError
from ocusam.core.version import __version__
from ocusam.model.build import find_device
from ocusam.model.config import get_config
from ocusam.tracking.huggingface_config import WEIGHTS_FILE as HUGGINGFACE_FILE
from ocusam.training.loop import Trainer
from ocusam.training.optim import Ranks
from ocusam.training.own_clips import AnnotatedVideo, Mixed, OwnClips
from ocusam.training.rendered import Renderer, rendered_eye
from ocusam.workflows.inputs.weights_on_hand import weights_on_hand
from ocusam.workflows.own_masks.look import SHOWN, look_through
from ocusam.workflows.own_masks.opening import open_masks
from ocusam.workflows.session.atomic import write_bytes
from ocusam.workflows.session.interrupt import deferred_interrupt
from ocusam.workflows.train_config import DataConfig, Stage, TrainingPlan

MAY_CHANGE = (
    *("workers", "log_every", "score_every", "held_out_batches", "tensorboard"),
    *("checkpoint_minutes", "export_minutes", "checkpointing", "store"),
)
"""Keys of the file that may be other ones when a training goes on: they do not change what is learned."""
LOOKED_AT = 200
"""Annotated frames that are read before the first step; `--check` reads all."""
PLAN_FILE, WEIGHTS_FILE, LATEST = "plan.json", "weights.safetensors", "latest.safetensors"
Say = Callable[[str], None]


def train(
    plan: TrainingPlan,
    out: Path,
    *,
    device: str = "cpu",
    workers: int | None = None,
    say: Say = print,
    command: str = "",
) -> Path:
    """Carry a plan out, or go on with it.

    Args:
        plan: from `train_config.read_plan`.
        out: folder of the training.
        device: where the network is trained; "cuda" is one GPU for each process of torchrun.
        workers: background processes that make batches; None: as each stage says.
        say: takes the lines of progress.
        command: how the training was started, for the record inside the weights.

    Returns:
        OUT/weights.safetensors.

    Raises:
        InputError: masks or pictures that cannot be used.
        OutputError: the folder holds another training.
        WeightsError, ModelError: weights, model or device that do not fit.
    """
    ranks, place = _processes(device)
    if ranks.index:
        say = _silent
    _enough_for(ranks, plan)
    start = starting_weights(plan)
    training, held_out = sources(plan)
    if plan.data.masks and not ranks.index and not (out / PLAN_FILE).exists():
        _look(plan, training, held_out, say)
    _claim(plan, out, first=ranks.index == 0)
    record = _record(plan, command)
    trainer: Trainer | None = None
    for number, stage in enumerate(plan.stages, start=1):
        folder = out / f"{number}-{stage.name}"
        before = trainer
        trainer = Trainer(
            stage.config if workers is None else dataclasses.replace(stage.config, workers=workers),
            folder,
            weights=start,
            renderer=training,
            held_out=held_out,
            record=record,
            say=say,
            ranks=ranks,
            device=place,
        )
        if before is not None:  # what is thrown away in the end need not be learned again by every stage
            trainer.parts.load_state_dict(before.parts.state_dict())
        start = _run_stage(trainer, stage, folder, say, ranks)
    assert trainer is not None
    if ranks.index == 0:
        trainer.export(out / WEIGHTS_FILE, dtype=getattr(torch, plan.store))
        say(f"written to {out / WEIGHTS_FILE}\ntry it: {_use(plan, out / WEIGHTS_FILE)}")
    return out / WEIGHTS_FILE


def _look(plan: TrainingPlan, training: Renderer, held_out: Renderer, say: Say) -> None:
    """Before the first step: what cannot be read shows now, not hours later in a background process."""
    videos = [video for entry in plan.data.masks for video in open_masks(entry, plan.home)]
    looked = look_through(videos, plan.stages[-1].config.clips.size, most=LOOKED_AT)
    looked.check()
    for line in [*looked.lines(), scored_on(training, held_out)]:
        say(line)


def _use(plan: TrainingPlan, weights: Path) -> str:
    """The command that tracks with what came out: weights know neither their network nor its input size."""
    config, size = get_config(plan.model), plan.stages[-1].config.clips.size
    model = "" if config.name == "nano" else f" --model {config.name}"
    side = "" if size == config.image_size else f" --size {size}"
    return f"ocusam track VIDEO --point NAME:X,Y{model}{side} --weights {shlex.quote(str(weights))} -o OUT"


def _run_stage(trainer: Trainer, stage: Stage, folder: Path, say: Say, ranks: Ranks) -> Path:
    """Train, unless it is done; returns the stage's weights."""
    resumed = trainer.resume()
    if resumed and trainer.finished:
        say(f"stage {stage.name}: done, {trainer.step} steps")
        if not (folder / LATEST).exists() and ranks.index == 0:
            trainer.export(folder / LATEST)
    else:
        say(f"stage {stage.name}: " + (f"going on from step {trainer.step}" if resumed else "begins"))
        with deferred_interrupt() as asked:
            trainer.run(asked.is_set)
        if asked.is_set():
            raise KeyboardInterrupt(f"Interrupted; stage {stage.name} is done. The same command goes on.")
    if ranks.count > 1:
        torch.distributed.barrier()
    return folder / LATEST


def _processes(device: str) -> tuple[Ranks, torch.device]:
    """Which process this is, and its device."""
    ranks = Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    if device == "cuda" and ranks.count > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    place = find_device(device)
    if ranks.count > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if place.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=timedelta(minutes=20))
    return ranks, place


def _enough_for(ranks: Ranks, plan: TrainingPlan) -> None:
    for stage in plan.stages:
        least = min(c.pictures for c in (stage.config.clips, *(c for _, c in stage.config.alongside)))
        if least < ranks.count:
            raise InputError(
                f"Stage {stage.name} has batches of {least} for {ranks.count} processes: raise pictures, or "
                "start fewer processes."
            )


def _claim(plan: TrainingPlan, out: Path, *, first: bool) -> None:
    """Keep the plan in the folder; refuse a folder that holds another one."""
    now = json.loads(json.dumps(plan.to_dict()))
    path = out / PLAN_FILE
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OutputError(f"{path} cannot be read ({error}); use another folder.") from None
        differ = [name for name in _differences(before, now) if name.rpartition(".")[2] not in MAY_CHANGE]
        if differ:
            raise OutputError(
                f"{out} holds a training of another plan (different: {', '.join(differ[:3])}). Give the file "
                "it was begun with; or another folder (-o), and to go on from what was learned, in the file: "
                f"weights = {str((out / WEIGHTS_FILE).resolve())!r} (--export writes it before the end)."
            )
    elif first:
        write_bytes(path, (json.dumps(now, indent=2) + "\n").encode())


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Names of the values that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(k for k in now if k not in before)]
        return [d for k in keys for d in _differences(before.get(k), now.get(k), f"{name}.{k}".strip("."))]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True), start=1)
        return [d for k, (a, b) in pairs for d in _differences(a, b, f"{name} {k}")]
    return [] if before == now else [name]


def _record(plan: TrainingPlan, command: str) -> dict[str, str]:
    return {
        "command": command,
        "hardware": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "torch": torch.__version__,
        "ocusam": __version__,
        "commit": os.environ.get("OCUSAM_COMMIT", ""),
        "plan": json.dumps(plan.to_dict()),
    }


def starting_weights(plan: TrainingPlan) -> Path | None:
    """The file that the first stage starts from; None: random numbers.

    Raises:
        ModelError: unknown model.
        WeightsError: no such file, or none is here for the model.
    """
    name = get_config(plan.model).name
    if not plan.weights:
        return None
    if plan.weights == "published":
        path = weights_on_hand(name)
        if path is None:
            raise WeightsError(
                f"No weights of {name!r} are here: ocusam models fetch {name}, or give a file as weights."
            )
        return path
    path = plan.home / plan.weights
    if path.is_dir():  # another training's folder, or one that transformers saved
        path = path / WEIGHTS_FILE if (path / WEIGHTS_FILE).is_file() else path / HUGGINGFACE_FILE
    if not path.is_file():
        raise WeightsError(f"No such weights file: {path} (weights = {plan.weights!r}).")
    return path


def sources(plan: TrainingPlan) -> tuple[Renderer, Renderer]:
    """Where training's pictures come from, and those for scores.

    Raises:
        InputError: masks or pictures that cannot be used; clips longer than every video.
    """
    if not plan.data.masks:
        return rendered_eye, rendered_eye
    videos = [video for entry in plan.data.masks for video in open_masks(entry, plan.home)]
    kept, scored = _divided(videos, plan.data)
    longest = max(
        c.frames for s in plan.stages for c in (s.config.clips, *(x for _, x in s.config.alongside))
    )
    own = OwnClips(kept)
    own.check(longest)
    held_out = own if scored is kept or max(v.count for v in scored) < longest else OwnClips(scored)
    return (Mixed(own, rendered_eye, plan.data.rendered) if plan.data.rendered else own), held_out


def _divided(
    videos: list[AnnotatedVideo], data: DataConfig
) -> tuple[list[AnnotatedVideo], list[AnnotatedVideo]]:
    """Every so-manieth video apart, for scores; all for both where there are too few."""
    if not videos:
        raise InputError("The masks given hold nothing to train on.")
    if not data.held_out or len(videos) < max(2, data.held_out):
        return videos, videos
    scored = videos[data.held_out - 1 :: data.held_out]
    return [video for video in videos if video not in scored], scored


def describe(plan: TrainingPlan) -> list[str]:
    """What would be trained, in lines; reads weights' places and every annotated frame, and trains nothing.

    Raises:
        OcusamError: as `train`; names the frames that cannot be used.
    """
    start = starting_weights(plan)
    training, held_out = sources(plan)
    lines = [f"model {plan.model}, starting from {start or 'random numbers'}"]
    for entry in plan.data.masks:
        videos = open_masks(entry, plan.home)
        lines += [f"{entry.format} {video.name}: {video.count} annotated frames" for video in videos[:SHOWN]]
        if len(videos) > SHOWN:
            lines.append(f"and {len(videos) - SHOWN} more of {entry.path}")
        looked = look_through(videos, plan.stages[-1].config.clips.size)
        looked.check()
        lines += looked.lines()
    if plan.data.masks:
        lines.append(scored_on(training, held_out))
    for stage in plan.stages:
        config, clips = stage.config, stage.config.clips
        lines.append(
            f"stage {stage.name}: {config.steps} steps"
            + (f" or {config.minutes:g} minutes" if config.minutes else "")
            + f", {clips.pictures} x {clips.frames} frames of {clips.size} px, lr {config.optim.lr:g}"
        )
        for share, other in config.alongside:
            lines.append(f"  {share:.0%} {other.pictures} x {other.frames} frames of {other.size} px")
    return lines


def scored_on(training: Renderer, held_out: Renderer) -> str:
    """What the scores of a training on one's own masks are worth."""
    own = training.own if isinstance(training, Mixed) else training
    if held_out is own:
        return (
            "scores: on what is trained on, as there are too few videos (or pictures) to hold some out; "
            "score with others afterwards"
        )
    assert isinstance(held_out, OwnClips)
    return f"scores: on {len(held_out.videos)} videos (or pictures) that are held out"


def export_so_far(plan: TrainingPlan, out: Path, target: Path) -> int:
    """Write the averaged weights of the last stage that has a checkpoint; returns its step.

    Raises:
        InputError: no stage has one yet.
    """
    if (out / PLAN_FILE).exists():
        _claim(plan, out, first=False)
    for number, stage in reversed(list(enumerate(plan.stages, start=1))):
        trainer_folder = out / f"{number}-{stage.name}"
        if (trainer_folder / "checkpoint.pt").exists():
            training, _ = sources(plan)  # running statistics are those of the pictures that were trained on
            trainer = Trainer(
                dataclasses.replace(stage.config, tensorboard=False),
                trainer_folder,
                renderer=training,
                record=_record(plan, ""),
            )
            trainer.resume()
            trainer.export(target, dtype=getattr(torch, plan.store))
            return trainer.step
    raise InputError(f"{out} holds no checkpoint of this training yet.")


def _silent(_: str) -> None:
    return None
