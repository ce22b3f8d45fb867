"""Annotated recordings: reading an annotations file.

Purpose: the clips of `../shared/data/annotations.json` and files like it (the conventions are inside the
file): where each clip is, its first clicks, its truth.

Notable choices: paths in the file are relative to the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocusam.core.errors import InputError
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt
from ocusam.workflows.scoring.scores import Annotation


@dataclass(frozen=True)
class Clip:
    """One annotated recording: where it is, its first clicks, its truth."""

    name: str
    path: Path
    clicks: list[dict[str, Any]]
    annotations: list[Annotation]

    def prompts(self, objects: Iterable[str]) -> list[ObjectPrompt]:
        """First clicks on the wanted objects, all eyes."""
        return [
            ObjectPrompt(
                name, int(click["frame_idx"]), np.array([click[name]], dtype=np.float64), np.array([1])
            )
            for click in self.clicks
            for name in objects
            if click.get(name) is not None
        ]

    def eyes(self, views: list[View]) -> dict[str, View]:
        """eye -> the view its pupil click lies in."""
        out = {}
        for click in self.clicks:
            x, y = click["pupil"]
            out[str(click["eye"])] = next((v for v in views if v.holds(x, y)), views[0])
        return out


def read_annotations(path: str | Path) -> list[Clip]:
    """Clips of an annotations file.

    Raises:
        InputError: no such file, or not of that form.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            Clip(
                name,
                path.parent / clip["path"],
                list(clip["first_click"]),
                [Annotation.from_dict(entry) for entry in clip["frames"]],
            )
            for name, clip in content["clips"].items()
        ]
    except FileNotFoundError:
        raise InputError(f"No such file: {path}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not an annotations file ({type(error).__name__}: {error}).") from None


def choose_clips(clips: list[Clip], names: Iterable[str] | None) -> list[Clip]:
    """The named clips, in the file's order; all when None.

    Raises:
        InputError: an unknown name.
    """
    if names is None:
        return clips
    wanted = list(names)
    known = [clip.name for clip in clips]
    for name in wanted:
        if name not in known:
            raise InputError(f"Unknown clip {name!r}; known clips: {', '.join(known)}.")
    return [clip for clip in clips if clip.name in wanted]
