"""Initial weights, the optimiser, the learning-rate schedule and the moving average of the weights.

Hidden matrices are updated by Muon (momentum, then orthogonalised; Jordan et al. 2024), everything else (embeddings,
norms, biases, convolutions, output layers) by AdamW. Muon's step is scaled to AdamW's root mean square
(Liu et al. 2025, arXiv 2502.16982), so one learning rate and one weight decay serve both.
It knows nothing of losses or data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class OptimConfig:
    """How weights move. `lr` is the peak rate."""

    lr: float = 1e-3
    final_lr_share: float = 0.02
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    muon: bool = True
    encoder_lr_share: float = 1.0
    """Learning rate of the image encoder as a share of `lr`; 0 freezes it."""


def initialise(model: nn.Module, seed: int) -> None:
    """Draw fresh weights: linear layers and learned tables from a truncated normal of sigma .02, biases zero.

    Embeddings (prompt labels, mask tokens) have sigma 1, as large as the positions they are added to.
    Convolutions keep PyTorch's own scheme, drawn anew from the seed. The last layers of the heads follow the rest.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02, a=-0.06, b=0.06, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)


def parameter_kinds(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, str]]:
    """Yield (name, parameter, kind); kind is "muon", "decay" (AdamW with decay) or "plain" (without)."""
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name in linear and min(parameter.shape) >= 32:
            kind = "muon"
        elif parameter.ndim >= 2 and name.endswith(".weight"):
            kind = "decay"
        else:
            kind = "plain"
        yield name, parameter, kind


class Optimiser:
    """Muon and AdamW behind one `step`, with gradient clipping; `state_dict` holds both."""

    def __init__(self, model: nn.Module, config: OptimConfig) -> None:
        self.config = config
        groups: dict[tuple[str, bool], list[Tensor]] = {}
        for name, parameter, kind in parameter_kinds(model):
            encoder = name.startswith("image_encoder.")
            if encoder and config.encoder_lr_share == 0:
                parameter.requires_grad_(False)
                continue
            if kind == "muon" and not config.muon:
                kind = "decay"
            groups.setdefault((kind, encoder), []).append(parameter)
        self.parameters = [p for group in groups.values() for p in group]

        def options(kind: str, encoder: bool) -> dict[str, Any]:
            share = config.encoder_lr_share if encoder else 1.0
            return {"lr": 0.0, "share": share, "weight_decay": 0.0 if kind == "plain" else config.weight_decay}

        adam = [{"params": p, **options(*key)} for key, p in groups.items() if key[0] != "muon"]
        muon = [{"params": p, **options(*key)} for key, p in groups.items() if key[0] == "muon"]
        self.optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(adam, betas=(0.9, 0.98), fused=True)]
        if muon:
            self.optimisers.append(torch.optim.Muon(muon, momentum=0.95, adjust_lr_fn="match_rms_adamw"))

    def step(self, rate: float) -> float:
        """Clip, move by the learning rate `rate`, clear gradients; returns the gradient's norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        if torch.isfinite(norm):
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate * group["share"]
                optimiser.step()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
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


class MovingAverage:
    """Exponential moving average of all weights, in float32, shorter at the start than later."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.values = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Blend the current weights in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in model.parameters()], 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by their names in the model."""
        return dict(zip(self.names, self.values, strict=True))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])
