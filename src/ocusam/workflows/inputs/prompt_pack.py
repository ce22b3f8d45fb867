"""Prompts in files: `prompts.json`, read and written, and every form in which a caller may give prompts.

Purpose: what was pointed at in one recording can be kept, handed back in, and shared by recordings. Every run
writes a `prompts.json` that `--prompts` reads.

The file (all coordinates px of the whole picture, pixel centres at integers; frames count from 0):

    {"ocusam_prompts": 1,
     "size_hw": [480, 640],
     "prompts": [
       {"object": "pupil", "frame_idx": 0, "points": [[320, 240], [10, 10]], "labels": [1, 0]},
       {"object": "iris", "frame_idx": 12, "box": [250, 180, 400, 320]},
       {"object": "sclera", "mask": {"size": [480, 640], "counts": "..."}},
       {"object": "cr0", "mask": "cr0.png"}],
     "references": [{"image": "p07.png", "prompts": [{"object": "pupil", "points": [[88, 70]]}]}]}

`size_hw`, `frame_idx` (0), `labels` (all 1) and `references` may be left out. A mask is COCO RLE
(column-major; compressed text or a list of run lengths) or the name of a PNG whose pixels above 0 are the
object; file names are relative to the JSON file.

Notable choices: unknown keys are refused, since a misspelt key would silently drop a prompt; an error names
the entry at fault. Compressed counts are checked before pycocotools sees them: it trusts its input.

What it does not know: the files of the published research scripts (`workflows.prompt_tables`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from ocusam.core.errors import InputError, OutputError, PromptError
from ocusam.core.prompts import ObjectPrompt, PromptPack, ReferencePicture, merge_prompts
from ocusam.video.pictures import as_rgb, read_picture

VERSION = 1
FILE_NAME = "prompts.json"
REFERENCES = "references"  # folder of the pictures beside it
_PACK_KEYS = {"ocusam_prompts", "size_hw", "prompts", "references"}
_PROMPT_KEYS = {"object", "frame_idx", "points", "labels", "box", "mask"}
_REFERENCE_KEYS = {"image", "prompts"}


def read_json(path: str | Path) -> PromptPack:
    """Read a `prompts.json`.

    Raises:
        InputError: no such file.
        PromptError: not in the form above; names the entry.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"No such file: {path}.") from None
    except OSError as error:
        raise InputError(f"The prompts {path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise PromptError(f"{path} is not JSON ({error}).") from None
    if not isinstance(data, dict) or "ocusam_prompts" not in data:
        raise PromptError(
            f'{path} holds no prompts: it must be an object with "ocusam_prompts": {VERSION} and a list '
            '"prompts".'
        )
    if data["ocusam_prompts"] != VERSION:
        raise PromptError(
            f'{path}: "ocusam_prompts" is {data["ocusam_prompts"]!r}; this version reads {VERSION}.'
        )
    _check_keys(data, _PACK_KEYS, str(path))
    folder = path.parent
    prompts = _prompts(data.get("prompts", []), folder, f"{path}, prompts")
    references = _list(data.get("references", []), f"{path}, references")
    pack = PromptPack(
        tuple(merge_prompts(prompts)),
        tuple(_reference(item, folder, f"{path}, references[{i}]") for i, item in enumerate(references)),
        _size(data.get("size_hw"), f"{path}, size_hw"),
    )
    if not pack:
        raise PromptError(f"{path} holds no prompt.")
    return pack


def write_json(folder: str | Path, pack: PromptPack) -> Path:
    """Write `prompts.json` and the reference pictures (`references/0.png`, ...) into a folder.

    Raises:
        OutputError: it cannot be written.
    """
    folder = Path(folder)
    data: dict[str, Any] = {"ocusam_prompts": VERSION}
    if pack.size_hw is not None:
        data["size_hw"] = list(pack.size_hw)
    data["prompts"] = [prompt_to_json(p) for p in pack.prompts]
    target = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if pack.references:
            (folder / REFERENCES).mkdir(exist_ok=True)
            data["references"] = []
        for i, reference in enumerate(pack.references):
            name = f"{REFERENCES}/{i}.png"
            Image.fromarray(reference.image).save(folder / name)
            entries = [
                {k: v for k, v in prompt_to_json(p).items() if k != "frame_idx"} for p in reference.prompts
            ]
            data["references"].append({"image": name, "prompts": entries})
        part = folder / f".{FILE_NAME}.part"
        part.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(target)
    except OSError as error:
        raise OutputError(f"Cannot write {target} ({error}).") from None
    return target


def prompt_to_json(prompt: ObjectPrompt) -> dict[str, Any]:
    """One entry of the file; masks as compressed COCO RLE."""
    out: dict[str, Any] = {"object": prompt.name, "frame_idx": prompt.frame_idx}
    if len(prompt.points):
        out["points"] = prompt.points.tolist()
        out["labels"] = prompt.labels.tolist()
    if prompt.box is not None:
        out["box"] = list(prompt.box)
    if prompt.mask is not None:
        rle = coco.encode(np.asfortranarray(prompt.mask, dtype=np.uint8))
        out["mask"] = {"size": list(prompt.mask.shape), "counts": rle["counts"].decode("ascii")}
    return out


def reference_picture(
    image: str | Path | NDArray[np.uint8], prompts: Iterable[ObjectPrompt]
) -> ReferencePicture:
    """An annotated picture from a file or an array (h, w[, 3]).

    Raises:
        InputError: not a picture.
        PromptError: nothing annotated, or outside the picture.
    """
    if isinstance(image, str | Path):
        return ReferencePicture(Path(image).name, as_rgb(read_picture(Path(image))), tuple(prompts))
    return ReferencePicture("(an array)", as_rgb(image, "The reference picture"), tuple(prompts))


# --- reading an entry ---------------------------------------------------------------------------------------


def _prompts(value: Any, folder: Path, where: str) -> list[ObjectPrompt]:
    return [_prompt(item, folder, f"{where}[{i}]") for i, item in enumerate(_list(value, where))]


def _prompt(item: Any, folder: Path, where: str) -> ObjectPrompt:
    if not isinstance(item, Mapping):
        raise PromptError(f'{where}: an entry is an object such as {{"object": "pupil", ...}}, got {item!r}.')
    _check_keys(item, _PROMPT_KEYS, where)
    name = item.get("object")
    if not isinstance(name, str) or not name:
        raise PromptError(f'{where}: "object" must name the object, for example "pupil"; got {name!r}.')
    where = f"{where} ({name})"
    frame = item.get("frame_idx", 0)
    if not isinstance(frame, int) or isinstance(frame, bool):
        raise PromptError(f'{where}: "frame_idx" is a whole number from 0, got {frame!r}.')
    points = _numbers(item.get("points", []), where, "points", "a list of [x, y]")
    if points.size and (points.ndim != 2 or points.shape[1] != 2):
        raise PromptError(f'{where}: "points" is a list of [x, y], got {item["points"]!r}.')
    labels = item.get("labels", [1] * (len(points) if points.size else 0))
    if not isinstance(labels, list) or any(label not in (0, 1) for label in labels):
        raise PromptError(f'{where}: "labels" is a list of 1 (on it) and 0 (not on it), got {labels!r}.')
    box = None
    if item.get("box") is not None:
        corners = _numbers(item["box"], where, "box", "[x0, y0, x1, y1]")
        if corners.shape != (4,):
            raise PromptError(f'{where}: "box" is [x0, y0, x1, y1], got {item["box"]!r}.')
        box = (float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3]))
    mask = None if item.get("mask") is None else _mask(item["mask"], folder, where)
    try:
        return ObjectPrompt(name, frame, points.reshape(-1, 2), np.array(labels, dtype=np.int64), box, mask)
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from None


def _reference(item: Any, folder: Path, where: str) -> ReferencePicture:
    if not isinstance(item, Mapping) or not isinstance(item.get("image"), str):
        raise PromptError(f'{where}: a reference is {{"image": "FILE", "prompts": [...]}}, got {item!r}.')
    _check_keys(item, _REFERENCE_KEYS, where)
    prompts = _prompts(item.get("prompts", []), folder, f"{where}.prompts")
    try:
        return reference_picture(folder / item["image"], merge_prompts(prompts))
    except (InputError, PromptError) as error:
        raise PromptError(f"{where}: {error}") from None


def _mask(value: Any, folder: Path, where: str) -> NDArray[np.bool_]:
    if isinstance(value, str):
        try:
            pixels = np.asarray(read_picture(folder / value))
        except InputError as error:
            raise PromptError(f"{where}: {error}") from None
        return np.asarray((pixels > 0).any(axis=-1), dtype=np.bool_)
    form = (
        f'{where}: "mask" is COCO RLE, {{"size": [height, width], "counts": ...}}, or the name of a PNG file'
    )
    if not isinstance(value, Mapping) or set(value) != {"size", "counts"}:
        raise PromptError(f"{form}; got {str(value)[:60]!r}.")
    size = _size(value["size"], f"{where}, mask size")
    assert size is not None
    runs = coco_runs(value["counts"])
    if runs is None or min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        raise PromptError(f"{form}; these counts do not describe {size[1]} x {size[0]} pixels.")
    on = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(on.reshape(size[1], size[0]).T)


def coco_runs(counts: Any) -> list[int] | None:
    """Run lengths of COCO counts, list or text; None where they are neither.

    The text holds numbers in groups of five bits, lowest first, 48 added; bit 5 says that more follow, bit 4
    of the last group is the sign; from the fourth number on they are differences to the number two before."""
    if isinstance(counts, list):
        return counts if all(isinstance(n, int) and not isinstance(n, bool) for n in counts) else None
    if not isinstance(counts, str):
        return None
    runs: list[int] = []
    value = shift = 0
    for char in counts:
        bits = ord(char) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs if shift == 0 else None


def _numbers(value: Any, where: str, key: str, form: str) -> NDArray[np.float64]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise PromptError(f'{where}: "{key}" is {form}, got {str(value)[:60]!r}.') from None


def _size(value: Any, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) and v > 0 for v in value)
    if not whole:
        raise PromptError(f"{where} is [height, width] in px, got {value!r}.")
    return value[0], value[1]


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PromptError(f"{where} must be a list, got {type(value).__name__}.")
    return value


def _check_keys(item: Mapping[str, Any], allowed: set[str], where: str) -> None:
    unknown = sorted(set(item) - allowed)
    if unknown:
        raise PromptError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(allowed))}.")
