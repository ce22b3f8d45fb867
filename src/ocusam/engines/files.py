"""The network's parts as files that other programs load: ONNX, or OpenVINO's own form.

Purpose: `ocusam models export`. One file a part (`ocusam.engines.parts`) and `network.json`, which says what
goes in and out, in which order parts follow each other, and the numbers that are needed between them.

Notable choices: numbers are float32; a runtime may compute in less. Free sizes stay free in the files.

What it does not know: where weights come from.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ocusam.core.errors import ModelError
from ocusam.core.version import __version__
from ocusam.engines.openvino import convert_part, load_openvino
from ocusam.engines.parts import PARTS, SHARED, Part, TensorSpec, make_part
from ocusam.engines.tracing import quietly
from ocusam.model.sam2 import SAM2
from ocusam.model.values import NO_OBJECT_LOGIT

ONNX, OPENVINO = "onnx", "openvino"
FORMS = (ONNX, OPENVINO)
DESCRIPTION = "network.json"
_OPSET = 18
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

HOW = (
    "A picture is resized to the input's square (Pillow's bicubic) and normalised: image_encoder.",
    "Prompts: prompt_encoder; without any, one point (0, 0) with label -1. A user's mask goes through "
    "mask_input first: its low_res is the frame's answer, its prompt is decoded only for the object's "
    "pointer (of mask 0), on the embedding as it is, without no_memory; an empty mask has no_object_pointer.",
    "On the first prompted frame of an object: conditioned = embedding + no_memory. Later: memory_attention "
    "over the memory of every prompted frame (map_rows num_maskmem - 1), then of the num_maskmem - 1 frames "
    "before this one, the most distant first (map_rows r - 1 for r frames ago); pointers of the prompted "
    "frames that lie in the past, then of the last max_obj_ptrs_in_encoder - 1 frames, newest first.",
    "mask_decoder: with no more than multimask_max_pt_num points take the one of masks 1 to 3 with the "
    "highest iou, else mask 0, or the best of the others where mask 0 is not stable (dynamic_multimask_*). "
    "With object_score <= 0 the object is absent: all logits are no_object_logit.",
    "The chosen mask, bilinear at the input's size, becomes a memory: memory_encoder. Its pointer is that of "
    "the chosen mask, or of mask 0 where one mask was asked for (also where it was replaced as not stable).",
)


def write_parts(
    network: SAM2, folder: Path, form: str, progress: Callable[[str], None] | None = None
) -> list[Path]:
    """Write all parts and the description into an empty folder.

    Args:
        network: float32, on the CPU, in evaluation mode.
        folder: is there.
        form: one of `FORMS`.
        progress: told the name of each part before it is written.

    Returns:
        The files.

    Raises:
        ModelError: unknown form, a package that is not installed, or a network that cannot be written.
    """
    check_form(form)
    config = network.config
    if config.num_maskmem and not config.directly_add_no_mem_embed:
        raise ModelError("A network without directly_add_no_mem_embed cannot be exported.")
    parts: dict[str, Any] = {}
    for name in PARTS:
        if progress is not None:
            progress(name)
        part = make_part(name, network)
        file = f"{name}.{'onnx' if form == ONNX else 'xml'}"
        (_write_onnx if form == ONNX else _write_openvino)(part, folder / file)
        parts[name] = {
            "file": file,
            "inputs": [_described(spec) for spec in part.inputs],
            "outputs": [_described(spec) for spec in part.outputs],
        }
    description = {
        "model": config.name,
        "ocusam": __version__,
        "form": form,
        "how": HOW,
        "normalisation": {"mean": _MEAN, "std": _STD},
        "no_object_logit": NO_OBJECT_LOGIT,
        "no_memory": network.no_mem_embed.flatten().tolist(),
        "no_object_pointer": network.no_obj_ptr.flatten().tolist(),
        "config": dataclasses.asdict(config),
        "parts": parts,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return sorted(folder.iterdir())


def check_form(form: str) -> None:
    """Refuse a form that cannot be written here.

    Raises:
        ModelError: unknown, or its package is not installed.
    """
    if form not in FORMS:
        raise ModelError(f"Unknown form {form!r}: give {' or '.join(FORMS)}.")
    if form == OPENVINO:
        load_openvino()
        return
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise ModelError(
                f"Writing ONNX files needs the package {package}, which is not installed: "
                "pip install 'ocusam[onnx]'."
            ) from None


def _described(spec: TensorSpec) -> dict[str, Any]:
    shape = [1 if size == SHARED else size for size in spec.shape]
    return {
        "name": spec.name,
        "shape": shape,
        "type": str(spec.dtype).removeprefix("torch."),
        "what": spec.text,
    }


def _write_openvino(part: Part, path: Path) -> None:
    load_openvino().save_model(convert_part(part), str(path), compress_to_fp16=False)


def _write_onnx(part: Part, path: Path) -> None:
    examples = part.examples(objects=2, maps=3, pointers=5, points=4, tokens=7)
    free = [
        {i: torch.export.Dim.DYNAMIC for i, size in enumerate(spec.shape) if _is_free(size)} or None
        for spec in part.inputs
    ]
    with quietly(), _silent_log(), torch.no_grad():
        program = torch.onnx.export(
            part,
            examples,
            dynamo=True,
            input_names=[spec.name for spec in part.inputs],
            output_names=[spec.name for spec in part.outputs],
            dynamic_shapes=tuple(free),
            opset_version=_OPSET,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))


def _is_free(size: int | str) -> bool:
    return isinstance(size, str) and size != SHARED


@contextmanager
def _silent_log() -> Iterator[None]:
    """Without the exporter's notes on packages that are not needed here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
