"""Everything in a picture: a grid of clicks, and of all their masks the good ones, each once.

Purpose: masks without prompts, with the published name, options, defaults and results.

    generator = SAM2AutomaticMaskGenerator(build_sam2("nano"), points_per_side=16)
    for found in generator.generate(picture):                       # uint8 (H, W, 3) RGB
        found["segmentation"], found["area"], found["bbox"], found["predicted_iou"]

Notable choices: the numbers are the published ones, but masks whose predicted IoU is too low are dropped
before they are enlarged, and the others are enlarged a few at a time, so a large picture needs little memory.
Kept masks are run lengths. `min_mask_region_area` counts pixels of the low-res logits, as the published code
does; `postprocess_small_regions` does the same on full-size masks. A departure: an empty mask has stability
0, not NaN.

What it does not know: what the masks are. Source: arXiv 2304.02643 section 4 and appendix B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocusam.core.errors import InputError
from ocusam.model.values import ImageFeatures, PointPrompt
from ocusam.tracking.image_predictor import SAM2ImagePredictor, picture_to_still_input
from ocusam.tracking.mask_boxes import (
    Box,
    crop_boxes,
    cut_off_by_crop,
    mask_boxes,
    point_grid,
    suppress_boxes,
)
from ocusam.tracking.mask_options import check_grids, check_options
from ocusam.tracking.mask_rle import (
    UncompressedRle,
    mask_to_rle,
    place_mask,
    remove_small_regions,
    rle_area,
    rle_to_mask,
    rles_to,
)
from ocusam.video.pictures import as_rgb

# How many full-size logits are in memory at a time (256 MiB as float32).
_ENLARGED_PIXELS = 1 << 26
# As the image predictor clamps the logits that it hands out, which come back here as mask prompts.
_LOGIT_LIMIT = 32.0

Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class _Found:
    """N masks with what is known of them, on the CPU; boxes, points and crops in px of the whole picture."""

    rles: list[UncompressedRle]
    boxes_n4: Tensor
    iou_n: Tensor
    stability_n: Tensor
    points_n2: Tensor
    crops_n4: Tensor

    def select(self, rows: Tensor) -> _Found:
        rles = [self.rles[row] for row in rows.tolist()]
        tensors = (self.boxes_n4, self.iou_n, self.stability_n, self.points_n2, self.crops_n4)
        return _Found(rles, *(tensor[rows] for tensor in tensors))

    @staticmethod
    def join(parts: Sequence[_Found]) -> _Found:
        names = ("boxes_n4", "iou_n", "stability_n", "points_n2", "crops_n4")
        columns = (torch.cat([getattr(part, name) for part in parts]) for name in names)
        return _Found([rle for part in parts for rle in part.rles], *columns)


class SAM2AutomaticMaskGenerator:
    """All masks of a picture.

    Args:
        model: the network, in evaluation mode; or a predictor, whose network is taken.
        points_per_side: clicks along one side of the picture; None where `point_grids` gives them.
        points_per_batch: clicks that go through the network at once.
        pred_iou_thresh: masks whose predicted IoU is not above this are dropped; 0: none.
        stability_score_thresh: masks less stable than this are dropped; 0: none.
        stability_score_offset: stability is the area above `mask_threshold` + this over the area above
            `mask_threshold` - this, of the full-size logits.
        mask_threshold: logit above which a pixel belongs to the mask.
        box_nms_thresh: of two masks of one crop whose boxes have a larger IoU, the one with the higher
            predicted IoU stays.
        crop_n_layers: further passes over 2^i x 2^i crops of the picture, i = 1 .. crop_n_layers.
        crop_nms_thresh: as `box_nms_thresh`, between crops; the mask of the smaller crop stays.
        crop_overlap_ratio: overlap of neighbouring crops of the first layer, share of the shorter side.
        crop_n_points_downscale_factor: clicks per side in layer i are divided by this to the power of i.
        point_grids: one array (N, 2) of x, y in 0..1 for each layer, instead of `points_per_side`.
        min_mask_region_area: fill holes and remove islands of at most this many low-res pixels; 0: none.
        output_mode: "binary_mask" (bool (H, W)), "uncompressed_rle" or "coco_rle" (dicts).
        use_m2m: refine every mask once with itself as a prompt.
        multimask_output: three masks a click; else one.

    Raises:
        InputError: an option outside what is allowed; it says what is.
        ModelError: not a network.
    """

    def __init__(
        self,
        model: Any,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[Any] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
    ) -> None:
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.mask_threshold = mask_threshold
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self.use_m2m = use_m2m
        self.multimask_output = multimask_output
        check_options(vars(self))
        self.point_grids: list[NDArray[np.float64]]
        if (points_per_side is None) == (point_grids is None):
            raise InputError("Give points_per_side or point_grids, one of the two.")
        if points_per_side is not None:
            if not isinstance(points_per_side, Integral):
                raise InputError(f"points_per_side={points_per_side!r}: give a whole number.")
            sides = [points_per_side // crop_n_points_downscale_factor**i for i in range(crop_n_layers + 1)]
            if sides[-1] < 1:
                raise InputError(
                    f"Points per side in the layers would be {sides}: each layer needs at least one; give "
                    "more points_per_side or a smaller crop_n_points_downscale_factor."
                )
            self.point_grids = [point_grid(side) for side in sides]
        else:
            assert point_grids is not None
            self.point_grids = check_grids(point_grids, crop_n_layers)
        self.predictor = SAM2ImagePredictor(
            model, max_hole_area=min_mask_region_area, max_sprinkle_area=min_mask_region_area
        )

    @classmethod
    def from_pretrained(cls, model_id: str, **options: Any) -> SAM2AutomaticMaskGenerator:
        """Build a generator with published weights, by their name on the hub; see `tracking.pretrained`."""
        from ocusam.tracking.pretrained import build_sam2_hf, split_options

        network, own = split_options(options)
        return cls(build_sam2_hf(model_id, **network), **own)

    @torch.inference_mode()
    def generate(self, image: Any, *, progress: Progress | None = None) -> list[dict[str, Any]]:
        """Return all masks of a picture, best predicted IoU first (with crops: smallest crop first).

        Args:
            image: uint8 (H, W, 3) RGB, (H, W) grey, or a Pillow image.
            progress: called after every batch with the clicks done and all clicks.

        Returns:
            one dict a mask: `segmentation` (see `output_mode`), `area` px, `bbox` [x, y, w, h] (from first to
            last pixel, so one less than their number), `predicted_iou`, `point_coords` [[x, y]],
            `stability_score`, `crop_box` [x, y, w, h].

        Raises:
            InputError: not a picture, or too small for the layers of crops.
        """
        picture = as_rgb(image, "The picture")
        size = (picture.shape[0], picture.shape[1])
        if min(size) < 2**self.crop_n_layers:
            raise InputError(
                f"A picture of {size[1]} x {size[0]} px cannot be cut into {self.crop_n_layers} layers of "
                "crops; give a smaller crop_n_layers."
            )
        crops = crop_boxes(size, self.crop_n_layers, self.crop_overlap_ratio)
        in_all, done, parts = sum(len(self.point_grids[layer]) for _, layer in crops), 0, []
        for crop, layer in crops:
            before = done

            def tell(clicks: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + clicks, in_all)

            parts.append(self._masks_of_crop(picture, crop, self.point_grids[layer], tell))
            done += len(self.point_grids[layer])
        found = _Found.join(parts)
        if len(crops) > 1:
            widths = found.crops_n4[:, 2:] - found.crops_n4[:, :2]
            rows = suppress_boxes(found.boxes_n4, 1.0 / widths.prod(dim=1), self.crop_nms_thresh)
            found = found.select(rows)
        return self._records(found)

    def _masks_of_crop(
        self,
        picture: NDArray[np.uint8],
        crop: Box,
        grid: NDArray[np.float64],
        tell: Callable[[int], None],
    ) -> _Found:
        """Masks of one crop, without duplicates."""
        x0, y0, x1, y1 = crop
        model = self.predictor.model
        pixels = picture_to_still_input(picture[y0:y1, x0:x1], model.config.image_size)
        features = model.encode_image(pixels.to(model.device))
        size = (picture.shape[0], picture.shape[1])
        parts = [_nothing()]
        for start in range(0, len(grid), self.points_per_batch):
            shares = torch.from_numpy(grid[start : start + self.points_per_batch])
            parts.extend(self._masks_of_batch(features, shares, crop, size))
            tell(start + len(shares))
        found = _Found.join(parts)
        return found.select(suppress_boxes(found.boxes_n4, found.iou_n, self.box_nms_thresh))

    def _masks_of_batch(
        self, features: ImageFeatures, shares_n2: Tensor, crop: Box, size: tuple[int, int]
    ) -> Iterator[_Found]:
        """Good masks of some clicks, a few at a time; `size` is that of the whole picture."""
        x0, y0, x1, y1 = crop
        decoded = self._decode(features, shares_n2, None, self.multimask_output)
        each = decoded[0].shape[1]
        logits_nhw, iou_n = (part.flatten(0, 1) for part in decoded)
        shares_n2 = shares_n2.repeat_interleave(each, dim=0)
        if self.use_m2m:
            logits_nhw, iou_n = self._refine(features, shares_n2, logits_nhw)
        if self.pred_iou_thresh > 0:
            good = iou_n > self.pred_iou_thresh
            logits_nhw, iou_n, shares_n2 = logits_nhw[good], iou_n[good], shares_n2[good.cpu()]
        extent = shares_n2.new_tensor([x1 - x0, y1 - y0])
        points_n2 = shares_n2 * extent + shares_n2.new_tensor([x0, y0])
        step = max(1, _ENLARGED_PIXELS // ((x1 - x0) * (y1 - y0)))
        for start in range(0, len(iou_n), step):
            part = slice(start, start + step)
            yield self._enlarged(logits_nhw[part], iou_n[part], points_n2[part], crop, size)

    def _decode(
        self,
        features: ImageFeatures,
        shares_n2: Tensor,
        mask_prompts_n1hw: Tensor | None,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Low-res logits (N, M, h, w) and predicted IoU (N, M), one click each."""
        model = self.predictor.model
        coords = (shares_n2 * model.config.image_size).float().unsqueeze(1).to(model.device)
        labels = torch.ones(len(coords), 1, dtype=torch.int32, device=coords.device)
        decoded = model.predict_masks(
            features.expand(len(coords)),
            PointPrompt(coords, labels),
            mask_prompts_n1hw,
            multimask_output=multimask,
        )
        return decoded.logits_bmhw, decoded.iou_bm

    def _refine(
        self, features: ImageFeatures, shares_n2: Tensor, logits_nhw: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Each mask once more, with its own logits as a prompt."""
        step = self.points_per_batch
        prompts = logits_nhw.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT).unsqueeze(1)
        parts = [
            self._decode(features, shares_n2[i : i + step], prompts[i : i + step], False)
            for i in range(0, len(prompts), step)
        ]
        logits, iou = (torch.cat(column).squeeze(1) for column in zip(*parts, strict=True))
        return logits, iou

    def _enlarged(
        self, logits_nhw: Tensor, iou_n: Tensor, points_n2: Tensor, crop: Box, size: tuple[int, int]
    ) -> _Found:
        """Stable masks at full size that the crop does not cut off."""
        x0, y0, x1, y1 = crop
        full_nhw = self.predictor.postprocess_masks(logits_nhw.unsqueeze(1), (y1 - y0, x1 - x0)).squeeze(1)
        stability_n = stability_score(full_nhw, self.mask_threshold, self.stability_score_offset)
        masks_nhw = full_nhw > self.mask_threshold
        boxes_n4 = mask_boxes(masks_nhw).cpu() + torch.tensor([x0, y0, x0, y0])
        stability_n = stability_n.cpu()
        good = ~cut_off_by_crop(boxes_n4, crop, size)
        if self.stability_score_thresh > 0:
            good &= stability_n >= self.stability_score_thresh
        masks = masks_nhw[good.to(masks_nhw.device)].cpu().numpy()
        return _Found(
            [mask_to_rle(place_mask(mask, (x0, y0), size)) for mask in masks],
            boxes_n4[good],
            iou_n.cpu()[good],
            stability_n[good],
            points_n2[good],
            torch.tensor([crop]).expand(len(masks), 4),
        )

    def _records(self, found: _Found) -> list[dict[str, Any]]:
        boxes, crops = _to_xywh(found.boxes_n4), _to_xywh(found.crops_n4)
        points, ious = found.points_n2.tolist(), found.iou_n.tolist()
        stability = found.stability_n.tolist()
        return [
            {
                "segmentation": segmentation,
                "area": rle_area(found.rles[i]),
                "bbox": boxes[i],
                "predicted_iou": ious[i],
                "point_coords": [points[i]],
                "stability_score": stability[i],
                "crop_box": crops[i],
            }
            for i, segmentation in enumerate(rles_to(self.output_mode, found.rles))
        ]

    @staticmethod
    def postprocess_small_regions(
        mask_data: list[dict[str, Any]], min_area: int, nms_thresh: float
    ) -> list[dict[str, Any]]:
        """Fill holes and remove islands of fewer than `min_area` pixels of full-size masks.

        Masks that have become duplicates of others are dropped, untouched ones preferred.

        Args:
            mask_data: what `generate` returned, in mode "binary_mask" or "uncompressed_rle"; stays as it is.
            min_area: px of the picture.
            nms_thresh: IoU of boxes above which one of two masks is dropped.

        Returns:
            new records in the same mode, `segmentation`, `area` and `bbox` brought up to date.

        Raises:
            InputError: masks in COCO's compressed text.
        """
        records, untouched = [], []
        for record in mask_data:
            given = record["segmentation"]
            if isinstance(given, dict) and isinstance(given["counts"], str | bytes):
                raise InputError("Give masks of output_mode 'binary_mask' or 'uncompressed_rle'.")
            mask = rle_to_mask(given) if isinstance(given, dict) else given  # type: ignore[arg-type]
            mask, filled = remove_small_regions(mask, min_area, "holes")
            mask, cut = remove_small_regions(mask, min_area, "islands")
            untouched.append(float(not (filled or cut)))
            if filled or cut:
                box = mask_boxes(torch.from_numpy(mask)[None])
                new = mask_to_rle(mask) if isinstance(given, dict) else mask
                record = record | {"segmentation": new, "area": int(mask.sum()), "bbox": _to_xywh(box)[0]}
            records.append(record)
        if not records:
            return []
        boxes = torch.tensor([record["bbox"] for record in records])
        boxes[:, 2:] += boxes[:, :2]
        return [records[row] for row in suppress_boxes(boxes, torch.tensor(untouched), nms_thresh).tolist()]


def stability_score(logits_nhw: Tensor, mask_threshold: float, offset: float) -> Tensor:
    """Return (N,) area above threshold + offset over area above threshold - offset; 0 for no area at all."""
    inner = (logits_nhw > mask_threshold + offset).flatten(1).sum(dim=1)
    outer = (logits_nhw > mask_threshold - offset).flatten(1).sum(dim=1)
    return inner / outer.clamp(min=1)


def _to_xywh(boxes_n4: Tensor) -> list[list[int]]:
    rows: list[list[int]] = torch.cat([boxes_n4[:, :2], boxes_n4[:, 2:] - boxes_n4[:, :2]], dim=1).tolist()
    return rows


def _nothing() -> _Found:
    boxes, none = torch.zeros(0, 4, dtype=torch.int64), torch.zeros(0)
    return _Found([], boxes, none, none, torch.zeros(0, 2, dtype=torch.float64), boxes)
