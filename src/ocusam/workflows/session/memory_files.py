"""Snapshots of a tracker's memory on disk: safetensors, several snapshots a file.

Purpose: write what `tracking.snapshot` takes from the sessions of all views, and read one snapshot back
without the others.

Notable choices: equal tensors of a file (memories that two snapshots share) are stored once. A prompted
frame's memory is stored once for all, in `prompted_NNNNN.safetensors`; snapshots name it by number. So a
snapshot is as large as the memories of the last frames, whatever the number of prompts, and what an early
part of the video was tracked with can still be told after later corrections.

What it does not know: which file counts (`workflows.resume`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ocusam.core.errors import InputError
from ocusam.tracking.memory_bank import MemoryEntry
from ocusam.tracking.snapshot import (
    TrackMemory,
    entry_from_tensors,
    entry_to_tensors,
    from_tensors,
    take,
    to_tensors,
)
from ocusam.workflows.session.atomic import write_bytes

_KEY = "ocusam"


@dataclass
class Bundle:
    """What goes into one file: tensors, and plain values by the name of a part."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it whole.

        Raises:
            OutputError: it cannot be written.
        """
        by_content: dict[bytes, str] = {}
        same: dict[str, str] = {}
        for name in sorted(self.tensors):
            first = by_content.setdefault(_digest(self.tensors[name]), name)
            if first != name:
                same[name] = first
        once = {name: tensor for name, tensor in self.tensors.items() if name not in same}
        write_bytes(path, save(once, metadata={_KEY: json.dumps({"facts": self.facts, "same": same})}))

    @classmethod
    def read(cls, path: Path, prefix: str = "") -> Bundle:
        """Read the tensors whose names begin with `prefix`, and all facts.

        Raises:
            InputError: no such file, or a damaged one.
        """
        try:
            with safe_open(path, framework="pt") as file:
                told = json.loads((file.metadata() or {})[_KEY])
                names = {name: name for name in file.keys()} | told["same"]  # noqa: SIM118
                wanted = {name: at for name, at in names.items() if name.startswith(prefix)}
                tensors = {name: file.get_tensor(at) for name, at in wanted.items()}
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise InputError(f"The stored memory {path} cannot be read ({error}).") from None
        return cls(tensors, told["facts"])


class Prompted:
    """Memories of prompted frames, each stored once, by number in the order of their making.

    Attributes:
        entries: (view, object, frame, entry).
        stored: how many of them are on disk already.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, int, MemoryEntry]] = []
        self.stored = 0

    def number(self, view: int, name: str, frame: int, entry: MemoryEntry) -> int:
        """The number of an entry, a new one where it was never seen."""
        for i in range(len(self.entries) - 1, -1, -1):
            if self.entries[i][:3] == (view, name, frame) and _same(self.entries[i][3], entry):
                return i
        self.entries.append((view, name, frame, entry))
        return len(self.entries) - 1

    def first(self, view: int, name: str, frame: int) -> MemoryEntry:
        """The earliest entry of an object on a frame, which must be there."""
        return next(entry for *key, entry in self.entries if key == [view, name, frame])

    @property
    def fresh(self) -> bool:
        """Whether there are entries that are not on disk."""
        return self.stored < len(self.entries)

    def write(self, path: Path) -> None:
        """Write the entries that are not on disk yet."""
        bundle = Bundle()
        bundle.facts["entries"] = [
            entry_to_tensors(entry, f"{i}/", bundle.tensors, {"view": view, "object": name, "frame": frame})
            for i, (view, name, frame, entry) in enumerate(self.entries)
            if i >= self.stored
        ]
        bundle.facts["first"] = self.stored
        bundle.write(path)
        self.stored = len(self.entries)

    def read(self, path: Path) -> None:
        """Read a file of `write`; files in the order in which they were written."""
        bundle = Bundle.read(path)
        for i, fact in enumerate(bundle.facts["entries"], start=bundle.facts["first"]):
            entry = entry_from_tensors(bundle.tensors.__getitem__, f"{i}/", fact)
            self.entries.append((int(fact["view"]), fact["object"], int(fact["frame"]), entry))
        self.stored = len(self.entries)


def _digest(tensor: Tensor) -> bytes:
    kind = f"{tensor.dtype}{list(tensor.shape)}".encode()
    return hashlib.sha256(kind + tensor.contiguous().view(torch.uint8).numpy().tobytes()).digest()


def _same(a: MemoryEntry, b: MemoryEntry) -> bool:
    if a is b:
        return True
    assert a.low_res_logits_b1hw is not None and b.low_res_logits_b1hw is not None
    pairs = ((a.pointer_bc, b.pointer_bc), (a.low_res_logits_b1hw, b.low_res_logits_b1hw))
    return all(torch.equal(x.cpu(), y.cpu()) for x, y in pairs)


def add_snapshot(
    bundle: Bundle, name: str, states: dict[int, Any], prompted: Prompted, near: int | None = None
) -> None:
    """Put a snapshot of all views' sessions into a bundle.

    Args:
        bundle: where to.
        name: of the snapshot.
        states: sessions by view.
        prompted: where memories of prompted frames go.
        near: see `tracking.snapshot.take`.
    """
    facts: dict[str, Any] = {}
    for view, state in states.items():
        memories = take(state, near)
        tensors, tracks = to_tensors(memories, f"{name}/{view}/", conditioning=False)
        for memory, track in zip(memories, tracks, strict=True):
            track["prompted"] = [
                prompted.number(view, str(memory.obj_id), t, e) for t, e in memory.conditioning.items()
            ]
        bundle.tensors.update(tensors)
        facts[str(view)] = tracks
    bundle.facts[name] = facts


def read_snapshot(path: Path, name: str, prompted: Prompted) -> dict[int, list[TrackMemory]]:
    """A snapshot's memories by view.

    Raises:
        InputError: no such file, or a damaged one.
    """
    bundle = Bundle.read(path, f"{name}/")
    out = {}
    for view, tracks in bundle.facts[name].items():
        memories = from_tensors(bundle.tensors.__getitem__, tracks, f"{name}/{view}/")
        for memory, track in zip(memories, tracks, strict=True):
            found = [prompted.entries[i] for i in track["prompted"]]
            memory.conditioning = {frame: entry for _, _, frame, entry in found}
        out[int(view)] = memories
    return out
