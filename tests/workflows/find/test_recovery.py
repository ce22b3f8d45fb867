import json

import numpy as np
from numpy.typing import NDArray

from fake_predictor import eye_picture
from ocusam.core.geometry import Ellipse
from ocusam.core.prompts import ObjectPrompt
from ocusam.workflows.find.recovery import Recovery, RecoveryRules

FPS = 50
PUPIL = Ellipse((60.0, 55.0), (30.0, 24.0), 20.0)
ELSEWHERE = Ellipse((110.0, 60.0), (26.0, 24.0), 0.0)
OPEN, CLOSED = eye_picture(ELSEWHERE), eye_picture(None)


def noisy(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def play(
    frames: list[tuple[bool, NDArray[np.uint8]]], policy: Recovery, start: int = 0
) -> tuple[list[int], list[ObjectPrompt]]:
    """Feed (seen, picture) frames; once prompted, the track holds. -> looks, prompts."""
    looks, prompts = [], []
    for i, (seen, picture) in enumerate(frames, start):
        time = i * 1_000_000_000 // FPS
        if policy.step(time, 3.0 if seen or prompts else -3.0, PUPIL if seen or prompts else None):
            looks.append(i)
            prompt = policy.look(i, time, picture)
            if prompt is not None:
                prompts.append(prompt)
    return looks, prompts


def test_a_blink_is_not_looked_at() -> None:
    frames = [(True, OPEN)] * 10 + [(False, CLOSED)] * 24 + [(True, OPEN)] * 10
    assert play(frames, Recovery()) == ([], [])


def test_a_lost_pupil_is_found_elsewhere_after_half_a_second() -> None:
    looks, prompts = play([(True, OPEN)] * 10 + [(False, noisy(OPEN))] * 60, policy := Recovery())
    assert looks == [35] and policy.recovered == [35]
    prompt = prompts[0]
    assert prompt.frame_idx == 35 and prompt.name == "pupil" and prompt.labels.tolist() == [1]
    assert ELSEWHERE.contains(prompt.points[0])


def test_a_closed_eye_is_looked_at_less_and_less() -> None:
    looks, prompts = play([(True, OPEN)] * 10 + [(False, noisy(CLOSED))] * 500, Recovery())
    assert prompts == []
    gaps = np.diff(looks)
    assert 4 <= len(looks) <= 7 and (np.diff(gaps) > 0).all()


def test_another_size_is_another_thing() -> None:
    policy = Recovery(last=[60.0, 55.0, 9.0, 8.0, 0.0])
    assert play([(False, noisy(OPEN))] * 60, policy)[1] == []


def test_what_was_never_tracked_is_not_recovered() -> None:
    assert play([(False, noisy(OPEN))] * 60, Recovery()) == ([], [])


def test_slow_cameras_need_ten_frames() -> None:
    policy = Recovery(rules=RecoveryRules(), last=[60.0, 55.0, 30.0, 24.0, 20.0])
    asked = [policy.step(i * 500_000_000, -1.0, None) for i in range(12)]
    assert asked.index(True) == 9


def test_it_goes_on_the_same_after_being_stored_anywhere() -> None:
    frames = [(True, OPEN)] * 10 + [(False, noisy(CLOSED))] * 40 + [(False, noisy(OPEN))] * 60
    whole = play(frames, Recovery())
    assert len(whole[1]) == 1
    for cut in (5, 20, 36, 45, 55):
        first, second = Recovery(), None
        before = play(frames[:cut], first)
        second = Recovery.from_dict(json.loads(json.dumps(first.to_dict())))
        if before[1]:
            continue
        after = play(frames[cut:], second, cut)
        assert before[0] + after[0] == whole[0]
        assert [p.points.tolist() for p in after[1]] == [p.points.tolist() for p in whole[1]]


def test_it_works_backward_in_time() -> None:
    policy = Recovery(last=[60.0, 55.0, 30.0, 24.0, 20.0])
    asked = [policy.step(10_000_000_000 - i * 20_000_000, -1.0, None) for i in range(40)]
    assert asked.index(True) == 25
