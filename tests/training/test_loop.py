"""The loop learns, resumes to the bit, and exports what it averaged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ocusam.core.errors import ModelError, WeightsError
from ocusam.model.sam2 import SAM2
from ocusam.training import loop
from ocusam.training.clips import Batch, BatchMaker, ClipConfig
from ocusam.training.loop import TrainConfig, Trainer
from ocusam.training.optim import OptimConfig, learning_rate
from ocusam.training.passes import _Remembered as Remembered
from ocusam.training.passes import clip_pass, select_memories
from ocusam.training.rendered import Renderer
from ocusam.weights.checkpoint import load_state


def _config(clips: ClipConfig, **changes: object) -> TrainConfig:
    base = TrainConfig(
        model="miniature", steps=6, clips=clips, half=False, workers=0, held_out_batches=0, log_every=2,
        optim=OptimConfig(lr=3e-3, warmup_steps=3),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def _trainer(config: TrainConfig, folder: Path, renderer: Renderer) -> Trainer:
    return Trainer(config, folder, renderer=renderer, say=lambda line: None)


def test_a_miniature_network_learns_two_pictures(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    import numpy as np

    trainer = _trainer(_config(tiny_pictures, correction_share=0.0), tmp_path, renderer)
    batch = BatchMaker(tiny_pictures, 1, renderer)[0]
    losses = []
    for _ in range(100):
        result = clip_pass(trainer.model, batch, corrections={}, rng=np.random.default_rng(0), half=False)
        result.terms.total.backward()
        trainer.optimiser.step(4e-3)
        losses.append(float(result.terms.total.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert result.iou_of_kind["pupil"][0] / result.iou_of_kind["pupil"][1] > 0.6


@pytest.mark.parametrize("stage", ["parts", "images", "clips"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    stage: str, tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    clips = replace(tiny_pictures, frames=3) if stage == "clips" else tiny_pictures
    config = _config(clips, stage=stage, steps=4, correction_share=0.5)
    whole = _trainer(config, tmp_path / "whole", renderer)
    whole.run()
    # The schedule knows the total from the start; the first run is merely stopped half-way.
    first = _trainer(config, tmp_path / "parts", renderer)
    maker = BatchMaker(clips, config.seed, renderer)
    for step in range(2):
        first._train_step(maker[step])
    first.save()
    second = _trainer(config, tmp_path / "parts", renderer)
    assert second.resume() and second.step == 2
    second.run()
    for (name, a), b in zip(
        whole.model.state_dict().items(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(whole.average.values, second.average.values, strict=True):
        assert torch.equal(a, b)


def test_a_stage_of_parts_teaches_the_encoder_alone_and_is_scored(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    config = _config(tiny_pictures, stage="parts", steps=3, held_out_batches=1)
    lines: list[str] = []
    trainer = Trainer(config, tmp_path, renderer=renderer, say=lines.append)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    moved = {n for n, value in trainer.model.state_dict().items() if not torch.equal(value, before[n])}
    seen = ("image_encoder.", "sam_mask_decoder.conv_s")
    assert moved and all(name.startswith(seen) for name in moved)
    assert "pupil" in lines[-1]


def test_pictures_for_the_encoder_alone_ride_along_with_prompted_ones(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    config = _config(tiny_pictures, steps=2, correction_share=0.0)
    trainer = _trainer(config, tmp_path, renderer)
    decoder = trainer.model.sam_mask_decoder.iou_token.weight
    before = decoder.detach().clone()
    result, _, _ = trainer._train_step(BatchMaker(replace(tiny_pictures, parts_only=True), 1, renderer)[0])
    assert not result.iou_of_kind and torch.equal(decoder, before)
    result, _, _ = trainer._train_step(BatchMaker(tiny_pictures, 1, renderer)[1])
    assert result.iou_of_kind and not torch.equal(decoder, before)


def test_every_part_of_the_network_learns_from_clips(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    """What only memory trains must get gradients in the clip stage: nothing is cut off by accident."""
    import numpy as np

    clips = replace(tiny_pictures, frames=5)
    trainer = _trainer(_config(clips, stage="clips"), tmp_path, renderer)
    for step, prompts in enumerate([(1, 0, 0, 0), (0, 0, 0, 1)]):
        batch = BatchMaker(replace(clips, prompt_shares=prompts), 1, renderer)[step]
        clip_pass(
            trainer.model, batch, corrections={2: 2}, rng=np.random.default_rng(0), half=False
        ).terms.total.backward()
    without = {name for name, p in trainer.model.named_parameters() if p.grad is None}
    assert without <= {"no_mem_pos_enc"}


def test_exported_weights_load_and_carry_their_record(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    trainer = _trainer(_config(tiny_pictures, steps=2), tmp_path, renderer)
    trainer.run()
    state = load_state(tmp_path / "latest.safetensors")
    model = SAM2(trainer.model.config)
    model.load_state_dict(state)
    assert torch.equal(state["no_mem_embed"], trainer.average.state_dict()["no_mem_embed"])
    assert (tmp_path / "log.csv").read_text().count("\n") == 2


def test_resuming_another_network_says_what_differs(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    trainer = _trainer(_config(tiny_pictures), tmp_path, renderer)
    state = {name: value for name, value in trainer.model.state_dict().items() if name != "no_mem_embed"}
    torch.save(
        {"model": state, "average": {}, "optimiser": [], "step": 1, "seconds": 0.0}, trainer.checkpoint_path
    )
    with pytest.raises(WeightsError, match="no_mem_embed is missing"):
        trainer.resume()


def test_learning_rate_warms_up_and_comes_down() -> None:
    config = OptimConfig(lr=1.0, warmup_steps=10, final_lr_share=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 10, 0.0) == pytest.approx(1.0)
    assert learning_rate(config, 500, 0.5) == pytest.approx(0.55)
    assert learning_rate(config, 1000, 1.0) == pytest.approx(0.1)


def test_memories_are_chosen_by_the_trackers_rules() -> None:
    past = [Remembered(f, f in (0, 4), torch.full((1, 1, 1, 1), f), torch.full((1, 1), f)) for f in range(9)]
    chosen = select_memories(past, 9, num_maskmem=7, max_pointers=16)
    # Conditioning frames first at the last index, then 3..8 at indices 5..0 without those already there.
    assert [(int(m.item()), row) for m, row in chosen.maps] == [
        (0, 6),
        (4, 6),
        (3, 5),
        (5, 3),
        (6, 2),
        (7, 1),
        (8, 0),
    ]
    assert [int(p.item()) for p, _ in chosen.pointers] == [0, 4, 8, 7, 6, 5, 3, 2, 1]
    assert chosen.pointers[0][1] == pytest.approx(9 / 15) and chosen.pointers[2][1] == pytest.approx(1 / 15)


def test_pictures_of_other_sizes_beside_clips(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    clips = replace(tiny_pictures, frames=2)
    size = 2 * tiny_pictures.size
    larger = replace(tiny_pictures, size=size, grid=size // 2)
    config = _config(clips, stage="clips", steps=8, alongside=((0.5, larger),))
    trainer = _trainer(config, tmp_path / "mixed", renderer)
    seen = [tuple(trainer._maker()[step].pictures_btss.shape[1:]) for step in range(8)]
    assert set(seen) == {(2, clips.size, clips.size), (1, size, size)}
    assert seen == [tuple(trainer._maker()[step].pictures_btss.shape[1:]) for step in range(8)]
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    changed = [n for n, value in trainer.model.state_dict().items() if not torch.equal(value, before[n])]
    assert trainer.step == 8 and any("memory_attention" in n for n in changed)


def test_averaged_weights_get_statistics_of_the_stages_own_size(
    tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 2 * tiny_pictures.size
    larger = replace(tiny_pictures, size=size, grid=size // 2)
    sizes = []

    def settle(model: SAM2, seen: Iterable[Batch], *, half: bool) -> SAM2:
        sizes.extend(batch.pictures_btss.shape[2] for batch in seen)
        return model

    monkeypatch.setattr(loop, "settle_statistics", settle)
    config = _config(tiny_pictures, model="nano", stage="parts", alongside=((0.5, larger),))
    _trainer(config, tmp_path, renderer).averaged_model()
    assert sizes and set(sizes) == {tiny_pictures.size}


def test_shares_alongside_are_checked(tmp_path: Path, renderer: Renderer, tiny_pictures: ClipConfig) -> None:
    trainer = _trainer(_config(tiny_pictures, alongside=((1.5, tiny_pictures),)), tmp_path, renderer)
    with pytest.raises(ModelError, match=r"together at most 1"):
        trainer.run()
