"""Short turns of threads: put back, and never longer than they were."""

import sys
from collections.abc import Iterator

import pytest

from ocusam.workflows.session.turns import TURN_S, short_turns


@pytest.fixture(autouse=True)
def interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_turns_are_short_while_somebody_wants_it() -> None:
    sys.setswitchinterval(0.02)
    with short_turns():
        with pytest.raises(KeyError), short_turns():
            assert sys.getswitchinterval() == pytest.approx(TURN_S, rel=0.02)
            raise KeyError
        assert sys.getswitchinterval() == pytest.approx(TURN_S, rel=0.02)
    assert sys.getswitchinterval() == pytest.approx(0.02, rel=0.02)


def test_shorter_turns_of_the_caller_stay() -> None:
    sys.setswitchinterval(1e-4)
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(1e-4, rel=0.02)
