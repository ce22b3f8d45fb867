"""Frames read and encoded ahead of the tracker: the same numbers in the same order, and never far ahead."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ocusam.core.errors import InputError
from ocusam.engines.network import EngineNetwork
from ocusam.tracking.ahead import READ_AHEAD, threads_of_tracking
from ocusam.video.source import Frame, SequenceSource


class Watched(SequenceSource):
    """Remembers what was read; a picture may be broken."""

    def __init__(self, pictures: np.ndarray, broken: int | None = None) -> None:
        super().__init__(pictures)
        self.seen: list[int] = []
        self.broken = broken

    def read(self, frame_idx: int) -> Frame:
        self.seen.append(frame_idx)
        if frame_idx == self.broken:
            raise InputError("this picture is broken")
        return super().read(frame_idx)


@pytest.fixture
def cores() -> Iterator[None]:
    """Two cores, of which one encodes; the suite itself has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def begin(make_predictor, source):
    predictor = make_predictor()
    state = predictor.init_state(source)
    predictor.add_new_points_or_box(state, 0, 1, points=[(14.0, 20.0)], labels=[1])
    return predictor, state


def begin_and_track(make_predictor, clip):
    predictor, state = begin(make_predictor, Watched(clip))
    return predictor.propagate(state)


def workers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("ocusam-")]


@pytest.mark.parametrize("reverse", [False, True])
def test_threads_change_no_bit_and_no_order(reverse, cores, make_predictor, clip):
    class Plain(Watched):
        read_ahead = False

    outputs = []
    for ahead in (False, True):
        # Operators divided among cores may round differently: here each has one core, whoever runs it.
        torch.set_num_threads(1)
        predictor, state = begin(make_predictor, Watched(clip) if ahead else Plain(clip))
        torch.set_num_threads(2 if ahead else 1)
        names = set()
        found = {}
        for o in predictor.propagate(state, start_frame_idx=11 if reverse else None, reverse=reverse):
            names |= {name.split("_")[0] for name in workers()}
            found[o.frame_idx] = o.low_res_logits
        assert names == ({"ocusam-read", "ocusam-encode"} if ahead else set())
        assert torch.get_num_threads() == (2 if ahead else 1) and not workers()
        outputs.append(found)
    alone, ahead = outputs
    assert list(alone) == list(ahead) == (list(range(11, -1, -1)) if reverse else list(range(12)))
    assert all(torch.equal(alone[t], ahead[t]) for t in alone)


def test_never_far_ahead_and_each_frame_once(cores, make_predictor, clip):
    source = Watched(clip)
    predictor, state = begin(make_predictor, source)
    for output in predictor.propagate(state):
        assert max(source.seen) <= output.frame_idx + READ_AHEAD + 1
    assert source.seen == list(range(12)) and state.encoded == 12


def test_an_error_comes_where_its_frame_would_have_come(cores, make_predictor, clip):
    predictor, state = begin(make_predictor, Watched(clip, broken=5))
    seen = []
    with pytest.raises(InputError, match="broken"):
        for output in predictor.propagate(state):
            seen.append(output.frame_idx)
    assert seen == [0, 1, 2, 3, 4]
    assert not workers() and torch.get_num_threads() == 2


def test_who_stops_early_leaves_no_thread_behind(cores, make_predictor, clip):
    predictor, state = begin(make_predictor, Watched(clip))
    outputs = predictor.propagate(state)
    next(outputs)
    assert workers() and torch.get_num_threads() == 1
    outputs.close()
    assert not workers() and torch.get_num_threads() == 2


def test_two_videos_at_a_time_share_the_cores(cores, make_predictor, clip):
    streams = [
        predictor.propagate(state)
        for predictor, state in (begin(make_predictor, Watched(clip)) for _ in range(2))
    ]
    assert [[o.frame_idx for o in pair] for pair in zip(*streams, strict=True)] == [[t, t] for t in range(12)]
    assert not workers() and torch.get_num_threads() == 2


def test_one_core_today_leaves_the_threads_to_two_cores_tomorrow(cores, make_predictor, clip):
    torch.set_num_threads(1)
    list(begin_and_track(make_predictor, clip))
    torch.set_num_threads(2)
    names = {name.split("_")[0] for _ in begin_and_track(make_predictor, clip) for name in workers()}
    assert "ocusam-encode" in names and torch.get_num_threads() == 2


def test_an_iterable_is_not_read_before_it_is_asked_for(cores, make_predictor, clip):
    given = 0

    def pictures() -> Iterator[np.ndarray]:
        nonlocal given
        for picture in clip:
            given += 1
            yield picture

    predictor, state = begin(make_predictor, pictures())
    for output in predictor.propagate(state):
        assert given == output.frame_idx + 1


@pytest.mark.parametrize("engine", [False, True])
def test_an_engine_has_one_number_of_threads_for_prompts_and_tracking(engine, cores, make_predictor, clip):
    predictor = make_predictor()
    if engine:
        predictor.model = EngineNetwork(predictor.model, lambda *_: ())
    with threads_of_tracking(predictor.model, Watched(clip)):
        assert torch.get_num_threads() == (1 if engine else 2)
    assert torch.get_num_threads() == 2

    class Stream(Watched):
        read_ahead = False  # nothing is encoded beside the tracker: it has all cores

    with threads_of_tracking(predictor.model, Stream(clip)), threads_of_tracking(None, Watched(clip)):
        assert torch.get_num_threads() == 2
