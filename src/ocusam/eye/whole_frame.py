"""All objects of one frame, measured together.

Purpose: what is done with a tracked frame, from logits and picture to numbers. It keeps nothing and needs no
network, so another program can do it (`workflows.session.other_process`).

Notable choices: the pupil comes first, then the iris, which knows of a pupil of which enough of the rim was
seen. Spots are looked for around the pupil, on the cornea where the iris says how far that reaches, and
reflections know of them.

What it does not know: other frames, tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.eye.reflection.find import find_spots
from ocusam.eye.reflection.packed import pack
from ocusam.eye.reflection.spot import Spot
from ocusam.eye.signals import Beside, Measurement, is_reflection, measure

_LEAST_RIM = 0.4  # of a pupil that says where its iris is, of an iris that says where reflections are
_LIMIT = 12  # of spots on the cornea: half more than are ever named (`reflection.link.MAX_GLINTS`)
_CORNEA = 1.3  # over the iris: a fourth of it may be missing, and a spot's middle may be drawn outwards


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured on one frame.

    Attributes:
        objects: in their order.
        spots: around the pupil, packed (`eye.reflection.packed`), px of the picture; None: not looked for.
    """

    objects: list[Measurement]
    spots: bytes | None


def measure_frame(objects: list[ObjectFrame], *, spots: bool) -> Measured:
    """Measure all objects of one view on one frame; `spots`: look for those around the pupil, too."""
    found: dict[str, Measurement] = {}
    beside, packed = Beside(), None
    for item in sorted(objects, key=_turn):
        if spots and packed is None and _turn(item) > 1:
            beside, packed = _with_spots(objects, found, beside)
        measured = found[item.name] = measure_object(item, beside)
        if item.name == "pupil":
            beside = Beside(pupil=_well_founded(item, measured))
    if spots and packed is None:
        _, packed = _with_spots(objects, found, beside)
    return Measured([found[item.name] for item in objects], packed)


def _turn(item: ObjectFrame) -> int:
    """When an object is measured."""
    return ("pupil", "iris", item.name).index(item.name)


def _with_spots(
    objects: list[ObjectFrame], found: dict[str, Measurement], beside: Beside
) -> tuple[Beside, bytes | None]:
    """What is known with the spots, and these, packed; None without a pupil among the objects."""
    item = next((item for item in objects if item.name == "pupil"), None)
    if item is None:
        return beside, None
    around = spots_of(item, found["pupil"].ellipse, _cornea(objects, found))
    return replace(beside, spots=around), pack(around, item.view.region[:2])


def _cornea(objects: list[ObjectFrame], found: dict[str, Measurement]) -> Ellipse | None:
    """Where the middle of a reflection can be, px of the whole picture: about the iris, if that is known, and
    nobody calls something elsewhere a reflection (on the sclera, on glasses)."""
    pupil, iris = found["pupil"], found.get("iris")
    if iris is None or iris.ellipse is None or pupil.ellipse is None:
        return None
    cornea = iris.ellipse.scaled(_CORNEA, about=iris.ellipse.center)
    # An iris of which little is in sight may come out as anything.
    if (iris.rim_share or 0.0) < _LEAST_RIM or not cornea.contains(pupil.ellipse.center):
        return None
    places = [place for item in objects if is_reflection(item.name) and (place := _place(item)) is not None]
    return cornea if bool(cornea.contains(np.array(places).reshape(-1, 2)).all()) else None


def _place(item: ObjectFrame) -> tuple[float, float] | None:
    """The middle of a mask, to about a cell of its logits, px of the whole picture."""
    if item.object_score <= 0:
        return None
    rows, cols = np.nonzero(item.logits > 0)
    if not len(rows):
        return None
    (x0, y0), (height, width) = item.view.region[:2], item.view.size
    tall, wide = item.logits.shape
    return x0 + (float(cols.mean()) + 0.5) * width / wide, y0 + (float(rows.mean()) + 0.5) * height / tall


def _well_founded(item: ObjectFrame, pupil: Measurement) -> Ellipse | None:
    """The pupil's outline, px of the view, where enough of its rim is in sight."""
    if pupil.ellipse is None or (pupil.rim_share or 0.0) < _LEAST_RIM:
        return None
    x0, y0 = item.view.region[:2]
    return pupil.ellipse.translated(-x0, -y0)


def spots_of(item: ObjectFrame, pupil: Ellipse | None, cornea: Ellipse | None = None) -> list[Spot]:
    """The bright spots around a pupil (`eye.reflection.find`), px of the view; `cornea`: what their middles
    lie in, if that is known. Both are px of the whole picture."""
    if pupil is None or item.picture is None:
        return []
    x0, y0 = item.view.region[:2]
    around = pupil.translated(-x0, -y0)
    if cornea is None:
        return find_spots(item.picture, around)
    return find_spots(item.picture, around, within=cornea.translated(-x0, -y0), limit=_LIMIT)


def measure_object(item: ObjectFrame, beside: Beside | None = None) -> Measurement:
    """Measure what was tracked, in px of the whole picture; `beside`: what is known of the frame already."""
    x0, y0 = item.view.region[:2]
    measured = measure(
        item.logits,
        item.view.size,
        item.name,
        predicted_iou=item.predicted_iou,
        object_score=item.object_score,
        origin=(x0, y0),
        picture=item.picture,
        beside=beside or Beside(),
    )
    # One of the objects tells it: all of a frame have the same.
    seen = item.name == "pupil" and math.isfinite(item.eye_area_px)
    return replace(measured, eye_area_px=item.eye_area_px) if seen else measured
