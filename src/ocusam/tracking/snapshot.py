"""A session's memories as plain tensors, and back, bit for bit.

Purpose: what a tracker needs in order to go on from a frame later, in another process: `take` reads it from a
session, `put` gives it to a fresh one, `to_tensors` and `from_tensors` turn it into what a file holds.

Notable choices: numbers keep their types and tensors their strides, because a kernel may round differently on
another layout; so a session that was put back yields the same bits. Masks of frames that were only tracked
are left out: no later frame asks for them. With `near`, only memories that the next frames can attend to are
taken, which is small enough to be kept every few frames.

What it does not know: files, videos, when to take a snapshot (`workflows.resume`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ocusam.model.values import PointPrompt
from ocusam.tracking.memory_bank import MemoryEntry
from ocusam.tracking.session import TrackedFrames, VideoSession

# Attributes of a `MemoryEntry` and how a file calls them.
_PARTS = {
    "logits": "low_res_logits_b1hw",
    "pointer": "pointer_bc",
    "score": "object_score_b1",
    "iou": "iou_b",
    "map": "map_bdhw",
}


@dataclass(eq=False)
class TrackMemory:
    """One object of a session at one moment.

    Attributes:
        obj_id: the caller's label.
        conditioning: memories of prompted frames, in the order of their prompts.
        recent: memories of tracked frames.
        points: prompts given as points, by frame.
        mask_frames: frames prompted with a mask.
        tracked: runs (first, last, reverse) of tracked frames.
    """

    obj_id: Hashable
    conditioning: dict[int, MemoryEntry] = field(default_factory=dict)
    recent: dict[int, MemoryEntry] = field(default_factory=dict)
    points: dict[int, PointPrompt] = field(default_factory=dict)
    mask_frames: list[int] = field(default_factory=list)
    tracked: list[tuple[int, int, bool]] = field(default_factory=list)


def take(session: Any, near: int | None = None) -> list[TrackMemory]:
    """Read the memories of a session; nothing is copied yet.

    Args:
        session: a `VideoSession`; of another tracker's state nothing is known, and the list is empty.
        near: a frame that was just tracked: only what the frames after it (and itself, tracked again) can
            attend to. None: all.
    """
    if not isinstance(session, VideoSession):
        return []
    out = []
    for track in session.objects.values():
        bank = track.bank
        # The oldest map that a frame asks for, counted from itself (`MemoryBank.plan`).
        maps = bank.map_reach - 2 * bank.config.memory_temporal_stride_for_eval + 1
        recent = {}
        for t, entry in bank.recent.items():
            distance = 0 if near is None else abs(t - near)
            if distance <= bank.reach + 1:
                keep_map = entry.map_bdhw if distance <= maps else None
                recent[t] = replace(entry, low_res_logits_b1hw=None, map_bdhw=keep_map)
        out.append(
            TrackMemory(
                track.obj_id,
                dict(bank.conditioning),
                recent,
                dict(track.points),
                sorted(track.mask_frames),
                list(track.tracked.runs),
            )
        )
    return out


def put(session: Any, memories: Iterable[TrackMemory]) -> None:
    """Give memories to a session, in place of all it had."""
    assert isinstance(session, VideoSession)
    session.objects.clear()
    device = session.storage
    for memory in memories:
        track = session.object(memory.obj_id)
        track.bank.conditioning = {t: e.to(device) for t, e in memory.conditioning.items()}
        track.bank.recent = {t: e.to(device) for t, e in memory.recent.items()}
        track.points = dict(memory.points)
        track.mask_frames = set(memory.mask_frames)
        track.tracked = TrackedFrames(list(memory.tracked))


def to_tensors(
    memories: list[TrackMemory], prefix: str, conditioning: bool = True
) -> tuple[dict[str, Tensor], list[Any]]:
    """Flatten memories.

    Args:
        memories: from `take`.
        prefix: put before every name.
        conditioning: prompted memories too; else they are left out (kept elsewhere, once).

    Returns:
        contiguous tensors on the CPU by name, and plain values for JSON; `from_tensors` wants both.
    """
    tensors: dict[str, Tensor] = {}
    facts = []
    for i, memory in enumerate(memories):
        at = f"{prefix}{i}/"
        prompted = memory.conditioning if conditioning else {}
        facts.append(
            {
                "id": memory.obj_id,
                "conditioning": [
                    entry_to_tensors(e, f"{at}conditioning/{t}/", tensors, {"frame": t})
                    for t, e in prompted.items()
                ],
                "recent": [
                    entry_to_tensors(e, f"{at}recent/{t}/", tensors, {"frame": t})
                    for t, e in memory.recent.items()
                ],
                "points": sorted(memory.points),
                "mask_frames": memory.mask_frames,
                "tracked": memory.tracked,
            }
        )
        for t, prompt in memory.points.items():
            tensors[f"{at}points/{t}/coords"] = _plain(prompt.coords_bn2)
            tensors[f"{at}points/{t}/labels"] = _plain(prompt.labels_bn)
    return tensors, facts


def from_tensors(get: Callable[[str], Tensor], facts: list[Any], prefix: str) -> list[TrackMemory]:
    """The memories that `to_tensors` flattened; `get` returns a tensor by its name."""
    out = []
    for i, fact in enumerate(facts):
        at = f"{prefix}{i}/"
        stores: dict[str, dict[int, MemoryEntry]] = {}
        for store in ("conditioning", "recent"):
            stores[store] = {
                int(e["frame"]): entry_from_tensors(get, f"{at}{store}/{e['frame']}/", e) for e in fact[store]
            }
        out.append(
            TrackMemory(
                fact["id"],
                stores["conditioning"],
                stores["recent"],
                {
                    t: PointPrompt(
                        get(f"{at}points/{t}/coords").clone(), get(f"{at}points/{t}/labels").clone()
                    )
                    for t in fact["points"]
                },
                list(fact["mask_frames"]),
                [(int(a), int(b), bool(r)) for a, b, r in fact["tracked"]],
            )
        )
    return out


def entry_to_tensors(
    entry: MemoryEntry, prefix: str, tensors: dict[str, Tensor], fact: dict[str, Any]
) -> dict[str, Any]:
    """Put an entry's tensors into `tensors`; returns `fact` with the strides that it takes to build them."""
    strides = {}
    for part, attribute in _PARTS.items():
        value: Tensor | None = getattr(entry, attribute)
        if value is not None:
            tensors[prefix + part] = _plain(value)
            strides[part] = list(value.stride())
    return {**fact, "strides": strides}


def entry_from_tensors(get: Callable[[str], Tensor], prefix: str, fact: dict[str, Any]) -> MemoryEntry:
    """The entry that `entry_to_tensors` flattened."""
    parts: dict[str, Tensor | None] = dict.fromkeys(_PARTS.values())
    for part, stride in fact["strides"].items():
        plain = get(prefix + part)
        # A fresh allocation, aligned as torch does it: kernels may round by alignment.
        value = torch.empty_strided(plain.shape, stride, dtype=plain.dtype)
        parts[_PARTS[part]] = value.copy_(plain)
    return MemoryEntry(**parts)  # type: ignore[arg-type]


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous()
