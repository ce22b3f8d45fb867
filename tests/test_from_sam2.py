"""The code of docs/from_sam2.md runs, on a miniature network in place of the published one."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import ocusam
from ocusam.model.build import make_network
from ocusam.model.config import PRESETS, miniature
from ocusam.tracking import find_config
from ocusam.tracking.official_yaml import OfficialConfig
from ocusam.video.writer import VideoWriter
from ocusam.weights.checkpoint import save_state

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "from_sam2.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page's reader has: a checkpoint, a YAML file, a picture, a video, a folder of frames."""
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "sam2.1_hiera_tiny", miniature)
    save_state("checkpoints/sam2.1_hiera_tiny.pt", make_network(miniature()).state_dict())
    Path("finetuned.yaml").write_text(yaml.safe_dump({"model": {}}))
    monkeypatch.setattr(
        find_config, "read_official_yaml", lambda path: OfficialConfig(miniature(), from_yaml=True)
    )
    pictures = np.random.default_rng(0).integers(0, 255, (4, 30, 40, 3), dtype=np.uint8)
    Image.fromarray(pictures[0]).save("picture.jpg")
    Path("frames").mkdir()
    with VideoWriter(Path("video.mp4"), 25.0, (30, 40)) as writer:
        for i, picture in enumerate(pictures):
            writer.write(picture)
            Image.fromarray(picture).save(f"frames/{i}.jpg")


def test_the_page_runs_from_top_to_bottom(files: None) -> None:
    assert len(BLOCKS) >= 9
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/from_sam2.md", "exec"), names)
    assert names["model"].config.name == "miniature" and names["half"].dtype == torch.bfloat16
    assert names["best"].shape == (30, 40)
    assert sorted(names["video_segments"]) == [0, 1, 2, 3]
    assert names["output"].frame_idx == 0 and names["output"].obj_ids == ["disc"]
    assert names["mask_logits"].shape == (2, 1, 30, 40) and names["obj_ids"] == [1, 2]
    assert Path("checkpoints/mine.pt").is_file() and names["network"].training


def test_imports_of_the_table_exist() -> None:
    right = re.findall(r"^\| `from sam2[^|]*\| `from (ocusam[\w.]*) import (\w+)`", PAGE, flags=re.MULTILINE)
    assert len(right) == 8
    for module, name in right:
        assert hasattr(ocusam if module == "ocusam" else __import__(module, fromlist=[name]), name)


def test_commands_of_the_page_exist() -> None:
    from typer.testing import CliRunner

    from ocusam.cli.main import app

    commands = re.findall(r"^ocusam (\w+(?: fetch| verify)?)", PAGE, flags=re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        result = CliRunner().invoke(app, [*command.split(), "--help"])
        assert result.exit_code == 0, command
