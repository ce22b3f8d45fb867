"""The weights that ship with the package do the main job on a rendered eye that they never saw."""

from pathlib import Path

from ocusam.workflows.demo import run_demo


def test_the_packaged_nano_follows_a_rendered_pupil(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "demo", num_frames=30)
    assert result.found == result.scored >= 25
    # The figure for the whole clip is in the README; this only tells a working network from a broken one.
    assert result.error_px_median < 4.0
    assert result.diameter_error_median < 0.15
