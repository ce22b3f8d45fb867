"""What is seen of a training: lines for the terminal, a row of `log.csv`, and curves for TensorBoard.

Notable choices: figures are means over the steps since the last row; an IoU is a mean over objects.
TensorBoard is an optional package, looked for before the first step, so that nobody learns after hours that
it is missing.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ocusam.core.errors import ModelError
from ocusam.training.losses import LossTerms
from ocusam.training.scenes import KINDS

LOSSES = ("loss", "focal", "dice", "iou", "presence", "norm")


def _summary_writer() -> Any:
    """TensorBoard's class that writes curves.

    Raises:
        ModelError: the package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ModelError(
            "tensorboard = true needs the package tensorboard, which is not installed: pip install "
            "tensorboard, or leave the line out (log.csv holds the same figures)."
        ) from None
    return SummaryWriter


class TrainingLog:
    """Collects figures and writes them.

    Args:
        folder: gets `log.csv`, and `tensorboard/` where wanted.
        say: takes lines for the terminal.
        tensorboard: write curves too.

    Raises:
        ModelError: TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], *, tensorboard: bool = False) -> None:
        self._path = folder / "log.csv"
        self.say = say
        self._sums: dict[str, list[float]] = {}
        self._curves_folder = str(folder / "tensorboard")
        self._open_curves = _summary_writer() if tensorboard else None
        self._curves: Any = None
        self._kept_until = 0  # what other runs drew past this step is hidden

    def add(self, terms: LossTerms, iou_of_kind: Mapping[str, tuple[float, int]], norm: float) -> None:
        """One step: its losses, (sum of IoUs, count) of each kind, the gradient's norm."""
        values = (terms.total, terms.focal, terms.dice, terms.iou, terms.presence)
        for name, value in zip(LOSSES, values, strict=False):
            self._sums.setdefault(name, []).append(float(value.detach()))
        self._sums.setdefault("norm", []).append(norm)
        for kind, (total, count) in iou_of_kind.items():
            self._sums.setdefault(f"iou_{kind}", []).extend([total / count] * count)

    def write(
        self, step: int, *, rate: float, seconds: float, seconds_per_step: float, minutes_left: float
    ) -> None:
        """A line, a row and a point of every curve, from what was added since the last ones."""
        means = {name: float(np.mean(values)) for name, values in self._sums.items()}
        self._sums = {}
        kinds = " ".join(f"{kind} {means[f'iou_{kind}']:.3f}" for kind in KINDS if f"iou_{kind}" in means)
        self.say(
            f"step {step} loss {means['loss']:.3f} focal {means['focal']:.4f} dice {means['dice']:.3f} "
            f"iou {means['iou']:.3f} presence {means['presence']:.3f} norm {means['norm']:.2f} "
            f"lr {rate:.1e} | {kinds} | {seconds_per_step:.2f} s/step, {minutes_left:.0f} min left"
        )
        names = [*LOSSES, *(f"iou_{kind}" for kind in KINDS)]
        fresh = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "seconds", "lr", "seconds_per_step", *names])
            shown = [f"{means[name]:.5g}" if name in means else "" for name in names]
            writer.writerow([step, f"{seconds:.1f}", f"{rate:.3e}", f"{seconds_per_step:.3f}", *shown])
        self._draw("train", step, means | {"lr": rate})

    def forget_after(self, step: int) -> None:
        """Drop the rows and points past a checkpoint: they are trained, and written, once more. A row that
        was cut off in the middle goes too."""
        self._kept_until = step
        if not self._path.exists():
            return
        with self._path.open(newline="") as file:
            rows = list(csv.reader(file))
        kept = [r for r in rows[1:] if len(r) == len(rows[0]) and r[0].isdigit() and int(r[0]) <= step]
        if len(kept) + 1 < len(rows):
            part = self._path.with_suffix(".part")
            with part.open("w", newline="") as file:
                csv.writer(file).writerows([rows[0], *kept])
            part.replace(self._path)

    def scored(self, step: int, line: str, means: Mapping[str, float]) -> None:
        """Scores on held-out pictures or clips."""
        self.say(f"held out, step {step}: {line}")
        self._draw("held_out", step, means)

    def _draw(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._open_curves is None:
            return
        if self._curves is None:
            self._curves = self._open_curves(self._curves_folder, purge_step=self._kept_until + 1)
        for name, value in values.items():
            self._curves.add_scalar(f"{group}/{name}", value, step)
        self._curves.flush()
