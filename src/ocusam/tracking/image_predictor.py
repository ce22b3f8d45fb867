"""Segment still pictures from clicks, boxes and earlier masks, with the published method names.

Purpose: encode a picture once (`set_image`), then answer any number of prompts on it (`predict`).

    predictor = SAM2ImagePredictor(build_sam2("nano"))
    predictor.set_image(picture)                                    # uint8 (H, W, 3) RGB, or a Pillow image
    masks, ious, low_res = predictor.predict([[210, 140]], [1])     # (3, H, W), (3,), (3, h, w)

Notable choices: the picture is resized as published for stills: as float, bilinear, antialiased (video frames
go another way, see `ocusam.video.frames`). Masks come as float32 0 and 1, as published.

What it does not know: video, memory, masks of everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ocusam.core.errors import InputError, PromptError
from ocusam.model.values import ImageFeatures, PointPrompt
from ocusam.tracking.network_of import network_of
from ocusam.tracking.postprocess import replace_small_regions, resize_logits
from ocusam.tracking.prompt_checks import make_boxes, make_point_batch
from ocusam.video.frames import IMAGE_MEAN, IMAGE_STD
from ocusam.video.pictures import as_rgb

_LOGIT_LIMIT = 32.0
# Logits that fill a hole or remove a sprinkle, relative to the threshold.
_REGION_LOGIT = 10.0

Prediction = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class SAM2ImagePredictor:
    """Prompts on pictures.

    Args:
        sam_model: the network, in evaluation mode; or a predictor, whose network is taken.
        mask_threshold: logit above which a pixel belongs to the mask.
        max_hole_area: fill holes of at most this many low-res pixels; 0: none.
        max_sprinkle_area: remove specks of at most this many low-res pixels; 0: none.

    Raises:
        ModelError: not a network.
    """

    def __init__(
        self,
        sam_model: Any,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ) -> None:
        self.model = network_of(sam_model)
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self._features: ImageFeatures | None = None
        self._sizes: list[tuple[int, int]] = []

    @classmethod
    def from_pretrained(cls, model_id: str, **options: Any) -> SAM2ImagePredictor:
        """Build a predictor with published weights; see `ocusam.tracking.pretrained.build_sam2_hf`.

        Args:
            model_id: "facebook/sam2.1-hiera-tiny", "sam2.1_hiera_tiny", "nano", or a folder of transformers.
            options: for `build_sam2`, and arguments of this class.
        """
        from ocusam.tracking.pretrained import build_sam2_hf, split_options

        network, own = split_options(options)
        return cls(build_sam2_hf(model_id, **network), **own)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.device

    @torch.inference_mode()
    def set_image(self, image: Any) -> None:
        """Encode one picture: uint8 (H, W, 3) RGB, (H, W) grey, or a Pillow image.

        Raises:
            InputError: another shape or type.
        """
        self._encode([image])

    @torch.inference_mode()
    def set_image_batch(self, image_list: Sequence[Any]) -> None:
        """Encode several pictures, of any sizes, for `predict_batch`.

        Raises:
            InputError: no picture, one of another shape or type, or a single one instead of a list.
        """
        # The rows of a single array would pass for grey pictures.
        single = getattr(image_list, "ndim", 4) < 4
        if single or isinstance(image_list, str) or not isinstance(image_list, Iterable):
            raise InputError("Give a list of pictures; a single one goes to set_image.")
        images = list(image_list)
        if not images:
            raise InputError("Give at least one picture.")
        self._encode(images)

    def _encode(self, images: list[Any]) -> None:
        self.reset_predictor()
        pictures = [as_rgb(image, f"Picture {i}") for i, image in enumerate(images)]
        batch = torch.cat([picture_to_still_input(p, self.model.config.image_size) for p in pictures])
        self._features = self.model.encode_image(batch.to(self.device))
        self._sizes = [(p.shape[0], p.shape[1]) for p in pictures]

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Prediction:
        """Segment what the prompts mean on the picture of `set_image`.

        Without any prompt the network answers what it takes for the object by itself, as published.

        Args:
            point_coords: (N, 2) x, y in pixels of the picture, or (B, N, 2) for B independent prompts.
            point_labels: (N,) or (B, N): 1 on the object, 0 off it.
            box: (4,) or (B, 4) x0, y0, x1, y1.
            mask_input: (1, h, w) or (B, 1, h, w) low-res logits of an earlier prediction, h and w a quarter
                of the network's input.
            multimask_output: three masks, for ambiguous prompts; else one.
            return_logits: logits instead of 0 and 1.
            normalize_coords: coordinates are pixels; False: shares of the picture, 0 to 1.

        Returns:
            masks (C, H, W) float32, predicted IoU (C,), low-res logits (C, h, w), clamped to +-32; with a
            leading B for several prompts.

        Raises:
            InputError: no picture was set, or several (`predict_batch`).
            PromptError: shapes that disagree, unknown labels, coordinates outside the picture, a
                mask prompt of another size.
        """
        if len(self._sizes) > 1:
            raise InputError(
                f"{len(self._sizes)} pictures are set: use predict_batch, with prompts for each."
            )
        return self._predict(
            0, point_coords, point_labels, box, mask_input, multimask_output, return_logits, normalize_coords
        )

    def predict_batch(
        self,
        point_coords_batch: Sequence[Any] | None = None,
        point_labels_batch: Sequence[Any] | None = None,
        box_batch: Sequence[Any] | None = None,
        mask_input_batch: Sequence[Any] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """As `predict`, for each picture of `set_image_batch`: lists with one entry per picture.

        Raises:
            InputError: no pictures were set, or lists of another length.
            PromptError: as for `predict`.
        """
        self._features_of(0)
        count = len(self._sizes)
        for name, given in (
            ("point_coords_batch", point_coords_batch),
            ("point_labels_batch", point_labels_batch),
            ("box_batch", box_batch),
            ("mask_input_batch", mask_input_batch),
        ):
            if given is not None and len(given) != count:
                raise InputError(
                    f"{name} has {len(given)} entries for {count} pictures; give one per picture."
                )
        results = [
            self._predict(
                i,
                None if point_coords_batch is None else point_coords_batch[i],
                None if point_labels_batch is None else point_labels_batch[i],
                None if box_batch is None else box_batch[i],
                None if mask_input_batch is None else mask_input_batch[i],
                multimask_output,
                return_logits,
                normalize_coords,
            )
            for i in range(count)
        ]
        return [r[0] for r in results], [r[1] for r in results], [r[2] for r in results]

    @torch.inference_mode()
    def _predict(
        self,
        index: int,
        point_coords: Any,
        point_labels: Any,
        box: Any,
        mask_input: Any,
        multimask_output: bool,
        return_logits: bool,
        normalize_coords: bool,
    ) -> Prediction:
        features, size = self._features_of(index)
        points = self._points(point_coords, point_labels, box, size, normalize_coords)
        mask = self._mask_prompt(mask_input)
        batch = points.labels_bn.shape[0] if points is not None else len(mask) if mask is not None else 1
        if mask is not None and len(mask) != batch:
            raise PromptError(f"{len(mask)} mask prompts for {batch} points or boxes; give one each.")
        decoded = self.model.predict_masks(
            features.expand(batch), points, mask, multimask_output=multimask_output
        )
        masks = self.postprocess_masks(decoded.logits_bmhw, size)
        if not return_logits:
            masks = masks > self.mask_threshold
        low_res = decoded.logits_bmhw.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
        out = [t.float().cpu().numpy() for t in (masks, decoded.iou_bm, low_res)]
        if batch == 1:
            out = [array[0] for array in out]
        return out[0], out[1], out[2]

    def postprocess_masks(self, logits_bmhw: Tensor, size: tuple[int, int]) -> Tensor:
        """Remove small holes and specks, then resize to (height, width): logits (B, M, H, W)."""
        flat = logits_bmhw.float().flatten(0, 1).unsqueeze(1)
        edge = self.mask_threshold
        filled = replace_small_regions(
            flat, self.max_hole_area, edge + _REGION_LOGIT, background=True, threshold=edge
        )
        if self.max_sprinkle_area > 0:
            # Specks are those of the mask as it came, not of the filled one.
            removed = replace_small_regions(
                flat, self.max_sprinkle_area, edge - _REGION_LOGIT, background=False, threshold=edge
            )
            filled = torch.where(removed != flat, removed, filled)
        return resize_logits(filled.view_as(logits_bmhw), size)

    def get_image_embedding(self) -> Tensor:
        """Return the stride-16 features of the picture(s), (B, C, h, w), as the mask decoder receives them.

        Raises:
            InputError: no picture was set.
        """
        self._features_of(0)
        assert self._features is not None
        embedding = self._features.embedding_bchw
        if self.model.config.directly_add_no_mem_embed:
            embedding = embedding + self.model.no_mem_embed.reshape(1, -1, 1, 1)
        return embedding.detach()

    def reset_predictor(self) -> None:
        """Forget the picture."""
        self._features = None
        self._sizes = []

    def _features_of(self, index: int) -> tuple[ImageFeatures, tuple[int, int]]:
        if self._features is None:
            raise InputError("There is no picture yet: call set_image (or set_image_batch) first.")
        return self._features.select(index), self._sizes[index]

    def _points(
        self, coords: Any, labels: Any, box: Any, size: tuple[int, int], normalize_coords: bool
    ) -> PointPrompt | None:
        side = self.model.config.image_size
        points = make_point_batch(coords, labels, size, side, normalize_coords=normalize_coords)
        boxes = make_boxes(box, size, side, normalize_coords=normalize_coords)
        if points is not None and boxes is not None:
            if len(points.labels_bn) != len(boxes.labels_bn):
                raise PromptError(
                    f"{len(boxes.labels_bn)} boxes for {len(points.labels_bn)} sets of points; give one each."
                )
            points = PointPrompt(
                torch.cat([boxes.coords_bn2, points.coords_bn2], dim=1),
                torch.cat([boxes.labels_bn, points.labels_bn], dim=1),
            )
        prompt = points if points is not None else boxes
        if prompt is None:
            return None
        return PointPrompt(prompt.coords_bn2.to(self.device), prompt.labels_bn.to(self.device))

    def _mask_prompt(self, mask_input: Any) -> Tensor | None:
        if mask_input is None:
            return None
        try:
            mask = torch.as_tensor(mask_input, dtype=torch.float32).detach()
        except (TypeError, ValueError, RuntimeError):
            raise PromptError("mask_input is an array of logits, got something else.") from None
        if mask.ndim == 3:
            mask = mask[None]
        side = self.model.config.low_res_size
        if mask.ndim != 4 or mask.shape[1:] != (1, side, side) or not len(mask):
            raise PromptError(
                f"mask_input has shape {tuple(mask.shape)}; give low-res logits as `predict` returns them "
                f"last, (1, {side}, {side}) or (B, 1, {side}, {side})."
            )
        if not mask.isfinite().all():
            raise PromptError("mask_input holds values that are not finite; give logits.")
        return mask.to(self.device)


def picture_to_still_input(image: NDArray[np.uint8], image_size: int) -> Tensor:
    """Return uint8 (H, W, 3) RGB as the network's input for stills, (1, 3, S, S) float32, normalised."""
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255.0
    square = (image_size, image_size)
    values = F.interpolate(values, size=square, mode="bilinear", align_corners=False, antialias=True)
    mean = torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1)
    return (values - mean) / torch.tensor(IMAGE_STD).view(1, 3, 1, 1)
