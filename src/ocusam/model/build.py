"""Make a network from a config. Weights are put in elsewhere (`ocusam.tracking.build`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ocusam.core.errors import ModelError
from ocusam.model.config import PRESETS, Sam2Config, get_config
from ocusam.model.sam2 import SAM2

_DEVICES = ("cpu", "cuda", "mps", "meta")


def find_device(device: str | torch.device) -> torch.device:
    """Return a device that works on this machine.

    Raises:
        ModelError: no such device, or not here.
    """
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        known = str(device).partition(":")[0] in _DEVICES
        reason = str(error).splitlines()[0] if known else "no such device"
        raise ModelError(
            f"The device {device!r} cannot be used ({reason}); use cpu, cuda (a graphics card of NVIDIA; "
            "cuda:1 is the second one) or mps (Apple)."
        ) from None
    return place


def make_network(
    config: str | Sam2Config,
    device: str | torch.device = "cpu",
    *,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> SAM2:
    """Return a `SAM2` with random weights in evaluation mode.

    Args:
        config: name of a preset, or a `Sam2Config`.
        device: where to put it.
        dtype: type of the weights; None keeps float32.
        options: fields of `Sam2Config` to override.

    Raises:
        ModelError: unknown name or option.
    """
    with torch.device(device):
        network = SAM2(get_config(config, **options))
    return network.to(dtype=dtype).eval()


def at_size(network: SAM2, image_size: int) -> SAM2:
    """Return the same network for another input size: parameters and buffers are shared, not copied.

    Raises:
        ModelError: `image_size` is no multiple of 32.
    """
    if image_size == network.config.image_size:
        return network
    with torch.device("meta"):
        twin = SAM2(replace(network.config, image_size=image_size))
    for name, module in network.named_modules():
        own = twin.get_submodule(name)
        own._parameters, own._buffers = module._parameters, module._buffers
    return twin.train(network.training)


def recognise(state: Mapping[str, Tensor]) -> Sam2Config | None:
    """Return the preset whose tensors have exactly these names and shapes, or None.

    SAM 2 and 2.1 differ in their tensors, so the version is recognised too; the input size is not in them.
    """
    shapes = {name: tensor.shape for name, tensor in state.items()}
    for make in PRESETS.values():
        if not _may_be(make(), state):  # each network takes a moment to make
            continue
        network = make_network(make(), device="meta")
        if {name: tensor.shape for name, tensor in network.state_dict().items()} == shapes:
            return make()
    return None


def _may_be(config: Sam2Config, state: Mapping[str, Tensor]) -> bool:
    """Whether the image trunk has the width and the number of blocks that the config says."""
    at = "image_encoder.trunk."
    embed = state.get(f"{at}pos_embed")
    if embed is None or config.trunk != "hiera":
        return (embed is None) == (config.trunk != "hiera")
    blocks = {name.split(".")[3] for name in state if name.startswith(f"{at}blocks.")}
    return (embed.shape[1], len(blocks)) == (config.embed_dim, sum(config.stages))
