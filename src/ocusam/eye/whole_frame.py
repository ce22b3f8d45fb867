"""All objects of one frame, measured together.

Purpose: what is done with a tracked frame, from logits and picture to numbers. It keeps nothing and needs no
network, so another program can do it (`workflows.session.other_process`).

Notable choices: the pupil comes first; spots are looked for around it, and reflections know of them. An iris
knows of a pupil of which enough of the rim was seen.

What it does not know: other frames, tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import ObjectFrame
from ocusam.eye.reflection.find import find_spots
from ocusam.eye.reflection.packed import pack
from ocusam.eye.reflection.spot import Spot
from ocusam.eye.signals import Beside, Measurement, measure

_LEAST_RIM = 0.4  # of a pupil that says where its iris is


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
    found, beside, packed = dict[str, Measurement](), Beside(), None
    for item in sorted(objects, key=lambda item: item.name != "pupil"):
        measured = found[item.name] = measure_object(item, beside)
        if item.name == "pupil":
            around = spots_of(item, measured.ellipse) if spots else []
            packed = pack(around, item.view.region[:2]) if spots else None
            beside = Beside(around, _well_founded(item, measured))
    return Measured([found[item.name] for item in objects], packed)


def _well_founded(item: ObjectFrame, pupil: Measurement) -> Ellipse | None:
    """The pupil's outline, px of the view, where enough of its rim is in sight."""
    if pupil.ellipse is None or (pupil.rim_share or 0.0) < _LEAST_RIM:
        return None
    x0, y0 = item.view.region[:2]
    return pupil.ellipse.translated(-x0, -y0)


def spots_of(item: ObjectFrame, pupil: Ellipse | None) -> list[Spot]:
    """The bright spots around a pupil (`eye.reflection.find`), px of the view."""
    if pupil is None or item.picture is None:
        return []
    x0, y0 = item.view.region[:2]
    return find_spots(item.picture, pupil.translated(-x0, -y0))


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
