"""Weights in half precision, with or without autocast around them.

Notable choices: autocast is made for float32 weights. Around weights that are bfloat16 or float16 themselves
it has nothing to win, and where the two types differ PyTorch refuses some layers. So the network switches it
off for such weights: `torch.autocast` around everything, as people are used to from the published package,
never makes a call fail.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

import torch


class HasWeights(Protocol):
    """A network, as far as it matters here."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""

    @property
    def device(self) -> torch.device:
        """Where they are."""


Network = TypeVar("Network", bound=HasWeights)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast is off for a device."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def in_own_type(
    method: Callable[Concatenate[Network, Given], Result],
) -> Callable[Concatenate[Network, Given], Result]:
    """Run a network's method without autocast where its weights are not float32."""

    @functools.wraps(method)
    def call(self: Network, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with nullcontext() if self.dtype == torch.float32 else without_autocast(self.device):
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[Network, Given], Result]", call)
