import json

import torch

from ocusam.tracking.memory_bank import MemoryEntry
from ocusam.tracking.snapshot import entry_from_tensors, entry_to_tensors, from_tensors, put, take, to_tensors


def test_an_entry_comes_back_with_its_types_and_strides():
    turned = torch.arange(24, dtype=torch.bfloat16).reshape(1, 2, 3, 4).permute(0, 3, 1, 2)
    entry = MemoryEntry(None, torch.randn(1, 8), torch.tensor([[1.5]]), torch.tensor([0.5]), turned)
    tensors: dict[str, torch.Tensor] = {}
    fact = json.loads(json.dumps(entry_to_tensors(entry, "e/", tensors, {"frame": 3})))
    assert all(t.is_contiguous() for t in tensors.values()) and fact["frame"] == 3
    back = entry_from_tensors(tensors.__getitem__, "e/", fact)
    assert back.low_res_logits_b1hw is None and back.map_bdhw is not None
    assert back.map_bdhw.dtype == torch.bfloat16 and back.map_bdhw.stride() == turned.stride()
    assert torch.equal(back.map_bdhw, turned) and torch.equal(back.pointer_bc, entry.pointer_bc)


def test_a_session_put_back_goes_on_with_the_same_bits(make_predictor, clip):
    def begin():
        state = make_predictor().init_state(clip)
        for obj_id, point in (("a", [14, 20]), ("b", [40, 10])):
            make_predictor().add_new_points_or_box(state, 2, obj_id, points=[point], labels=[1])
        return state

    state, predictor = begin(), make_predictor()
    outputs = predictor.propagate(state, start_frame_idx=2)
    for _ in range(4):
        next(outputs)  # frames 2 to 5
    tensors, facts = to_tensors(take(state, near=5), "s/")
    assert not any("recent" in name and "logits" in name for name in tensors)
    fresh = predictor.init_state(clip)
    put(fresh, from_tensors({k: v.clone() for k, v in tensors.items()}.__getitem__, facts, "s/"))
    again = predictor.propagate(fresh, start_frame_idx=5)
    next(again)  # the frame that was tracked last
    for one, other in zip(outputs, again, strict=True):
        assert one.frame_idx == other.frame_idx and torch.equal(one.low_res_logits, other.low_res_logits)
    assert fresh.objects["a"].tracked.runs == [(2, 11, False)]


def test_near_keeps_what_the_next_frames_attend_to(make_predictor, clip):
    predictor = make_predictor(memory_window=None)
    state = predictor.init_state(list(clip) * 4)
    predictor.add_new_points_or_box(state, 0, "a", points=[[14, 20]], labels=[1])
    for _ in predictor.propagate(state):
        pass
    (whole,), (near,) = take(state), take(state, near=40)
    bank = state.objects["a"].bank
    asked = {t for frame in (40, 41) for t, _ in bank.plan(frame, num_frames=48).maps} - {0}
    assert len(whole.recent) == 47
    assert asked == {t for t, e in near.recent.items() if e.map_bdhw is not None and t <= 40}
    pointers = {t for frame in (40, 41) for t, _ in bank.plan(frame, num_frames=48).pointers} - {0}
    assert pointers <= near.recent.keys() and min(near.recent) >= 40 - 17
    assert take("another tracker's state") == []
