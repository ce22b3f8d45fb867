"""The mask generator against a plain loop over the image predictor, and each of its options."""

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco

from ocusam.core.errors import InputError
from ocusam.model.sam2 import SAM2
from ocusam.tracking.automatic_masks import SAM2AutomaticMaskGenerator, stability_score
from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.mask_boxes import crop_boxes, point_grid, suppress_boxes
from ocusam.tracking.mask_rle import rle_to_mask
from ocusam.workflows.masks import MaskSettings

ALL: dict[str, Any] = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """72 x 100: discs and bars on a texture."""
    rng = np.random.default_rng(11)
    picture = rng.integers(60, 90, (72, 100, 3))
    y, x = np.mgrid[:72, :100]
    picture[(x - 30) ** 2 + (y - 30) ** 2 < 150] = (220, 40, 40)
    picture[(x - 70) ** 2 + (y - 40) ** 2 < 300] = (40, 40, 230)
    picture[60:66, 10:90] = (240, 240, 60)
    return picture.astype(np.uint8)


def by_hand(
    network: SAM2,
    picture: NDArray[np.uint8],
    *,
    side: int,
    iou: float,
    stability: float,
    nms: float,
    layers: int = 0,
    m2m: bool = False,
    area: int = 0,
) -> list[dict[str, Any]]:
    """The published procedure, one click and one mask at a time, with the public image predictor."""
    height, width = picture.shape[:2]
    predictor = SAM2ImagePredictor(network, max_hole_area=area, max_sprinkle_area=area)
    records: list[dict[str, Any]] = []
    crops = crop_boxes((height, width), layers, 512 / 1500)
    for (x0, y0, x1, y1), _ in crops:
        predictor.set_image(picture[y0:y1, x0:x1])
        of_crop: list[dict[str, Any]] = []
        for point in point_grid(side) * [x1 - x0, y1 - y0]:
            masks, ious, low = predictor.predict(point[None], [1], return_logits=True)
            if m2m:
                again = [
                    predictor.predict(
                        point[None], [1], mask_input=one[None], multimask_output=False, return_logits=True
                    )
                    for one in low
                ]
                masks = np.concatenate([a[0] for a in again])
                ious = np.concatenate([a[1] for a in again])
            for logits, predicted in zip(masks, ious, strict=True):
                inner, outer = (logits > 1).sum(), (logits > -1).sum()
                score = inner / outer if outer else 0.0
                if (iou > 0 and not predicted > iou) or (stability > 0 and not score >= stability):
                    continue
                rows, columns = np.nonzero(logits > 0)
                box = [columns.min(), rows.min(), columns.max(), rows.max()] if len(rows) else [0] * 4
                box = [int(value) for value in np.add(box, [x0, y0, x0, y0])]
                edges = zip(box, (x0, y0, x1, y1), (0, 0, width, height), strict=True)
                if any(abs(b - c) <= 20 and abs(b - p) > 20 for b, c, p in edges):
                    continue
                whole = np.zeros((height, width), dtype=bool)
                whole[y0:y1, x0:x1] = logits > 0
                of_crop.append(
                    {
                        "mask": whole,
                        "box": box,
                        "iou": float(predicted),
                        "stability": float(score),
                        "point": np.add(point, [x0, y0]).tolist(),
                        "crop": [x0, y0, x1 - x0, y1 - y0],
                    }
                )
        records += _suppressed(of_crop, [record["iou"] for record in of_crop], nms)
    if len(crops) > 1:
        records = _suppressed(records, [1 / (r["crop"][2] * r["crop"][3]) for r in records], 0.7)
    return records


def _suppressed(records: list[dict[str, Any]], scores: list[float], nms: float) -> list[dict[str, Any]]:
    boxes = torch.tensor([record["box"] for record in records]).reshape(-1, 4)
    return [records[row] for row in suppress_boxes(boxes, torch.tensor(scores), nms).tolist()]


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        # A batch rounds otherwise than a single click; a pixel at a logit of 1e-6 may fall either way.
        assert (one["segmentation"] != other["mask"]).sum() <= 1
        assert one["area"] == one["segmentation"].sum()
        x, y, w, h = one["bbox"]
        assert [x, y, x + w, y + h] == pytest.approx(other["box"], abs=1)
        assert one["predicted_iou"] == pytest.approx(other["iou"], abs=1e-5)
        assert one["stability_score"] == pytest.approx(other["stability"], abs=2e-3)
        assert one["point_coords"] == [pytest.approx(other["point"], abs=1e-9)]
        assert one["crop_box"] == other["crop"]


def thresholds(network: SAM2, picture: NDArray[np.uint8], **options: Any) -> tuple[float, float]:
    """An IoU and a stability that half of all masks pass, halfway between two masks' values."""
    found = SAM2AutomaticMaskGenerator(network, **(ALL | options)).generate(picture)
    values = []
    for key in ("predicted_iou", "stability_score"):
        ordered = sorted({round(record[key], 5) for record in found})
        middle = len(ordered) // 2
        values.append((ordered[middle - 1] + ordered[middle]) / 2)
    return values[0], values[1]


def test_options_and_defaults_are_the_published_ones() -> None:
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(SAM2AutomaticMaskGenerator).parameters.items()
    }
    assert list(found.items())[1:] == [
        ("points_per_side", 32),
        ("points_per_batch", 64),
        ("pred_iou_thresh", 0.8),
        ("stability_score_thresh", 0.95),
        ("stability_score_offset", 1.0),
        ("mask_threshold", 0.0),
        ("box_nms_thresh", 0.7),
        ("crop_n_layers", 0),
        ("crop_nms_thresh", 0.7),
        ("crop_overlap_ratio", 512 / 1500),
        ("crop_n_points_downscale_factor", 1),
        ("point_grids", None),
        ("min_mask_region_area", 0),
        ("output_mode", "binary_mask"),
        ("use_m2m", False),
        ("multimask_output", True),
    ]
    defaults = {f.name: f.default for f in dataclasses.fields(MaskSettings)}
    assert defaults.items() <= found.items()


def test_a_plain_loop_gives_the_same(network: SAM2, picture: NDArray[np.uint8]) -> None:
    iou, stability = thresholds(network, picture, points_per_side=5)
    generator = SAM2AutomaticMaskGenerator(
        network, 5, 7, pred_iou_thresh=iou, stability_score_thresh=stability
    )
    found = generator.generate(picture)
    assert 0 < len(found) < 75
    assert_same(found, by_hand(network, picture, side=5, iou=iou, stability=stability, nms=0.7))
    assert [r["predicted_iou"] for r in found] == sorted((r["predicted_iou"] for r in found), reverse=True)


def test_without_thresholds_all_masks_come(network: SAM2, picture: NDArray[np.uint8]) -> None:
    found = SAM2AutomaticMaskGenerator(network, 3, **ALL).generate(picture)
    expected = by_hand(network, picture, side=3, iou=0, stability=0, nms=1.0)
    assert len(expected) == 27
    assert_same(found, expected)


def test_crops(network: SAM2, picture: NDArray[np.uint8]) -> None:
    options: dict[str, Any] = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    found = SAM2AutomaticMaskGenerator(network, 3, crop_n_layers=1, **options).generate(picture)
    assert_same(found, by_hand(network, picture, side=3, iou=0, stability=0, nms=0.7, layers=1))
    sizes = [record["crop_box"][2] for record in found]
    assert sizes == sorted(sizes), "masks of smaller crops come first"


def test_masks_refined_by_themselves(network: SAM2, picture: NDArray[np.uint8]) -> None:
    found = SAM2AutomaticMaskGenerator(network, 3, 4, use_m2m=True, **ALL).generate(picture)
    assert_same(found, by_hand(network, picture, side=3, iou=0, stability=0, nms=1.0, m2m=True))


def test_small_regions_of_the_low_res_mask(network: SAM2, picture: NDArray[np.uint8]) -> None:
    found = SAM2AutomaticMaskGenerator(network, 3, min_mask_region_area=9, **ALL).generate(picture)
    plain = SAM2AutomaticMaskGenerator(network, 3, **ALL).generate(picture)
    assert [r["area"] for r in found] != [r["area"] for r in plain]
    assert_same(found, by_hand(network, picture, side=3, iou=0, stability=0, nms=1.0, area=9))


def test_enlarging_a_few_at_a_time_changes_nothing(
    network: SAM2, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = SAM2AutomaticMaskGenerator(network, 3, output_mode="coco_rle", **ALL)
    at_once = generator.generate(picture)
    monkeypatch.setattr("ocusam.tracking.automatic_masks._ENLARGED_PIXELS", 2 * 72 * 100)
    assert generator.generate(picture) == at_once


def test_three_forms_of_one_mask(network: SAM2, picture: NDArray[np.uint8]) -> None:
    forms = {
        mode: SAM2AutomaticMaskGenerator(network, 2, output_mode=mode, **ALL).generate(picture)
        for mode in ("binary_mask", "uncompressed_rle", "coco_rle")
    }
    for plain, runs, text in zip(*forms.values(), strict=True):
        mask = plain["segmentation"]
        assert mask.dtype == bool
        assert mask.shape == (72, 100)
        assert (rle_to_mask(runs["segmentation"]) == mask).all()
        assert isinstance(text["segmentation"]["counts"], str)
        assert (coco.decode(text["segmentation"]) == mask).all()
        assert set(plain) == {
            "segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box",
        }  # fmt: skip
        assert all(type(value) is int for value in (*plain["bbox"], *plain["crop_box"], plain["area"]))


def test_one_mask_a_click_and_own_points(network: SAM2, picture: NDArray[np.uint8]) -> None:
    grid = np.array([[0.3, 0.4], [0.7, 0.55]])
    options = ALL | {"points_per_side": None, "point_grids": [grid], "multimask_output": False}
    found = SAM2AutomaticMaskGenerator(network, **options).generate(picture)
    assert len(found) == 2
    points = sorted(record["point_coords"][0] for record in found)
    assert points == [pytest.approx([30, 28.8]), pytest.approx([70, 39.6])]


def test_a_good_iou_must_be_above_and_stability_at_least_the_threshold(
    network: SAM2, picture: NDArray[np.uint8]
) -> None:
    found = SAM2AutomaticMaskGenerator(network, 3, **ALL).generate(picture)
    for key, option, included in (
        ("predicted_iou", "pred_iou_thresh", 0),
        ("stability_score", "stability_score_thresh", 1),
    ):
        values = sorted(record[key] for record in found)
        edge = values[len(values) // 2]
        kept = SAM2AutomaticMaskGenerator(network, 3, **(ALL | {option: edge})).generate(picture)
        expected = sum(value > edge for value in values) + included * values.count(edge)
        assert len(kept) == expected


def test_stability_by_hand() -> None:
    logits = torch.tensor([[[2.0, 0.5, -0.5, -2.0]], [[-5.0, -5.0, -5.0, -5.0]], [[9.0, 9.0, 9.0, -9.0]]])
    assert stability_score(logits, 0.0, 1.0).tolist() == pytest.approx([1 / 3, 0.0, 1.0])
    assert stability_score(logits, 0.0, 0.25).tolist() == pytest.approx([1.0, 0.0, 1.0])
    assert stability_score(logits, -1.0, 1.0).tolist()[0] == pytest.approx(2 / 3)


def test_nothing_good_enough_is_an_empty_list(network: SAM2, picture: NDArray[np.uint8]) -> None:
    assert SAM2AutomaticMaskGenerator(network, 2, pred_iou_thresh=1.0).generate(picture) == []
    generator = SAM2AutomaticMaskGenerator(network, 2, pred_iou_thresh=1.0, crop_n_layers=1)
    assert generator.generate(picture) == []


def test_progress_counts_the_clicks(network: SAM2, picture: NDArray[np.uint8]) -> None:
    told: list[tuple[int, int]] = []
    generator = SAM2AutomaticMaskGenerator(
        network, 4, 10, crop_n_layers=1, crop_n_points_downscale_factor=2, pred_iou_thresh=1.0
    )
    generator.generate(picture, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 32), (16, 32), (20, 32), (24, 32), (28, 32), (32, 32)]


@pytest.mark.parametrize("mode", ["binary_mask", "uncompressed_rle"])
def test_small_regions_of_full_size_masks(network: SAM2, mode: str) -> None:
    generator = SAM2AutomaticMaskGenerator(network, 2, output_mode=mode)
    ring = np.zeros((20, 30), dtype=bool)
    ring[2:12, 2:12] = True
    disc = ring.copy()
    ring[5:7, 5:7] = False
    ring[18, 28] = True
    other = np.zeros((20, 30), dtype=bool)
    other[3:9, 18:27] = True
    records = []
    for mask in (ring, disc, other):
        y, x = np.nonzero(mask)
        box = [int(x.min()), int(y.min()), int(np.ptp(x)), int(np.ptp(y))]
        runs = np.diff(np.flatnonzero(np.diff(mask.ravel("F"), prepend=2, append=2))).tolist()
        segmentation = mask if mode == "binary_mask" else {"size": [20, 30], "counts": runs}
        records.append({"segmentation": segmentation, "area": int(mask.sum()), "bbox": box})
    cleaned = generator.postprocess_small_regions(records, 5, 0.7)
    # The ring becomes the disc, which was there untouched and therefore stays.
    assert [record["area"] for record in cleaned] == [100, 54]
    alone = generator.postprocess_small_regions(records[:1], 5, 0.7)[0]
    assert alone["bbox"] == [2, 2, 9, 9]
    assert alone["area"] == 100
    assert records[0]["area"] == 97
    assert generator.postprocess_small_regions([], 5, 0.7) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": None}, "one of the two"),
        ({"point_grids": [[[0.5, 0.5]]]}, "one of the two"),
        ({"points_per_side": 0}, "at least one"),
        ({"points_per_side": 2, "crop_n_layers": 2, "crop_n_points_downscale_factor": 2}, r"\[2, 1, 0\]"),
        ({"points_per_batch": 0}, "points_per_batch=0: allowed is at least 1"),
        ({"pred_iou_thresh": 1.5}, "pred_iou_thresh=1.5: allowed is 0 to 1"),
        ({"stability_score_thresh": -0.1}, "stability_score_thresh"),
        ({"stability_score_offset": float("nan")}, "stability_score_offset"),
        ({"box_nms_thresh": 2}, "box_nms_thresh"),
        ({"crop_nms_thresh": -1}, "crop_nms_thresh"),
        ({"crop_n_layers": -1}, "crop_n_layers"),
        ({"crop_overlap_ratio": 1.2}, "crop_overlap_ratio"),
        ({"crop_n_points_downscale_factor": 0}, "crop_n_points_downscale_factor"),
        ({"min_mask_region_area": -3}, "min_mask_region_area"),
        ({"points_per_side": "3"}, "points_per_side='3': give a whole number"),
        ({"points_per_batch": None}, "points_per_batch=None: give a whole number"),
        ({"crop_n_layers": 1.5}, "crop_n_layers=1.5: give a whole number"),
        ({"pred_iou_thresh": "a"}, "pred_iou_thresh='a': give a number"),
        ({"output_mode": "polygon"}, "binary_mask, uncompressed_rle, coco_rle"),
        ({"points_per_side": None, "point_grids": [[[0.5, 0.5]]], "crop_n_layers": 1}, "give 2"),
        ({"points_per_side": None, "point_grids": [[0.5, 0.5]]}, r"shape \(2,\)"),
        ({"points_per_side": None, "point_grids": [[[0.5, 1.5]]]}, "0 to 1"),
    ],
)
def test_refused_options(network: SAM2, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SAM2AutomaticMaskGenerator(network, **options)


def test_refused_pictures(network: SAM2, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="uint8"):
        SAM2AutomaticMaskGenerator(network, 2).generate(picture.astype(np.float32))
    with pytest.raises(InputError, match="shape"):
        SAM2AutomaticMaskGenerator(network, 2).generate(picture[None])
    with pytest.raises(InputError, match="layers of crops"):
        SAM2AutomaticMaskGenerator(network, 8, crop_n_layers=2).generate(picture[:3])
    packed = SAM2AutomaticMaskGenerator(network, 2, output_mode="coco_rle", **ALL).generate(picture)
    with pytest.raises(InputError, match="uncompressed_rle"):
        SAM2AutomaticMaskGenerator.postprocess_small_regions(packed, 5, 0.7)
