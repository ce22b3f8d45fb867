"""Prompt files of the published research scripts, and choosing the reader for a prompts file.

Purpose: who has annotated recordings for the scripts of Niehorster et al. (dcnieho/segment-anything-2 on
GitHub) can hand those files in as they are.

What they are: tables without a header, `class<TAB>x<TAB>y<TAB>1|0`, whole pixels; class is CR, pupil, iris or
sclera (0 to 3 in older files). Two layouts:

- `FOLDER[/PARTICIPANT]/VIDEO.mp4_..._N_prompts.txt`: frame N of that very video, *counted from 1*;
- `FOLDER[/PARTICIPANT]/NAME_prompts_all.txt` or `NAME_prompts_all_added.txt` beside a picture `NAME.png`:
  annotated pictures of the participant, put before each of that participant's videos. Where both stand for
  one picture the `_added` one counts.

Notable choices: the participant is the name of the folder that holds the video, as in the scripts.

What it does not know: the scripts' rule for points not on an object; their files list those points already
(`--cross-negatives` adds them to files that do not).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ocusam.core.errors import InputError, PromptError
from ocusam.core.prompts import ObjectPrompt, PromptPack, ReferencePicture, merge_prompts, parse_point
from ocusam.video.source import natural_key
from ocusam.workflows.inputs.prompt_pack import read_json, reference_picture
from ocusam.workflows.inputs.settings import PromptsLike, as_prompts

_CLASSES = {"0": "cr", "1": "pupil", "2": "iris", "3": "sclera"}
_FRAME_FILE = re.compile(r"_(\d+)_prompts\.(?:txt|tsv)$")
_PICTURE_FILE = re.compile(r"_prompts_all(_added)?\.(?:txt|tsv)$")
_SUFFIXES = (".json", ".txt", ".tsv")


def as_pack(prompts: Any, video: Any = None) -> PromptPack:
    """Prompts in any form callers have them: a `PromptPack`, a file, a folder, or what `settings.as_prompts`
    takes.

    A text is a click when it reads like one ("pupil:320,240@7"), else a file.

    Args:
        prompts: None is the empty pack.
        video: path of the video, for folders that hold the prompts of many.

    Raises:
        OcusamError: the family.
    """
    if prompts is None:
        return PromptPack()
    if isinstance(prompts, PromptPack):
        return prompts
    if isinstance(prompts, Path):
        return read_prompts(prompts, video)
    if isinstance(prompts, str) and not _is_click(prompts):
        if Path(prompts).exists() or prompts.lower().endswith(_SUFFIXES):
            return read_prompts(prompts, video)
        parse_point(prompts)  # tells the form of a click
    known: PromptsLike = prompts
    return PromptPack(tuple(as_prompts(known)))


def collect_prompts(
    points: Sequence[str] = (),
    prompts: str | Path | None = None,
    reference: str | Path | None = None,
    reference_prompts: str | Path | None = None,
    video: Any = None,
) -> PromptPack:
    """All prompts of a command: a file, clicks on top of it, an annotated picture before the video.

    Raises:
        OcusamError: a file or a click that cannot be read; a reference picture without its prompts, or the
            other way round.
    """
    pack = PromptPack() if prompts is None else read_prompts(prompts, video)
    if points:
        pack = pack.with_prompts(parse_point(text) for text in points)
    if (reference is None) != (reference_prompts is None):
        raise PromptError(
            "A reference picture needs its prompts: give both --reference IMAGE and --reference-prompts FILE."
        )
    if reference is not None and reference_prompts is not None:
        pack = replace(pack, references=(*pack.references, read_reference(reference, reference_prompts)))
    return pack


def _is_click(text: str) -> bool:
    try:
        parse_point(text)
    except PromptError:
        return False
    return True


def read_prompts(path: str | Path, video: Any = None) -> PromptPack:
    """Read prompts from a `prompts.json`, a table of the research scripts, a run's folder, or their folder.

    Args:
        path: file or folder.
        video: path of the video that the prompts are for; needed for a folder of many videos' prompts.

    Raises:
        InputError: no such file.
        PromptError: unreadable, with the line or entry; or a folder without prompts for this video.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "prompts.json").is_file():
            return read_json(path / "prompts.json")
        return _read_folder(path, video)
    if not path.exists():
        raise InputError(f"No such file: {path}.")
    if path.suffix.lower() == ".json":
        return read_json(path)
    frame = _FRAME_FILE.search(path.name)
    return PromptPack(tuple(read_table(path, int(frame[1]) - 1 if frame else 0)))


def read_table(path: str | Path, frame_idx: int = 0) -> list[ObjectPrompt]:
    """Read one table of the research scripts.

    Args:
        path: the file.
        frame_idx: the frame that its points are on.

    Raises:
        InputError: it cannot be read.
        PromptError: names the line at fault.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The prompts {path} cannot be read ({error}).") from None
    prompts: list[ObjectPrompt] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        try:
            name, x, y, label = fields
            point, on = [float(x), float(y)], int(label)
            name = _CLASSES.get(name, name.lower() if name.lower() in _CLASSES.values() else name)
            prompts.append(ObjectPrompt(name, frame_idx, np.array([point]), np.array([on])))
        except ValueError as error:  # a PromptError is one, and says more
            reason = f": {error}" if isinstance(error, PromptError) else ""
            raise PromptError(
                f"{path}, line {number}: write class<TAB>x<TAB>y<TAB>1 (on it) or 0 (not on it), got "
                f"{line.strip()!r}{reason}"
            ) from None
    if not prompts:
        raise PromptError(f"{path} holds no prompt.")
    return merge_prompts(prompts)


def read_reference(image: str | Path, prompts: str | Path) -> ReferencePicture:
    """An annotated picture from its two files.

    Raises:
        OcusamError: one cannot be read, or they do not belong together.
    """
    path = Path(prompts)
    if path.is_dir() or path.suffix.lower() == ".json":
        pack = read_prompts(path)
    else:
        pack = PromptPack(tuple(read_table(path)))  # a frame number in the name means another video's frame
    reference = reference_picture(image, pack.prompts)
    pack.check_size((reference.image.shape[0], reference.image.shape[1]))
    return reference


def _read_folder(folder: Path, video: Any) -> PromptPack:
    name = Path(video).name if isinstance(video, str | Path) else None
    participant = Path(video).resolve().parent.name if isinstance(video, str | Path) else None
    places = [folder, *([folder / participant] if participant and (folder / participant).is_dir() else [])]
    prompts: list[ObjectPrompt] = []
    references: dict[str, ReferencePicture] = {}
    for place in places:
        for file in sorted(place.iterdir(), key=lambda p: natural_key(p.name)):
            frame = _FRAME_FILE.search(file.name)
            if frame and name is not None and file.name.startswith(f"{name}_"):
                prompts += read_table(file, int(frame[1]) - 1)
        references |= _read_pictures(place)
    if not prompts and not references:
        raise PromptError(
            f"The folder {folder} holds no prompts for {name or 'this video'}: neither prompts.json, nor "
            f"{name or 'VIDEO'}_..._FRAME_prompts.txt, nor NAME_prompts_all.txt beside NAME.png (also looked "
            f"in a folder {participant or 'PARTICIPANT'} inside it)."
        )
    return PromptPack(tuple(merge_prompts(prompts)), tuple(references.values()))


def _read_pictures(folder: Path) -> Mapping[str, ReferencePicture]:
    """Annotated pictures of a folder, by name, in natural order."""
    tables: dict[str, Path] = {}
    for file in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        match = _PICTURE_FILE.search(file.name)
        if match:
            stem = file.name[: match.start()]
            if match[1] or stem not in tables:
                tables[stem] = file
    out: dict[str, ReferencePicture] = {}
    for stem, table in tables.items():
        # The scripts cut "_all_added" or "_prompts_all" off: either name of the picture is in use.
        pictures = [folder / f"{stem}{more}.png" for more in ("", "_prompts")]
        picture = next((p for p in pictures if p.is_file()), None)
        if picture is None:
            raise PromptError(f"{table} has no picture: {pictures[0].name} is not beside it.")
        out[f"{folder}/{stem}"] = reference_picture(picture, read_table(table))
    return out
