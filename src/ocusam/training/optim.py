"""The optimiser, the learning-rate schedule and the moving average of the weights.

AdamW, as published. As an option matrices between many channels, those of convolutions too (a row per output
channel), are updated by Muon (momentum, then orthogonalised; Jordan et al. 2024), scaled to AdamW's root mean
square (Liu et al. 2025, arXiv 2502.16982). From random numbers, in a short trial on four pictures and without
the convolutions, AdamW at 1e-3 learned much faster than Muon at 1.5e-3. With them, from trained weights, Muon
brought the encoder further than AdamW at the same rate, on the same pictures (docs/lab_log.md).
Weights start as PyTorch draws them: a normal of sigma .02, usual for wide transformers, is several times
too small for layers of 48 to 192 channels, and the mask heads then hardly start to learn (seen in the same
trial). It knows nothing of losses or data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ocusam.model.layers import Attention
from ocusam.model.sam2 import SAM2
from ocusam.model.two_way_transformer import TwoWayAttentionBlock

LEAST_MUON_SIDE = 16
"""Matrices with a shorter side go to AdamW: few directions, nothing to make equal."""
LARGEST_MUON_SIDE = 320
"""Matrices whose shorter side is longer than this go to AdamW too: orthogonalising costs the square of that
side times the longer one."""


_TRUNK = "image_encoder.trunk."


@dataclass(frozen=True)
class OptimConfig:
    """How weights move. `lr` is the peak rate."""

    lr: float = 1e-3
    final_lr_share: float = 0.05
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.997
    muon: bool = False
    encoder_lr_share: float = 1.0
    """Learning rate of the image encoder as a share of `lr`; 0 freezes it."""
    layer_decay: float = 1.0
    """Each block of the encoder's trunk learns this much slower than the one after it (Bao et al. 2021, arXiv
    2106.08254); published SAM 2 takes .8 to .9. 1: all alike."""


def point_at_clicks(model: SAM2, strength: float = 1.5) -> None:
    """Let the mask decoder's attention start with what it would otherwise have to discover: equal places
    belong together.

    A click token carries the encoded position of the click, image tokens carry theirs. Here the query and key
    projections of the cross-attention start equal and pick out the position's sine and cosine pairs, a few
    frequencies per head, so that the click token looks at the picture around the click and the picture
    around the click looks at the click token. Self-attention between tokens starts with equal projections,
    so that each token mainly keeps itself (the first one has no residual). The idea of starting from the
    structure that training arrives at is that of "mimetic initialization" (Trockman and Kolter 2023, arXiv
    2305.09828). In one trial on rendered eyes (96 px, 300 steps) masks began to appear after 220 steps;
    without it they did not.
    """
    transformer = model.sam_mask_decoder.transformer
    crossing: list[Attention] = [transformer.final_attn_token_to_image]
    with torch.no_grad():
        model.sam_prompt_encoder.no_mask_embed.weight *= 0.1
        for layer in transformer.layers:
            assert isinstance(layer, TwoWayAttentionBlock)
            crossing += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
            layer.self_attn.q_proj.weight *= strength
            layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
        for attention in crossing:
            weight = attention.q_proj.weight
            inner, channels = weight.shape
            pairs, frequencies = inner // 2, channels // 2
            chosen = torch.arange(pairs) * frequencies // pairs
            weight *= 0.3
            weight[2 * torch.arange(pairs), chosen] += strength
            weight[2 * torch.arange(pairs) + 1, chosen + frequencies] += strength
            attention.k_proj.weight.copy_(weight)


def _is_matrix(module: nn.Module) -> bool:
    """Its weights map many channels to many: linear layers, and convolutions that mix channels."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.in_channels >= LEAST_MUON_SIDE
    return isinstance(module, nn.Linear)


def parameter_kinds(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, str]]:
    """Yield (name, parameter, kind); kind is "muon", "decay" (AdamW with decay) or "plain" (without)."""
    matrices = {f"{name}.weight" for name, module in model.named_modules() if _is_matrix(module)}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name in matrices and LEAST_MUON_SIDE <= min(parameter.flatten(1).shape) <= LARGEST_MUON_SIDE:
            kind = "muon"
        elif parameter.ndim >= 2 and name.endswith(".weight"):
            kind = "decay"
        else:
            kind = "plain"
        yield name, parameter, kind


def blocks_above(name: str, model: SAM2) -> int:
    """How many layers of the trunk lie between a parameter and the trunk's end; 0 outside the trunk."""
    if not name.startswith(_TRUNK):
        return 0
    own = name.removeprefix(_TRUNK) + "."
    layers = model.image_encoder.trunk.layers
    (index,) = (i for i, begins in enumerate(layers) if own.startswith(begins))
    return len(layers) - 1 - index


@dataclass(frozen=True)
class Ranks:
    """Which of how many cooperating processes this is; each trains on its share of every batch."""

    index: int = 0
    count: int = 1


class Optimiser:
    """Muon and AdamW behind one `step`, with gradient clipping; `state_dict` holds both."""

    def __init__(self, model: SAM2, config: OptimConfig, extra: list[nn.Parameter] | None = None) -> None:
        self.config = config
        # Kind, whether of the encoder, blocks of the trunk above it.
        groups: dict[tuple[str, bool, int], list[Tensor]] = {("plain", False, 0): list(extra or [])}
        for name, parameter, kind in parameter_kinds(model):
            encoder = name.startswith("image_encoder.")
            if encoder and config.encoder_lr_share == 0:
                parameter.requires_grad_(False)
                continue
            if kind == "muon" and not config.muon:
                kind = "decay"
            above = blocks_above(name, model) if config.layer_decay < 1 else 0
            groups.setdefault((kind, encoder, above), []).append(parameter)
        self.parameters = [p for group in groups.values() for p in group]

        def options(kind: str, encoder: bool, above: int) -> dict[str, Any]:
            share = config.encoder_lr_share * config.layer_decay**above if encoder else 1.0
            return {
                "lr": 0.0,
                "share": share,
                "weight_decay": 0.0 if kind == "plain" else config.weight_decay,
            }

        adam = [{"params": p, **options(*key)} for key, p in groups.items() if key[0] != "muon"]
        muon = [{"params": p, **options(*key)} for key, p in groups.items() if key[0] == "muon"]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(adam, betas=(0.9, 0.98), fused=True)
        ]
        # Muon takes matrices; a convolution's weights are one with a row per output channel. The matrix
        # shares their memory, so that a step moves both.
        self._matrices: list[tuple[Tensor, nn.Parameter]] = []
        for group in muon:
            owners = group["params"]
            group["params"] = [nn.Parameter(owner.detach().flatten(1)) for owner in owners]
            self._matrices += zip(owners, group["params"], strict=True)
        if muon:
            self.optimisers.append(torch.optim.Muon(muon, momentum=0.95, adjust_lr_fn="match_rms_adamw"))

    def average_over(self, ranks: Ranks, extra: tuple[float, ...]) -> tuple[float, ...]:
        """Average gradients over all processes; returns the sums of `extra` over them, carried along."""
        if ranks.count == 1:
            return extra
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        carried = torch.tensor([e * ranks.count for e in extra], device=self.parameters[0].device)
        flat = torch.cat([g.flatten() for g in gradients] + [carried])
        torch.distributed.all_reduce(flat)
        flat /= ranks.count
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return tuple(flat[start:].tolist())

    def step(self, rate: float) -> float:
        """Clip, move by the learning rate `rate`, clear gradients; returns the norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        if torch.isfinite(norm):
            for owner, matrix in self._matrices:
                matrix.grad = None if owner.grad is None else owner.grad.flatten(1)
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate * group["share"]
                optimiser.step()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        for owner, _ in self._matrices:
            owner.grad = None
        return float(norm)

    def state_dict(self) -> list[dict[str, Any]]:
        """States of both optimisers."""
        return [optimiser.state_dict() for optimiser in self.optimisers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Restore what `state_dict` gave."""
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(state)


def learning_rate(config: OptimConfig, step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine over `progress` (0..1) down to `final_lr_share`."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return config.lr * warm * (config.final_lr_share + (1 - config.final_lr_share) * cosine)


def _averaged(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters, and the running statistics of normalisations (whose step counts are integers)."""
    buffers = [
        (name, b) for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))
    ]
    return [*((name, p.detach()) for name, p in model.named_parameters()), *buffers]


class MovingAverage:
    """Exponential moving average of all weights and running statistics, in float32, shorter at the start
    than later."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        averaged = _averaged(model)
        self.names = [name for name, _ in averaged]
        self.values = [value.clone() for _, value in averaged]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Blend the current weights in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [value for _, value in _averaged(model)], 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by their names in the model."""
        return dict(zip(self.names, self.values, strict=True))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])
