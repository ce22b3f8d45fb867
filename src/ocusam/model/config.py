"""Sizes and switches of a SAM 2 network, as one small frozen value.

Each published size is a function that returns a `Sam2Config`; `get_config` finds one by name. There is no
registry of nested YAML nodes behind it: what the official files spread over `_target_` trees is flat here.
A config says nothing about where weights come from and nothing about sessions or prompts.

Sources: Ravi et al. 2024, "SAM 2: Segment Anything in Images and Videos" (arXiv 2408.00714), appendix C;
the published configuration files of SAM 2 (July 2024) and SAM 2.1 (September 2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ocusam.core.errors import ModelError

TRUNKS = ("hiera", "convolutional")


@dataclass(frozen=True)
class Sam2Config:
    """Everything that decides the shape of the weights and the function they compute.

    Sizes are channels unless said otherwise. `image_size` is the side in pixels of the square network input,
    a multiple of 32. Temporal counts are frames.
    """

    name: str = "custom"
    image_size: int = 1024

    trunk: str = "hiera"
    """"hiera" as published, or "convolutional" (`model/convolutional.py`), which knows `stages` alone of the
    next six."""
    conv_channels: tuple[int, int, int, int] = (32, 64, 160, 320)
    """Channels of the stages of a convolutional trunk."""

    names_parts: bool = False
    """A layer that names the parts of the eye without a prompt (`model/eye_parts.py`); nano has it."""

    # Hiera trunk (arXiv 2306.00989; positions as in arXiv 2311.05613)
    embed_dim: int = 96
    num_heads: int = 1
    stages: tuple[int, int, int, int] = (1, 2, 7, 2)
    global_att_blocks: tuple[int, ...] = (5, 7, 9)
    window_spec: tuple[int, int, int, int] = (8, 4, 14, 7)
    window_pos_embed_size: tuple[int, int] = (7, 7)
    drop_path_rate: float = 0.0

    # widths behind the neck
    hidden_dim: int = 256
    mem_dim: int = 64
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    decoder_depth: int = 2
    iou_head_hidden_dim: int = 256
    num_multimask_outputs: int = 3
    memory_attention_layers: int = 4
    memory_attention_mlp_dim: int = 2048
    fuser_layers: int = 2

    # mask decoder behaviour
    multimask_output_in_sam: bool = True
    multimask_output_for_tracking: bool = True
    multimask_min_pt_num: int = 0
    multimask_max_pt_num: int = 1
    use_multimask_token_for_obj_ptr: bool = True
    dynamic_multimask_via_stability: bool = True
    dynamic_multimask_stability_delta: float = 0.05
    dynamic_multimask_stability_thresh: float = 0.98
    iou_prediction_use_sigmoid: bool = True
    pred_obj_scores: bool = True
    pred_obj_scores_mlp: bool = True

    # memory
    num_maskmem: int = 7
    sigmoid_scale_for_mem_enc: float = 20.0
    sigmoid_bias_for_mem_enc: float = -10.0
    binarize_mask_from_pts_for_mem_enc: bool = False
    use_mask_input_as_output_without_sam: bool = True
    directly_add_no_mem_embed: bool = True
    no_obj_embed_spatial: bool = True
    non_overlap_masks_for_mem_enc: bool = False

    # object pointers
    use_obj_ptrs_in_encoder: bool = True
    max_obj_ptrs_in_encoder: int = 16
    add_tpos_enc_to_obj_ptrs: bool = True
    proj_tpos_enc_in_obj_ptrs: bool = True
    use_signed_tpos_enc_to_obj_ptrs: bool = True
    only_obj_ptrs_in_the_past_for_eval: bool = True
    fixed_no_obj_ptr: bool = True
    soft_no_obj_ptr: bool = False
    use_mlp_for_obj_ptr_proj: bool = True

    # which memories a frame attends to
    max_cond_frames_in_attn: int = -1
    memory_temporal_stride_for_eval: int = 1

    def __post_init__(self) -> None:
        if self.image_size <= 0 or self.image_size % 32:
            raise ModelError(
                f"image_size={self.image_size} does not work: the four stages of the image encoder need a "
                f"positive multiple of 32, for example {max(32, round(self.image_size / 32) * 32)}."
            )
        if self.trunk not in TRUNKS:
            raise ModelError(f"trunk={self.trunk!r} is unknown. Known trunks: {', '.join(TRUNKS)}.")
        if self.hidden_dim % self.mem_dim:
            raise ModelError(
                f"mem_dim={self.mem_dim} must divide hidden_dim={self.hidden_dim}, since an object pointer "
                "is split into tokens of the memory's width."
            )
        if 0 <= self.max_cond_frames_in_attn < 2:
            raise ModelError(
                f"max_cond_frames_in_attn={self.max_cond_frames_in_attn} is not allowed: "
                "use -1 (no limit) or at least 2."
            )

    @property
    def embedding_size(self) -> int:
        """Side of the stride-16 feature map, in tokens."""
        return self.image_size // 16

    @property
    def low_res_size(self) -> int:
        """Side of the mask logits that the decoder makes (stride 4), in pixels."""
        return self.image_size // 4

    @property
    def trunk_channels(self) -> tuple[int, ...]:
        """Channels at the end of each trunk stage, finest first."""
        if self.trunk == "convolutional":
            return self.conv_channels
        return tuple(self.embed_dim * 2**i for i in range(len(self.stages)))


def _hiera_tiny(**more: Any) -> Sam2Config:
    return Sam2Config(**more)


def _hiera_small(**more: Any) -> Sam2Config:
    return Sam2Config(stages=(1, 2, 11, 2), global_att_blocks=(7, 10, 13), **more)


def _hiera_base_plus(**more: Any) -> Sam2Config:
    return Sam2Config(
        embed_dim=112,
        num_heads=2,
        stages=(2, 3, 16, 3),
        global_att_blocks=(12, 16, 20),
        window_pos_embed_size=(14, 14),
        **more,
    )


def _hiera_large(**more: Any) -> Sam2Config:
    return Sam2Config(
        embed_dim=144,
        num_heads=2,
        stages=(2, 6, 36, 4),
        global_att_blocks=(23, 33, 43),
        window_spec=(8, 4, 16, 8),
        **more,
    )


_SIZES: dict[str, Callable[..., Sam2Config]] = {
    "tiny": _hiera_tiny,
    "small": _hiera_small,
    "base_plus": _hiera_base_plus,
    "large": _hiera_large,
}
# What SAM 2.0 lacks: these four came with 2.1, at every size alike.
_VERSION_2_0 = {
    "no_obj_embed_spatial": False,
    "add_tpos_enc_to_obj_ptrs": False,
    "proj_tpos_enc_in_obj_ptrs": False,
    "use_signed_tpos_enc_to_obj_ptrs": False,
}


def sam2_hiera(size: str) -> Sam2Config:
    """Return the published SAM 2.0 network of a size: tiny, small, base_plus or large."""
    return _SIZES[size](name=f"sam2_hiera_{size}", **_VERSION_2_0)


def sam2_1_hiera(size: str) -> Sam2Config:
    """Return the published SAM 2.1 network of a size: tiny, small, base_plus or large."""
    return _SIZES[size](name=f"sam2.1_hiera_{size}")


def nano() -> Sam2Config:
    """Return our own small network for eyes, whose weights ship with the package.

    All of SAM 2.1 but for its image trunk, which is made of convolutions: trained from random numbers, for
    hours on two processor cores, they see more than Hiera does (docs/lab_log.md).
    """
    return Sam2Config(
        name="nano",
        image_size=256,
        trunk="convolutional",
        names_parts=True,
        stages=(1, 2, 4, 2),
        hidden_dim=128,
        mem_dim=64,
        decoder_heads=4,
        decoder_mlp_dim=512,
        iou_head_hidden_dim=128,
        memory_attention_layers=2,
        memory_attention_mlp_dim=512,
        binarize_mask_from_pts_for_mem_enc=True,
    )


def miniature(image_size: int = 64) -> Sam2Config:
    """Return a network of a few ten thousand weights with every part in place, for tests and tutorials."""
    return Sam2Config(
        name="miniature",
        image_size=image_size,
        embed_dim=8,
        stages=(1, 1, 2, 1),
        global_att_blocks=(3,),
        window_spec=(4, 4, 4, 2),
        window_pos_embed_size=(4, 4),
        hidden_dim=32,
        mem_dim=16,
        decoder_heads=2,
        decoder_mlp_dim=32,
        iou_head_hidden_dim=16,
        memory_attention_layers=1,
        memory_attention_mlp_dim=32,
        fuser_layers=1,
    )


PRESETS: dict[str, Callable[[], Sam2Config]] = {
    "nano": nano,
    **{f"sam2.1_hiera_{size}": (lambda size=size: sam2_1_hiera(size)) for size in _SIZES},  # type: ignore[misc]
    **{f"sam2_hiera_{size}": (lambda size=size: sam2_hiera(size)) for size in _SIZES},  # type: ignore[misc]
    "miniature": miniature,
}


def get_config(config: str | Sam2Config, **overrides: Any) -> Sam2Config:
    """Return the named config (or the given one) with fields replaced.

    Args:
        config: one of the keys of `PRESETS`, or a `Sam2Config`.
        overrides: fields of `Sam2Config` and their new values.

    Raises:
        ModelError: unknown name, or unknown field.
    """
    if isinstance(config, str):
        if config not in PRESETS:
            raise ModelError(f"Unknown model {config!r}. Known models: {', '.join(PRESETS)}.")
        config = PRESETS[config]()
    known = {field.name for field in dataclasses.fields(Sam2Config)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise ModelError(
            f"Unknown model option {', '.join(map(repr, unknown))}. "
            f"Known options: {', '.join(sorted(known))}."
        )
    for name, value in overrides.items():
        usual = getattr(config, name)
        if not _is_like(value, usual):
            raise ModelError(f"{name}={value!r}: give a value like {usual!r}.")
    return dataclasses.replace(config, **overrides) if overrides else config


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value can stand where `usual` does: a switch for a switch, a number for a number."""
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(usual, bool)
    if isinstance(usual, int):
        return isinstance(value, Integral)
    return isinstance(value, Real) if isinstance(usual, float) else True
