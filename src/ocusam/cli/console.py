"""What all commands share: consoles, errors in one line, the progress bar.

Purpose: `reports_errors` turns the `OcusamError` family into one red line on stderr and exit code 2, and
Ctrl-C into exit code 130; `bar` shows frames per second and the time left.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ocusam.core.errors import OcusamError

P = ParamSpec("P")
R = TypeVar("R")
BAD_INPUT, INTERRUPTED = 2, 130
BROKEN_OFF = " (the video breaks off here: it announces more)"


def counted(number: int, what: str) -> str:
    """A number with its noun, in the plural but for 1."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def out() -> Console:
    """Console for lines of text, which are never broken; brackets in names of files stay what they are."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def wide() -> Console:
    """Console for tables; one that goes to a file gets room."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 110))


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a command: an `OcusamError` ends it with one line on stderr and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except OcusamError as error:
            message = " ".join(str(error).split())
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                Text(f"Error: {message}", style="bold red")
            )
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as interrupt:
            said = str(interrupt) or "Interrupted. What was finished before is kept where there is a folder."
            Console(stderr=True, highlight=False, soft_wrap=True).print(said)
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


class _Speed(ProgressColumn):
    """Frames (or what else is counted) per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """The speed of the last seconds, empty before there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {self.unit}/s", style="cyan")


@contextmanager
def bar(label: str = "", unit: str = "frames") -> Iterator[Callable[[int, int | None, str], None]]:
    """A progress bar on stderr; yields the callback (done, in all or None, what).

    Where stderr is no terminal, one line is written at the end of each kind of work instead."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(unit),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, int] = {}
    started: dict[str, tuple[float, int]] = {}

    def report(done: int, total: int | None, what: str) -> None:
        if what not in tasks:
            tasks[what] = int(progress.add_task(f"{label} {what}".strip(), total=total))
            started[what] = (time.perf_counter(), done)
        progress.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]
        if total is not None and done >= total and not console.is_terminal:
            seconds, counted = time.perf_counter() - started[what][0], done - started[what][1]
            speed = f", {counted / seconds:.1f} {unit}/s" if counted and seconds > 0 else ""
            sys.stderr.write(f"{label} {what}: {done} {unit}{speed}\n".lstrip())

    with progress:
        yield report
