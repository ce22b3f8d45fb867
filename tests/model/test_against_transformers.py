"""Our network against an implementation by others, with the same random weights, at a small input size."""

import pytest
import torch

from ocusam.model.build import make_network
from ocusam.model.config import Sam2Config
from ocusam.model.sam2 import PointPrompt
from ocusam.weights.huggingface import to_huggingface

transformers = pytest.importorskip("transformers")
SIDE = 128


def peer_of(config: Sam2Config) -> torch.nn.Module:
    """The peer's image model with our sizes."""
    from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        hidden_size=config.embed_dim,
        num_attention_heads=config.num_heads,
        image_size=[SIDE, SIDE],
        embed_dim_per_stage=list(config.trunk_channels),
        num_attention_heads_per_stage=[config.num_heads * 2**i for i in range(4)],
        blocks_per_stage=list(config.stages),
        window_size_per_stage=list(config.window_spec),
        window_positional_embedding_background_size=list(config.window_pos_embed_size),
        global_attention_blocks=list(config.global_att_blocks),
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(config.trunk_channels)),
        backbone_feature_sizes=[[SIDE // stride] * 2 for stride in (4, 8, 16)],
    )
    whole = transformers.Sam2Config(vision_config=vision, prompt_encoder_config={"image_size": SIDE})
    return transformers.Sam2Model(whole).eval()


@pytest.mark.parametrize(
    "size",
    ["tiny", *(pytest.param(size, marks=pytest.mark.slow) for size in ("small", "base_plus", "large"))],
)
def test_image_masks_equal_the_peers(size: str) -> None:
    torch.manual_seed(0)
    network = make_network(f"sam2.1_hiera_{size}", image_size=SIDE)
    peer = peer_of(network.config)
    # The image model has no memory: those of our tensors are left over; none of its own may be missing.
    loaded = peer.load_state_dict(to_huggingface(network.state_dict()), strict=False)
    assert loaded.missing_keys == []
    assert all(
        k.startswith(("memory_", "mask_downsample", "object_pointer", "no_", "occlusion", "temporal"))
        for k in loaded.unexpected_keys
    )

    image = torch.randn(1, 3, SIDE, SIDE)
    xy, label = torch.tensor([[[70.0, 30.0], [20.0, 90.0]]]), torch.tensor([[1, 0]])
    with torch.inference_mode():
        features = network.encode_image(image)
        for multimask in (True, False):
            ours = network.predict_masks(features, PointPrompt(xy, label), multimask_output=multimask)
            theirs = peer(
                pixel_values=image,
                input_points=xy[None],
                input_labels=label[None],
                multimask_output=multimask,
            )
            error = (ours.logits_bmhw - theirs.pred_masks[:, 0]).norm() / theirs.pred_masks.norm()
            assert error < 1e-5
            assert torch.allclose(ours.iou_bm, theirs.iou_scores[:, 0], atol=1e-5)
            assert torch.allclose(ours.object_score_b1, theirs.object_score_logits[:, 0], atol=1e-5)
