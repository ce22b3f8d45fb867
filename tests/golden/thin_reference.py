"""Thin the outputs of the published SAM 2 into tests/golden/reference.npz.

    python tests/golden/thin_reference.py ../shared/reference

Video in float16 (its tolerance is 3 %), pictures in float32. Left out is what is there twice, bit for bit:
the pictures of 2.0 are those of 2.1, and the first passes of both corrections are those of `click`.
"""

import sys
from pathlib import Path

import numpy as np

# Last part of a key -> steps along the first dimension and along height and width.
STEPS = {"masks": (1, 2), "low_res": (1, 2), "embed": (4, 1), "memory": (4, 1), "memory_conditioned": (2, 1)}


def thin(reference: Path) -> dict[str, np.ndarray]:
    """The arrays to keep, and the clip's files as bytes."""
    outputs, kept = np.load(reference / "outputs.npz"), {}
    for key in outputs.files:
        model, scenario, *rest = key.split("/")
        first = f"{model}/click/{rest[0]}"
        if scenario in ("correction", "correct_as_cond") and len(rest) == 1 and first in outputs.files:
            assert np.array_equal(outputs[key], outputs[first])
            continue
        if scenario == "image" and model == "sam2_hiera_tiny":
            assert np.array_equal(outputs[key], outputs[key.replace("sam2_", "sam2.1_")])
            continue
        is_mask = rest[-1].startswith(("frame", "corrected"))
        rows, cells = STEPS.get(rest[-1], (1, 4 if is_mask else 1))
        array = outputs[key][::rows]
        array = array[:, ::cells, ::cells] if array.ndim == 3 else array
        exact = scenario == "image" or rest[-1] == "object_score_logits"
        kept[key] = array.astype(np.float32 if exact else np.float16)
    for path in sorted((reference / "clip").glob("*.jpg")):
        kept[f"clip/{path.name}"] = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    return kept


if __name__ == "__main__":
    target = Path(__file__).with_name("reference.npz")
    np.savez_compressed(target, **thin(Path(sys.argv[1])))
