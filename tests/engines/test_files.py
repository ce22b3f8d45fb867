"""Exported files, run by the programs that they are for, against PyTorch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ocusam.core.errors import ModelError
from ocusam.engines import files
from ocusam.engines.files import DESCRIPTION, write_parts
from ocusam.engines.parts import PARTS, as_tuple, make_part
from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2

Run = Callable[[Path, dict[str, NDArray[Any]]], list[NDArray[Any]]]


def run_onnx(path: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    runtime = pytest.importorskip("onnxruntime")
    found: list[NDArray[Any]] = runtime.InferenceSession(str(path)).run(None, inputs)
    return found


def run_openvino(path: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    core = pytest.importorskip("openvino").Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(inputs).values())


RUN: dict[str, Run] = {"onnx": run_onnx, "openvino": run_openvino}


@pytest.fixture(scope="module", params=[pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def written(request: pytest.FixtureRequest, network: SAM2, tmp_path_factory: Any) -> tuple[Path, str]:
    form = str(request.param)
    for package in {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}[form]:
        pytest.importorskip(package)
    folder: Path = tmp_path_factory.mktemp(form)
    write_parts(network, folder, form)
    return folder, form


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 7, 16)], ids=["first", "full"])
@pytest.mark.parametrize("name", PARTS)
def test_a_file_computes_what_its_part_does(
    written: tuple[Path, str], network: SAM2, name: str, sizes: tuple[int, int, int]
) -> None:
    folder, form = written
    objects, maps, pointers = sizes
    part = make_part(name, network)
    described = json.loads((folder / DESCRIPTION).read_text())["parts"][name]
    examples = part.examples(objects=objects, maps=maps, pointers=pointers, points=maps, tokens=maps + 1)
    with torch.no_grad():
        wanted = as_tuple(part(*examples))
    inputs = {one["name"]: tensor.numpy() for one, tensor in zip(described["inputs"], examples, strict=True)}
    found = RUN[form](folder / described["file"], inputs)
    assert len(found) == len(described["outputs"])
    for own, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(other, own.numpy(), rtol=1e-3, atol=1e-4)


def test_memory_attention_as_onnx(network: SAM2, tmp_path: Path) -> None:
    # One part in the quick tests, that with most free sizes; writing all takes a minute.
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    part = make_part("memory_attention", network)
    files._write_onnx(part, tmp_path / "part.onnx")
    examples = part.examples(objects=3, maps=7, pointers=16)
    with torch.no_grad():
        wanted = part(*examples)
    names = [spec.name for spec in part.inputs]
    inputs = {name: tensor.numpy() for name, tensor in zip(names, examples, strict=True)}
    (found,) = run_onnx(tmp_path / "part.onnx", inputs)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-4)


def test_the_description_holds_what_lies_between_the_parts(written: tuple[Path, str], network: SAM2) -> None:
    told = json.loads((written[0] / DESCRIPTION).read_text())
    assert told["config"]["image_size"] == 64 and told["model"] == "miniature"
    np.testing.assert_allclose(told["no_memory"], network.no_mem_embed.detach().flatten(), rtol=1e-6)
    shapes = {one["name"]: one["shape"] for one in told["parts"]["memory_attention"]["inputs"]}
    assert shapes["maps"] == ["objects", "maps", 16, 4, 4]
    assert shapes["embedding"] == [1, 32, 4, 4]


def test_what_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network("miniature", directly_add_no_mem_embed=False)
    with pytest.raises(ModelError, match="onnx or openvino"):
        write_parts(network, tmp_path, "tensorrt")

    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(files.importlib, "import_module", gone)
    with pytest.raises(ModelError, match=r"pip install 'ocusam\[onnx\]'"):
        write_parts(network, tmp_path, "onnx")
    assert not list(tmp_path.iterdir())


def test_a_network_without_the_published_shortcut(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    network = make_network("miniature", directly_add_no_mem_embed=False)
    with pytest.raises(ModelError, match="directly_add_no_mem_embed"):
        write_parts(network, tmp_path, "openvino")
