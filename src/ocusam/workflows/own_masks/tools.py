"""Masks drawn by hand in LabelMe and in CVAT.

    LabelMe   one JSON beside each picture: {"imagePath", "shapes": [{"label", "points", "shape_type"}]}
    CVAT      one XML ("CVAT for images 1.1" and "CVAT for video 1.1")

Notable choices: polygons, circles or ellipses and masks are used; boxes, lines and points are no masks and
are passed over. Shapes of one label (and group) in a picture are one object, unless `instances` says that
each is one (a group then is one). LabelMe pictures stand alone unless they are said to be a sequence; CVAT's
tracks are a sequence, and a shape that is "outside" is absent.

What it does not know: attributes, skeletons.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ocusam.core.errors import InputError
from ocusam.video.source import natural_key
from ocusam.workflows.own_masks.annotated import (
    AnnotatedFrames,
    Mask,
    Polygon,
    Shape,
    polygon,
    runs,
)
from ocusam.workflows.own_masks.pictures import Pictures, find_picture, read_json

Named = dict[str, list[Shape]]


def labelme(
    path: Path,
    pictures: Path | None,
    names: dict[str, str],
    *,
    sequence: bool = False,
    instances: bool = False,
) -> list[AnnotatedFrames]:
    """All LabelMe files of a folder.

    Args:
        path: folder of `*.json`.
        pictures: folder of the pictures; None: each file says where its picture is.
        names: label -> other name.
        sequence: they are frames of one video, in the order of their names.
        instances: every shape (or group) is an object of its own.

    Raises:
        InputError: no such files, one that cannot be read, or no masks in them.
    """
    files = sorted(path.glob("*.json"), key=lambda file: natural_key(file.name))
    if not files:
        raise InputError(f"{path} holds no LabelMe files (*.json).")
    shown, masks = [], []
    for file in files:
        try:
            data = read_json(file)
            picture = find_picture(pictures or file.parent, str(data["imagePath"]))
            shown.append(file if data.get("imageData") and not picture.is_file() else picture)
            masks.append(_labelme_shapes(data["shapes"], str(file), instances=instances))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{file} is no LabelMe file ({type(error).__name__}: {error}); move it elsewhere."
            ) from None
    if not any(masks):
        raise InputError(
            f"The {len(files)} LabelMe files of {path} hold no polygons, circles or masks; boxes, lines and "
            "points are none."
        )
    if sequence:
        return [AnnotatedFrames(path.name, Pictures(shown), masks, names)]
    return [
        AnnotatedFrames(file.stem, Pictures([picture]), [own], names)
        for file, picture, own in zip(files, shown, masks, strict=True)
        if own
    ]


def _labelme_shapes(shapes: list[dict[str, Any]], where: str, *, instances: bool) -> Named:
    out: Named = {}
    for number, shape in enumerate(shapes, start=1):
        kind, points = shape.get("shape_type", "polygon"), shape["points"]
        name = str(shape["label"])
        if shape.get("group_id") is not None:
            name = f"{name}-{shape['group_id']}"
        elif instances:
            name = f"{number}:{name}"
        if kind == "polygon":
            drawn: Shape = polygon(points, f"{where}, {name}")
        elif kind == "circle":
            (x, y), (u, v) = points
            drawn = _ellipse(x, y, math.hypot(u - x, v - y), math.hypot(u - x, v - y))
        elif kind == "mask":
            (x, y), _ = points
            drawn = _Stamp(str(shape["mask"]), (round(x), round(y)), where)
        else:
            continue
        out.setdefault(name, []).append(drawn)
    return out


@dataclass(frozen=True)
class _Stamp:
    """A `Shape` from LabelMe's mask: a PNG in text, placed in the picture."""

    text: str
    corner: tuple[int, int]
    where: str

    def __call__(self, size: tuple[int, int]) -> Mask:
        try:
            with Image.open(io.BytesIO(base64.b64decode(self.text))) as picture:
                part = np.asarray(picture.convert("L")) > 0
        except (binascii.Error, UnidentifiedImageError, OSError, ValueError) as error:
            raise InputError(f"{self.where}: the mask cannot be read ({error}).") from None
        out = np.zeros(size, dtype=np.bool_)
        x, y = self.corner
        into = out[y : y + part.shape[0], x : x + part.shape[1]]
        into |= part[: into.shape[0], : into.shape[1]]
        return out


def _ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Polygon:
    t = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b = rx * np.cos(t), ry * np.sin(t)
    corners = np.stack([x + c * a - s * b, y + s * a + c * b], axis=1)
    return Polygon(tuple((float(u), float(v)) for u, v in corners))


def cvat(
    path: Path,
    pictures: Path | None,
    names: dict[str, str],
    *,
    sequence: bool = False,
    instances: bool = False,
) -> list[AnnotatedFrames]:
    """The pictures or the video of one CVAT file.

    Args:
        path: the XML file, or a folder with `annotations.xml`.
        pictures: folder of the pictures, or the video; None: `images` beside the file.
        names: label -> other name.
        sequence: single pictures are frames of one video, in the order of their names.
        instances: every shape (or group) of a single picture is an object of its own.

    Raises:
        InputError: not such a file; tracks without a video.
    """
    file = path / "annotations.xml" if path.is_dir() else path
    try:
        root = xml.parse(file).getroot()
    except (OSError, xml.ParseError) as error:
        raise InputError(f"{file} cannot be read as XML ({error}).") from None
    try:
        if root.findall("track"):
            return _tracks(root, file, pictures, names)
        frames = _cvat_images(root, file, pictures, instances=instances)
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file} is not in CVAT's form ({type(error).__name__}: {error}).") from None
    if sequence:
        shown = Pictures([picture for picture, _ in frames])
        return [AnnotatedFrames(file.stem, shown, [shapes for _, shapes in frames], names)]
    return [
        AnnotatedFrames(picture.stem, Pictures([picture]), [shapes], names)
        for picture, shapes in frames
        if shapes
    ]


def _cvat_images(
    root: xml.Element, file: Path, pictures: Path | None, *, instances: bool
) -> list[tuple[Path, Named]]:
    """Picture and objects of every image, in the order of their names."""
    home = pictures or file.parent / "images"
    frames: list[tuple[Path, Named]] = []
    for image in root.findall("image"):
        shapes: Named = {}
        for number, element in enumerate(image, start=1):
            drawn = _cvat_shape(element, f"{file}, {image.attrib['name']}")
            if drawn is not None:
                name, group = element.attrib["label"], element.attrib.get("group_id")
                if group:
                    name = f"{name}-{group}"
                elif instances:
                    name = f"{number}:{name}"
                shapes.setdefault(name, []).append(drawn)
        frames.append((find_picture(home, image.attrib["name"]), shapes))
    frames.sort(key=lambda frame: natural_key(frame[0].name))
    if not any(shapes for _, shapes in frames):
        raise InputError(f"{file} holds no polygons, ellipses or masks.")
    return frames


def _tracks(
    root: xml.Element, file: Path, pictures: Path | None, names: dict[str, str]
) -> list[AnnotatedFrames]:
    if pictures is None:
        raise InputError(f"{file} holds the tracks of a video; say where it is (pictures = ...).")
    tracks = root.findall("track")
    labels = [track.attrib["label"] for track in tracks]
    by_frame: dict[int, Named] = {}
    for track, label in zip(tracks, labels, strict=True):
        name = label if labels.count(label) == 1 else f"{label}-{track.attrib['id']}"
        for element in track:
            drawn = _cvat_shape(element, f"{file}, track {name}")
            if drawn is None:
                continue
            own = by_frame.setdefault(int(element.attrib["frame"]), {})
            if element.attrib.get("outside") != "1":
                own[name] = [drawn]
    if not by_frame:
        raise InputError(f"{file} holds no polygons, ellipses or masks.")
    numbers = sorted(by_frame)
    shown = Pictures(video=pictures, numbers=numbers)
    return [AnnotatedFrames(file.stem, shown, [by_frame[n] for n in numbers], names)]


def _cvat_shape(element: xml.Element, where: str) -> Shape | None:
    given = element.attrib
    if element.tag == "polygon":
        return polygon([p.split(",") for p in given["points"].split(";")], where)
    if element.tag == "ellipse":
        x, y, rx, ry = (float(given[key]) for key in ("cx", "cy", "rx", "ry"))
        return _ellipse(x, y, rx, ry, float(given.get("rotation", 0)))
    if element.tag == "mask":
        size = (int(given["height"]), int(given["width"]))
        corner = (int(given["left"]), int(given["top"]))
        lengths = [int(word) for word in given["rle"].split(",")]
        return runs(lengths, size, where, corner=corner, by_column=False, whole=False)
    return None
