"""The notebook runs from its first cell to its last, and ends with a figure. (Its cells are run by hand: a
kernel of Jupyter would be a dependency for this one test.)"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parent.parent / "examples" / "notebook" / "from_video_to_figure.ipynb"
FRAMES = "num_frames = 180"


def cells() -> list[dict[str, Any]]:
    notebook = json.loads(PATH.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return list(notebook["cells"])


def test_the_notebook_is_one() -> None:
    kinds = [cell["cell_type"] for cell in cells()]
    assert set(kinds) == {"markdown", "code"} and kinds[0] == "markdown"
    assert FRAMES in "".join(cells()[1]["source"])
    for cell in cells():
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, Any] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for cell in cells():
            if cell["cell_type"] == "code":
                source = "".join(cell["source"]).replace(FRAMES, "num_frames = 40")
                exec(compile(source, "cell", "exec"), names)
    assert (tmp_path / "from_video_to_figure" / "figure.png").stat().st_size > 20_000
    assert "of 40 frames tracked" in said.getvalue()
    assert len(names["seen"]) >= 30 and float(sorted(names["errors"])[len(names["errors"]) // 2]) < 1.0
