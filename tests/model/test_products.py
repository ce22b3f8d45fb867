"""oneDNN called by name, attention in blocks, a map in strips: each against the ordinary way in float64."""

import pytest
import torch
import torch.nn.functional as F

from ocusam.model import hiera, layers, products
from ocusam.model.hiera import MultiScaleBlock
from ocusam.model.layers import attend
from ocusam.model.products import cpu_inference, linear

TOLERANCES = {torch.float32: 3e-6, torch.bfloat16: 2e-2}
ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu}
needs_operators = pytest.mark.skipif(
    not cpu_inference(torch.zeros(1)), reason="oneDNN's operators are for x86 processors"
)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "rows", [3, 6001]
)  # below and above the size from which operators are called by name
def test_a_linear_layer_with_its_activation(dtype: torch.dtype, activation: str, rows: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(size).to(dtype) for size in ((2, rows, 24), (40, 24), (40,)))
    expected = ACTIVATIONS[activation](F.linear(x.double(), weight.double(), bias.double()))
    given = linear(x, weight, bias, activation)
    assert given.dtype == dtype
    assert torch.allclose(given.double(), expected, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])
    apart = linear(x.transpose(0, 1), weight, bias, activation)  # does not lie together in memory
    assert torch.allclose(
        apart.transpose(0, 1).double(), expected, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype]
    )


def test_gradients_take_the_ordinary_way() -> None:
    x, weight = torch.randn(12000, 24), torch.randn(40, 24, requires_grad=True)
    assert not cpu_inference(x, weight)
    linear(x, weight, None, "gelu").sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


@needs_operators
def test_when_operators_are_called_by_name() -> None:
    x = torch.randn(4, 4)
    assert cpu_inference(x)
    assert not cpu_inference(x.double())
    assert not cpu_inference(x.to("meta"))
    with torch.autocast("cpu"):
        assert not cpu_inference(x)
    weight = torch.randn(4, 4, requires_grad=True)
    with torch.inference_mode():
        assert cpu_inference(x, weight)


@needs_operators
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("width", [16, 128])  # of values, behind keys of 128
def test_attention_in_blocks(dtype: torch.dtype, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, c).to(dtype) for n, c in ((300, 128), (500, 128), (500, width)))
    weights = (q.double() @ k.double().transpose(2, 3) * 128**-0.5).softmax(dim=-1)
    blocks = []
    real = layers._attend_in_blocks
    monkeypatch.setattr(layers, "_attend_in_blocks", lambda *given: blocks.append(real(*given)) or blocks[-1])
    monkeypatch.setattr(layers, "_SCORES_WORTH_PACKING", 2**17)
    monkeypatch.setattr(
        layers, "BYTES_IN_CACHE", 2**17
    )  # so that 300 queries are several blocks, the last short
    seen = attend(q, k, v)
    assert len(blocks) == (
        0 if dtype == torch.bfloat16 and torch.cpu.get_capabilities().get("amx_tile") else 1
    )
    assert seen.shape == (2, 3, 300, width) and seen.dtype == dtype
    assert torch.allclose(seen.double(), weights @ v.double(), atol=TOLERANCES[dtype])


@needs_operators
@pytest.mark.parametrize(("window", "pool"), [(4, False), (4, True), (6, False)])  # 6: does not fit 16 rows
def test_a_map_in_strips(window: int, pool: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block = MultiScaleBlock(8, 16 if pool else 8, 2, window=window, pool=pool).eval()
    x = torch.randn(2, 16, 20, 8)
    rows = []
    whole = block._whole
    monkeypatch.setattr(block, "_whole", lambda part: rows.append(part.shape[1]) or whole(part))
    with torch.inference_mode():
        at_once = block(x)
        monkeypatch.setattr(hiera, "BYTES_IN_CACHE", 1)
        in_strips = block(x)
    assert rows == [16, *([4] * 4 if window == 4 else [6, 6, 4])]
    assert torch.allclose(in_strips, at_once, atol=1e-6)
    assert products.BYTES_IN_CACHE > 1  # only hiera's own name was changed
