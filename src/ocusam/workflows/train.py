"""The job of training, `ocusam train`: images first, clips after.

    python -m ocusam.workflows.train --stage images --out DIR --minutes 60
    python -m ocusam.workflows.train --stage clips --weights DIR/latest.safetensors --out DIR2 --minutes 35
    python -m ocusam.workflows.train --export FILE.safetensors --stage clips --out DIR2

On a CPU, one process per core is fastest:

    torchrun --nproc-per-node 2 -m ocusam.workflows.train --threads 1 --workers 0 --stage images --out DIR ...

Progress goes to the terminal and to DIR/log.csv; a run in a folder that holds a checkpoint goes on from
there.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ocusam.core.errors import OcusamError
from ocusam.training.clips import ClipConfig
from ocusam.training.loop import TrainConfig, Trainer
from ocusam.training.optim import Ranks

CLIP_STAGE = ClipConfig(
    frames=6,
    pictures=4,
    objects=4,
    group=1,
    prompt_shares=(0.6, 0.15, 0.15, 0.1),
    nothing=0.02,
    two_eyes=0.05,
)
"""What a batch of the clip stage holds by default."""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def train(
    config: TrainConfig, out_dir: Path, *, weights: Path | None = None, resume: bool = True, command: str = ""
) -> Trainer:
    """Train one stage; returns the trainer when its steps or minutes are used up.

    Args:
        config: the stage.
        out_dir: gets checkpoint, log and exported weights.
        weights: start from these instead of fresh ones (no effect where a checkpoint is resumed).
        resume: go on from the checkpoint in `out_dir`.
        command: how the training was started, for the record inside the weights.
    """
    record = {
        "command": command,
        "hardware": f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        "torch": torch.__version__,
        "commit": os.environ.get("OCUSAM_COMMIT", ""),
    }
    ranks = Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    if ranks.count > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", timeout=timedelta(minutes=20))
    trainer = Trainer(
        config,
        out_dir,
        weights=weights,
        record=record,
        say=_say,
        ranks=ranks,
    )
    if resume and trainer.resume() and ranks.index == 0:
        _say(f"going on from step {trainer.step} of {out_dir}")
    trainer.run()
    return trainer


def config_for(stage: str, **changes: Any) -> TrainConfig:
    """The default config of a stage ("images" or "clips") with fields of it or of its two parts replaced."""
    base = TrainConfig() if stage == "images" else TrainConfig(stage="clips", clips=CLIP_STAGE)
    for part_name in ("clips", "optim"):
        part = getattr(base, part_name)
        own = {f.name for f in dataclasses.fields(part)}
        mine = {k: changes.pop(k) for k in list(changes) if k in own}
        base = dataclasses.replace(base, **{part_name: dataclasses.replace(part, **mine)})
    return dataclasses.replace(base, **changes)


def _single_pictures(share: str, size: str, pictures: str) -> tuple[float, ClipConfig]:
    """One value of `--alongside` as `TrainConfig` wants it; the grid of the truth is half the size."""
    return float(share), ClipConfig(size=int(size), grid=int(size) // 2, pictures=int(pictures))


def main(arguments: list[str] | None = None) -> int:
    """Run a stage from command-line arguments; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ocusam.workflows.train", description=__doc__)
    parser.add_argument("--stage", choices=("images", "clips"), default="images")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--weights", type=Path, help="start from these weights")
    parser.add_argument("--fresh", action="store_true", help="do not go on from a checkpoint")
    parser.add_argument(
        "--export", type=Path, help="only write the averaged weights of the run (float16) here"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--alongside",
        nargs=3,
        action="append",
        metavar=("SHARE", "SIZE", "PICTURES"),
        help="mix single pictures into the stage: share of the steps, size in px, pictures in a batch; "
        "may be repeated",
    )
    for name, kind in (("steps", int), ("minutes", float), ("seed", int), ("lr", float), ("pictures", int)):
        parser.add_argument(f"--{name}", type=kind)
    for name, kind in (
        ("size", int),
        ("grid", int),
        ("frames", int),
        ("objects", int),
        ("warmup_steps", int),
        ("encoder_lr_share", float),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    for name, kind in (
        ("ema_decay", float),
        ("score_every", int),
        ("workers", int),
        ("held_out_batches", int),
        ("group", int),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction)
    given = vars(parser.parse_args(arguments))
    own = {
        name: given.pop(name)
        for name in ("stage", "out", "weights", "fresh", "export", "threads", "alongside")
    }
    torch.set_num_threads(own["threads"])
    config = config_for(own["stage"], **{name: value for name, value in given.items() if value is not None})
    config = dataclasses.replace(
        config, alongside=tuple(_single_pictures(*words) for words in own["alongside"] or ())
    )
    try:
        if own["export"]:
            trainer = Trainer(config, own["out"])
            trainer.resume()
            trainer.export(own["export"], dtype=torch.float16)
        else:
            command = shlex.join(["python", "-m", "ocusam.workflows.train", *(arguments or sys.argv[1:])])
            train(config, own["out"], weights=own["weights"], resume=not own["fresh"], command=command)
    except OcusamError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
