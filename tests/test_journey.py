"""docs/a_frames_journey.md against the network: every shape in its tables is measured here.

The networks run on PyTorch's meta device, which computes shapes and no values, so the published size costs
nothing.
"""

import contextlib
import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.model.values import PointPrompt
from ocusam.tracking.memory_bank import MemoryBank, MemoryEntry
from ocusam.tracking.postprocess import resize_logits
from ocusam.video.frames import picture_to_input

PAGE = Path(__file__).resolve().parent.parent / "docs" / "a_frames_journey.md"
FRAME, NUM_FRAMES, SIZE = 20, 100, (480, 640)
ROW = re.compile(r"\| `([^`]+)` \| (?:`(\([^`]*\))`|-) \| (?:`(\([^`]*\))`|-) \| .+ \|$")

Shapes = dict[str, tuple[int, ...]]


def note(shapes: Shapes, name: str, value: Any) -> None:
    """Remember a tensor's shape, and those of what tuples and records hold."""
    if isinstance(value, Tensor | np.ndarray):
        shapes[name] = tuple(value.shape)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            note(shapes, f"{name}.{field.name}", getattr(value, field.name))
    elif hasattr(value, "_asdict"):
        for key, item in value._asdict().items():
            note(shapes, f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            note(shapes, f"{name}[{i}]", item)


@contextlib.contextmanager
def noting(network: SAM2, shapes: Shapes) -> Iterator[None]:
    """Note what goes into every module as `name(argument)`, and what comes out as `name`."""

    def watch(name: str, module: nn.Module) -> Any:
        parameters = list(inspect.signature(module.forward).parameters)

        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            for parameter, value in zip(parameters, inputs, strict=False):
                note(shapes, f"{name}({parameter})", value)
            note(shapes, name, output)

        return module.register_forward_hook(hook)

    decoder = network.sam_mask_decoder
    choose = decoder.choose

    def chosen(*given: Any, **named: Any) -> Any:  # the decoder is asked in two steps, no module's call
        output = choose(*given, **named)
        note(shapes, "sam_mask_decoder", output)
        return output

    handles = [watch(name, module) for name, module in network.named_modules() if name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "choose", chosen)
        yield
    for handle in handles:
        handle.remove()


def measure(model: str) -> Shapes:
    """Send frame 20 of a video through a network whose bank is full; frame 0 was clicked."""
    network = make_network(model, device="meta")
    side = network.config.image_size
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    picture = picture_to_input(image, side)
    shapes: Shapes = {"frame.image": image.shape, "picture": picture.shape}
    pixels = torch.empty(1, 3, side, side, device="meta")

    click = PointPrompt(
        torch.zeros(1, 1, 2, device="meta"), torch.ones(1, 1, dtype=torch.int32, device="meta")
    )
    features = network.encode_image(pixels)
    first = network.track_step(features, points=click)
    bank = MemoryBank(network.config)
    for t in range(FRAME):
        memory = network.encode_memory(
            features, first.high_res_logits_b1hw, first.object_score_b1, from_prompt=t == 0
        )
        entry = MemoryEntry(
            first.low_res_logits_b1hw, first.pointer_bc, first.object_score_b1, first.iou_b, memory
        )
        bank.add(t, entry, conditioning=t == 0)

    selection = bank.select(FRAME, num_frames=NUM_FRAMES)
    shapes["selection.maps"] = (len(selection.maps), *selection.maps[0][0].shape)
    shapes["selection.pointers"] = (len(selection.pointers), *selection.pointers[0][0].shape)
    with noting(network, shapes):
        features = network.encode_image(pixels)
        step = network.track_step(features, memory=selection)
        memory = network.encode_memory(
            features, step.high_res_logits_b1hw, step.object_score_b1, from_prompt=False
        )
    note(shapes, "features", features)
    note(shapes, "step", step)
    note(shapes, "memory", memory)
    note(shapes, "output.logits", resize_logits(step.low_res_logits_b1hw, SIZE))
    return shapes


def rows() -> list[tuple[str, str, str]]:
    """Name and both shapes of every row of the page's tables; "None" where a network lacks the part."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        match = ROW.match(line)
        assert match, f"this row cannot be checked: {line}"
        found.append((match[1], str(match[2]), str(match[3])))
    return found


@pytest.mark.parametrize(("column", "model"), [(1, "sam2.1_hiera_tiny"), (2, "nano")])
def test_every_row_of_the_page_is_what_the_network_does(
    column: int, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Meta tensors have no autocast.
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    with torch.inference_mode():
        measured = measure(model)
    page = rows()
    assert len(page) >= 50
    wrong = [
        f"{row[0]}: the page says {row[column]}, the network has {measured.get(row[0])}"
        for row in page
        if str(measured.get(row[0])) != row[column]
    ]
    assert not wrong, "\n".join(wrong)


def test_numbers_in_the_text_follow_from_the_tables() -> None:
    shapes = {name: (tiny, nano) for name, tiny, nano in rows()}
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    for column, said in ((0, "7 x 4096 + 16 x 4 = 28736"), (1, "7 x 256 + 16 x 2 = 1824")):
        assert said in text
        tokens = shapes["memory_attention(memory_bmd)"][column]
        assert f", {said.split()[-1]}," in tokens
