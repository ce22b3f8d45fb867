"""The trunk: windows, resolutions and the equivalence of a large window with global attention."""

import pytest
import torch

from ocusam.model.config import get_config
from ocusam.model.hiera import Hiera, MultiScaleBlock, _from_windows, _into_windows


@pytest.mark.parametrize(("height", "width", "window"), [(8, 8, 4), (7, 10, 4), (5, 5, 8)])
def test_windows_can_be_undone(height: int, width: int, window: int) -> None:
    x = torch.randn(2, height, width, 3)
    padding = torch.tensor([7.0, 8.0, 9.0])
    windows = _into_windows(x, window, padding)
    assert windows.shape[1:] == (window, window, 3)
    filled = windows.flatten(0, 2).shape[0] - x.flatten(0, 2).shape[0]
    assert int((windows == padding).all(-1).sum()) == filled
    assert torch.equal(_from_windows(windows, window, height, width), x)


@pytest.mark.parametrize("pool", [False, True])
def test_a_window_as_large_as_the_map_is_global_attention(pool: bool) -> None:
    torch.manual_seed(0)
    block = MultiScaleBlock(8, 16 if pool else 8, 2, window=8, pool=pool).eval()
    x = torch.randn(2, 8, 8, 8)
    windowed = block(x)
    block.attn.window = 0
    assert torch.allclose(windowed, block(x), atol=1e-6)


def test_padding_takes_part_in_attention() -> None:
    # Published behaviour: a window of 4 on a 6 x 6 map attends to the zeros beyond the border.
    torch.manual_seed(0)
    block = MultiScaleBlock(8, 8, 1, window=4, pool=False).eval()
    x = torch.randn(1, 6, 6, 8)
    corner = block(x)[:, 4:, 4:]
    alone = block(x[:, 4:, 4:].contiguous())  # the same four tokens in a window of their own, padded alike
    assert torch.allclose(corner, alone, atol=1e-6)
    block.attn.window = 0
    assert not torch.allclose(block(x[:, 4:, 4:]), alone, atol=1e-3)


def test_strides_and_widths() -> None:
    config = get_config("miniature", image_size=96)
    outputs = Hiera(config)(torch.randn(2, 3, 96, 96))
    assert [tuple(x.shape) for x in outputs] == [
        (2, 8, 24, 24),
        (2, 16, 12, 12),
        (2, 32, 6, 6),
        (2, 64, 3, 3),
    ]


def test_window_size_changes_one_block_late() -> None:
    trunk = Hiera(get_config("sam2.1_hiera_tiny"))
    assert [block.attn.window for block in trunk.blocks] == [8, 8, 4, 4, 14, 0, 14, 0, 14, 0, 14, 7]
    assert [i for i, block in enumerate(trunk.blocks) if block.pool] == [1, 3, 10]
