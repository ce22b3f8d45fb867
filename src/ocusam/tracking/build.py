"""The public builders: a name and perhaps a file of weights in, a network or a predictor out.

Purpose: put together what the layers below keep apart: configs, networks, files of weights, predictors.

Notable choices: `config` is whatever `find_config` understands: a name, a YAML file, a `Sam2Config`. The name
"nano" without a file loads the weights that ship with the package; any other name without a file gives random
weights, as the published builders do. `apply_postprocessing` sets what it sets there: dynamic multimask, and
for video binarised prompted masks and holes of up to 8 pixels filled. The published builders' other arguments
(`config_file`, `hydra_overrides_extra`, `vos_optimized`) are taken too.

What it does not know: fetching weights (`ocusam.tracking.pretrained`).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from ocusam.core.errors import ModelError, WeightsError
from ocusam.engines.choice import TORCH, on_engine
from ocusam.model.build import find_device, make_network, recognise
from ocusam.model.config import Sam2Config
from ocusam.model.sam2 import SAM2
from ocusam.tracking.camera_predictor import SAM2CameraPredictor
from ocusam.tracking.compiled import compile_network
from ocusam.tracking.find_config import find_config
from ocusam.tracking.huggingface_config import WEIGHTS_FILE
from ocusam.tracking.official_arguments import takes_official_arguments
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.weights.checkpoint import check_fits, load_state
from ocusam.weights.hub import PUBLISHED
from ocusam.weights.huggingface import from_huggingface, is_huggingface
from ocusam.weights.registry import PACKAGED, require_packaged_weights

# Options of a predictor; everything else is a field of `Sam2Config`.
_PREDICTOR_OPTIONS = (
    "fill_hole_area",
    "non_overlap_masks",
    "clear_non_cond_mem_around_input",
    "add_all_frames_to_correct_as_cond",
    "memory_window",
)
VIDEO_FILL_HOLE_AREA = 8
_RANDOM = (
    "No ckpt_path was given: this {0!r} has random weights, as in the published package. Give a file, or "
    "use from_pretrained({0!r}), which takes the published one, fetched where it is not here yet."
)
_WRAPPERS = ("module.", "model.", "_orig_mod.")


@takes_official_arguments
def build_sam2(
    config: str | Path | Sam2Config,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "cpu",
    *,
    dtype: torch.dtype | None = None,
    mode: str = "eval",
    apply_postprocessing: bool = True,
    engine: str = TORCH,
    **options: Any,
) -> SAM2:
    """Return a network with its weights.

    Args:
        config: a name such as "nano" or "sam2.1_hiera_tiny"; the published name of a YAML file, or the path
            of one in that form; a folder saved by transformers; or a `Sam2Config` (`find_config`).
        ckpt_path: `.pt` or `.safetensors`, official or Hugging Face names, or a folder saved by transformers;
            None: the packaged weights for the name "nano", else random ones (with a warning where published
            ones may be meant).
        device: where to put it.
        dtype: type of the weights; None: float32.
        mode: "eval", or "train" for training mode.
        apply_postprocessing: replace an unstable single mask by the best of three.
        engine: what runs the network: "torch", or "openvino" (CPU; `dtype` says in which type it computes).
        options: fields of `Sam2Config`.

    Raises:
        ModelError: unknown name, option or device; an engine that is not installed, or not for this device.
        WeightsError: no such file, not a checkpoint, or not of this network.
    """
    if mode not in ("eval", "train"):
        raise ModelError(f"mode={mode!r}: use 'eval' or 'train'.")
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise ModelError(f"dtype={dtype!r}: give a type of torch, such as torch.bfloat16.")
    found, place = find_config(config), find_device(device)
    if apply_postprocessing:
        options = {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        } | options
    elif not found.from_yaml:
        options = {"dynamic_multimask_via_stability": False} | options
    network = make_network(found.config, **options)
    path = ckpt_path
    if path is None and isinstance(config, str) and config in PACKAGED:
        path = require_packaged_weights(config)
    if path is not None:
        load_weights(network, path)
    elif found.config.name in PUBLISHED and str(device) != "meta":
        warnings.warn(_RANDOM.format(found.config.name), stacklevel=3)
    own_dtype = dtype if engine == TORCH else None
    network = network.to(device=place, dtype=own_dtype)
    return on_engine(network.train(False), engine, dtype).train(mode == "train")


@takes_official_arguments
def build_sam2_video_predictor(
    config: str | Path | Sam2Config,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "cpu",
    *,
    dtype: torch.dtype | None = None,
    apply_postprocessing: bool = True,
    engine: str = TORCH,
    **options: Any,
) -> SAM2VideoPredictor:
    """Return a video predictor.

    Args:
        config: as for `build_sam2`.
        ckpt_path: as for `build_sam2`.
        device: as for `build_sam2`.
        dtype: as for `build_sam2`.
        apply_postprocessing: as for `build_sam2`, and binarise prompted masks before they become memories,
            and fill holes of up to 8 low-res pixels. Options given by name win.
        engine: as for `build_sam2`.
        options: fields of `Sam2Config`, and arguments of `SAM2VideoPredictor` (`fill_hole_area=0`);
            `vos_optimized=True` sends the network through `torch.compile` (`ocusam.tracking.compiled`).

    Raises:
        ModelError, WeightsError: as for `build_sam2`.
    """
    compiled = options.pop("vos_optimized", False)
    predictor_options = find_config(config).predictor_options
    if apply_postprocessing:
        options = {"binarize_mask_from_pts_for_mem_enc": True} | options
        predictor_options = predictor_options | {"fill_hole_area": VIDEO_FILL_HOLE_AREA}
    predictor_options |= {name: options.pop(name) for name in _PREDICTOR_OPTIONS if name in options}
    network = build_sam2(
        config,
        ckpt_path,
        device,
        dtype=dtype,
        apply_postprocessing=apply_postprocessing,
        engine=engine,
        **options,
    )
    return SAM2VideoPredictor(compile_network(network) if compiled else network, **predictor_options)


@takes_official_arguments
def build_sam2_camera_predictor(
    config: str | Path | Sam2Config,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "cpu",
    **options: Any,
) -> SAM2CameraPredictor:
    """Return a predictor for frames that come one at a time; arguments and errors as
    `build_sam2_video_predictor`."""
    return SAM2CameraPredictor(build_sam2_video_predictor(config, ckpt_path, device, **options))


def load_weights(network: SAM2, path: str | Path) -> None:
    """Put a file's weights into a network, every tensor of it; Hugging Face's names are translated.

    A folder stands for the `model.safetensors` in it, as transformers saves it. What a wrapper put before
    every name (`DataParallel` "module.", Lightning "model.", the compiler "_orig_mod.") is taken off.

    Raises:
        WeightsError: no such file, not a checkpoint, or tensors that differ; names the published network that
            they belong to, else the first three.
    """
    if Path(path).is_dir():
        path = Path(path) / WEIGHTS_FILE
    state = load_state(path)
    while state and all(name.startswith(_WRAPPERS) for name in state):
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}
    if is_huggingface(state):
        state = from_huggingface(state)
    try:
        check_fits(network.state_dict(), state, source=str(path))
    except WeightsError:
        meant = recognise(state)  # often the file of one version or size with the name of another
        if meant is None:
            raise
        raise WeightsError(
            f"{path} does not fit {network.config.name!r}: its weights are those of {meant.name!r}; build it "
            "by that name."
        ) from None
    network.load_state_dict(state, strict=True)
