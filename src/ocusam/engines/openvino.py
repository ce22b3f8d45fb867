"""The network's parts on OpenVINO, on the CPU.

Purpose: `engine="openvino"`. A part is traced once per network, stored in a cache folder, and compiled for
the processor when it is first wanted.

Notable choices: shapes that recur through a whole video (`Part.recurs`) get a program made for just them,
which is faster; all others share one with free sizes. Which of the two runs depends on shapes alone, so
results do not depend on what ran before. As many threads are used as PyTorch would use in the calling thread:
a tracker that encodes frames ahead in threads of one core each does so here too. Parts are converted without
`openvino.convert_model`, since that reports its use to the maker. Every program is compared with PyTorch on
the first inputs it meets: OpenVINO 2026.4 was seen to compute an attention wrongly for some shapes (see
`model.layers.attend`), and wrong numbers without a word are worse than a slow start. What was found good is
noted in the cache folder.

What it does not know: tracking, files of weights.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import Tensor

from ocusam.core.errors import ModelError
from ocusam.engines.cache import PartCache
from ocusam.engines.parts import Part, as_tuple, make_part
from ocusam.engines.tracing import quietly, traced
from ocusam.model.sam2 import SAM2

FLOAT32, BFLOAT16 = "f32", "bf16"
_KEPT = 6  # programs for fixed shapes, of each part
_MOST_STREAMS = 4  # pictures encoded at a time, see tracking.ahead
# How far a part may be from PyTorch: relative L2 of each output. Rounding makes 1e-6 and .01; a wrongly fused
# attention some tenths.
_TOLERANCE = {FLOAT32: 1e-3, BFLOAT16: 0.1}
_Shapes = tuple[tuple[int, ...], ...]


def load_openvino() -> Any:
    """The package.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise ModelError(
            "The engine 'openvino' needs the package openvino, which is not installed "
            f"({str(error).splitlines()[0]}): pip install 'ocusam[openvino]'. Without it: engine 'torch'."
        ) from None


def convert_part(part: Part) -> Any:
    """Return a part as an `openvino.Model` with its names and free sizes."""
    ov = load_openvino()
    frontend = importlib.import_module("openvino.frontend")
    decoder = importlib.import_module("openvino.frontend.pytorch.ts_decoder")
    with quietly():
        reader = frontend.FrontEndManager().load_by_framework("pytorch")
        graph = decoder.TorchScriptPythonDecoder(traced(part))  # must live on until the end of convert
        model = reader.convert(reader.load(graph))
    for port, spec in zip(model.inputs, part.inputs, strict=True):
        port.get_tensor().set_names({spec.name})
    for port, spec in zip(model.outputs, part.outputs, strict=True):
        port.get_tensor().set_names({spec.name})
    types = {torch.float32: ov.Type.f32, torch.int64: ov.Type.i64}
    for parameter, spec in zip(model.get_parameters(), part.inputs, strict=True):
        parameter.set_element_type(types[spec.dtype])
    model.reshape(
        {
            spec.name: ov.PartialShape([size if isinstance(size, int) else -1 for size in spec.shape])
            for spec in part.inputs
        }
    )
    return model


class _Program:
    """A compiled part; requests are reused, one for each thread at work."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._compiled.create_infer_request()
        arrays = [tensor.numpy() for tensor in inputs]
        request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=True)
        # The request's own buffers are written again by its next run.
        outputs = tuple(
            torch.from_numpy(request.get_output_tensor(i).data.copy())
            for i in range(len(self._compiled.outputs))
        )
        self._idle.put(request)
        return outputs


class OpenVinoRunner:
    """Compiles parts of one network and runs them.

    Args:
        network: in float32, on the CPU, in evaluation mode.
        precision: in which products are computed: "f32" or "bf16" (where the processor has it).
    """

    def __init__(self, network: SAM2, precision: str = FLOAT32) -> None:
        self._core = load_openvino().Core()
        self._network, self._precision = network, precision
        self._cache = PartCache(network, "openvino")
        self._parts: dict[str, Part] = {}
        self._programs: dict[str, OrderedDict[Any, _Program]] = {}
        self._lock = threading.Lock()

    def __call__(self, part: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run a part; inputs and outputs as `parts` names them."""
        with torch.no_grad():
            given = [
                tensor.detach().to(torch.float32 if tensor.is_floating_point() else torch.int64).contiguous()
                for tensor in inputs
            ]
            return self._program(part, given)(given)

    def part(self, name: str) -> Part:
        """The part of that name, over the network's weights."""
        if name not in self._parts:
            self._parts[name] = make_part(name, self._network)
        return self._parts[name]

    def _program(self, name: str, inputs: Sequence[Tensor]) -> _Program:
        threads = torch.get_num_threads()
        with self._lock:
            shapes = tuple(tuple(t.shape) for t in inputs) if self.part(name).recurs(inputs) else None
            programs = self._programs.setdefault(name, OrderedDict())
            key = (shapes, threads)
            if key not in programs:
                programs[key] = self._checked(name, shapes, threads, inputs)
                while len(programs) > _KEPT:
                    programs.popitem(last=False)
            programs.move_to_end(key)
            return programs[key]

    def _checked(self, name: str, shapes: _Shapes | None, threads: int, inputs: Sequence[Tensor]) -> _Program:
        """Compile a program, and make sure that it computes what PyTorch computes.

        Raises:
            ModelError: it does not.
        """
        program = self._compile(name, shapes, threads)
        kind = repr((name, shapes, self._precision, threads)).encode()
        note = f"{hashlib.sha256(kind).hexdigest()[:16]}.good"
        if self._cache.find(note) is None:
            own = self.part(name)(*inputs)
            for wanted, found in zip(as_tuple(own), program(inputs), strict=True):
                if float((found - wanted).norm()) > _TOLERANCE[self._precision] * float(wanted.norm()) + 1e-6:
                    raise ModelError(
                        f"OpenVINO {load_openvino().__version__} computes the network's {name} wrongly on "
                        "this processor. Use the engine 'torch', or another version of the package openvino."
                    )
            self._cache.store(lambda folder: (folder / note).touch())
        return program

    def _compile(self, name: str, shapes: _Shapes | None, threads: int) -> _Program:
        model = self._model(name)
        if shapes is not None:
            specs = self.part(name).inputs
            model.reshape({spec.name: list(shape) for spec, shape in zip(specs, shapes, strict=True)})
        # One-thread callers may come several at a time (pictures encoded ahead): a stream for each.
        streams = _MOST_STREAMS if threads == 1 and name == "image_encoder" else 1
        options = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": threads * streams,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # other processes of a batch want their cores too
        }
        if self._cache.folder is not None:
            options["CACHE_DIR"] = str(self._cache.folder)
        return _Program(self._core.compile_model(model, "CPU", options))

    def _model(self, name: str) -> Any:
        """A part as OpenVINO's own graph: from the cache, or converted and stored there."""
        ov = load_openvino()
        known = self._cache.find(f"{name}.xml")
        if known is not None:
            try:
                return self._core.read_model(str(known))
            except RuntimeError:  # damaged: made anew
                pass
        model = convert_part(self.part(name))

        def save(folder: Any) -> None:
            ov.save_model(model, str(folder / f"{name}.xml"), compress_to_fp16=False)

        self._cache.store(save)
        return model
