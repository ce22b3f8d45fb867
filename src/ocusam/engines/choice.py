"""Which programs can run the network, and putting a network on one of them.

Purpose: `on_engine`, for the builders; the names, for options. Nothing heavy is imported before
it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocusam.core.errors import ModelError

if TYPE_CHECKING:
    import torch

    from ocusam.model.sam2 import SAM2

TORCH, OPENVINO = "torch", "openvino"
ENGINES = (TORCH, OPENVINO)


def on_engine(network: SAM2, engine: str, dtype: torch.dtype | None = None) -> SAM2:
    """Return a network that computes on an engine.

    Args:
        network: with its weights: on "torch" it is returned as it is; for others it is float32, in evaluation
            mode.
        engine: one of `ENGINES`.
        dtype: in which another engine computes products, float32 (also None) or bfloat16; what lies between
            is float32 there.

    Raises:
        ModelError: unknown engine, one that is not installed, or not for this device or type.
    """
    check_engine(engine, network.device.type, dtype)
    if engine == TORCH:
        return network
    from ocusam.engines.network import EngineNetwork
    from ocusam.engines.openvino import BFLOAT16, FLOAT32, OpenVinoRunner

    bfloat16 = str(dtype) == "torch.bfloat16"
    return EngineNetwork(network, OpenVinoRunner(network, BFLOAT16 if bfloat16 else FLOAT32))


def check_engine(engine: str, device: str, dtype: torch.dtype | None) -> None:
    """Refuse what an engine cannot do.

    Raises:
        ModelError: says which engine, and what it can do.
    """
    if engine not in ENGINES:
        raise ModelError(f"Unknown engine {engine!r}: give one of {', '.join(ENGINES)}.")
    if engine == TORCH:
        return
    if device != "cpu":
        raise ModelError(f"The engine {engine!r} computes on the CPU, not on {device!r}: give device cpu.")
    if str(dtype) not in ("None", "torch.float32", "torch.bfloat16"):
        raise ModelError(f"The engine {engine!r} computes in float32 or bfloat16, not in {dtype}.")
