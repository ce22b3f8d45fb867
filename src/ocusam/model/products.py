"""Matrix products by oneDNN, called by name.

PyTorch on x86 multiplies float32 through MKL, which on the processors measured leaves a tenth to a third of
their speed unused, and in bfloat16 through oneDNN with the second matrix packed anew in every call. Here are
the three things that the network needs beyond that: a linear layer with its activation in the same pass, a
matrix packed once for many products, and the rule when either may be used. PyTorch's own compiler calls the
same operators (`torch.ops.mkldnn`). They know no gradient.

Everywhere else (training, autocast, GPUs, other processors, graphs for compilers and other programs) the same
functions are PyTorch's ordinary ones.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["none", "relu", "gelu"]
BYTES_IN_CACHE = 2**24
"""What one operator writes the next should find in the cache; and memory up to this size stays with the
allocator, while larger blocks are fetched from the system and cleared for every tensor."""
# Fewer numbers than these go in: asking which product is best would cost more than it wins.
_FEW_NUMBERS = 2**18


@functools.cache
def _known(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there, on an x86 processor, with fast products of this type."""
    if not torch.backends.mkldnn.is_available() or "AVX" not in torch.backends.cpu.get_cpu_capability():
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def cpu_inference(*tensors: Tensor) -> bool:
    """Whether oneDNN's operators may be called for these tensors."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    first = tensors[0]
    return first.device.type == "cpu" and _known(first.dtype) and not torch.is_autocast_enabled("cpu")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation = "none") -> Tensor:
    """Return the activation of x weight^T + bias: (..., K) by (N, K) to (..., N)."""
    if x.numel() >= _FEW_NUMBERS and weight.is_contiguous() and cpu_inference(x, weight):
        # "none": GELU by the error function, not by tanh.
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
        return fused
    out = F.linear(x, weight, bias)
    return out if activation == "none" else F.relu(out) if activation == "relu" else F.gelu(out)


class Linear(nn.Linear):
    """`torch.nn.Linear` by `linear`."""

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """Map (..., K) to (..., N)."""
        return linear(x, self.weight, self.bias, activation)


def packed(matrix_nk: Tensor, rows: int) -> Tensor:
    """Pack a matrix that is to be multiplied by several matrices of `rows` rows; for `times_packed` alone."""
    matrix: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix_nk.contiguous(), rows)
    return matrix


def times_packed(x_mk: Tensor, matrix_nk: Tensor) -> Tensor:
    """Return x matrix^T, (M, N).

    Args:
        x_mk: any layout.
        matrix_nk: `packed`; or rows or columns that lie together: for others oneDNN has a loop that takes a
            thousand times as long.
    """
    assert matrix_nk.is_mkldnn or matrix_nk.is_contiguous() or matrix_nk.T.is_contiguous()
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x_mk, matrix_nk, None, "none", [], "")
    return out
