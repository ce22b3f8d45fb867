"""Masks in COCO's JSON: instances of pictures, of frames of a video, and the "video" form of YouTube-VIS.

    {"images": [{"id", "file_name", ("video_id", "frame_id")}], "categories": [{"id", "name"}],
     "annotations": [{"image_id", "category_id", "segmentation", ("track_id" or "instance_id")}]}
    {"videos": [{"id", "file_names"}], "categories": [...],
     "annotations": [{"video_id", "category_id", "segmentations": [RLE, polygons or null per frame]}]}

Purpose: `ocusam export --format masks-coco` writes the first form, annotation tools write both.

Notable choices: a segmentation is RLE (compressed text or a list) or polygons. In a sequence an object is its
track's number, without one its category; two of one category in a frame then need tracks. In single pictures
every annotation is an object of its own. Boxes without a segmentation are passed over.

What it does not know: key points, captions, panoptic PNG files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ocusam.core.errors import InputError
from ocusam.video.source import natural_key
from ocusam.workflows.inputs.prompt_pack import coco_runs
from ocusam.workflows.own_masks.annotated import AnnotatedFrames, Shape, polygon, runs
from ocusam.workflows.own_masks.pictures import Pictures, find_picture, read_json

Json = dict[str, Any]
Named = dict[str, list[Shape]]


def coco(
    path: Path, pictures: Path | None, names: dict[str, str], *, sequence: bool = False
) -> list[AnnotatedFrames]:
    """The pictures or videos of one JSON file.

    Args:
        path: the file.
        pictures: folder of the pictures, or a video whose frame numbers are the image ids; None: the folder
            of the file.
        names: category name -> other name.
        sequence: the pictures are frames of one video, in the order of their names.

    Raises:
        InputError: not such a file.
    """
    data = _read(path)
    try:
        categories = {c["id"]: str(c["name"]) for c in data.get("categories", [])}
        # A name stands for a category, whatever number its objects get.
        renamed = {key: names.get(name, name) for key, name in categories.items()}
        names = {old: new for old, new in names.items() if old not in categories.values()}
        categories = renamed
        home = pictures or path.parent
        if "videos" in data and any("segmentations" in a for a in data["annotations"]):
            return _videos(data, categories, home, names, str(path))
        return _images(data, categories, home, names, sequence=sequence, where=str(path))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is not in COCO's form ({type(error).__name__}: {error}).") from None


def _read(path: Path) -> Json:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the JSON file with the annotations as path.")
    data = read_json(path)
    if not isinstance(data, dict) or "annotations" not in data:
        raise InputError(f"{path} holds no 'annotations'; give a JSON file in COCO's form.")
    return data


def _images(
    data: Json,
    categories: Mapping[Any, str],
    home: Path,
    names: dict[str, str],
    *,
    sequence: bool,
    where: str,
) -> list[AnnotatedFrames]:
    by_image: dict[Any, list[Json]] = defaultdict(list)
    for annotation in data["annotations"]:
        if annotation.get("segmentation"):
            by_image[annotation["image_id"]].append(annotation)
    images = data["images"]
    if home.is_file() or (images and all("video_id" in image for image in images)):
        sequence = True
    groups: dict[Any, list[Json]] = defaultdict(list)
    for image in images:
        groups[image.get("video_id", 0) if sequence else image["id"]].append(image)
    out = []
    for key, group in groups.items():
        group.sort(key=lambda image: (image.get("frame_id", 0), natural_key(str(image["file_name"]))))
        if home.is_file():
            shown = Pictures(video=home, numbers=[int(image["id"]) for image in group])
        else:
            shown = Pictures([find_picture(home, str(image["file_name"])) for image in group])
        masks = [_objects(by_image[i["id"]], categories, i, sequence=sequence, where=where) for i in group]
        name = f"{Path(where).name} {key if sequence else group[0]['file_name']}"
        out.append(AnnotatedFrames(name, shown, masks, names))
    return [video for video in out if any(video.masks)]


def _objects(
    annotations: list[Json], categories: Mapping[Any, str], image: Json, *, sequence: bool, where: str
) -> Named:
    out: Named = {}
    for annotation in annotations:
        track = annotation.get("track_id", annotation.get("instance_id"))
        name = categories.get(annotation.get("category_id"), "object")
        if track is not None:
            name = f"{name}-{track}"
        elif name in out:
            if sequence:
                raise InputError(
                    f"{where}: {image['file_name']} has two objects of the category {name!r}; in a sequence "
                    "they need 'track_id' (or different categories)."
                )
            name = f"{annotation.get('id', len(out))}:{name}"
        out[name] = _shapes(annotation["segmentation"], image, f"{where}, {image['file_name']}, {name}")
    return out


def _videos(
    data: Json, categories: Mapping[Any, str], home: Path, names: dict[str, str], where: str
) -> list[AnnotatedFrames]:
    by_video: dict[Any, list[Json]] = defaultdict(list)
    for annotation in data["annotations"]:
        by_video[annotation["video_id"]].append(annotation)
    out = []
    for video in data["videos"]:
        files = [find_picture(home, str(name)) for name in video["file_names"]]
        masks: list[Named] = [{} for _ in files]
        for number, annotation in enumerate(by_video[video["id"]], start=1):
            category = categories.get(annotation.get("category_id"), "object")
            alone = sum(a.get("category_id") == annotation.get("category_id") for a in by_video[video["id"]])
            name = category if alone == 1 else f"{category}-{annotation.get('id', number)}"
            for k, segmentation in enumerate(annotation["segmentations"]):
                if segmentation:
                    masks[k][name] = _shapes(segmentation, video, f"{where}, {name}, frame {k}")
        out.append(AnnotatedFrames(str(video.get("name", video["id"])), Pictures(files), masks, names))
    return out


def _shapes(segmentation: Any, image: Json, where: str) -> list[Shape]:
    if isinstance(segmentation, list):
        return [polygon(points, where) for points in segmentation]
    height, width = segmentation.get("size") or (image["height"], image["width"])
    return [runs(coco_runs(segmentation["counts"]), (int(height), int(width)), where)]
