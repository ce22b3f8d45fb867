"""Masks of reflections that were followed by their light."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import COLUMNS
from ocusam.workflows.results.export_masks import write_coco
from ocusam.workflows.results.light_masks import LightMasklets
from ocusam.workflows.results.overlay_video import drawn_objects
from ocusam.workflows.session.masklets import SCHEMA, Masklets, encode

SIZE = (60, 80)
PUPIL, LIGHT = Ellipse((40.0, 30.0), (30.0, 28.0), 0.0), Ellipse((45.0, 34.0), (6.0, 4.0), 90.0)


def _recording() -> tuple[Masklets, pl.DataFrame]:
    """The network takes cr0 for the pupil; its light is known on frames 0 and 2 of 3. cr1 stayed with the
    network, and cr2 was not clicked."""
    masks, rows = [], []
    for frame in range(3):
        for name, predicted in (("cr0", 0.9), ("cr1", 0.4), ("pupil", 0.95)):
            shape = Ellipse((20.0, 20.0), (5.0, 5.0), 0.0) if name == "cr1" else PUPIL
            masks.append((frame, frame * 1000, 0, name, *SIZE, encode(shape.mask(SIZE)), predicted, 5.0))
        for name, e, predicted in (
            ("cr0", None if frame == 1 else LIGHT, None),
            ("cr1", Ellipse((20.0, 20.0), (5.0, 5.0), 0.0), 0.4),
            ("cr2", LIGHT.translated(-20.0, 0.0), None),
            ("pupil", PUPIL, 0.95),
        ):
            values = (None,) * 5 if e is None else (*e.center, e.major, e.minor, e.angle)
            row = dict.fromkeys(COLUMNS) | dict(
                zip(
                    ("frame_idx", "timestamp_ns", "view", "object"),
                    (frame, frame * 1000, 0, name),
                    strict=True,
                )
            )
            row |= dict(
                zip(("center_x_px", "center_y_px", "major_px", "minor_px", "angle_deg"), values, strict=True)
            )
            rows.append(row | {"state": "lost" if e is None else "tracked", "predicted_iou": predicted})
    return Masklets([pl.DataFrame(masks, schema=SCHEMA, orient="row")], SIZE), pl.DataFrame(
        rows, schema=COLUMNS
    )


def test_a_followed_reflection_has_its_light_for_a_mask() -> None:
    kept, signals = _recording()
    masks = LightMasklets(kept, signals)
    assert masks.objects == ["cr0", "cr1", "cr2", "pupil"] and masks.num_frames == 3
    assert (kept.mask(0, "cr0") == PUPIL.mask(SIZE)).all()  # what the network said stays where it was
    assert (masks.mask(0, "cr0") == LIGHT.mask(SIZE)).all() and masks.mask(0, "cr0").sum() > 10
    assert not masks.mask(1, "cr0").any()
    assert (masks.mask(1, "cr1") == kept.mask(1, "cr1")).all() and masks.mask(1, "cr1").any()
    assert (masks.mask(1, "pupil") == kept.mask(1, "pupil")).all()
    assert [sorted(name for _, name in found) for _, found in masks] == [masks.objects] * 3
    assert masks.table.height == 12 and masks.table.filter(object="cr2")["predicted_iou"].null_count() == 3
    assert masks.masks(7) == {}
    with pytest.raises(InputError, match=r"No mask of 'cr9'.*cr0, cr1, cr2, pupil"):
        masks.mask(0, "cr9")


def test_each_view_has_its_own_light() -> None:
    """Rows of the second eye come first in the table; its light lies elsewhere."""
    kept, signals = _recording()
    there = LIGHT.translated(-30.0, 10.0)
    x, y = (pl.lit(value) for value in there.center)
    other = signals.filter(object="cr0").with_columns(
        view=pl.lit(1, dtype=signals["view"].dtype), center_x_px=x, center_y_px=y
    )
    masks = LightMasklets(kept, pl.concat([other, signals]).sort("frame_idx", descending=True))
    assert (masks.mask(0, "cr0") == LIGHT.mask(SIZE)).all()
    assert (masks.mask(2, "cr0", view=1) == there.mask(SIZE)).all() and masks.mask(2, "cr0", view=1).any()


def test_without_followed_reflections_nothing_changes() -> None:
    kept, signals = _recording()
    masks = LightMasklets(kept, signals.filter(pl.col("object").is_in(["cr1", "pupil"])))
    assert masks.objects == kept.objects and masks.table.equals(kept.table)
    assert all((masks.mask(f, n) == kept.mask(f, n)).all() for f in range(3) for n in kept.objects)


def test_coco_and_the_overlay_take_the_light(tmp_path: Path) -> None:
    kept, signals = _recording()
    assert write_coco(LightMasklets(kept, signals), tmp_path / "masks.json") == 11
    coco = json.loads((tmp_path / "masks.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    scores = {names[a["category_id"]]: a.get("score") for a in coco["annotations"]}
    assert scores == {"cr0": None, "cr1": 0.4, "cr2": None, "pupil": 0.95}
    here = signals.filter(frame_idx=0).to_dicts()
    next(row for row in here if row["object"] == "cr1")["center_x_px"] = 24.0
    drawn = {one.name: one.mask for one in drawn_objects(kept, 0, here)}
    assert np.array_equal(drawn["cr1"], kept.mask(0, "cr1"))  # stayed with the network
    assert np.array_equal(drawn["cr0"], LIGHT.mask(SIZE)) and np.array_equal(drawn["pupil"], PUPIL.mask(SIZE))
