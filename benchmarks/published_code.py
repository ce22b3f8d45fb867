"""How far from the stored reference are the published code itself, run on this machine, and ours?

    # fetch sam2-1.1.0.tar.gz by hand from https://pypi.org/project/sam2/#files and unpack it
    python benchmarks/published_code.py SAM2_SOURCE ../shared/reference [--threads 1 2]

SAM2_SOURCE is the unpacked source of the published package (the folder that holds `sam2/`). It is imported,
not installed: the few functions of torchvision, hydra and iopath that its image predictor touches are stood
in for here, so that it runs where these are missing. Both implementations get the same deterministic weights;
printed is the relative L2 distance of every output of `image/...` from the reference and from each other.

Why: sums in another order differ in the last bits, and the reference came from another processor. A distance
that the published code has too says nothing about ours.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ocusam.model.build import make_network
from ocusam.tracking.image_predictor import SAM2ImagePredictor

PROMPTS: dict[str, dict[str, Any]] = {
    "point": {"point_coords": [[165, 111]], "point_labels": [1]},
    "box": {"box": [120, 70, 215, 160], "multimask_output": False},
    "points": {"point_coords": [[165, 111], [230, 140]], "point_labels": [1, 0], "multimask_output": False},
}
Arrays = dict[str, NDArray[Any]]


class _Resize(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        return F.interpolate(image[None], self.size, mode="bilinear", antialias=True, align_corners=False)[0]


class _Normalize(nn.Module):
    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


class _ToTensor:
    def __call__(self, picture: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)


def _stand_ins() -> None:
    """Put modules in place of those that the package imports and these machines may lack."""
    names: dict[str, dict[str, Any]] = {
        "torchvision": {},
        "torchvision.transforms": {"Resize": _Resize, "Normalize": _Normalize, "ToTensor": _ToTensor},
        "iopath": {},
        "iopath.common": {},
        "iopath.common.file_io": {"g_pathmgr": None},
        "hydra": {"initialize_config_module": lambda *_, **__: None},
        "hydra.core": {},
        "hydra.core.global_hydra": {"GlobalHydra": _Initialized},
    }
    for name, content in names.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)
    torch.jit.script = lambda module: module  # type: ignore[assignment]


class _Initialized:
    @classmethod
    def instance(cls) -> _Initialized:
        return cls()

    def is_initialized(self) -> bool:
        return True


def _instantiate(node: Any) -> Any:
    """What hydra does with `_target_`."""
    if isinstance(node, list):
        return [_instantiate(value) for value in node]
    if not isinstance(node, dict):
        return node
    made = {key: _instantiate(value) for key, value in node.items()}
    if "_target_" not in made:
        return made
    module, _, name = made.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), name)(**made)


def published(source: Path, weights: dict[str, Tensor]) -> Any:
    """The published image predictor of the tiny 2.1 model."""
    text = (source / "sam2" / "configs" / "sam2.1" / "sam2.1_hiera_t.yaml").read_text()
    config = yaml.safe_load(text.replace("1e-6", "1.0e-6"))["model"]  # YAML 1.1 reads 1e-6 as a word
    config["sam_mask_decoder_extra_args"] = {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    }
    network = _instantiate(config).eval()
    network.load_state_dict(weights, strict=True)
    return importlib.import_module("sam2.sam2_image_predictor").SAM2ImagePredictor(network)


def outputs(predictor: Any, picture: Image.Image) -> Arrays:
    """All of `image/...`, thinned as the reference is."""
    predictor.set_image(np.asarray(picture))
    found = {"embed": np.asarray(predictor.get_image_embedding())[0, :, ::8, ::8]}
    for name, given in PROMPTS.items():
        arrays = {k: np.array(v) if isinstance(v, list) else v for k, v in given.items()}
        masks, iou, low_res = predictor.predict(return_logits=True, **arrays)
        found |= {f"{name}/masks": masks[:, ::4, ::4], f"{name}/iou": iou}
        found[f"{name}/low_res"] = low_res[:, ::4, ::4]
    return found


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    a, b = np.squeeze(a).astype(np.float64), np.squeeze(b).astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    sys.path[:0] = [str(given.source), str(given.reference)]
    drawing = importlib.import_module("deterministic_weights")
    shapes = json.loads((given.reference / "state_dict_shapes.json").read_text())["sam2.1_hiera_tiny"]
    drawn = drawing.deterministic_weights(shapes, salt="a")
    weights = {name: torch.from_numpy(value) for name, value in drawn.items()}
    stored = np.load(given.reference / "outputs.npz")
    reference = {k: stored[f"sam2.1_hiera_tiny/image/{k}"] for k in ["embed", *_names()]}
    picture = Image.open(min((given.reference / "clip").glob("*.jpg")))
    own = make_network("sam2.1_hiera_tiny")
    own.load_state_dict(weights)
    _stand_ins()
    predictors = published(given.source, weights), SAM2ImagePredictor(own)
    for threads in given.threads:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            theirs, ours = (outputs(predictor, picture) for predictor in predictors)
        print(f"\n{threads} threads     published to reference   ours to reference   ours to published")
        for key, expected in reference.items():
            row = (
                _distance(theirs[key], expected),
                _distance(ours[key], expected),
                _distance(ours[key], theirs[key]),
            )
            print(f"{key:16s}" + "".join(f"{value:20.1e}" for value in row))


def _names() -> list[str]:
    return [f"{prompt}/{kind}" for prompt in PROMPTS for kind in ("masks", "iou", "low_res")]


if __name__ == "__main__":
    main()
