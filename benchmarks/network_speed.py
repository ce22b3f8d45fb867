"""How fast is one tracked frame, against transformers' Sam2VideoModel with the same weights in the same run?

    python benchmarks/network_speed.py --list
    python benchmarks/network_speed.py --rows tiny-512-bfloat16-1 --repeats 3
    python benchmarks/network_speed.py --rows all --repeats 7 --json speed.json
    python benchmarks/network_speed.py --rows stages-nano-256-bfloat16 --repeats 20 --threads 1
    python benchmarks/network_speed.py --rows tiny-1024-bfloat16-1 --device cuda --compile --repeats 50

A row `tiny-SIZE-TYPE-OBJECTS` sends frames of the network's own size through our tracker and through
transformers', a frame here, a frame there; weights are random and the same, and every object's memory bank is
full (one prompted memory, six recent ones, sixteen pointers: the first tracked frame's, repeated). A frame is
what happens between picture and remembered mask: image encoder, memory attention, mask decoder, memory
encoder. Printed are medians of wall time and of processor time (all threads), and the median over pairs of
theirs divided by ours. Wall time says something on an idle machine only.

A row `stages-MODEL-SIZE-TYPE` has no counterpart there: ours alone, one object, time by stage (`nano` with
the packaged weights).

`--device cuda` runs both sides on a GPU, and waits for it before every look at the clock; `--compile` sends
ours through torch.compile first, as the commands' option does (both are warm when measuring begins).

What a frame of a video costs beside the network (reading, resizing, measuring) is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.tracking.build import build_sam2
from ocusam.tracking.compiled import compile_network, warm_up
from ocusam.tracking.engine import TrackingEngine
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.frames import normalise

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

REMEMBERED = 16
"""Frames behind the prompted one whose memories fill the bank."""
PAIRED = {
    f"tiny-{size}-{dtype}-{objects}": (size, dtype, objects)
    for size in (512, 1024)
    for dtype in ("float32", "bfloat16")
    for objects in (1, 4)
}
STAGES = {
    f"stages-{model.rpartition('_')[2]}-{size}-{dtype}": (model, size, dtype)
    for model, size in (("nano", 160), ("nano", 192), ("nano", 256), ("sam2.1_hiera_tiny", 512))
    for dtype in ("float32", "bfloat16")
}
STAGE_NAMES = {
    "encode_image": "image encoder",
    "condition_on_memory": "memory attention",
    "track_step": "mask decoder",
    "encode_memory": "memory encoder",
}
Times = list[tuple[float, float]]  # wall and processor seconds, one pair a frame


def machine() -> dict[str, Any]:
    """Facts that a figure needs beside it."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    can = torch.cpu.get_capabilities()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(can.get("avx512_bf16", False)),
        "amx": bool(can.get("amx_tile", False)),
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    finish = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    finish()
    wall, processor = time.perf_counter(), time.process_time()
    call()
    finish()
    return time.perf_counter() - wall, time.process_time() - processor


def clicks(side: int, objects: int) -> list[tuple[float, float]]:
    """A point for each object."""
    return [(side * (i + 1) / (objects + 1), side / 2) for i in range(objects)]


class Ours:
    """Our tracker behind a full bank; `step` tracks the next frame."""

    def __init__(self, network: SAM2, picture: np.ndarray[Any, Any], objects: int, frames: int) -> None:
        predictor = SAM2VideoPredictor(network, fill_hole_area=0)
        self.frames = frames
        self.state = predictor.init_state(np.broadcast_to(picture, (frames, *picture.shape)))
        for i, point in enumerate(clicks(picture.shape[0], objects)):
            predictor.add_new_points_or_box(self.state, 0, i, points=[point], labels=[1])
        predictor.propagate_in_video_preflight(self.state)
        self.engine = TrackingEngine(network)
        self.next = 1
        self.step()
        for track in self.state.objects.values():
            for t in range(2, REMEMBERED + 1):
                track.bank.add(t, track.bank.recent[1], conditioning=False)
        self.next = REMEMBERED + 1

    @torch.inference_mode()
    def step(self) -> None:
        """Track one frame."""
        tracks = self.state.objects.values()
        self.engine.track(self.state, tracks, self.next, num_frames=self.frames, reverse=False)
        self.next += 1


class Theirs:
    """The same for transformers, driven without its processor (which needs torchvision)."""

    def __init__(self, network: SAM2, picture: np.ndarray[Any, Any], objects: int, frames: int) -> None:
        import transformers

        from transformers_peer import video_peer

        dtype = network.dtype
        self.peer = video_peer(network).to(device=network.device, dtype=dtype)
        side = picture.shape[0]
        pixels = torch.from_numpy(normalise(picture)).to(dtype)
        self.session = transformers.Sam2VideoInferenceSession(
            video=pixels[None].expand(frames, -1, -1, -1),
            video_height=side,
            video_width=side,
            dtype=dtype,
            inference_device=network.device,
        )
        for i, (x, y) in enumerate(clicks(side, objects)):
            row = self.session.obj_id_to_idx(i)
            prompt = {
                "point_coords": torch.tensor([[[[x, y]]]]),
                "point_labels": torch.tensor([[[1]]], dtype=torch.int32),
            }
            self.session.add_point_inputs(row, 0, prompt)
            self.session.obj_with_new_inputs.append(i)
        self.next = 0
        self.step()
        self.step()
        for stored in self.session.output_dict_per_obj.values():
            recent = stored["non_cond_frame_outputs"]
            for t in range(2, REMEMBERED + 1):
                recent[t] = recent[1]
        self.next = REMEMBERED + 1

    @torch.inference_mode()
    def step(self) -> None:
        """Track one frame."""
        self.peer(inference_session=self.session, frame_idx=self.next)
        self.next += 1


def summary(times: Times) -> dict[str, float]:
    """Medians in milliseconds."""
    return {
        "wall_ms": round(1e3 * statistics.median(wall for wall, _ in times), 2),
        "processor_ms": round(1e3 * statistics.median(processor for _, processor in times), 2),
    }


def paired(name: str, repeats: int, device: str = "cpu", compiled: bool = False) -> dict[str, Any]:
    """One row against the peer: two frames to warm up, then alternating."""
    size, dtype, objects = PAIRED[name]
    torch.manual_seed(0)
    network = make_network(
        "sam2.1_hiera_tiny",
        device,
        image_size=size,
        dtype=getattr(torch, dtype),
        binarize_mask_from_pts_for_mem_enc=True,
    )
    picture = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    frames = REMEMBERED + repeats + 3
    theirs = Theirs(network, picture, objects, frames)
    if compiled:
        warm_up(compile_network(network), objects)
    sides = [Ours(network, picture, objects, frames), theirs]
    times: list[Times] = [[], []]
    for side in sides:
        side.step()
        side.step()
    for _ in range(repeats):
        for side, own in zip(sides, times, strict=True):
            own.append(timed(side.step))
    ratios = [
        statistics.median(theirs[kind] / ours[kind] for ours, theirs in zip(*times, strict=True))
        for kind in (0, 1)
    ]
    return {
        "ours": summary(times[0]),
        "theirs": summary(times[1]),
        "times_as_fast": round(ratios[0], 2),
        "times_as_fast_by_processor_time": round(ratios[1], 2),
    }


def stages(name: str, repeats: int, device: str = "cpu", compiled: bool = False) -> dict[str, Any]:
    """One row of our network alone, by stage."""
    model, size, dtype = STAGES[name]
    torch.manual_seed(0)
    network = build_sam2(model, device=device, image_size=size, dtype=getattr(torch, dtype))
    if compiled:
        compile_network(network)
    times: dict[str, Times] = {stage: [] for stage in STAGE_NAMES}

    def watch(stage: str) -> None:
        inner = getattr(network, stage)

        def call(*args: Any, **kwargs: Any) -> Any:
            result: list[Any] = []
            times[stage].append(timed(lambda: result.append(inner(*args, **kwargs))))
            return result[0]

        object.__setattr__(network, stage, call)

    picture = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    ours = Ours(network, picture, 1, REMEMBERED + repeats + 3)
    ours.step()
    ours.step()
    for stage in STAGE_NAMES:
        watch(stage)
    whole = [timed(ours.step) for _ in range(repeats)]
    inside = times["condition_on_memory"]
    times["track_step"] = [
        (step[0] - part[0], step[1] - part[1]) for step, part in zip(times["track_step"], inside, strict=True)
    ]
    return {
        "frame": summary(whole),
        **{text: summary(times[stage]) for stage, text in STAGE_NAMES.items()},
    }


def main() -> None:
    """Run the rows asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [*STAGES, *PAIRED]
    parser.add_argument("--rows", nargs="+", default=["stages-nano-256-bfloat16"], choices=[*names, "all"])
    parser.add_argument("--repeats", type=int, default=5, help="frames timed on each side (default 5)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--compile", action="store_true", help="torch.compile over our network first")
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and leave")
    options = parser.parse_args()
    if options.list:
        print("\n".join(names))
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    facts = {**machine(), "device": options.device, "compiled": options.compile}
    if options.device != "cpu":
        torch.zeros(1, device=options.device)
        facts["device"] = torch.cuda.get_device_name(options.device)
    print(json.dumps(facts), flush=True)
    rows = {}
    for name in names if "all" in options.rows else options.rows:
        row = stages if name in STAGES else paired
        rows[name] = row(name, options.repeats, options.device, options.compile)
        print(name, json.dumps(rows[name]), flush=True)
    if options.json:
        result = {"machine": facts, "repeats": options.repeats, "rows": rows}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
