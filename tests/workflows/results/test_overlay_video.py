from typing import Any

import numpy as np

from ocusam.report.trail import Trails
from ocusam.workflows.results.overlay_video import drawn_objects


def row(view: int, name: str, state: str, center: tuple[float, float] | None, t: int = 0) -> dict[str, Any]:
    x, y = (None, None) if center is None else center
    shape = dict.fromkeys(("major_px", "minor_px"), None if center is None else 9.0)
    return {
        "view": view,
        "object": name,
        "state": state,
        "timestamp_ns": t,
        "center_x_px": x,
        "center_y_px": y,
        "angle_deg": None if center is None else 0.0,
        **shape,
    }


def test_the_legend_has_a_line_an_object_not_one_a_view() -> None:
    states = {"pupil": ("tracked", "blink", "tracked"), "iris": ("tracked",) * 3}
    rows = [row(view, name, state, None) for name in states for view, state in enumerate(states[name])]
    said = {drawn.name: drawn.state for drawn in drawn_objects(None, 0, rows)}
    assert said == {"iris": "tracked", "pupil": "tracked (view 0, 2); blink (view 1)"}
    alone = drawn_objects(None, 0, [row(0, "pupil", "lost", None)])
    assert [drawn.state for drawn in alone] == ["lost"]


def test_pupils_have_a_trail_for_each_view_and_nothing_else_has() -> None:
    trails, drawn = Trails(), []
    for t in range(3):
        rows = [
            row(0, "pupil", "tracked", (t, 0.0), t),
            row(1, "pupil", "tracked", (t, 5.0), t),
            row(0, "iris", "tracked", (9.0, 9.0), t),
        ]
        drawn = drawn_objects(None, t, rows, trails)
    found = [(d.name, [piece.tolist() for piece in d.trail]) for d in drawn]
    assert found == [
        ("iris", []),
        ("pupil", [[[0, 0], [1, 0], [2, 0]]]),
        ("pupil", [[[0, 5], [1, 5], [2, 5]]]),
    ]
    assert all(isinstance(piece, np.ndarray) for d in drawn for piece in d.trail)
    assert [list(d.trail) for d in drawn_objects(None, 3, rows)] == [[], [], []]
