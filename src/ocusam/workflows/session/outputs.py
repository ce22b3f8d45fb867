"""A tracker's output for one frame as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.masklet import ObjectFrame, View


def objects_of(out: Any, view: View) -> list[ObjectFrame]:
    """All objects of one view on one frame."""
    logits = as_array(out.low_res_logits)
    logits = logits.reshape(len(out.obj_ids), *logits.shape[-2:])
    # Mostly a mask follows from its logits; a stand-in may have its own.
    masks = np.asarray(out.masks, dtype=np.bool_) if getattr(out, "non_overlap", True) else None
    ious, scores = as_array(out.predicted_iou).reshape(-1), as_array(out.object_score).reshape(-1)
    height, width = view.size
    eye_area_px = float(getattr(out, "eye_share", float("nan"))) * height * width
    picture = getattr(out, "image", None)  # decoded for the network already; a stand-in may have none
    return [
        ObjectFrame(
            int(out.frame_idx),
            int(out.timestamp_ns),
            view,
            str(name),
            logits[i],
            None if masks is None else masks[i],
            float(ious[i]),
            float(scores[i]),
            picture,
            eye_area_px,
        )
        for i, name in enumerate(out.obj_ids)
    ]


def as_array(values: Any) -> NDArray[np.float32]:
    """A tensor of any device or an array, as float32 numpy."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=np.float32)
