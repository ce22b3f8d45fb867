"""Rare difficulties: where they are, what they hide, and that other clips do not change for them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ocusam.synthetic import hard
from ocusam.synthetic.draw import draw_style, lab_style
from ocusam.synthetic.eye import render_eye_clip
from ocusam.synthetic.style import EyeStyle


def test_most_styles_are_untouched_and_each_difficulty_is_rare() -> None:
    plain = lab_style()
    styles = [hard.harder(np.random.default_rng(seed), plain) for seed in range(2000)]
    assert 0.55 < np.mean([style == plain for style in styles]) < 0.7
    for share, changed in (
        (hard.RING, [len(s.light.leds) > 2 for s in styles]),
        (hard.SOFT_LASHES, [s.face.lash_blur_mm > 0 for s in styles]),
        (hard.TEARS, [s.light.tear_mm != plain.light.tear_mm for s in styles]),
        (hard.LENS, [s.light.contact_lens > 0 for s in styles]),
        (hard.ROLLING, [s.camera.flicker > 0 for s in styles]),
        (hard.PASSING, [s.face.passing > 0 for s in styles]),
        (hard.SHEEN, [s.face.sheen > 0 for s in styles]),
    ):
        assert np.mean(changed) == pytest.approx(share, abs=0.02)


def test_the_draw_of_everything_else_does_not_depend_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    draw_style(generator)
    after = generator.random()
    monkeypatch.setattr("ocusam.synthetic.draw.harder", lambda rng, style: style)
    other = np.random.default_rng(3)
    draw_style(other)
    assert other.random() == after


def test_a_ring_of_reflections_lies_on_the_rim_of_the_pupil() -> None:
    still = lab_style()
    still = replace(
        still, motion=replace(still.motion, gaze_range=(0.0, 0.0), pupil_change=0.0, drift_deg=0.0)
    )
    rng = np.random.default_rng(1)
    leds = hard.ring_of_leds(rng, still)
    clip = render_eye_clip(5, num_frames=1, style=replace(still, light=replace(still.light, leds=leds)))
    pupil = clip.ellipses["pupil"][0]
    assert pupil is not None
    spots = [clip.ellipses[f"cr{k}"][0] for k in range(len(leds))]
    off = [math.dist(s.center, pupil.center) / (pupil.major / 2) for s in spots if s is not None]
    assert len(off) >= 4 and all(0.5 < d < 1.6 for d in off) and 0.7 < np.mean(off) < 1.3


def test_a_shining_lid_adds_light_where_it_says_and_hides_nothing() -> None:
    plain = _lab()
    shining = _lab(sheen=1.0, sheen_mm=(0.0, -8.0, 3.0, 3.0))
    without, having = (render_eye_clip(5, num_frames=1, style=style) for style in (plain, shining))
    lighter = having.frames[0].astype(float) - without.frames[0]
    assert (having.coverage["pupil"] == without.coverage["pupil"]).all()
    above, eye = lighter[: lighter.shape[0] // 2].max(), lighter[having.coverage["pupil"][0] > 250]
    assert above > 50 and abs(eye.mean()) < 3


def _lab(**face: Any) -> EyeStyle:
    style = lab_style()
    return replace(style, face=replace(style.face, **face), motion=replace(style.motion, blink_hz=1e-6))


def test_what_passes_hides_the_pupil_and_lets_it_come_back() -> None:
    clip = render_eye_clip(4, num_frames=40, size=(96, 96), style=_lab(passing=0.5, passing_level=0.3))
    seen = clip.coverage["pupil"].reshape(40, -1).sum(1) / 255
    assert seen[0] > 20 and seen[1] > 20
    hidden = seen < 0.1 * seen[0]
    assert hidden.any() and not hidden[-1]
    frame = int(np.flatnonzero(hidden)[0])
    ellipse = clip.ellipses["pupil"][frame]
    assert ellipse is not None and clip.pupil_visible_fraction[frame] < 0.15
    x, y = (round(v) for v in ellipse.center)
    assert abs(int(clip.frames[frame][y, x]) - int(clip.frames[0][y, x])) > 20


def test_soft_lashes_tears_and_a_rigid_lens_change_the_picture_and_no_truth() -> None:
    plain = render_eye_clip(4, num_frames=1, style=_lab())
    soft = render_eye_clip(4, num_frames=1, style=_lab(lash_blur_mm=0.6))
    style = _lab()
    wet = replace(style, light=replace(style.light, tear_line=1.0, tear_mm=1.0))
    lens = replace(style, light=replace(style.light, contact_lens=0.8, contact_lens_shift=(0.1, 0.0)))
    others = [soft, render_eye_clip(4, num_frames=1, style=wet), render_eye_clip(4, num_frames=1, style=lens)]
    for other in others:
        difference = np.abs(other.frames[0].astype(int) - plain.frames[0])
        assert (difference > 12).mean() > 0.001
        assert other.ellipses["pupil"] == plain.ellipses["pupil"]
        assert np.array_equal(other.coverage["pupil"], plain.coverage["pupil"])
