"""What a user points at: clicks, boxes and masks, each for a named object on a frame.

Purpose: the value that the command line, the workflows and the predictors pass around, its text form
`NAME:X,Y[@FRAME]`, and the pack: all prompts of a recording with the annotated pictures shown before it.

Notable choices: coordinates are pixels of the whole picture, pixel centres at integers. A label is 1 for a
point on the object, 0 for a point not on it. In text a leading `-` on the name (`-pupil:10,20`) marks a point
not on it.

What it does not know: which names an application accepts (`check_names` is told), and the picture's size
until it is told (`check_inside`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.errors import PromptError

FORM = "NAME:X,Y or NAME:X,Y@FRAME, for example pupil:320,240 or pupil:103.5,100@100"
_POINT = re.compile(
    r"^\s*(?P<neg>-?)(?P<name>[^\s:@,]+):(?P<x>[^,@:]+),(?P<y>[^,@:]+)(?:@(?P<frame>[^@]+))?\s*$"
)


def _no_points() -> NDArray[np.float64]:
    return np.zeros((0, 2), dtype=np.float64)


def _no_labels() -> NDArray[np.int64]:
    return np.zeros((0,), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ObjectPrompt:
    """One object's prompt on one frame.

    Attributes:
        name: the object's name.
        frame_idx: the frame, from 0.
        points: (N, 2) float, (x, y) px.
        labels: (N,) int, 1 on the object, 0 not on it.
        box: (x0, y0, x1, y1) px, or None.
        mask: bool (h, w) at the size of the picture, or None; excludes points and box.

    Raises:
        PromptError: when shapes disagree, a label is neither 0 nor 1, or there is nothing in it.
    """

    name: str
    frame_idx: int = 0
    points: NDArray[np.float64] = field(default_factory=_no_points)
    labels: NDArray[np.int64] = field(default_factory=_no_labels)
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64).reshape(-1, 2)
        labels = np.asarray(self.labels, dtype=np.int64).reshape(-1)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", labels)
        if not self.name:
            raise PromptError("A prompt needs an object name.")
        if self.frame_idx < 0:
            raise PromptError(f"Prompt for {self.name!r}: frames count from 0, got frame {self.frame_idx}.")
        if len(points) != len(labels):
            raise PromptError(f"Prompt for {self.name!r}: {len(points)} points but {len(labels)} labels.")
        if not np.isfinite(points).all():
            raise PromptError(f"Prompt for {self.name!r}: a point is not a finite number.")
        if not np.isin(labels, (0, 1)).all():
            raise PromptError(
                f"Prompt for {self.name!r}: labels are 1 (on it) or 0 (not on it), got {labels.tolist()}."
            )
        if self.mask is not None and (len(points) or self.box is not None):
            raise PromptError(f"Prompt for {self.name!r}: give a mask, or points and a box, not both.")
        if self.mask is None and self.box is None and not len(points):
            raise PromptError(f"Prompt for {self.name!r} is empty: give a point, a box or a mask.")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not all(math.isfinite(v) for v in self.box) or x1 <= x0 or y1 <= y0:
                raise PromptError(
                    f"Prompt for {self.name!r}: a box is x0,y0,x1,y1 with x0 < x1 and y0 < y1, "
                    f"got {self.box}."
                )

    @property
    def center(self) -> tuple[float, float]:
        """A point that says where the object is: mean of the positive points, else of the box, else of the
        mask."""
        on = self.points[self.labels == 1]
        if len(on):
            return float(on[:, 0].mean()), float(on[:, 1].mean())
        if self.box is not None:
            return (self.box[0] + self.box[2]) / 2.0, (self.box[1] + self.box[3]) / 2.0
        if self.mask is not None and self.mask.any():
            ys, xs = np.nonzero(self.mask)
            return float(xs.mean()), float(ys.mean())
        return float(self.points[:, 0].mean()), float(self.points[:, 1].mean())

    def translated(self, dx: float, dy: float) -> ObjectPrompt:
        """The same prompt with points and box moved by (dx, dy) px; a mask cannot be moved (crop it
        instead)."""
        if self.mask is not None:
            raise PromptError(f"Prompt for {self.name!r}: a mask prompt cannot be moved.")
        box = (
            None
            if self.box is None
            else (self.box[0] + dx, self.box[1] + dy, self.box[2] + dx, self.box[3] + dy)
        )
        return ObjectPrompt(self.name, self.frame_idx, self.points + np.array([dx, dy]), self.labels, box)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON (masks are left to the caller: only their size is told)."""
        out: dict[str, Any] = {
            "object": self.name,
            "frame_idx": self.frame_idx,
            "points": self.points.tolist(),
            "labels": self.labels.tolist(),
        }
        if self.box is not None:
            out["box"] = list(self.box)
        if self.mask is not None:
            out["mask_size"] = list(self.mask.shape)
        return out


@dataclass(frozen=True, eq=False)
class ReferencePicture:
    """An annotated picture of the participant, shown to the tracker before the first frame.

    Attributes:
        name: what messages call it, its file's name.
        image: uint8 (h, w, 3) RGB; any size.
        prompts: what is annotated, px of `image`; all on frame 0.

    Raises:
        PromptError: nothing annotated, a prompt on another frame, one outside the picture, or an image of
            another kind.
    """

    name: str
    image: NDArray[np.uint8]
    prompts: tuple[ObjectPrompt, ...]

    def __post_init__(self) -> None:
        if not self.prompts:
            raise PromptError(
                f"The reference picture {self.name} has no prompt: say what is to be seen on it."
            )
        if any(prompt.frame_idx for prompt in self.prompts):
            raise PromptError(
                f"The reference picture {self.name} is a single picture: its prompts are on frame 0."
            )
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise PromptError(
                f"The reference picture {self.name} has {self.image.dtype} values of shape "
                f"{self.image.shape}: give uint8 (height, width, 3), RGB."
            )
        try:
            check_inside(self.prompts, (self.image.shape[0], self.image.shape[1]))
        except PromptError as error:
            raise PromptError(f"Reference picture {self.name}: {error}") from None


@dataclass(frozen=True, eq=False)
class PromptPack:
    """All that is pointed at in one recording.

    Attributes:
        prompts: px of the whole picture of the video.
        references: annotated pictures that stand before frame 0, in order.
        size_hw: (height, width) of the picture that the coordinates belong to, or None where not said.
    """

    prompts: tuple[ObjectPrompt, ...] = ()
    references: tuple[ReferencePicture, ...] = ()
    size_hw: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self.prompts or self.references)

    @property
    def names(self) -> list[str]:
        """Names of all objects, in order of first mention, those of the references first."""
        every = [*(p for r in self.references for p in r.prompts), *self.prompts]
        return list(dict.fromkeys(p.name for p in every))

    def with_prompts(self, more: Iterable[ObjectPrompt]) -> PromptPack:
        """The pack with further prompts; points of one object on one frame are joined."""
        return replace(self, prompts=tuple(merge_prompts([*self.prompts, *more])))

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse a pack made for pictures of another size.

        Raises:
            PromptError: names both sizes.
        """
        if self.size_hw is not None and self.size_hw != size:
            raise PromptError(
                f"The prompts belong to pictures of {self.size_hw[1]} x {self.size_hw[0]} px (width x "
                f"height), the video has {size[1]} x {size[0]} px. Only prompts of a reference picture "
                "(--reference) may belong to another size."
            )


def parse_point(text: str) -> ObjectPrompt:
    """Read one click from text: `NAME:X,Y[@FRAME]`; `-NAME:X,Y` is a point that is *not* on the object.

    >>> parse_point("pupil:103,100.5@7").frame_idx
    7

    Raises:
        PromptError: when the text has another form.
    """
    match = _POINT.match(text)
    if match is None:
        raise PromptError(f"Cannot read the point {text!r}: write {FORM}.")
    try:
        x, y = float(match["x"]), float(match["y"])
        frame = int(match["frame"]) if match["frame"] is not None else 0
    except ValueError:
        raise PromptError(
            f"Cannot read the point {text!r}: X and Y are numbers, FRAME a whole number; write {FORM}."
        ) from None
    label = 0 if match["neg"] else 1
    return ObjectPrompt(match["name"], frame, np.array([[x, y]]), np.array([label]))


def merge_prompts(prompts: Iterable[ObjectPrompt]) -> list[ObjectPrompt]:
    """Join the points of prompts that share object and frame, in order; boxes: the last one counts; masks
    stay alone."""
    merged: dict[tuple[str, int], ObjectPrompt] = {}
    for prompt in prompts:
        key = (prompt.name, prompt.frame_idx)
        old = merged.get(key)
        if old is None or prompt.mask is not None or old.mask is not None:
            merged[key] = prompt
            continue
        merged[key] = ObjectPrompt(
            prompt.name,
            prompt.frame_idx,
            np.concatenate([old.points, prompt.points]),
            np.concatenate([old.labels, prompt.labels]),
            prompt.box if prompt.box is not None else old.box,
        )
    return list(merged.values())


def check_point_inside(x: float, y: float, size: tuple[int, int], what: str, *, corner: bool = False) -> None:
    """Refuse a point outside a picture of `size` (h, w).

    Pixel centres lie at integers, so a picture reaches from -0.5 to w - 0.5. A box's corner may also lie at w
    and h: many people's boxes end behind their last pixel.

    Args:
        x, y: px.
        size: (height, width) of the picture.
        what: how the error calls the point.
        corner: it is the corner of a box.

    Raises:
        PromptError: names the point, the size and what is allowed.
    """
    height, width = size
    last = 0 if corner else 1
    if not (-0.5 <= x <= width - 0.5 * last and -0.5 <= y <= height - 0.5 * last):
        raise PromptError(
            f"The {what} lies outside the picture, which is {width} x {height} px (width x height): "
            f"x from 0 to {width - last}, y from 0 to {height - last}."
        )


def check_inside(
    prompts: Iterable[ObjectPrompt], size: tuple[int, int], num_frames: int | None = None
) -> None:
    """Refuse prompts outside a picture of `size` (h, w) or, where known, after the last frame.

    Raises:
        PromptError: names the point, the size and what is allowed.
    """
    height, width = size
    for prompt in prompts:
        for x, y in prompt.points.tolist():
            check_point_inside(x, y, size, f"point {prompt.name}:{x:g},{y:g}")
        corners = () if prompt.box is None else (prompt.box[:2], prompt.box[2:])
        for x, y in corners:
            check_point_inside(x, y, size, f"box corner {x:g},{y:g} of {prompt.name!r}", corner=True)
        if prompt.mask is not None and prompt.mask.shape != (height, width):
            raise PromptError(
                f"The mask for {prompt.name!r} has size {prompt.mask.shape} (h, w), the picture "
                f"{(height, width)}."
            )
        if num_frames is not None and prompt.frame_idx >= num_frames:
            raise PromptError(
                f"The prompt for {prompt.name!r} is on frame {prompt.frame_idx}, but the video has "
                f"{num_frames} frames (0 to {num_frames - 1})."
            )


def check_names(prompts: Iterable[ObjectPrompt], known: Sequence[str], *, pattern: str | None = None) -> None:
    """Refuse object names that are neither in `known` nor match `pattern` (a full regular expression).

    Raises:
        PromptError: names the unknown one and lists the known ones.
    """
    for prompt in prompts:
        if prompt.name not in known and not (pattern is not None and re.fullmatch(pattern, prompt.name)):
            raise PromptError(f"Unknown object name {prompt.name!r}; known names: {', '.join(known)}.")
