"""Prompts into tokens: what padding, labels and the half-pixel do."""

import torch

from ocusam.model.sam2 import SAM2


def points(*rows: tuple[float, float, int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[r[:2] for r in rows]]).float(), torch.tensor([[r[2] for r in rows]])


def test_a_click_is_two_tokens_the_second_is_padding(network: SAM2) -> None:
    encoder = network.sam_prompt_encoder
    sparse, dense = encoder(*points((10, 20, 1)), None, 1)
    assert sparse.shape == (1, 2, 32)
    assert torch.equal(sparse[0, 1], encoder.not_a_point_embed.weight[0])
    assert torch.equal(dense[0, :, 1, 2], encoder.no_mask_embed.weight[0])


def test_a_position_is_scaled_after_adding_half_a_pixel(network: SAM2) -> None:
    encoder = network.sam_prompt_encoder
    sparse, _ = encoder(*points((31.5, 15.5, 1)), None, 1)
    expected = encoder.pe_layer.encode(torch.tensor([0.5, 0.25])) + encoder.point_embeddings[1].weight[0]
    assert torch.allclose(sparse[0, 0], expected, atol=1e-5)


def test_each_label_has_its_own_embedding_and_padding_has_no_place(network: SAM2) -> None:
    encoder = network.sam_prompt_encoder
    tokens = [encoder(*points((7, 9, label)), None, 1)[0][0, 0] for label in (0, 1, 2, 3)]
    position = encoder.pe_layer.encode(torch.tensor([7.5 / 64, 9.5 / 64]))
    for label, token in enumerate(tokens):
        assert torch.allclose(token, position + encoder.point_embeddings[label].weight[0], atol=1e-5)
    here, there = (encoder(*points((x, 3, -1)), None, 1)[0] for x in (1, 50))
    assert torch.equal(here, there)


def test_no_points_means_no_token_at_all(network: SAM2) -> None:
    sparse, dense = network.sam_prompt_encoder(None, None, torch.randn(2, 1, 16, 16), 2)
    assert sparse.shape == (2, 0, 32)
    assert dense.shape == (2, 32, 4, 4)
    assert not torch.equal(dense[0], dense[1])


def test_padding_alone_needs_no_arithmetic(network: SAM2) -> None:
    labels = torch.full((3, 1), -1, dtype=torch.int32)
    computed, _ = network.sam_prompt_encoder(torch.zeros(3, 1, 2), labels, None, 3)
    known, _ = network.sam_prompt_encoder(None, labels, None, 3)
    assert computed.shape == known.shape == (3, 2, network.config.hidden_dim)
    assert torch.equal(known, computed)
