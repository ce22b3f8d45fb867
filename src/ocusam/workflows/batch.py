"""Many recordings, one after the other or several at once: `ocusam batch`.

Purpose: run `track_eye` on every recording of a list; what goes wrong with one stops no other; a table at the
end says what became of each.

Notable choices: every recording gets a process of its own. A crash in a decoder or a killed process costs
that recording only, and no memory is left over from one to the next; starting Python costs a few seconds
each. The processor's cores are divided among the processes. `summary.csv` is written anew after every
recording, so that it is true whatever happens to the batch. A row is read from the run's own folder, also for
recordings that were finished before, never from what a process claims. Finished recordings are passed over; a
run that was broken off goes on where it stands.

What it does not know: other machines, and whether a recording or its prompts changed since it was finished.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import polars as pl

from ocusam.core.errors import InputError, OcusamError, OutputError
from ocusam.workflows.batch_summary import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    NOT_RUN,
    Row,
    before,
    finished_row,
    make_row,
    make_table,
    run_status,
    write_summary,
)
from ocusam.workflows.inputs.prompt_tables import collect_prompts
from ocusam.workflows.inputs.recording_list import BatchItem
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.run_folder import files_of_run

ERROR_FILE = "error.txt"
_REPORT_EVERY_S = 0.5
_GRACE_S = 30.0


@dataclass(frozen=True)
class BatchOptions:
    """What holds for all recordings of a batch.

    Attributes:
        model, weights, device: see `workflows.models.open_predictor`.
        settings: options of the runs; each recording's own views come on top.
        jobs: recordings at once.
        threads: threads of each process; 0: the cores divided by the jobs.
        start_over: runs that were broken off begin anew, for when prompts or settings were changed.
    """

    model: Any = "nano"
    weights: Path | None = None
    device: str = "cpu"
    settings: RunSettings = field(default_factory=RunSettings)
    jobs: int = 1
    threads: int = 0
    start_over: bool = False


@dataclass(frozen=True)
class Watcher:
    """Who wants to know: `progress(name, frames done, frames in all or None)` while a recording runs,
    `done(row)` when it has ended."""

    progress: Callable[[str, int, int | None], None] = lambda name, done, total: None
    done: Callable[[Row], None] = lambda row: None


@dataclass(frozen=True, eq=False)
class BatchResult:
    """What became of a batch.

    Attributes:
        summary: one row per recording, columns `SUMMARY_COLUMNS`, in the order of the list.
        interrupted: ended by Ctrl-C before all recordings had their turn.
    """

    summary: pl.DataFrame
    interrupted: bool = False

    @property
    def failed(self) -> int:
        """How many recordings failed."""
        return self.summary.filter(pl.col("status") == FAILED).height


@dataclass(eq=False)
class _Running:
    index: int
    item: BatchItem
    process: Any
    pipe: Connection
    error: str | None = None
    ended: bool = False


def run_batch(
    items: Sequence[BatchItem],
    out: str | Path,
    options: BatchOptions | None = None,
    watcher: Watcher | None = None,
) -> BatchResult:
    """Run every recording that is not finished yet.

    Args:
        items: from `recording_list.list_recordings`.
        out: folder of the batch; `summary.csv` goes there.
        options: what holds for all.
        watcher: who is told of progress.

    Returns:
        The summary. Failures of recordings are rows in it, not exceptions; Ctrl-C ends the batch early.

    Raises:
        InputError: fewer than one job.
        OutputError: the summary cannot be written.
    """
    options, watcher, out = options or BatchOptions(), watcher or Watcher(), Path(out)
    if options.jobs < 1:
        raise InputError(f"jobs={options.jobs}: give 1 or more recordings at once.")
    options = replace(options, threads=options.threads or max(1, cores() // options.jobs))
    rows = [make_row(item, NOT_RUN) for item in items]
    waiting: list[int] = []
    for index, item in enumerate(items):
        if run_status(item.out) == FINISHED:
            rows[index] = finished_row(item, before(item, options.settings))
            watcher.done(rows[index])
        else:
            waiting.append(index)
    write_summary(out, rows)
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                index = waiting.pop(0)
                running.append(_start(index, items[index], options))
                # Said beforehand: true should this process be killed now.
                rows[index] = make_row(items[index], INTERRUPTED)
                write_summary(out, rows)
            for run in _listen(running, watcher):
                running.remove(run)
                rows[run.index] = _outcome(run)
                write_summary(out, rows)
                watcher.done(rows[run.index])
    except KeyboardInterrupt:
        _stop(running)
        for run in running:
            rows[run.index] = _outcome(run, interrupted=True)
        write_summary(out, rows)
        return BatchResult(make_table(rows), True)
    return BatchResult(make_table(rows))


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- the recording's own process ----------------------------------------------------------------------------


def run_item(
    item: BatchItem, options: BatchOptions, progress: Callable[[int, int | None, str], None]
) -> None:
    """Track one recording, in this process; go on where an earlier attempt was broken off.

    Raises:
        OcusamError: the family.
    """
    from ocusam.workflows.eye import track_eye  # imports torch

    pack = collect_prompts(item.points, item.prompts, item.reference, item.reference_prompts, item.video)
    if options.start_over:
        clear_unfinished(item.out)
    (item.out / ERROR_FILE).unlink(missing_ok=True)
    unfinished = run_status(item.out) is not None
    track_eye(
        item.video,
        pack,
        model=options.model,
        weights=options.weights,
        device=options.device,
        out=item.out,
        settings=replace(
            options.settings,
            views=item.views,
            times=None if item.times is None else str(item.times),
            resume=unfinished,
        ),
        progress=progress,
    )


def _work(item: BatchItem, options: BatchOptions, pipe: Connection) -> None:
    """Entry of the process: exactly one ("end", message or None) goes up the pipe."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the batch alone, which then ends its processes politely
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    last = 0.0

    def report(done: int, total: int | None, what: str) -> None:
        nonlocal last
        if time.monotonic() - last > _REPORT_EVERY_S:
            last = time.monotonic()
            pipe.send(("progress", done, total))

    try:
        import cv2
        import torch

        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
        run_item(item, options, report)
        pipe.send(("end", None))
    except KeyboardInterrupt:
        pipe.send(("end", "interrupted"))
    except OcusamError as error:
        pipe.send(("end", str(error)))
    except Exception as error:
        pipe.send(("end", f"internal error, see {ERROR_FILE}: {type(error).__name__}: {error}"))
        item.out.mkdir(parents=True, exist_ok=True)
        (item.out / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")


def _end_with_parent() -> None:
    """A batch that was killed leaves no process behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


# --- watching the processes ---------------------------------------------------------------------------------


def _start(index: int, item: BatchItem, options: BatchOptions) -> _Running:
    context = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(item, options, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Running(index, item, process, ours)


def _listen(running: list[_Running], watcher: Watcher) -> list[_Running]:
    """Wait for news; gives back the recordings that have ended."""
    wait([run.pipe for run in running])
    over: list[_Running] = []
    for run in running:
        try:
            while run.pipe.poll():
                kind, *values = run.pipe.recv()
                if kind == "progress":
                    watcher.progress(run.item.name, *values)
                else:
                    run.ended, run.error = True, values[0]
        except (EOFError, OSError):  # the process has gone
            run.process.join()
            run.pipe.close()
            over.append(run)
    return over


def _stop(running: list[_Running]) -> None:
    """Ask all processes to end, and make them when they do not."""
    for run in running:
        run.process.terminate()
    limit = time.monotonic() + _GRACE_S
    try:
        for run in running:
            run.process.join(max(0.0, limit - time.monotonic()))
    except KeyboardInterrupt:
        limit = 0.0
    for run in running:
        if run.process.is_alive():
            run.process.kill()
            run.process.join()


# --- the summary --------------------------------------------------------------------------------------------


def _outcome(run: _Running, interrupted: bool = False) -> Row:
    """What became of a recording: its folder says whether it is finished."""
    if run_status(run.item.out) == FINISHED:
        return finished_row(run.item)
    if interrupted or run.error == "interrupted":
        return make_row(run.item, INTERRUPTED)
    if run.error is not None:
        return make_row(run.item, FAILED, message=run.error)
    code = run.process.exitcode
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    hint = "; perhaps there was too little memory (fewer --jobs need less)" if code == -9 else ""
    return make_row(run.item, FAILED, message=f"its process {how}{hint}")


def clear_unfinished(folder: Path) -> None:
    """Remove what a run that did not finish has left; other files stay.

    Raises:
        OutputError: it cannot be removed.
    """
    if run_status(folder) == FINISHED or not (folder / "run.json").exists():
        return  # a folder with a run's files but no run.json is none of ours: the run will refuse it
    try:
        for name in files_of_run(folder):
            target = folder / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"The unfinished run in {folder} cannot be removed ({error}).") from None
