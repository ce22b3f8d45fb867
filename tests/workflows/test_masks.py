"""`find_masks` on a miniature network: the files, COCO's view of them, and bad input."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from ocusam.core.errors import InputError, ModelError, OutputError, WeightsError
from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.tracking.automatic_masks import SAM2AutomaticMaskGenerator
from ocusam.workflows import masks as workflow
from ocusam.workflows.masks import MaskSettings, find_masks

KEEP_ALL = MaskSettings(points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0)


@pytest.fixture(scope="module")
def network() -> SAM2:
    torch.manual_seed(4)
    return make_network("miniature")


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(5)
    picture = rng.integers(0, 60, (48, 80, 3))
    picture[10:30, 20:50] = (230, 200, 40)
    return picture.astype(np.uint8)


def test_the_files_agree_with_each_other(network: SAM2, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    file, out = tmp_path / "desk.png", tmp_path / "out"
    Image.fromarray(picture).save(file)
    told: list[Any] = []
    found = find_masks(
        file, model=network, out=out, settings=KEEP_ALL, progress=lambda *what: told.append(what)
    )
    assert sorted(path.name for path in out.iterdir()) == ["masks.json", "masks.png", "run.json"]
    assert told[-1] == (9, 9, "masks")
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "finished"
    assert run["masks"] == len(found.records) > 0
    assert run["settings"]["points_per_side"] == 3
    assert run["input"]["size_hw"] == [48, 80]

    areas = [record["area"] for record in found.records]
    assert areas == sorted(areas, reverse=True)
    drawn = cv2.imread(str(out / "masks.png"))
    assert drawn is not None
    assert (drawn[..., ::-1] == found.picture()).all()

    data = COCO(str(out / "masks.json"))
    (image,) = data.loadImgs(data.getImgIds())
    assert (image["file_name"], image["height"], image["width"]) == ("desk.png", 48, 80)
    annotations = data.loadAnns(data.getAnnIds())
    for annotation, mask, record in zip(annotations, found.masks(), found.records, strict=True):
        assert (data.annToMask(annotation) == mask).all()
        assert annotation["area"] == mask.sum() == record["area"]
        x, y, w, h = annotation["bbox"]
        inside = np.zeros_like(mask)
        inside[y : y + h, x : x + w] = True
        assert not (mask & ~inside).any()
        if mask.any():
            assert mask[y].any() and mask[y + h - 1].any() and mask[:, x].any() and mask[:, x + w - 1].any()
        assert annotation["predicted_iou"] == pytest.approx(record["predicted_iou"], abs=1e-6)
        assert annotation["stability_score"] == pytest.approx(record["stability_score"], abs=1e-6)


def test_the_masks_are_the_generators(network: SAM2, picture: NDArray[np.uint8]) -> None:
    found = find_masks(picture, model=network, settings=KEEP_ALL)
    generator = SAM2AutomaticMaskGenerator(network, 3, pred_iou_thresh=0, stability_score_thresh=0)
    expected = generator.generate(picture)
    assert len(expected) == len(found.records)
    assert sorted(mask.tobytes() for mask in found.masks()) == sorted(
        record["segmentation"].tobytes() for record in expected
    )


def test_small_regions_are_counted_in_px_of_the_picture(
    network: SAM2, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def stand_in(records: list[Any], area: int, nms: float) -> list[Any]:
        asked.append((area, nms))
        return records[:1]

    monkeypatch.setattr(
        workflow.SAM2AutomaticMaskGenerator, "postprocess_small_regions", staticmethod(stand_in)
    )
    settings = MaskSettings(
        3, pred_iou_thresh=0, stability_score_thresh=0, min_mask_region_area=50, crop_nms_thresh=0.9
    )
    found = find_masks(picture, model=network, settings=settings)
    assert asked == [(50, 0.9)]
    assert len(found.records) == 1


def test_nothing_found_is_a_good_run(network: SAM2, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    find_masks(picture, model=network, out=tmp_path / "out", settings=MaskSettings(2, pred_iou_thresh=1.0))
    data = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert data["annotations"] == []
    assert (tmp_path / "out" / "masks.png").exists()


def test_bad_input_writes_nothing(network: SAM2, picture: NDArray[np.uint8], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="No such file"):
        find_masks(tmp_path / "none.png", model=network, out=out)
    with pytest.raises(InputError, match="cannot be read"):
        find_masks(tmp_path / "bad.png", model=network, out=out)
    with pytest.raises(InputError, match="points_per_batch"):
        find_masks(picture, model=network, out=out, settings=MaskSettings(points_per_batch=0))
    with pytest.raises(WeightsError, match="needs weights"):
        find_masks(picture, model="sam2.1_hiera_tiny", out=out)
    with pytest.raises(ModelError, match="made of a network"):
        find_masks(picture, model=object(), out=out)
    assert not out.exists()


def test_a_folder_with_a_run_is_refused_before_the_network_runs(
    network: SAM2, picture: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_masks(picture, model=network, out=tmp_path / "out", settings=MaskSettings(1, pred_iou_thresh=1.0))
    monkeypatch.setattr(workflow, "SAM2AutomaticMaskGenerator", None)
    with pytest.raises(OutputError, match="holds another run"):
        find_masks(picture, model=network, out=tmp_path / "out")


def test_a_picture_that_cannot_be_written_takes_the_rest_with_it(
    network: SAM2, picture: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, image: object) -> None:
        raise OutputError("disk full")

    monkeypatch.setattr(workflow, "write_png", full)
    with pytest.raises(OutputError, match="disk full"):
        find_masks(
            picture, model=network, out=tmp_path / "out", settings=MaskSettings(1, pred_iou_thresh=1.0)
        )
    assert not (tmp_path / "out").exists()
