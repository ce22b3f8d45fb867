"""Changes to rendered pictures and their masks that cost almost nothing: geometry, tone, blur, noise,
cut-outs.

They widen what the renderer draws; quick trials showed that width of conditions, not polish, decides how
well a network trained on rendered eyes does on real ones. One geometric change serves all frames of a clip,
so that motion stays motion; noise differs from frame to frame. OpenCV on whole samples, one thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class AugmentConfig:
    """How much is changed; probabilities, and ranges in the units named."""

    flip: float = 0.5
    frame_eye: float = 0.75
    """Probability that the picture is cut so that the eye takes a share of its width drawn from `eye_share`,
    as in the pictures of head-worn and remote eye cameras. The rest keeps the renderer's framing, from tight
    to half a face."""
    eye_share: tuple[float, float] = (0.4, 1.2)
    affine: float = 0.4
    rotate_deg: float = 20.0
    zoom: tuple[float, float] = (0.75, 1.6)
    squash: float = 0.15
    """Probability that width and height are scaled apart, up to 2:1, as a non-square source squashed into the
    network's square input is."""
    tone: float = 0.3
    invert: float = 0.01
    blur: float = 0.1
    coarse: float = 0.15
    noise: float = 0.2
    cutout: float = 0.05
    jpeg: float = 0.1


def _warp(stack: U8, matrix: NDArray[np.float32], border: int) -> U8:
    """Apply one 2x3 matrix (output to input) to every (H, W) plane of a (..., H, W) stack."""
    height, width = stack.shape[-2:]
    flat = stack.reshape(-1, height, width)
    out = np.empty_like(flat)
    for plane, target in zip(flat, out, strict=True):
        cv2.warpAffine(
            plane,
            matrix,
            (width, height),
            dst=target,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=border,
        )
    return out.reshape(stack.shape)


def _sizes_of(masks: U8) -> tuple[float, float, float, float] | None:
    """Box (x0, y0, x1, y1) of everything covered in the first frame; None where nothing is."""
    covered = masks[:, 0].max(0) >= 128
    if not covered.any():
        return None
    xs, ys = np.flatnonzero(covered.any(0)), np.flatnonzero(covered.any(1))
    return float(xs[0]), float(ys[0]), float(xs[-1]), float(ys[-1])


def geometry(rng: np.random.Generator, pictures: U8, masks: U8, config: AugmentConfig) -> tuple[U8, U8]:
    """Flip, rotate, zoom, squash and shift a clip with its masks.

    Args:
        pictures: (T, H, W) grey.
        masks: (N, T, H, W) coverage.

    The shift keeps the centre of what is covered inside the picture.
    """
    if rng.random() < config.flip:
        pictures, masks = pictures[..., ::-1], masks[..., ::-1]
    pictures, masks = np.ascontiguousarray(pictures), np.ascontiguousarray(masks)
    do_affine, do_squash = rng.random() < config.affine, rng.random() < config.squash
    do_frame, box = rng.random() < config.frame_eye, _sizes_of(masks)
    if not (do_affine or do_squash or (do_frame and box)):
        return pictures, masks
    height, width = pictures.shape[-2:]
    angle = np.deg2rad(rng.normal(0, config.rotate_deg / 2)) if do_affine else 0.0
    zoom = float(np.exp(rng.uniform(*np.log(config.zoom)))) if do_affine else 1.0
    squash = float(np.exp(rng.uniform(-np.log(2), np.log(2)) / 2)) if do_squash else 1.0
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2] if box else [width / 2, height / 2])
    size = np.array([width, height])
    if do_frame and box:
        eye_width = max(box[2] - box[0], 1.5 * (box[3] - box[1]), 8.0)
        share = float(np.exp(rng.uniform(*np.log(config.eye_share))))
        zoom = float(np.clip(share * width / eye_width, 0.8, 3.0))
        lands = rng.uniform(0.35, 0.65, 2) * size
    else:
        # Usually near where it was, anywhere in the middle four fifths at most.
        lands = np.clip(centre + rng.normal(0, 0.1, 2) * size * do_affine, 0.1 * size, 0.9 * size)
    c, s = np.cos(angle), np.sin(angle)
    inverse = np.array([[c, s], [-s, c]]) @ np.diag([squash / zoom, 1 / (squash * zoom)])
    matrix = np.concatenate([inverse, (centre - inverse @ lands)[:, None]], 1).astype(np.float32)
    border = cv2.BORDER_CONSTANT if rng.random() < 0.3 else cv2.BORDER_REPLICATE
    return _warp(pictures, matrix, border), _warp(masks, matrix, cv2.BORDER_CONSTANT)


def tone(rng: np.random.Generator, pictures: U8, config: AugmentConfig) -> U8:
    """Gamma, contrast, brightness and vignetting as one lookup and one gain map; rarely inverted."""
    if rng.random() < config.tone:
        low, high = rng.uniform(-0.12, 0.3), rng.uniform(0.6, 1.15)
        ramp = np.linspace(0, 1, 256) ** float(np.exp(rng.normal(0, 0.35)))
        table = np.clip(255 * (low + (high - low) * ramp), 0, 255).astype(np.uint8)
        pictures = cv2.LUT(pictures.reshape(-1, pictures.shape[-1]), table).reshape(pictures.shape)
    if rng.random() < config.invert:
        pictures = 255 - pictures
    if rng.random() < 0.3 * config.tone:
        height, width = pictures.shape[-2:]
        coarse = rng.uniform(0.6, 1.2, (3, 3)).astype(np.float32)
        gain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        pictures = np.clip(pictures * gain, 0, 255).astype(np.uint8)
    return pictures


def degrade(rng: np.random.Generator, pictures: U8, config: AugmentConfig) -> U8:
    """Blur, coarse sampling, cut-outs, noise and JPEG, in the order in which a camera adds them."""
    height, width = pictures.shape[-2:]
    if rng.random() < config.cutout:
        pictures = pictures.copy()
        for _ in range(int(rng.integers(1, 4))):
            h, w = rng.integers(6, height // 4, 2)
            y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
            pictures[:, y : y + h, x : x + w] = int(rng.integers(0, 256))
    sigma = float(rng.uniform(0.4, 1.8)) if rng.random() < config.blur else 0.0
    coarse = float(rng.uniform(0.35, 0.9)) if rng.random() < config.coarse else 1.0
    noise = float(np.exp(rng.uniform(np.log(1), np.log(16)))) if rng.random() < config.noise else 0.0
    quality = int(rng.integers(15, 80)) if rng.random() < config.jpeg else 0
    out = []
    for picture in pictures:
        if sigma:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
        if coarse < 1:
            small = cv2.resize(
                picture, (int(width * coarse), int(height * coarse)), interpolation=cv2.INTER_AREA
            )
            picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if noise:
            grain = np.empty(picture.shape, np.int16)
            cv2.setRNGSeed(int(rng.integers(2**31)))
            cv2.randn(grain, 0, noise)
            picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
        if quality:
            coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            picture = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
        out.append(picture)
    return np.stack(out)


def augment(rng: np.random.Generator, pictures: U8, masks: U8, config: AugmentConfig) -> tuple[U8, U8]:
    """All of it on one clip: (T, H, W) pictures with (N, T, H, W) coverage; same shapes out."""
    pictures, masks = geometry(rng, pictures, masks, config)
    return degrade(rng, tone(rng, pictures, config), config), masks
