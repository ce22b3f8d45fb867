"""Pictures as the network wants them: a normalised square.

Purpose: squash to a square, scale to 0..1, subtract the ImageNet mean and divide by its deviation, as the
published system does (`sam2_semantics` of the project, section 2.1).

Notable choices: the published code has three resizes. A folder of JPEG pictures goes through Pillow's bicubic
filter on uint8, which widens with the reduction (antialiased); that is `picture_to_input`, exact. A video
file is resized there by the decoder; we send it through the same Pillow filter, so that a video and the
folder of its frames give the same numbers. The image predictor's resize (float, bilinear, antialiased) is
torch's and lives beside it in `tracking`. Most eye cameras see grey: then one channel is resized for
three. There are 256 levels, so normalising is looking them up.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Per-channel statistics of ImageNet (RGB, of values in 0..1), with which Hiera was trained.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

_LEVELS = np.arange(256, dtype=np.float32) / np.float32(255.0)
_NORMALISED = np.stack(
    [(_LEVELS - np.float32(m)) / np.float32(s) for m, s in zip(IMAGE_MEAN, IMAGE_STD, strict=True)]
)


def picture_to_input(image: NDArray[np.uint8], image_size: int) -> NDArray[np.float32]:
    """Return the network's input for one picture.

    Args:
        image: uint8 (H, W, 3) RGB.
        image_size: side of the square, pixels.

    Returns:
        float32 (3, image_size, image_size), normalised.
    """
    if image.shape[:2] != (image_size, image_size):
        # One channel at a time: `cv2.split` takes five times as long.
        first = cv2.extractChannel(image, 0)
        if all(cv2.norm(first, cv2.extractChannel(image, k), cv2.NORM_INF) == 0 for k in (1, 2)):
            image = np.asarray(first, dtype=np.uint8)
        square = Image.fromarray(image).resize((image_size, image_size), Image.Resampling.BICUBIC)
        image = np.asarray(square)
    return normalise(image)


def normalise(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (H, W, 3) RGB, or (H, W) of three equal channels, as normalised float32 (3, H, W)."""
    channels = cv2.split(image) if image.ndim == 3 else (image,) * 3
    out = np.empty((3, *image.shape[:2]), dtype=np.float32)
    for channel, table, plane in zip(channels, _NORMALISED, out, strict=True):
        cv2.LUT(channel, table, dst=plane)
    return out
