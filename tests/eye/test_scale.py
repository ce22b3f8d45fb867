"""Diameters in mm, from rows with known sizes."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from ocusam.core.errors import InputError
from ocusam.eye.long_rows import LongRows
from ocusam.eye.scale import DIAMETER_MM, PupilScale, Scaling, scales_of, with_diameters
from ocusam.eye.signals import COLUMNS

FRAMES = 60


def rows(iris_px: list[float | None], **iris: Any) -> pl.DataFrame:
    """A pupil of 20 + i px, lost on frame 3, and an iris."""
    table = []
    for i, size in enumerate(iris_px):
        lost = i == 3
        pupil = {"object": "pupil", "state": "lost" if lost else "tracked", "major_px": 20.0 + i}
        own = {"rim_share": 0.6, "major_sd_px": 0.1, **{k: v[i] for k, v in iris.items()}}
        known = {"object": "iris", "state": "tracked" if size else "lost", "major_px": size, **own}
        table += [{"frame_idx": i, "timestamp_ns": i, "view": 0, **r} for r in (known, pupil)]
    return pl.DataFrame(table, schema=COLUMNS)


def scale(table: pl.DataFrame, iris_mm: float = 11.7) -> PupilScale:
    (found,) = scales_of(LongRows.of(table), Scaling(iris_mm=iris_mm))
    return found


def test_a_stated_scale_is_for_tracked_pupils_only() -> None:
    table = rows([100.0] * 6)
    scales = scales_of(LongRows.of(table), Scaling(mm_per_px=0.05))
    out = with_diameters(table, scales)
    pupil = out.filter(pl.col("object") == "pupil")[DIAMETER_MM].to_list()
    assert pupil[3] is None  # lost, whatever stands beside it
    assert pupil[:3] == pytest.approx([1.0, 1.05, 1.1]) and pupil[4:] == pytest.approx([1.2, 1.25])
    assert out.filter(pl.col("object") == "iris")[DIAMETER_MM].null_count() == 6
    assert scales[0].to_dict() == {"view": 0, "by": "stated", "mm_per_px": 0.05}
    other = with_diameters(out.with_columns(view=pl.lit(1)), scales)  # the scale of view 0 is not another's
    assert other[DIAMETER_MM].null_count() == 12 and other.columns == out.columns


def test_nobody_asked() -> None:
    table = rows([100.0] * 6)
    assert scales_of(LongRows.of(table), None) == scales_of(LongRows.of(table), Scaling()) == []
    empty = with_diameters(table, [])[DIAMETER_MM]
    assert empty.null_count() == 12 and empty.dtype == pl.Float64


def test_the_iris_counts_where_its_rim_is_well_seen() -> None:
    """A third of the frames by the mask and larger, a third with little rim and smaller, the rest true."""
    noise = np.random.default_rng(1).normal(0, 0.01, FRAMES)
    kind = np.arange(FRAMES) % 3
    size = np.choose(kind, [117.0, 130.0, 90.0]) * (1 + noise)
    share = np.choose(kind, [0.6, 0.6, 0.4])
    deviation = [None if k == 1 else 0.1 for k in kind]
    found = scale(rows(size.tolist(), rim_share=share.tolist(), major_sd_px=deviation))
    assert found.frames == FRAMES // 3 and (found.edge, found.least_rim_share) == ("picture", 0.5)
    assert found.iris_px == pytest.approx(117.0, rel=0.01) and found.scatter == pytest.approx(0.01, rel=0.5)
    assert found.mm_per_px == pytest.approx(11.7 / 117.0, rel=0.01)


def test_what_counts_is_loosened_where_too_little_is_left() -> None:
    few = [0.6] * 3 + [0.4] * (FRAMES - 3)
    assert scale(rows([100.0] * FRAMES, rim_share=few)).least_rim_share == 0.35
    by_mask = scale(rows([100.0] * FRAMES, major_sd_px=[None] * FRAMES))
    assert by_mask.edge == "mask" and by_mask.frames == FRAMES
    one = scale(rows([100.0]))
    assert one.frames == 1 and one.mm_per_px == pytest.approx(0.117)


@pytest.mark.parametrize("iris", [[None] * 6, None])
def test_without_an_iris_there_is_no_scale(iris: list[None] | None) -> None:
    table = rows(iris or [None] * 6)
    table = table if iris else table.filter(pl.col("object") == "pupil")
    found = scale(table)
    assert found.to_dict() == {"view": 0, "by": "iris", "mm_per_px": None, "iris_mm": 11.7, "frames": 0}
    assert with_diameters(table, [found])[DIAMETER_MM].null_count() == len(table)


def test_what_cannot_be() -> None:
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match=r"mm_per_px=.*above 0"):
            Scaling(mm_per_px=wrong)
        with pytest.raises(InputError, match=r"iris_mm=.*above 0"):
            Scaling(iris_mm=wrong)
    with pytest.raises(InputError, match="one of them"):
        Scaling(0.05, 11.7)
