"""Starting `ocusam eye` without a click: look for the eye first, then track what was found.

Purpose: `start_without_click` turns a video into the prompts, the network and the settings that `job.prepare`
takes, and into what `run.json` says about it.

Notable choices: what can be refused cheaply is refused before the network is built. A found prompt is stored
like a user's (`prompts.json`, `run.json`), with the search's own account beside it under "found", so that a
run that goes on (`--resume`) neither looks again nor can choose otherwise.

What it does not know: how the eye is found (`find_eye`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocusam.core.prompts import PromptPack
from ocusam.video.source import VideoSource
from ocusam.workflows.find.find_eye import Finding, Progress, find_eye, nothing_found
from ocusam.workflows.find.judge import judge_of
from ocusam.workflows.inputs.frame_times import open_timed
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.models import OpenedModel, open_predictor
from ocusam.workflows.session.resume import read_record
from ocusam.workflows.session.run_folder import check_free


@dataclass(frozen=True, eq=False)
class Start:
    """What a run begins with: prompts, the network, settings with the views that were found, and the
    search's account."""

    pack: PromptPack
    model: OpenedModel
    settings: RunSettings
    finding: Finding


def start_without_click(
    video: Any,
    *,
    model: Any,
    weights: str | Path | None,
    device: str,
    out: str | Path | None,
    settings: RunSettings,
    progress: Progress | None = None,
) -> Start:
    """Look for the eye in a video.

    Args:
        video: anything `video.reader.open_video` takes, but for streams.
        model, weights, device: see `models.open_predictor`.
        out: the run's folder, refused here already where it holds another run.
        settings: of the run.
        progress: called after every frame that was looked at.

    Raises:
        PromptError: nothing convincing was found; says which frame to click and how.
        OcusamError: the rest of the family; nothing has been written.
    """
    if out is not None:
        check_free(Path(out))
    source = open_timed(video, settings)
    try:
        opened = open_predictor(model, weights, device, settings)
        finding = find_eye(source, judge_of(opened.predictor), views=settings.views, progress=progress)
        if not finding.prompts:
            raise nothing_found(finding, _command(video, out))
    finally:
        if not isinstance(video, VideoSource):
            source.close()
    pack = PromptPack(tuple(finding.prompts))
    return Start(pack, opened, replace(settings, views=finding.views), finding)


def settings_of_run(out: Path, settings: RunSettings) -> RunSettings:
    """Settings to go on with a run: with the views that its search found, where it had one."""
    record = read_record(out) or {}
    found = record.get("found")
    return replace(settings, views=str(found["views"])) if isinstance(found, dict) else settings


def _command(video: Any, out: str | Path | None) -> str:
    """What to type for a video and a folder."""
    return f"ocusam eye {video if isinstance(video, str | Path) else 'VIDEO'} -o {out or 'OUT'}"
