"""All objects of one frame, measured together.

Purpose: what is done with a tracked frame, from logits and picture to numbers. It keeps nothing and needs no
network, so another program can do it (`workflows.session.other_process`).

Notable choices: the pupil comes first; spots are looked for around it, and reflections know of them.

What it does not know: other frames, tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.eye.reflection.find import find_spots
from ocusam.eye.reflection.packed import pack
from ocusam.eye.reflection.spot import Spot
from ocusam.eye.signals import Measurement, measure


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
    found, around, packed = {}, list[Spot](), None
    for item in sorted(objects, key=lambda item: item.name != "pupil"):
        found[item.name] = measure_object(item, around)
        if item.name == "pupil" and spots:
            around = spots_of(item, found[item.name].ellipse)
            packed = pack(around, item.view.region[:2])
    return Measured([found[item.name] for item in objects], packed)


def spots_of(item: ObjectFrame, pupil: Ellipse | None) -> list[Spot]:
    """The bright spots around a pupil (`eye.reflection.find`), px of the view."""
    if pupil is None or item.picture is None:
        return []
    x0, y0 = item.view.region[:2]
    return find_spots(item.picture, pupil.translated(-x0, -y0))


def measure_object(item: ObjectFrame, spots: Sequence[Spot] = ()) -> Measurement:
    """Measure what was tracked, in px of the whole picture; `spots`: found on its picture already, px of the
    view."""
    x0, y0 = item.view.region[:2]
    measured = measure(
        item.logits,
        item.view.size,
        item.name,
        predicted_iou=item.predicted_iou,
        object_score=item.object_score,
        origin=(x0, y0),
        picture=item.picture,
        spots=spots,
    )
    # One of the objects tells it: all of a frame have the same.
    seen = item.name == "pupil" and math.isfinite(item.eye_area_px)
    return replace(measured, eye_area_px=item.eye_area_px) if seen else measured
