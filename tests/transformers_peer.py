"""Networks of Hugging Face transformers with our sizes, for the tests that compare the two."""

from typing import Any

import torch

from ocusam.model.config import Sam2Config
from ocusam.model.sam2 import SAM2
from ocusam.weights.huggingface import to_huggingface


def vision_config(config: Sam2Config) -> Any:
    """Their configuration of the image encoder."""
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig

    side = config.image_size
    backbone = Sam2HieraDetConfig(
        hidden_size=config.embed_dim,
        num_attention_heads=config.num_heads,
        image_size=[side, side],
        embed_dim_per_stage=list(config.trunk_channels),
        num_attention_heads_per_stage=[config.num_heads * 2**i for i in range(4)],
        blocks_per_stage=list(config.stages),
        window_size_per_stage=list(config.window_spec),
        window_positional_embedding_background_size=list(config.window_pos_embed_size),
        global_attention_blocks=list(config.global_att_blocks),
    )
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(config.trunk_channels)),
        backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)],
    )


def image_peer(network: SAM2) -> Any:
    """Their image model with a network's sizes and weights; none of its own tensors may be missing.

    It has no memory: our tensors for that are left over.
    """
    import transformers

    config = transformers.Sam2Config(
        vision_config=vision_config(network.config),
        prompt_encoder_config={"image_size": network.config.image_size},
    )
    peer = transformers.Sam2Model(config).eval()
    loaded = peer.load_state_dict(to_huggingface(network.state_dict()), strict=False)
    assert loaded.missing_keys == []
    memory = ("memory_", "mask_downsample", "object_pointer", "no_", "occlusion", "temporal")
    assert all(name.startswith(memory) for name in loaded.unexpected_keys)
    return peer


def video_peer(network: SAM2) -> Any:
    """Their video model with a network's sizes and weights; every tensor must find its place."""
    import transformers

    side = network.config.image_size
    config = transformers.Sam2VideoConfig(
        vision_config=vision_config(network.config),
        prompt_encoder_config={"image_size": side},
        image_size=side,
        memory_attention_rope_feat_sizes=[side // 16] * 2,
    )
    peer: torch.nn.Module = transformers.Sam2VideoModel(config).eval()
    peer.load_state_dict(to_huggingface(network.state_dict()), strict=True)
    return peer
