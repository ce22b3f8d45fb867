"""Everything in a picture: `ocusam masks` and its folder.

Purpose: one picture in, `masks.json` (COCO), `masks.png` and `run.json` out.

Notable choices: the file follows COCO's object detection format and loads with pycocotools: boxes there
count pixels, so they are one wider and higher than the generator's. Nothing is written before all masks are
found. Small regions are removed from the full-size masks, in px of the picture: that unit, unlike the
generator's own, does not change with the network. The orientation tag of a photograph is ignored, so masks
fit the stored pixels.

What it does not know: what the masks are; all have the one category "object".
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from ocusam.core.errors import InputError, OutputError
from ocusam.model.config import Sam2Config
from ocusam.model.sam2 import SAM2
from ocusam.report.all_masks import draw_all_masks
from ocusam.tracking.automatic_masks import SAM2AutomaticMaskGenerator
from ocusam.tracking.mask_rle import rle_to_coco, rle_to_mask
from ocusam.tracking.network_of import network_of
from ocusam.video.pictures import as_rgb, read_picture
from ocusam.workflows.inputs.input_size import FINE
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.follow import Progress
from ocusam.workflows.session.models import OpenedModel, open_predictor
from ocusam.workflows.session.run_folder import RunFolder, check_free, describe_input


@dataclass(frozen=True)
class MaskSettings:
    """Options of the mask generator (see `SAM2AutomaticMaskGenerator`), with its defaults.

    `min_mask_region_area` counts pixels of the picture here."""

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    use_m2m: bool = False
    multimask_output: bool = True


@dataclass(frozen=True, eq=False)
class PictureMasks:
    """What was found in a picture.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        records: the generator's dicts, `segmentation` as run lengths, largest first.
        seconds: time in the network and around it.
    """

    image: NDArray[np.uint8]
    records: list[dict[str, Any]]
    seconds: float

    def picture(self) -> NDArray[np.uint8]:
        """The picture with all masks drawn on it, small ones on top."""
        return draw_all_masks(self.image, self.masks())

    def masks(self) -> Iterator[NDArray[np.bool_]]:
        """The masks (H, W), largest first, one at a time."""
        return (rle_to_mask(record["segmentation"]) for record in self.records)


def find_masks(
    image: Any,
    *,
    model: Any = "nano",
    weights: str | Path | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    settings: MaskSettings | None = None,
    size: str | int = FINE,
    progress: Progress | None = None,
) -> PictureMasks:
    """Find everything in a picture.

    Args:
        image: a file, a Pillow image, or uint8 (H, W, 3) RGB or (H, W) grey.
        model: a model's name, a `Sam2Config`, or a network.
        weights: a checkpoint file; None for the packaged weights of `nano`.
        device: where the network runs.
        out: folder to write (`run.json`, `masks.json`, `masks.png`), or None.
        settings: options of the generator.
        size: side of the network's input, px, or "fine", "fast" (`workflows.inputs.input_size`); a network
            that was made has its own.
        progress: called after every batch with (clicks done, clicks in all, what).

    Raises:
        OcusamError: a family of errors a user can mend; nothing half-written is left.
    """
    settings = settings or MaskSettings()
    if out is not None:
        check_free(Path(out), resumable=False)
    path = Path(image) if isinstance(image, str | Path) else None
    if path is not None and path.is_dir():
        raise InputError(f"{path} is a folder; give one picture at a time.")
    picture = as_rgb(read_picture(path) if path is not None else image, "The picture")
    network, record = _open(model, weights, device, size)
    generator = SAM2AutomaticMaskGenerator(
        network, output_mode="uncompressed_rle", **asdict(replace(settings, min_mask_region_area=0))
    )
    started = time.perf_counter()
    records = generator.generate(
        picture, progress=None if progress is None else lambda done, total: progress(done, total, "masks")
    )
    if settings.min_mask_region_area > 0:
        nms = max(settings.box_nms_thresh, settings.crop_nms_thresh)
        records = generator.postprocess_small_regions(records, settings.min_mask_region_area, nms)
    records.sort(key=lambda found: -found["area"])
    found = PictureMasks(picture, records, time.perf_counter() - started)
    if out is not None:
        about = {
            "input": {**describe_input(image), "size_hw": [picture.shape[0], picture.shape[1]]},
            "model": record,
            "settings": asdict(settings),
            "masks": len(records),
            "seconds": round(found.seconds, 2),
        }
        with RunFolder(out, about) as folder:
            folder.write_json("masks.json", as_coco(found, path.name if path is not None else "picture"))
            write_png(folder.file("masks.png"), found.picture())
    return found


def as_coco(found: PictureMasks, file_name: str) -> dict[str, Any]:
    """The masks in COCO's object detection format.

    Args:
        found: from `find_masks`.
        file_name: what the picture is called there.
    """
    height, width = found.image.shape[:2]
    annotations = []
    for number, record in enumerate(found.records, start=1):
        rle = rle_to_coco(record["segmentation"])
        box = coco.toBbox({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": rle,
                "area": record["area"],
                "bbox": [int(value) for value in box],
                "predicted_iou": round(record["predicted_iou"], 6),
                "stability_score": round(record["stability_score"], 6),
                "point_coords": [[round(value, 3) for value in point] for point in record["point_coords"]],
                "crop_box": record["crop_box"],
            }
        )
    return {
        "info": {"description": "masks of everything in one picture"},
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture (H, W, 3) RGB under a temporary name, then rename it.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    assert done, "PNG holds any uint8 picture"
    try:
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"Cannot write {path} ({error.strerror}).") from None


def _open(
    model: Any, weights: str | Path | None, device: str, size: str | int
) -> tuple[SAM2, dict[str, Any]]:
    """The network, and what `run.json` says of it."""
    if not isinstance(model, str | Path | Sam2Config | OpenedModel):
        network = network_of(model)
        return network, {"model": network.config.name, "weights": None}
    opened = open_predictor(model, weights, device, RunSettings(size=size))
    return network_of(opened.predictor), opened.record
