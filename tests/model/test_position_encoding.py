"""Positions: against hand computation and against the properties that make them useful."""

import math

import pytest
import torch

from ocusam.model.position_encoding import (
    PositionEmbeddingRandom,
    rotary_turns,
    sine_of_time,
    sine_position_map,
    turn_,
)


def test_sine_map_by_hand() -> None:
    sine = sine_position_map(8, 2, 4)
    assert sine.shape == (8, 2, 4)
    # Row 0 is position 1 of 2: phase pi; frequencies 1 and 100 for a quarter of 2 channels.
    phase = 1 / (2 + 1e-6) * 2 * math.pi
    expected = [math.sin(phase), math.cos(phase), math.sin(phase / 100), math.cos(phase / 100)]
    assert sine[:4, 0, 3].tolist() == pytest.approx(expected, abs=1e-6)
    # The second half is x: the same in every row.
    assert torch.equal(sine[4:, 0], sine[4:, 1])
    phase = 3 / (4 + 1e-6) * 2 * math.pi
    assert sine[4, 1, 2].item() == pytest.approx(math.sin(phase), abs=1e-6)


def test_time_has_sines_first_then_cosines() -> None:
    encoded = sine_of_time(torch.tensor([0.0, 0.5]), 8)
    assert encoded[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert encoded[1, 0].item() == pytest.approx(math.sin(0.5))
    assert encoded[1, 2].item() == pytest.approx(math.sin(0.5 / 100))


def test_random_fourier_grid_is_the_encoding_of_pixel_centres() -> None:
    torch.manual_seed(0)
    positions = PositionEmbeddingRandom(6)
    grid = positions.encode_grid(4, 8)
    assert grid.shape == (12, 4, 8)
    one = positions.encode(torch.tensor([(5 + 0.5) / 8, (2 + 0.5) / 4]))
    assert torch.allclose(grid[:, 2, 5], one, atol=1e-6)


def test_rotary_turns_pairs_of_channels_by_column_and_row() -> None:
    torch.manual_seed(0)
    turns = rotary_turns(16, 3, 5)
    x = torch.randn(2, 15, 16)
    turned = turn_(x.clone(), turns)
    for pair, frequency in enumerate((1.0, 10.0, 100.0, 1000.0)):
        column, row = 13 % 5, 13 // 5
        for channel, angle in ((2 * pair, column / frequency), (8 + 2 * pair, row / frequency)):
            even, odd = x[0, 13, channel].item(), x[0, 13, channel + 1].item()
            expected = (
                even * math.cos(angle) - odd * math.sin(angle),
                even * math.sin(angle) + odd * math.cos(angle),
            )
            assert turned[0, 13, channel : channel + 2].tolist() == pytest.approx(expected, abs=1e-6)


def test_rotary_is_the_same_on_every_grid_of_a_row() -> None:
    turns = rotary_turns(8, 2, 3)
    x = torch.randn(1, 6, 8)
    twice = turn_(torch.cat((x, x), dim=1), turns)
    assert torch.equal(twice[:, :6], twice[:, 6:])
    assert torch.equal(twice[:, :6], turn_(x, turns))


def test_rotary_products_depend_on_the_shift_alone() -> None:
    torch.manual_seed(0)
    width = 6
    turns = rotary_turns(8, 6, width)
    q, k = torch.randn(8), torch.randn(8)
    queries = turn_(q.repeat(1, 36, 1), turns)[0]
    keys = turn_(k.repeat(1, 36, 1), turns)[0]

    def product(qx: int, qy: int, kx: int, ky: int) -> float:
        return float(queries[qy * width + qx] @ keys[ky * width + kx])

    assert product(1, 2, 3, 5) == pytest.approx(product(0, 0, 2, 3), abs=1e-5)
    assert product(1, 2, 3, 5) != pytest.approx(product(2, 1, 5, 3), abs=1e-3)
