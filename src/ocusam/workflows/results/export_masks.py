"""Masks in the files of others: PNG pictures, COCO JSON, NPZ.

Purpose: what was tracked goes on in annotation tools and in numpy.

Notable choices: everything is written frame by frame, so an hour of masks needs no more memory than one mask.
Masks have the size of the whole picture. An object that is absent on a frame has an empty PNG and no COCO
annotation. In the NPZ each object is one boolean array (frames, height, width), named by `key`; a frame that
was not tracked is empty there.

What it does not know: palette pictures as in DAVIS (`ocusam davis-export`).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from ocusam.core.errors import OutputError
from ocusam.workflows.session.masklets import Masklets, encode

_SCORE = ("frame_idx", "view", "object", "predicted_iou")
Progress = Callable[[int, int | None, str], None]


def keys(masklets: Masklets) -> dict[tuple[int, str], str]:
    """(view, object) -> name in files: the object's name, with `view1_` and so on in front where there are
    several views."""
    pairs = [
        tuple(row) for row in masklets.table.select("view", "object").unique().sort("view", "object").rows()
    ]
    several = len({view for view, _ in pairs}) > 1
    return {(view, name): f"view{view}_{name}" if several else name for view, name in pairs}


def _folders(names: dict[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    """The same as names of folders: an object may be called `left/eye`, or `..`, and a folder may not."""
    out: dict[tuple[int, str], str] = {}
    for pair, name in names.items():
        folder = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(". ") or "_"
        while folder in out.values():
            folder += "_"
        out[pair] = folder
    return out


def write_png(masklets: Masklets, out: str | Path, progress: Progress | None = None) -> int:
    """Pictures `OUT/NAME/000123.png`, 255 on the object, 0 elsewhere; gives their number. What cannot be in a
    folder's name is `_`.

    Raises:
        OutputError: they cannot be written.
    """
    out, names = Path(out), _folders(keys(masklets))
    count, frames = 0, masklets.num_frames
    try:
        for folder in names.values():
            (out / folder).mkdir(parents=True, exist_ok=True)
        for done, (frame_idx, masks) in enumerate(masklets, start=1):
            for pair, mask in masks.items():
                Image.fromarray(mask.astype(np.uint8) * 255).save(out / names[pair] / f"{frame_idx:06d}.png")
                count += 1
            if progress is not None:
                progress(done, frames, "masks")
    except OSError as error:
        raise OutputError(f"Cannot write the masks to {out} ({error}).") from None
    return count


def write_coco(masklets: Masklets, path: str | Path, progress: Progress | None = None) -> int:
    """One JSON file in COCO's format for instance annotations; gives the number of annotations.

    Image ids are frame numbers; category ids count the names of `keys` from 1. Segmentations are compressed
    RLE, column-major; boxes are [x, y, width, height] px; `score` is the predicted IoU (none of a
    reflection that was followed by its light).

    Raises:
        OutputError: it cannot be written.
    """
    names = keys(masklets)
    ids = {name: i for i, name in enumerate(names.values(), start=1)}
    height, width = masklets.size
    count = 0

    scores = {(f, v, o): s for f, v, o, s in masklets.table.select(*_SCORE).iter_rows()}

    def fill(file: IO[str]) -> None:
        nonlocal count
        categories = [{"id": i, "name": name} for name, i in ids.items()]
        file.write('{"info": {"description": "ocusam"}, "categories": ' + json.dumps(categories))
        file.write(',\n"images": [')
        frames = sorted(masklets.table["frame_idx"].unique().to_list())
        times = dict(masklets.table.select("frame_idx", "timestamp_ns").iter_rows())
        for i, frame in enumerate(frames):
            entry = {"id": frame, "file_name": f"{frame:06d}.png", "width": width, "height": height}
            file.write((",\n" if i else "\n") + json.dumps({**entry, "timestamp_ns": times[frame]}))
        file.write('],\n"annotations": [')
        for done, (frame, masks) in enumerate(masklets, start=1):
            for pair, mask in masks.items():
                if not mask.any():
                    continue
                count += 1
                head = {"id": count, "image_id": frame, "category_id": ids[names[pair]]}
                annotation = {**head, **_shape(mask)}
                if (score := scores[(frame, *pair)]) is not None:
                    annotation["score"] = score
                file.write((",\n" if count > 1 else "\n") + json.dumps(annotation))
            if progress is not None:
                progress(done, len(frames), "masks")
        file.write("]}\n")

    _write(Path(path), fill)
    return count


def _shape(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The mask, its box and its area, as COCO has them."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(xs[0]), int(ys[0])
    return {
        "segmentation": {"size": list(mask.shape), "counts": encode(mask).decode("ascii")},
        "bbox": [x, y, int(xs[-1]) - x + 1, int(ys[-1]) - y + 1],
        "area": int(np.count_nonzero(mask)),
        "iscrowd": 0,
    }


def write_npz(masklets: Masklets, path: str | Path, progress: Progress | None = None) -> int:
    """One compressed NPZ: a boolean array (frames, height, width) for each object; gives their number.

    `numpy.load(path)["pupil"][123]` is the mask of frame 123.

    Raises:
        OutputError: it cannot be written.
    """
    path, names = Path(path), keys(masklets)
    last = max(masklets.table["frame_idx"].to_list(), default=-1)
    frames = int(last) + 1
    part = path.with_name(f".{path.name}.part")
    shape = (frames, *masklets.size)
    empty = np.zeros(masklets.size, dtype=np.bool_)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for k, ((view, name), key) in enumerate(names.items()):
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    head = {"descr": "|b1", "fortran_order": False, "shape": shape}
                    npy.write_array_header_1_0(member, head)
                    for frame_idx in range(frames):
                        mask = masklets.masks(frame_idx).get((view, name), empty)
                        member.write(np.ascontiguousarray(mask).tobytes())
                        if progress is not None:
                            progress(k * frames + frame_idx + 1, frames * len(names), "masks")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"Cannot write {path} ({error}).") from None
    return len(names)


def _write(path: Path, fill: Callable[[IO[str]], None]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            fill(file)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"Cannot write {path} ({error}).") from None
