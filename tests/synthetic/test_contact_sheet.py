"""Contact sheets hold every seed and are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocusam.core.errors import OutputError
from ocusam.synthetic.contact_sheet import contact_sheet, write_contact_sheet


def test_sheet_is_a_grid_of_frames() -> None:
    sheet = contact_sheet(range(5), columns=3, size=(48, 64))
    assert sheet.shape == (2 * 48, 3 * 64, 3)
    assert sheet[48:, 128:].max() == 0  # the empty place
    marked = contact_sheet(range(5), columns=3, size=(48, 64), outlines=True)
    assert np.any(marked[..., 0] != marked[..., 2])


def test_sheet_is_written_as_png(tmp_path: Path) -> None:
    path = write_contact_sheet(tmp_path / "sheet.png", range(2), columns=2, size=(32, 32))
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="could not be written"):
        write_contact_sheet(tmp_path / "missing" / "sheet.png", range(1), size=(32, 32))
