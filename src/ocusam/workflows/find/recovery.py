"""When a track is lost for longer than a blink: look again, and if a pupil convinces, click it.

Purpose: `Recovery` watches one view's pupil frame by frame and says when to look and what to prompt. It is
fed what tracking yields and holds no network and no video, so it can be stored between any two frames
(`to_dict`) and goes on the same in another process.

Notable choices: causal: only frames up to the current one count. Lost means that the network's object score
is not above 0, or that its mask has no ellipse, for half a second and ten frames; a blink is shorter (100-400
ms, see `eye.blink`), and of a closed eye nothing convinces. A new pupil must look like one by itself
(`eye.candidates`), be of the size that was last tracked (a factor of 2.5 in area; pupils change slowly), of
the same polarity, and stand out from any other place on that frame. It may be anywhere: eyes move while they
are lost. After each look without success the next one waits twice as long, up to eight seconds, so that an
hour without an eye costs little.

What it does not know: a track that is wrong without being lost (a pupil that has grown into the iris keeps
its object score), and why it was lost.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.core.prompts import ObjectPrompt
from ocusam.eye.candidates import Candidate, as_grey, find_candidates
from ocusam.workflows.find.search import free_of_specks


@dataclass(frozen=True)
class RecoveryRules:
    """Limits.

    Attributes:
        lost_s, lost_frames: both must have passed without a pupil before the first look.
        first_wait_s, longest_wait_s: time from a look without success to the next one, doubling.
        convincing: probability from which a pupil convinces by its picture.
        margin: how much likelier than any other place it must be.
        area_factor: by how much its area may differ from the last tracked one's, either way.
    """

    lost_s: float = 0.5
    lost_frames: int = 10
    first_wait_s: float = 0.25
    longest_wait_s: float = 8.0
    convincing: float = 0.6
    margin: float = 0.1
    area_factor: float = 2.5


@dataclass
class Recovery:
    """Watches the pupil of one view; feed frames in the order of tracking, forward or backward in time.

    Attributes:
        rules: limits.
        bright: the pupil is a bright one.
        last: center x, center y, major, minor, angle of the last ellipse that was tracked, px of the view.
        lost_since_ns, lost_frames: the current loss; None and 0 while the pupil is seen.
        next_look_ns: time of the next look, as distance from the beginning of the loss.
        wait_s: wait after that one.
        recovered: frames on which a pupil was found again.
    """

    rules: RecoveryRules = field(default_factory=RecoveryRules)
    bright: bool = False
    last: list[float] | None = None
    lost_since_ns: int | None = None
    lost_frames: int = 0
    next_look_ns: int = 0
    wait_s: float = 0.0
    recovered: list[int] = field(default_factory=list)

    def step(self, timestamp_ns: int, object_score: float, ellipse: Ellipse | None) -> bool:
        """Take in one frame.

        Args:
            timestamp_ns: its time.
            object_score: the network's logit that the pupil is there.
            ellipse: what was measured of it, px of the view; None: nothing.

        Returns:
            Whether to `look` at this frame.
        """
        if object_score > 0 and ellipse is not None:
            self.last = [*ellipse.center, *ellipse.axes, ellipse.angle]
            self._seen()
            return False
        if self.last is None:
            return False  # never tracked: a prompt that failed at once is for the user to mend
        if self.lost_since_ns is None:
            self.lost_since_ns = timestamp_ns
            self.next_look_ns = round(self.rules.lost_s * 1e9)
            self.wait_s = self.rules.first_wait_s
        self.lost_frames += 1
        lost_ns = abs(timestamp_ns - self.lost_since_ns)
        return self.lost_frames >= self.rules.lost_frames and lost_ns >= self.next_look_ns

    def look(
        self, frame_idx: int, timestamp_ns: int, picture: NDArray[np.uint8], name: str = "pupil"
    ) -> ObjectPrompt | None:
        """Search one frame, after `step` said so.

        Args:
            frame_idx: number of the frame, for the prompt.
            timestamp_ns: its time.
            picture: uint8 (h, w) or (h, w, 3) of the view.
            name: the object's name.

        Returns:
            A click on the pupil in px of the view, or None where nothing convinces.
        """
        best = self._convincing(find_candidates(picture, bright=self.bright))
        if best is None:
            assert self.lost_since_ns is not None, "look only after step said so"
            self.next_look_ns = abs(timestamp_ns - self.lost_since_ns) + round(self.wait_s * 1e9)
            self.wait_s = min(2.0 * self.wait_s, self.rules.longest_wait_s)
            return None
        self.recovered.append(frame_idx)
        self._seen()
        at = free_of_specks(as_grey(picture), best)
        return ObjectPrompt(name, frame_idx, np.array([at]), np.array([1]))

    def _seen(self) -> None:
        self.lost_since_ns, self.lost_frames, self.next_look_ns, self.wait_s = None, 0, 0, 0.0

    def _convincing(self, found: list[Candidate]) -> Candidate | None:
        assert self.last is not None, "look only after step said so"
        area = math.pi / 4.0 * self.last[2] * self.last[3]
        fits = [
            c
            for c in found
            if c.bright == self.bright
            and 1.0 / self.rules.area_factor < c.ellipse.area / area < self.rules.area_factor
        ]
        if not fits or fits[0].probability < self.rules.convincing:
            return None
        # Another rim of the same thing (its iris) is no rival.
        rivals = [
            c.probability
            for c in found
            if math.dist(c.ellipse.center, fits[0].ellipse.center) > fits[0].ellipse.major
        ]
        if rivals and max(rivals) > fits[0].probability - self.rules.margin:
            return None
        return fits[0]

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recovery:
        """The state that `to_dict` told."""
        return cls(**{**values, "rules": RecoveryRules(**values["rules"])})
