"""What an image encoder sees without being asked: every pixel's part of the eye.

A linear layer on the three feature maps that the mask decoder reads says where pupil, iris, sclera and
reflections are, without any click. While `nano` learns, its gradient reaches every pixel of every picture,
where that of a click reaches one object; the encoder learns to see much sooner (docs/lab_log.md). Afterwards
it tells where an eye is before anybody has clicked. Published networks have no such layer.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ocusam.model.config import Sam2Config
from ocusam.model.values import ImageFeatures

PARTS = ("pupil", "iris", "sclera", "cr")


class EyeParts(nn.Module):
    """Logits of the parts at stride 4, summed from linear readings of strides 4, 8 and 16."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        width = config.hidden_dim
        self.stride4 = nn.Conv2d(width // 8, len(PARTS), kernel_size=1)
        self.stride8 = nn.Conv2d(width // 4, len(PARTS), kernel_size=1)
        self.stride16 = nn.Conv2d(width, len(PARTS), kernel_size=1)
        assert self.stride4.bias is not None
        nn.init.constant_(self.stride4.bias, -3.0)  # most of a picture belongs to no part

    def forward(self, features: ImageFeatures) -> Tensor:
        """Return (B, parts, H/4, W/4) logits, float32."""
        fine, middle = features.high_res
        logits: Tensor = self.stride4(fine).float()
        for layer, level in ((self.stride8, middle), (self.stride16, features.embedding_bchw)):
            coarse = layer(level).float()
            logits = logits + F.interpolate(
                coarse, size=logits.shape[-2:], mode="bilinear", align_corners=False
            )
        return logits
