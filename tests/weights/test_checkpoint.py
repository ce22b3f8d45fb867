import pickle
from pathlib import Path

import pytest
import torch

from ocusam.core.errors import OutputError, WeightsError
from ocusam.weights.checkpoint import check_fits, load_state, read_metadata, save_state

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.tensor([0.5, -1.0]),
    "n": torch.tensor(3),
}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_what_is_saved_is_loaded(tmp_path: Path, name):
    save_state(tmp_path / name, STATE, {"made": "by hand"})
    assert same(load_state(tmp_path / name), STATE)
    assert read_metadata(tmp_path / name) == ({"made": "by hand"} if name.endswith("s") else {})
    assert [p.name for p in tmp_path.iterdir()] == [name]
    (tmp_path / "any").touch()
    assert (tmp_path / name).stat().st_mode == (tmp_path / "any").stat().st_mode, "as readable as other files"


def test_half_precision_comes_back_as_float32(tmp_path: Path):
    save_state(tmp_path / "w.safetensors", STATE, dtype=torch.float16)
    loaded = load_state(tmp_path / "w.safetensors")
    assert loaded["a.weight"].dtype == torch.float32 and loaded["n"].dtype == torch.int64
    assert same(loaded, STATE)  # small whole numbers and halves are exact in float16
    assert (tmp_path / "w.safetensors").stat().st_size < 1000


# What the published trainer writes beside the weights.
SNAPSHOT = {
    "model": STATE,
    "optimizer": {"optimizer": {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 1e-5}]}},
    "epoch": 40,
    "loss": {"train": None},
    "steps": {"train": 100, "val": 0},
    "time_elapsed": 3.5,
    "best_meter_values": {},
}


@pytest.mark.parametrize(
    "content", [STATE, {"model": STATE}, {"state_dict": STATE}, {"model_state_dict": STATE}, SNAPSHOT]
)
def test_published_bare_and_fine_tuned_dictionaries(tmp_path: Path, content):
    torch.save(content, tmp_path / "w.pt")
    assert same(load_state(tmp_path / "w.pt"), STATE)


def test_files_that_are_no_weights(tmp_path: Path):
    with pytest.raises(WeightsError, match="No such weights file"):
        load_state(tmp_path / "none.pt")
    for name, text in (
        ("text.pt", "no weights at all " * 20),
        ("empty.pt", ""),
        ("page.pth", "<!doctype html>"),
        ("text.safetensors", "no weights at all " * 20),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(WeightsError, match=name) as caught:
            load_state(tmp_path / name)
        assert str(caught.value).count(name) == 1
        assert name.endswith(".safetensors") or "no file of weights" in str(caught.value)
    for content in ([1, 2], {"weights": 1, "epoch": 3}, {}):
        torch.save(content, tmp_path / "other.pt")
        with pytest.raises(WeightsError, match="no dictionary of named tensors") as caught:
            load_state(tmp_path / "other.pt")
        if content == {"weights": 1, "epoch": 3}:
            assert "(it has 'weights', 'epoch')" in str(caught.value)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("bomb-went-off"),))


def test_a_file_cannot_run_code(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Bomb()}, "bomb.pt")
    Path("raw.pt").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pt", "raw.pt"):
        with pytest.raises(WeightsError, match=r"more than weights.*not opened") as caught:
            load_state(name)
        assert "weights_only" not in str(caught.value), "PyTorch's advice to run the code is not passed on"
    assert not Path("bomb-went-off").exists()


def test_the_first_three_differences_are_named():
    check_fits(STATE, dict(STATE))
    other = {"a.weight": torch.zeros(3, 3), "n": STATE["n"], "b": torch.zeros(1), "c": torch.zeros(1)}
    with pytest.raises(WeightsError) as caught:
        check_fits(STATE, other, source="w.pt")
    text = str(caught.value)
    assert text.startswith("w.pt does not fit")
    assert "a.weight has shape [3, 3], the network wants [2, 3]" in text
    assert "a.bias is missing" in text and "b is unknown to the network" in text
    assert "c is unknown" not in text and "1 more" in text


def test_weights_are_written_as_known_formats_only(tmp_path: Path):
    with pytest.raises(OutputError, match=r"\.safetensors or \.pt"):
        save_state(tmp_path / "w.bin", STATE)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_state(tmp_path / "file" / "w.pt", STATE)
