"""Which recordings a batch consists of: a folder of videos, or a CSV with one recording a row.

Purpose: one `BatchItem` per recording: its video, its prompts, and the folder that its run writes.

The CSV (separated by commas, semicolons or tabs) has a header; only `video` is required, empty cells take
what was given for all:

    video               file or folder; relative to the CSV
    participant         any text; kept in the summary
    prompts             file or folder of prompts (`workflows.prompt_tables`); relative to the CSV
    point               clicks as on the command line, separated by spaces: pupil:320,240 iris:390,306
    reference           annotated picture of the participant
    reference_prompts   what is annotated on it
    out                 folder of this recording's run; relative to the batch's folder
    views               auto, none or COLUMNSxROWS
    times               file with a time for every frame (`inputs.frame_times`); relative to the CSV

Notable choices: an unknown column is refused, since a misspelt one would be ignored for hours. A folder is
searched with its subfolders; a run's folder inside it is no recording; a folder of many pictures is one, and
so is a TIFF of several pages; of an eye tracker's recording (`video.recordings`) the eye videos are taken,
not its scene video. Files of times are never guessed: where a pattern names them and one is absent, that
recording fails. In a folder, prompts may stand beside
a video as `NAME.prompts.json`; the folder a video lies in (below the one given) counts as the participant.

What it does not know: whether a video can be read. That shows when its turn comes, and stops no other.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ocusam.core.errors import InputError
from ocusam.core.prompts import parse_point
from ocusam.video.pictures import PICTURE_SUFFIXES
from ocusam.video.recordings import separate_videos
from ocusam.video.source import natural_key
from ocusam.video.stack import STACK_SUFFIXES, is_stack
from ocusam.workflows.inputs.table_text import decoded, separator

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mjpeg", ".mjpg", ".mj2",
    ".ts", ".mts", ".m2ts", ".h264", ".y4m", ".asf", ".flv", ".3gp", ".ogv", *STACK_SUFFIXES,
)  # fmt: skip
COLUMNS = (
    "video", "participant", "prompts", "point", "reference", "reference_prompts", "out", "views", "times",
)  # fmt: skip
_VIDEOS = tuple(suffix for suffix in VIDEO_SUFFIXES if suffix not in STACK_SUFFIXES)
FEWEST_PICTURES = 10
"""From so many pictures on a folder counts as a recording."""
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}
_PATHS = ("video", "prompts", "reference", "reference_prompts", "times")


@dataclass(frozen=True)
class BatchItem:
    """One recording of a batch.

    Attributes:
        name: its name in the summary; unique within the batch.
        video: file or folder.
        out: folder that its run writes.
        participant: text, may be empty.
        prompts: file or folder of prompts.
        points: clicks as text, on top of `prompts`.
        reference: annotated picture shown before the video.
        reference_prompts: what is annotated on it.
        views: see `workflows.views.plan_views`.
        times: file with a time for every frame.
    """

    name: str
    video: Path
    out: Path
    participant: str = ""
    prompts: Path | None = None
    points: tuple[str, ...] = ()
    reference: Path | None = None
    reference_prompts: Path | None = None
    views: str = "auto"
    times: Path | None = None


def list_recordings(
    source: str | Path, out: str | Path, common: BatchItem | None = None, times: str | None = None
) -> list[BatchItem]:
    """The recordings of a folder or a CSV.

    Args:
        source: folder of videos, or CSV file.
        out: folder of the batch; each recording's run gets a folder in it.
        common: prompts, points, reference and views for all that have none of their own.
        times: name of the file of times beside each video, "{name}" standing for the video's name without
            its ending; for all that have none of their own. None: the videos' own times.

    Raises:
        InputError: no such file, no recordings, an unknown column, two recordings with one folder.
    """
    source, out = Path(source), Path(out)
    common = common or BatchItem("", source, out)
    if source.is_dir():
        items = _from_folder(source, out, common)
    elif not source.exists():
        raise InputError(f"No such file or folder: {source}.")
    elif source.suffix.lower() in VIDEO_SUFFIXES:
        raise InputError(f"{source} is a video: give a folder of videos or a CSV, or use `ocusam eye`.")
    else:
        items = _from_csv(source, out, common)
    if times is not None:
        items = [replace(i, times=i.times or i.video.parent / _filled(times, i.video)) for i in items]
    seen: dict[Path, BatchItem] = {}
    for item in items:
        other = seen.setdefault(item.out.resolve(), item)
        if other is not item:
            raise InputError(
                f"Two recordings would write the same folder {item.out}: {other.video} and {item.video}. "
                "Give them different values in the column out."
            )
    return items


def _filled(pattern: str, video: Path) -> str:
    return pattern.replace("{name}", video.name if video.is_dir() else video.stem)


def _from_folder(folder: Path, out: Path, common: BatchItem) -> list[BatchItem]:
    paths = sorted(_videos(folder, out.resolve()), key=lambda p: natural_key(str(p.relative_to(folder))))
    if not paths:
        raise InputError(
            f"The folder {folder} holds no videos ({', '.join(VIDEO_SUFFIXES)}), and no folder in it holds "
            f"{FEWEST_PICTURES} pictures or more ({', '.join(PICTURE_SUFFIXES)})."
        )
    whole = [path.name if path == folder else str(path.relative_to(folder)) for path in paths]
    stems = [n if p.is_dir() else str(Path(n).with_suffix("")) for n, p in zip(whole, paths, strict=True)]
    items = []
    for path, stem, full in zip(paths, stems, whole, strict=True):
        name = stem if stems.count(stem) == 1 else full
        beside = path.with_name(f"{path.stem}.prompts.json")
        parent = path.parent
        items.append(
            replace(
                common,
                name=name,
                video=path,
                out=out / name,
                participant="" if path == folder or parent == folder else parent.name,
                prompts=beside if beside.is_file() else common.prompts,
            )
        )
    return items


def _videos(folder: Path, out: Path) -> list[Path]:
    """Videos below a folder; runs, hidden folders and the batch's own results are passed over. Of an eye
    tracker's recording only the eye videos count."""
    found: list[Path] = separate_videos(folder)
    if found:
        return found
    inside = [path for path in folder.iterdir() if not path.name.startswith(".") and path.resolve() != out]
    if _is_pictures(inside):
        found.append(folder)
    for path in inside:
        if path.is_dir():
            if not (path / "run.json").exists():
                found += _videos(path, out)
        elif path.suffix.lower() in (STACK_SUFFIXES if is_stack(path) else _VIDEOS):
            found.append(path)
    return found


def _is_pictures(inside: list[Path]) -> bool:
    """Whether a folder with these contents is a recording: many pictures, of one frame each, and no video."""
    kinds = [path.suffix.lower() for path in inside if path.is_file()]
    if sum(kind in PICTURE_SUFFIXES for kind in kinds) < FEWEST_PICTURES:
        return False
    videos = [kind for kind in kinds if kind in _VIDEOS]
    stacks = [path for path in inside if path.suffix.lower() in STACK_SUFFIXES]
    return not videos and not any(is_stack(path) for path in stacks[:2])


def _from_csv(path: Path, out: Path, common: BatchItem) -> list[BatchItem]:
    try:
        text = decoded(path.read_bytes())
        between = separator(text)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=between)
        columns = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The list of recordings {path} cannot be read ({error}).") from None
    unknown = [name for name in columns if name not in COLUMNS]
    if "video" not in columns or unknown:
        what = f"unknown column {unknown[0]!r}" if unknown else "no column video"
        raise InputError(f"{path}: {what}; the columns are {', '.join(COLUMNS)}, of which video is required.")
    items: list[BatchItem] = []
    for number, row in enumerate(rows, start=2):
        cells = {key: (value or "").strip() for key, value in row.items() if key in COLUMNS}
        if None in row:
            raise InputError(
                f"{path}, line {number}: more cells than columns; put texts with {_NAMES[between]} in quotes."
            )
        if not any(cells.values()):
            continue
        items.append(_from_row(cells, path.parent, out, common, f"{path}, line {number}"))
    if not items:
        raise InputError(f"{path} lists no recordings.")
    return _named(items, out)


def _from_row(cells: dict[str, str], folder: Path, out: Path, common: BatchItem, where: str) -> BatchItem:
    if not cells["video"]:
        raise InputError(f"{where}: no video.")
    paths = {key: folder / cells[key] for key in _PATHS if cells.get(key)}
    points = tuple(cells.get("point", "").split())
    for text in points:
        try:
            parse_point(text)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
    own = bool(points or paths.keys() & {"prompts"})
    return BatchItem(
        name="",
        video=paths["video"],
        out=out / cells["out"] if cells.get("out") else out,
        participant=cells.get("participant", ""),
        prompts=paths.get("prompts", None if own else common.prompts),
        points=points if own else common.points,
        reference=paths.get("reference", common.reference),
        reference_prompts=paths.get("reference_prompts", common.reference_prompts),
        views=cells.get("views") or common.views,
        times=paths.get("times"),
    )


def _named(items: list[BatchItem], out: Path) -> list[BatchItem]:
    """Names and folders for the rows of a CSV: what `out` says, else PARTICIPANT_VIDEO, numbered where that
    is not unique."""
    named: list[BatchItem] = []
    taken: set[str] = set()
    for item in items:
        if item.out != out:
            named.append(
                replace(item, name=str(item.out.relative_to(out)) if out in item.out.parents else "")
            )
        else:
            parts = [item.participant, item.video.stem or item.video.name]
            base = re.sub(r"[^\w.+-]+", "_", "_".join(p for p in parts if p)).strip("_.") or "recording"
            name, count = base, 2
            while name in taken:
                name, count = f"{base}_{count}", count + 1
            named.append(replace(item, name=name, out=out / name))
        if not named[-1].name:
            named[-1] = replace(named[-1], name=str(named[-1].out))
        taken.add(named[-1].name)
    return named
