"""A part as a TorchScript trace: what both OpenVINO and ONNX are made from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ocusam.engines.parts import Part


@contextmanager
def quietly() -> Iterator[None]:
    """Without the tracer's warnings: sizes that it takes for constants are those that are fixed here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning)
        yield


def traced(part: Part) -> torch.jit.ScriptModule:
    """Trace a part on example inputs.

    Sizes of the examples differ from each other, so that none is taken for another.
    """
    examples = part.examples(objects=2, maps=3, pointers=5, points=4, tokens=7)
    with torch.inference_mode(False), torch.no_grad(), quietly():
        part(*examples)  # constants that are kept (positions) are made outside the trace
        module = torch.jit.trace(part, examples, check_trace=False)
    assert isinstance(module, torch.jit.ScriptModule)
    return module
