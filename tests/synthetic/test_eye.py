"""The truth of a rendered clip is exact, complete and follows from the seed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ocusam.core.errors import InputError
from ocusam.core.geometry import Ellipse
from ocusam.synthetic.eye import (
    EyeStyle,
    draw_style,
    iter_eye_frames,
    lab_style,
    plain_style,
    render_eye_clip,
)

SIZE = (240, 320)
View = tuple[float, float, float, float, tuple[float, float]]
VIEWS = [  # iris share of the width, aspect, yaw, roll, gaze
    (0.30, 1.0, 0.0, 0.0, (0.0, 0.0)),
    (0.50, 1.6, 25.0, 30.0, (0.0, 0.0)),
    (0.20, 0.7, -20.0, 100.0, (5.0, 5.0)),
    (0.35, 1.0, 10.0, 45.0, (-8.0, 3.0)),
]


def still_style(share: float, aspect: float, yaw: float, roll: float, gaze: tuple[float, float]) -> EyeStyle:
    style = plain_style()
    camera = replace(
        style.camera, iris_share=share, aspect=aspect, yaw=yaw, roll=roll, center=(0.5037, 0.4971)
    )
    return replace(style, camera=camera, motion=replace(style.motion, gaze_center=gaze))


def centroid(share: NDArray[np.float64]) -> tuple[float, float]:
    y, x = np.mgrid[: share.shape[0], : share.shape[1]]
    return float((share * x).sum() / share.sum()), float((share * y).sum() / share.sum())


def edge_offsets(image: NDArray[Any], ellipse: Ellipse, rays: int = 360) -> NDArray[np.float64]:
    """Where along the outward normal the picture crosses half height, px from the outline."""
    image = image.astype(np.float32)
    a, b = ellipse.axes[0] / 2, ellipse.axes[1] / 2
    c, s = np.cos(np.radians(ellipse.angle)), np.sin(np.radians(ellipse.angle))
    turn = np.array([[c, -s], [s, c]])
    t = np.arange(-3.0, 3.01, 0.1)
    found = []
    for phi in np.linspace(0, 2 * np.pi, rays, endpoint=False):
        normal = np.array([np.cos(phi) / a, np.sin(phi) / b])
        normal = turn @ (normal / np.linalg.norm(normal))
        at = turn @ np.array([a * np.cos(phi), b * np.sin(phi)]) + np.array(ellipse.center)
        line = (at + t[:, None] * normal).astype(np.float32)
        v = cv2.remap(image, line[None, :, 0], line[None, :, 1], cv2.INTER_LINEAR)[0]
        half = (v[:8].mean() + v[-8:].mean()) / 2
        k = int(np.argmax(v > half))
        found.append(t[k - 1] + 0.1 * (half - v[k - 1]) / (v[k] - v[k - 1]))
    return np.array(found)


@pytest.mark.parametrize("view", VIEWS)
def test_coverage_of_an_open_pupil_is_its_ellipse(
    view: View,
) -> None:
    clip = render_eye_clip(1, num_frames=2, size=SIZE, style=still_style(*view))
    ellipse = clip.ellipses["pupil"][1]
    assert ellipse is not None
    share = clip.coverage["pupil"][1] / 255.0
    x, y = centroid(share)
    assert abs(x - ellipse.center[0]) < 0.02 and abs(y - ellipse.center[1]) < 0.02
    assert abs(share.sum() / ellipse.area - 1.0) < 0.005
    assert clip.pupil_visible_fraction[1] > 0.995


@pytest.mark.parametrize("view", VIEWS)
def test_the_edge_in_the_picture_lies_on_the_ellipse(
    view: View,
) -> None:
    clip = render_eye_clip(1, num_frames=2, size=SIZE, style=still_style(*view))
    ellipse = clip.ellipses["pupil"][1]
    assert ellipse is not None
    offsets = edge_offsets(clip.frames[1], ellipse)
    # Read bilinearly, even exactly covered pixels show the steps of the grid (rms 0.055 px, up to 0.1 px), so
    # each eighth of the outline is averaged.
    assert np.abs(offsets.reshape(8, -1).mean(axis=1)).max() < 0.05
    assert np.abs(offsets).max() < 0.13


def test_pupil_iris_sclera_fill_the_lid_opening_without_overlap() -> None:
    clip = render_eye_clip(3, num_frames=2, size=SIZE, style=plain_style())
    total = sum(clip.coverage[name][1].astype(int) for name in ("pupil", "iris", "sclera"))
    assert isinstance(total, np.ndarray)
    assert total.max() <= 256
    inside = total > 250
    assert inside.sum() > 0.97 * (total > 5).sum() - 4 * (SIZE[0] + SIZE[1])
    limbus = clip.ellipses["iris"][1]
    pupil = clip.ellipses["pupil"][1]
    assert limbus is not None and pupil is not None
    assert limbus.area > pupil.area
    # With wide open lids iris and pupil together are the limbus disc.
    disc = (clip.coverage["iris"][1].astype(int) + clip.coverage["pupil"][1]).sum() / 255.0
    assert abs(disc / limbus.area - 1.0) < 0.005


def test_reflections_do_not_hide_the_pupil_and_lie_where_the_truth_says() -> None:
    style = plain_style()
    light = replace(style.light, leds=((0.02, 0.03),), led_radius_mm=0.8, led_softness=0.0, led_bloom=0.0)
    clip = render_eye_clip(5, num_frames=2, size=SIZE, style=replace(style, light=light))
    assert clip.pupil_visible_fraction[1] > 0.995
    spot = clip.ellipses["cr0"][1]
    assert spot is not None
    share = clip.coverage["cr0"][1] / 255.0
    x, y = centroid(share)
    assert abs(x - spot.center[0]) < 0.03 and abs(y - spot.center[1]) < 0.03
    bright = (clip.frames[1] > 250).astype(float)
    x, y = centroid(bright)
    assert abs(x - spot.center[0]) < 0.3 and abs(y - spot.center[1]) < 0.3


def test_a_blink_hides_the_pupil_but_not_its_ellipse() -> None:
    style = lab_style()
    motion = replace(style.motion, early_blink=1.0, blink_s=0.2, partial_blinks=0.0, blink_hz=5.0)
    clip = render_eye_clip(2, num_frames=60, size=(64, 80), style=replace(style, motion=motion))
    assert clip.lid_opening.min() < 0.05
    closed = int(np.argmin(clip.lid_opening))
    assert clip.pupil_visible_fraction[closed] < 0.02
    assert clip.ellipses["pupil"][closed] is not None
    assert clip.coverage["iris"][closed].sum() < 0.02 * clip.coverage["iris"].sum(axis=(1, 2)).max()
    assert clip.pupil_visible_fraction.max() > 0.9


def test_the_gaze_foreshortens_the_pupil() -> None:
    straight = render_eye_clip(1, num_frames=1, size=SIZE, style=still_style(0.3, 1.0, 0.0, 0.0, (0.0, 0.0)))
    turned = render_eye_clip(1, num_frames=1, size=SIZE, style=still_style(0.3, 1.0, 0.0, 0.0, (40.0, 0.0)))
    first, second = straight.ellipses["pupil"][0], turned.ellipses["pupil"][0]
    assert first is not None and second is not None
    assert first.axes[1] == pytest.approx(first.axes[0], rel=1e-3)
    assert second.axes[1] / second.axes[0] == pytest.approx(np.cos(np.radians(40.0)), rel=1e-3)
    assert second.angle == pytest.approx(90.0, abs=0.1)


def test_everything_follows_from_the_seed() -> None:
    first = render_eye_clip(11, num_frames=3, size=(96, 96))
    again = render_eye_clip(11, num_frames=3, size=(96, 96))
    other = render_eye_clip(12, num_frames=3, size=(96, 96))
    assert np.array_equal(first.frames, again.frames)
    assert first.style == again.style and first.style != other.style
    assert all(np.array_equal(first.coverage[k], again.coverage[k]) for k in first.coverage)


def test_streamed_frames_are_the_frames_of_the_clip() -> None:
    clip = render_eye_clip(4, num_frames=4, size=(96, 128), fps=250.0)
    for index, frame in enumerate(itertools.islice(iter_eye_frames(4, 10_000, (96, 128), 250.0), 4)):
        assert np.array_equal(frame.image, clip.frames[index])
        assert frame.timestamp_ns == clip.timestamps_ns[index] == index * 4_000_000


@pytest.mark.parametrize("seed", range(18))
def test_any_drawn_style_gives_a_consistent_clip(seed: int) -> None:
    size = [(96, 128), (64, 64), (120, 72)][seed % 3]
    clip = render_eye_clip(seed, num_frames=3, size=size)
    names = {"pupil", "iris", "sclera"} | {f"cr{k}" for k in range(len(clip.style.light.leds))}
    assert set(clip.coverage) == names
    assert set(clip.ellipses) == names - {"sclera"}
    for share in clip.coverage.values():
        assert share.shape == (3, *size) and share.dtype == np.uint8
    for index in range(3):
        for name, outlines in clip.ellipses.items():
            if outlines[index] is None:
                assert clip.coverage[name][index].max() == 0
        ellipse = clip.ellipses["pupil"][index]
        if ellipse is not None and clip.style.camera.views == 1:
            y, x = np.nonzero(clip.coverage["pupil"][index] > 250)
            if len(x) and not clip.style.camera.interlaced:
                assert float(ellipse.distance(np.stack([x, y], 1)).max()) < 0.5
    assert np.all((clip.pupil_visible_fraction >= 0) & (clip.pupil_visible_fraction <= 1))


def test_short_clips_hold_enough_blinks_and_movement() -> None:
    blinks = moved = 0
    for seed in range(60):
        style = draw_style(np.random.default_rng(seed))
        bare = replace(style, camera=replace(style.camera, views=1), light=replace(style.light, clutter=0))
        clip = render_eye_clip(seed, num_frames=8, size=(32, 32), style=bare)
        blinks += bool(clip.lid_opening.min() < 0.4 * clip.lid_opening.max())
        moved += bool(np.ptp(clip.gaze_deg, axis=0).max() > 2.0)
    assert blinks >= 5
    assert moved >= 20


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="num_frames"):
        render_eye_clip(0, num_frames=0)
    with pytest.raises(InputError, match="32 px"):
        render_eye_clip(0, size=(16, 64))


def test_a_gap_passes_unseen_and_a_blink_comes_when_asked() -> None:
    shut = 0
    for seed in range(5):
        clip = render_eye_clip(seed, num_frames=7, size=(48, 48), fps=15.0, style=lab_style(), blink=True)
        shut += clip.lid_opening.min() < 0.3
        assert clip.lid_opening[0] > 0.3
    assert shut >= 3
    near = render_eye_clip(3, num_frames=3, size=(48, 48), fps=10.0, style=lab_style())
    far = render_eye_clip(3, num_frames=3, size=(48, 48), fps=10.0, style=lab_style(), gap=50)
    assert near.timestamps_ns.tolist() == [0, 100_000_000, 200_000_000]
    assert far.timestamps_ns.tolist() == [0, 5_100_000_000, 5_200_000_000]
    assert np.array_equal(near.frames[0], far.frames[0])
    assert not np.allclose(near.gaze_deg[1], far.gaze_deg[1], atol=0.2)
    with pytest.raises(InputError, match="gap"):
        render_eye_clip(3, num_frames=3, gap=-1)
