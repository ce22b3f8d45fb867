"""Mistakes in a table of targets that a person can mend are named; noise and right tables are not."""

import polars as pl
import pytest

from gazing_eye import HOLD_S, NINE, TARGETS, recording
from ocusam.eye.calibration import Suspect, calibrate, suspect, suspects
from ocusam.eye.calibration.fit import fit_held
from ocusam.eye.targets import make_targets


def found(signals: pl.DataFrame, targets: pl.DataFrame) -> Suspect | None:
    made = make_targets(targets, 0, int(signals["timestamp_ns"][-1]))
    return suspect(calibrate(signals, made), signals, made)


def exchanged(first: int, second: int) -> pl.DataFrame:
    order = list(range(9))
    order[first], order[second] = order[second], order[first]
    return reordered(order)


def reordered(order: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: TARGETS[name] if name == "t" else TARGETS[name].gather(order) for name in "txy"}
    )


@pytest.mark.parametrize(("first", "second"), [(3, 4), (0, 8), (1, 2)])
def test_two_targets_that_are_exchanged_in_the_table(first: int, second: int) -> None:
    mistake = found(recording(NINE), exchanged(first, second))
    assert mistake is not None and mistake.targets == (first + 1, second + 1)
    assert mistake.accuracy_deg < 0.5 and "exchanged" in mistake.told()


def test_a_target_that_was_not_looked_at() -> None:
    away = list(NINE)
    away[5] = (-9.0, 6.0)
    mistake = found(recording(away), TARGETS)
    assert mistake is not None and mistake.targets == (6,) and "was it looked at" in mistake.told()


def test_nothing_is_suspected_without_a_reason() -> None:
    assert found(recording(NINE), TARGETS) is None
    noisy = recording(NINE, noise=25.0, seed=3)
    made = make_targets(TARGETS, 0, int(noisy["timestamp_ns"][-1]))
    poor = calibrate(noisy, made)
    assert poor.accuracy > 1.0 and suspect(poor, noisy, made) is None
    shuffled = [4, 7, 0, 3, 8, 1, 6, 2, 5]  # all wrong: no single mistake
    assert found(recording(NINE), reordered(shuffled)) is None


def test_of_many_targets_the_worst_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine places three times, two targets exchanged: of 351 ways to mend it 136 are tried."""
    places = NINE * 3
    looked = list(places)
    looked[11], looked[14] = looked[14], looked[11]
    table = pl.DataFrame(
        {"t": [HOLD_S * i for i in range(27)], "x": [p[0] for p in places], "y": [p[1] for p in places]}
    )
    fits = []
    monkeypatch.setattr(suspects, "fit_held", lambda *a: fits.append(1) or fit_held(*a))
    mistake = found(recording(looked), table)
    assert mistake is not None and mistake.targets == (12, 15) and len(fits) <= 2 * (16 + 16 * 15 // 2)
