"""How much processor time does a tracked frame take on each engine, part by part?

    python benchmarks/engines.py --sizes 256 192 160 --repeats 25 --json engines.json
    python benchmarks/engines.py --model sam2.1_hiera_tiny --sizes 512 --repeats 5
    python benchmarks/engines.py --settings --sizes 256
    python benchmarks/engines.py --int8 --sizes 256          # needs nncf, which ocusam does not use

A frame is what happens between picture and remembered mask, one object, memory bank full (one prompted
memory, six recent ones, sixteen pointers): image encoder, memory attention, mask decoder, memory encoder,
through the methods that trackers call, so what lies between PyTorch and the engine is in it. Engines take
turns, a frame each. Printed are medians of processor time (all threads), of the frame and of its parts, and
how far each engine's mask logits are from those of PyTorch in float32 (relative L2). The picture is a
rendered eye, clicked in the pupil. Weights of `nano` are the packaged ones, others are random. `first_ms` is
processor time until the first frame is done, with an empty cache folder, then with what is there after that.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocusam.engines.cache import FOLDER_VARIABLE
from ocusam.engines.choice import on_engine
from ocusam.engines.openvino import convert_part
from ocusam.engines.parts import make_part
from ocusam.model.sam2 import SAM2
from ocusam.model.values import ImageFeatures, MemorySelection, PointPrompt, StepOutput
from ocusam.synthetic.eye import render_eye_clip
from ocusam.tracking.build import build_sam2
from ocusam.video.frames import picture_to_input

KINDS = ("torch float32", "torch bfloat16", "openvino float32", "openvino bfloat16")
Click = tuple[float, float]  # x, y as shares of the picture
PARTS = ("image encoder", "memory attention", "mask decoder", "memory encoder")


class Frame:
    """One frame behind a full bank, on one engine."""

    def __init__(self, network: SAM2, picture: torch.Tensor, click: Click) -> None:
        self.network, self.picture = network, picture
        c = network.config
        with torch.inference_mode():
            features = network.encode_image(picture)
            at = torch.tensor([[click]]) * c.image_size
            first = network.track_step(features, points=PointPrompt(at, torch.tensor([[1]])))
            memory = network.encode_memory(
                features, first.high_res_logits_b1hw, first.object_score_b1, from_prompt=True
            ).bfloat16()
        rows = (c.num_maskmem - 1, *range(c.num_maskmem - 2, -1, -1))
        most = c.max_obj_ptrs_in_encoder
        self.memory = MemorySelection(
            [(memory, row) for row in rows], [(first.pointer_bc, i / (most - 1)) for i in range(most)]
        )

    @torch.inference_mode()
    def __call__(self) -> tuple[dict[str, float], torch.Tensor]:
        """Milliseconds of processor time of each part, and the mask logits."""
        network, times = self.network, {}

        def timed(part: str, call: Callable[[], Any]) -> Any:
            start = time.process_time()
            out = call()
            times[part] = 1e3 * (time.process_time() - start)
            return out

        features: ImageFeatures = timed(PARTS[0], lambda: network.encode_image(self.picture))
        conditioned = timed(PARTS[1], lambda: network.condition_on_memory(features, self.memory))
        step: StepOutput = timed(
            PARTS[2], lambda: network._sam_heads(conditioned, features.high_res, None, None, True)
        )
        timed(
            PARTS[3],
            lambda: network.encode_memory(
                features, step.high_res_logits_b1hw, step.object_score_b1, from_prompt=False
            ),
        )
        return times, step.low_res_logits_b1hw


def build(model: str, size: int, kind: str) -> SAM2:
    """The network of one row."""
    engine, dtype = kind.split()
    torch.manual_seed(0)
    network = build_sam2(model, image_size=size, dtype=getattr(torch, dtype) if engine == "torch" else None)
    return on_engine(network, engine, getattr(torch, dtype))


def compare(model: str, size: int, picture: torch.Tensor, click: Click, repeats: int) -> dict[str, Any]:
    """Medians of all engines at one size."""
    frames = {}
    first: dict[str, list[float]] = {}
    for kind in KINDS:
        for _ in range(2 if kind.startswith("openvino") else 1):
            start = time.process_time()
            frames[kind] = Frame(build(model, size, kind), picture, click)
            frames[kind]()
            first.setdefault(kind, []).append(round(1e3 * (time.process_time() - start)))
    spent: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    logits = {}
    for _ in range(repeats):
        for kind, frame in frames.items():
            times, logits[kind] = frame()
            spent[kind].append(times)
    wanted = logits[KINDS[0]]
    rows = {}
    for kind, times in spent.items():
        whole = [sum(one.values()) for one in times]
        rows[kind] = {
            "frame_ms": round(statistics.median(whole), 2),
            **{part: round(statistics.median(one[part] for one in times), 2) for part in PARTS},
            "times_as_fast_as_torch_float32": round(
                statistics.median(
                    sum(own.values()) / one for own, one in zip(spent[KINDS[0]], whole, strict=True)
                ),
                2,
            ),
            "distance": float((logits[kind] - wanted).norm() / wanted.norm()),
            "first_ms": first[kind],
        }
    return rows


def quantised(size: int, pictures: list[np.ndarray[Any, Any]], repeats: int) -> dict[str, Any]:
    """The image encoder of `nano` in int8: weights only, and weights and activations."""
    nncf = importlib.import_module("nncf")
    part = make_part("image_encoder", build_sam2("nano", image_size=size))
    with torch.no_grad():
        wanted = part(torch.from_numpy(pictures[0])[None])[0].numpy()
    known = pictures[1::2]
    models = {
        "float": convert_part(part),
        "int8 weights": nncf.compress_weights(convert_part(part), mode=nncf.CompressWeightsMode.INT8_ASYM),
        "int8 weights and activations": nncf.quantize(
            convert_part(part),
            nncf.Dataset([p[None] for p in known]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(known),
        ),
    }
    requests = {}
    for name, model in models.items():
        for precision in ("f32", "bf16"):
            requests[f"{name}, {precision}"] = compiled(model, {"INFERENCE_PRECISION_HINT": precision})
    return encoder_rows(requests, pictures[0], wanted, repeats)


def settings(size: int, pictures: list[np.ndarray[Any, Any]], repeats: int) -> dict[str, Any]:
    """The image encoder of `nano` in bfloat16 under OpenVINO's own settings for speed."""
    part = make_part("image_encoder", build_sam2("nano", image_size=size))
    with torch.no_grad():
        wanted = part(torch.from_numpy(pictures[0])[None])[0].numpy()
    model = convert_part(part)
    kinds: dict[str, dict[str, Any]] = {
        "one stream": {"NUM_STREAMS": 1},
        "four streams, a thread each": {"NUM_STREAMS": 4, "INFERENCE_NUM_THREADS": 4},
        "hint LATENCY": {"PERFORMANCE_HINT": "LATENCY"},
        "hint THROUGHPUT": {"PERFORMANCE_HINT": "THROUGHPUT"},
        "one stream, two threads": {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 2},
        "one stream, SNIPPETS_MODE DISABLE": {"NUM_STREAMS": 1, "SNIPPETS_MODE": "DISABLE"},
    }
    requests = {
        name: compiled(model, {"INFERENCE_PRECISION_HINT": "bf16"} | own) for name, own in kinds.items()
    }
    return encoder_rows(requests, pictures[0], wanted, repeats)


def compiled(model: Any, options: dict[str, Any]) -> Any:
    """An inference request on `--threads` threads unless the options say otherwise."""
    options = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "ENABLE_CPU_PINNING": False} | options
    return (
        importlib.import_module("openvino").Core().compile_model(model, "CPU", options).create_infer_request()
    )


def encoder_rows(
    requests: dict[str, Any], picture: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], repeats: int
) -> dict[str, Any]:
    """Medians of processor time, requests taking turns, and distances from PyTorch."""
    times: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(repeats):
        for name, request in requests.items():
            start = time.process_time()
            request.infer({0: picture[None]}, share_inputs=True, share_outputs=True)
            times[name].append(1e3 * (time.process_time() - start))
    return {
        name: {
            "image encoder": round(statistics.median(times[name]), 2),
            "distance": float(
                np.linalg.norm(request.get_output_tensor(0).data - wanted) / np.linalg.norm(wanted)
            ),
        }
        for name, request in requests.items()
    }


def processor() -> str:
    """Its name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.processor())


def main() -> None:
    """Run the rows asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--repeats", type=int, default=25, help="frames timed on each engine (default 25)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default 1)")
    parser.add_argument("--int8", action="store_true", help="the image encoder in int8 instead")
    parser.add_argument("--settings", action="store_true", help="OpenVINO's settings, image encoder only")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clip = render_eye_clip(3, num_frames=20, size=(480, 640))
    pupil = clip.ellipses["pupil"][0]
    assert pupil is not None
    click = (pupil.center[0] / 640, pupil.center[1] / 480)
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": options.threads,
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "openvino": importlib.import_module("openvino").__version__,
    }
    print(json.dumps(facts), flush=True)
    result: dict[str, Any] = {"machine": facts, "model": options.model, "repeats": options.repeats}
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = folder
        for size in options.sizes:
            pictures = [picture_to_input(np.repeat(f[..., None], 3, axis=2), size) for f in clip.frames]
            if options.int8:
                rows = quantised(size, pictures, options.repeats)
            elif options.settings:
                rows = settings(size, pictures, options.repeats)
            else:
                picture = torch.from_numpy(pictures[0])[None]
                rows = compare(options.model, size, picture, click, options.repeats)
            result[str(size)] = rows
            for kind, row in rows.items():
                print(size, kind, json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
