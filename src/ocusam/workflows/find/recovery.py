"""When a track is lost for longer than a blink: look again, and if a pupil convinces, click it.

Purpose: `Recovery` watches one view's pupil frame by frame and says when to look and where to click. It is
fed what tracking yields and holds no network and no video, so it can be stored between any two frames
(`to_dict`) and goes on the same in another process. `lookout` connects it to a session.

Notable choices: causal: only frames up to the current one count. Lost means that the network's object score
is not above 0, or that its mask has no ellipse, for half a second and ten frames; a blink is shorter (100-400
ms, see `eye.blink`), and of a closed eye nothing convinces. A new pupil must look like one by itself
(`eye.candidates`) and, where the network has a map of the parts of the eye, on that map (`weighing`), be of
the size that was last tracked (a factor of 2.5 in area; pupils change slowly), of the same polarity, and
stand out from any other place on that frame. It may be anywhere: eyes move while they are lost. The network's
mask of a click on it must overlap it, since that mask is what tracking would go on with. And a second look, a
tenth of a second later, must find it again: lids on their way up make shapes that last for a frame. After
each look without success the next one waits twice as long, up to eight seconds, so that an hour without an
eye costs little.

What it does not know: a track that is wrong without being lost (a pupil that has grown into the iris keeps
its object score), and why it was lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.candidates import Candidate, as_grey, find_candidates
from ocusam.workflows.find.judge import Judge, overlap, parts_of_picture
from ocusam.workflows.find.part_map import PartMap
from ocusam.workflows.find.search import free_of_specks
from ocusam.workflows.find.weighing import CONVINCING, weigh

_RANKED = 12  # places that look likeliest by the picture, before the map is asked about them


@dataclass(frozen=True)
class RecoveryRules:
    """Limits.

    Attributes:
        lost_s, lost_frames: both must have passed without a pupil before the first look.
        first_wait_s, longest_wait_s: time from a look without success to the next one, doubling.
        confirm_s: time from a look that convinces to the one that must confirm it.
        convincing: score (`weighing.weigh`) from which a pupil convinces.
        agreement: least overlap of the network's mask with its rim, where there is a network to ask.
        margin: how much likelier than any other place it must be.
        area_factor: by how much its area may differ from the last tracked one's, either way.
    """

    lost_s: float = 0.5
    lost_frames: int = 10
    first_wait_s: float = 0.25
    longest_wait_s: float = 8.0
    confirm_s: float = 0.1
    convincing: float = CONVINCING
    agreement: float = 0.6
    margin: float = 0.1
    area_factor: float = 2.5


@dataclass(frozen=True)
class FoundAgain:
    """A pupil that convinced twice, on the later of the two frames.

    Attributes:
        click: where to click, px of the view.
        lost_since_frame: first frame of the loss.
        lost_ms: how long it was lost.
        picture_probability: how much it looks like a pupil, 0..1.
        network_agreement: overlap of the network's mask with it; None where there was no network to ask.
        score: both together, 0..1.
    """

    click: tuple[float, float]
    lost_since_frame: int
    lost_ms: float
    picture_probability: float
    network_agreement: float | None
    score: float


@dataclass(frozen=True, eq=False)
class _Place:
    """A place that may be the pupil: its shape, and what the network's map of the picture says, if any."""

    shape: Candidate
    figures: tuple[float, ...] | None = None
    parts: PartMap | None = None

    def score(self, agreement: float | None) -> float:
        return weigh(self.shape.probability, agreement, self.figures)

    @property
    def likelihood(self) -> float:
        """What places of one picture are compared by."""
        return self.shape.probability if self.figures is None else self.score(None)


def _seen_on(grey: NDArray[np.uint8], bright: bool, judge: Judge | None) -> list[_Place]:
    """Places, by the picture's edges and, where the network has one, by its map of the parts of the eye."""
    parts = parts_of_picture(judge, grey)
    if parts is None:
        return [_Place(shape) for shape in find_candidates(grey, bright=bright)]
    found = find_candidates(grey, _RANKED, bright=bright, also=parts.places())
    figures = parts.figures([shape.ellipse for shape in found]).tolist()
    return [_Place(shape, tuple(own), parts) for shape, own in zip(found, figures, strict=True)]


@dataclass
class Recovery:
    """Watches the pupil of one view; feed frames in the order of tracking, forward or backward in time.

    Attributes:
        rules: limits.
        bright: the pupil is a bright one; None: not known yet.
        area: of the last ellipse that was tracked, px^2; None: none was.
        lost_since: frame and time (ns) at which the loss began; None while the pupil is seen.
        lost_frames: frames of the loss so far.
        next_look_ns: time of the next look, as distance from the beginning of the loss.
        wait_s: wait after that one.
        seen: center x, y and major axis (px of the view) of what convinced once and waits for a second look.
    """

    rules: RecoveryRules = field(default_factory=RecoveryRules)
    bright: bool | None = None
    area: float | None = None
    lost_since: tuple[int, int] | None = None
    lost_frames: int = 0
    next_look_ns: int = 0
    wait_s: float = 0.0
    seen: tuple[float, float, float] | None = None

    def step(self, frame_idx: int, timestamp_ns: int, object_score: float, ellipse: Ellipse | None) -> bool:
        """Take in one frame.

        Args:
            frame_idx: its number.
            timestamp_ns: its time.
            object_score: the network's logit that the pupil is there.
            ellipse: what was measured of it; None: nothing.

        Returns:
            Whether to `look` at this frame.
        """
        if object_score > 0 and ellipse is not None:
            self.area = ellipse.area
            self.back()
            return False
        if self.area is None:
            return False  # never tracked: a prompt that failed at once is for the user to mend
        if self.lost_since is None:
            self.lost_since = (frame_idx, timestamp_ns)
            self.next_look_ns = round(self.rules.lost_s * 1e9)
            self.wait_s = self.rules.first_wait_s
        self.lost_frames += 1
        return self.lost_frames >= self.rules.lost_frames and self._lost_ns(timestamp_ns) >= self.next_look_ns

    def look(
        self, timestamp_ns: int, picture: NDArray[np.uint8], judge: Judge | None = None
    ) -> FoundAgain | None:
        """Search one frame, after `step` said so.

        Args:
            timestamp_ns: its time.
            picture: uint8 (h, w) or (h, w, 3) of the view.
            judge: is asked about what looks like a pupil; None: the picture alone decides.

        Returns:
            Where to click, or None where nothing convinces, or not twice. After a click is entered and
            answered, tell by `back`.
        """
        assert self.lost_since is not None, "look only after step said so"
        grey = as_grey(picture)
        best = self._convincing(_seen_on(grey, bool(self.bright), judge), None if judge is None else 1.0)
        found = None if best is None else self._asked(grey, best, timestamp_ns, judge)
        if best is None or found is None:
            self.seen = None
            self._wait(timestamp_ns, self.wait_s)
            self.wait_s = min(2.0 * self.wait_s, self.rules.longest_wait_s)
            return None
        e, before = best.shape.ellipse, self.seen
        self.seen = (*e.center, e.major)
        again = before is not None and math.dist(before[:2], e.center) < e.major
        if again and before is not None and 1 / 1.5 < e.major / before[2] < 1.5:
            return found
        self._wait(timestamp_ns, self.rules.confirm_s)
        return None

    def back(self) -> None:
        """The pupil is there again."""
        self.lost_since, self.lost_frames, self.next_look_ns, self.wait_s = None, 0, 0, 0.0
        self.seen = None

    def _lost_ns(self, timestamp_ns: int) -> int:
        assert self.lost_since is not None
        return abs(timestamp_ns - self.lost_since[1])

    def _wait(self, timestamp_ns: int, seconds: float) -> None:
        self.next_look_ns = self._lost_ns(timestamp_ns) + round(seconds * 1e9)

    def _convincing(self, found: list[_Place], granted: float | None) -> _Place | None:
        """The likeliest place, if it may be the pupil that was lost and nothing rivals it.

        Args:
            found: places of one frame.
            granted: what the network's answer to a click may still add, until it is asked.
        """
        assert self.area is not None, "look only after step said so"
        factor, bright = self.rules.area_factor, bool(self.bright)
        fits = [
            p
            for p in found
            if p.shape.bright == bright and 1.0 / factor < p.shape.ellipse.area / self.area < factor
        ]
        best = max(fits, key=lambda p: p.score(None), default=None)
        if best is None or best.score(granted) < self.rules.convincing:
            return None
        # Another rim of the same thing (its iris) is no rival.
        mine = best.shape.ellipse
        rivals = [p for p in found if math.dist(p.shape.ellipse.center, mine.center) > mine.major]
        sure = max((p.likelihood for p in rivals), default=-1.0)
        return None if sure > best.likelihood - self.rules.margin else best

    def _asked(
        self, grey: NDArray[np.uint8], place: _Place, timestamp_ns: int, judge: Judge | None
    ) -> FoundAgain | None:
        """The click, if the network's answer to it is what the picture shows."""
        assert self.lost_since is not None
        click, agreement = free_of_specks(grey, place.shape, place.parts), None
        if judge is not None:
            judge.look(grey)
            agreement = overlap(judge.answer([click])[0], place.shape.ellipse.mask(grey.shape[:2]))
            if agreement < self.rules.agreement:
                return None
        score = place.score(agreement)
        if score < self.rules.convincing:
            return None
        return FoundAgain(
            click,
            self.lost_since[0],
            round(self._lost_ns(timestamp_ns) / 1e6, 3),
            round(place.shape.probability, 3),
            None if agreement is None else round(agreement, 3),
            round(score, 3),
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values for JSON; rules are not part of it."""
        return {key: value for key, value in vars(self).items() if key != "rules"}

    @classmethod
    def from_dict(cls, values: dict[str, Any], rules: RecoveryRules | None = None) -> Recovery:
        """The state that `to_dict` told."""
        pairs: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(rules or RecoveryRules(), **pairs)


def is_bright(picture: NDArray[np.uint8], pupil: Ellipse) -> bool:
    """Whether a pupil is brighter than the ring around it.

    Args:
        picture: uint8 (h, w) or (h, w, 3) of the view.
        pupil: px of the view.
    """
    grey = as_grey(picture)
    size = (grey.shape[0], grey.shape[1])
    inside, near, far = (pupil.scaled(k, about=pupil.center).mask(size) for k in (0.8, 1.15, 1.5))
    ring = far & ~near
    if not inside.any() or not ring.any():
        return False
    return float(np.median(grey[inside])) > float(np.median(grey[ring]))
