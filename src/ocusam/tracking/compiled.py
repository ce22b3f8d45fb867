"""`torch.compile` for a network that tracks: which parts, for which shapes, and the warm-up.

Purpose: `compile_network` behind the option `--compile`. It pays where launching operators costs more than
computing them, on a GPU above all; on the CPU measured so far it took minutes and won nothing
(docs/performance.md).

Notable choices: compiled is what every tracked frame does with the same shapes: image encoder, decoder with
its heads, memory encoder, and the memory attention once the bank is full. What changes from frame to frame
stays outside: prompted frames (any number of points), and a bank that fills, whose tokens become more with
every frame. That the bank is full shows in a number of tokens that comes twice; so nothing is compiled anew
after that, except once for every other number of objects or of prompted frames. Nothing changes but the
order of additions inside fused operators. Constants that follow from weights are looked up, not made again
in the compiled part; so weights must not change afterwards.

What it does not know: training; CUDA graphs.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ocusam.core.errors import ModelError
from ocusam.model.constants import Constants
from ocusam.model.sam2 import SAM2
from ocusam.model.values import MemorySelection

INDUCTOR = "inductor"
_COMPILERS = ("c++", "g++", "clang++", "cl")


def compile_network(network: SAM2, *, backend: str | Callable[..., Any] = INDUCTOR) -> SAM2:
    """Compile a network's parts in place, and run each of them once.

    Args:
        network: in evaluation mode, its weights loaded and where they are to be used.
        backend: of `torch.compile`.

    Returns:
        The same network.

    Raises:
        ModelError: it is compiled already, or there is no compiler, or the compiler fails.
    """
    if is_compiled(network):
        return network
    if backend == INDUCTOR:
        _check_compiler(network.device)
    compiled = functools.partial(torch.compile, backend=backend, dynamic=False, fullgraph=True)
    with torch.inference_mode():
        _run(network)  # so that constants are there
        for module in network.modules():
            made = getattr(module, "_constants", None)
            if isinstance(made, Constants):
                object.__setattr__(module, "_constants", _Settled(made))
        for name in ("image_encoder", "memory_encoder", "_sam_heads", "memory_attention"):
            plain = getattr(network, name)
            function = plain.forward if isinstance(plain, nn.Module) else plain
            call = _CALLS[name](function, compiled(function))
            # A module stays a module, with its weights under their names.
            if isinstance(plain, nn.Module):
                plain.forward = call
            else:
                object.__setattr__(network, name, call)
        object.__setattr__(network, "_is_compiled", True)
        warm_up(network)
    return network


def is_compiled(network: SAM2) -> bool:
    """Whether `compile_network` has been there."""
    return bool(getattr(network, "_is_compiled", False))


def warm_up(network: SAM2, objects: int = 1) -> None:
    """Track a black picture behind a full bank, so that everything is compiled for a number of objects.

    Raises:
        ModelError: the compiler fails; says how.
    """
    try:
        with torch.inference_mode():
            for _ in range(2):
                _run(network, objects)
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
        raise ModelError(
            f"torch.compile failed here ({str(error).strip().splitlines()[0]}). Leave --compile out."
        ) from error


def _run(network: SAM2, objects: int = 1) -> None:
    """One frame behind a bank with one prompted memory, all recent ones and all pointers."""
    config = network.config

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=network.device, dtype=network.dtype)

    picture = zeros(1, 3, config.image_size, config.image_size)
    features = network.encode_image(picture).expand(objects)
    grid = zeros(objects, config.mem_dim, config.embedding_size, config.embedding_size)
    count = config.max_obj_ptrs_in_encoder
    memory = MemorySelection(
        [(grid, row) for row in (config.num_maskmem - 1, *range(config.num_maskmem - 1))],
        [(zeros(objects, config.hidden_dim), i / count) for i in range(count)],
    )
    step = network.track_step(features, memory=memory)
    network.encode_memory(features, step.high_res_logits_b1hw, step.object_score_b1, from_prompt=False)


def _check_compiler(device: torch.device) -> None:
    if device.type == "cuda" and find_spec("triton") is None:
        raise ModelError("--compile needs triton on a GPU, which is not installed. Leave --compile out.")
    if not any(shutil.which(name) for name in _COMPILERS):
        raise ModelError(
            f"--compile needs a C++ compiler, and none of {', '.join(_COMPILERS)} is here. Install one, or "
            "leave --compile out."
        )


class _Settled(Constants):
    """Constants that do not change any more: a look-up that can be compiled."""

    def __init__(self, made: Constants) -> None:
        self._tensors = {key: tensor for key, (_, tensor) in made._kept.items()}

    def __call__(self, key: Any, make: Callable[[], Tensor], *weights: Tensor) -> Tensor:
        if key in self._tensors:
            return self._tensors[key]
        return make()


def _always(plain: Callable[..., Any], compiled: Callable[..., Any]) -> Callable[..., Any]:
    return compiled


def _tracked_only(plain: Callable[..., Any], compiled: Callable[..., Any]) -> Callable[..., Any]:
    """The heads without a prompt; prompts come in any number, and seldom."""

    def heads(embedding: Tensor, high_res: Any, points: Any, mask: Any, multimask: bool) -> Any:
        call = compiled if points is None and mask is None else plain
        return call(embedding, high_res, points, mask, multimask)

    return heads


def _full_only(plain: Callable[..., Any], compiled: Callable[..., Any]) -> Callable[..., Any]:
    """The memory attention where the memory is as long as last time."""
    last: dict[int, tuple[int, int]] = {}

    def attention(current: Tensor, places: Tensor, memory: Tensor, positions: Tensor, pointers: int) -> Any:
        length = (memory.shape[1], pointers)
        call = compiled if last.get(memory.shape[0]) == length else plain
        last[memory.shape[0]] = length
        return call(current, places, memory, positions, pointers)

    return attention


_CALLS: dict[str, Callable[[Callable[..., Any], Callable[..., Any]], Callable[..., Any]]] = {
    "image_encoder": _always,
    "memory_encoder": _always,
    "_sam_heads": _tracked_only,
    "memory_attention": _full_only,
}
