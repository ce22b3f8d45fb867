"""The mask is wrong on one frame. How do I correct it, so that the correction stays?

    python examples/correct_a_frame.py

By default a click on a frame that was already tracked is lost when tracking starts again: that is the
official package's behaviour, and ocusam's predictors have it too. With
`add_all_frames_to_correct_as_cond=True` the corrected frame becomes a memory that later frames attend to.
"""

import ocusam
from ocusam.synthetic.eye import lab_style


def main(num_frames: int = 12, seed: int = 1) -> dict[bool, bool]:
    """Correct the middle frame with and without the option; returns whether the correction survived."""
    clip = ocusam.render_eye_clip(seed, num_frames=num_frames, style=lab_style())
    pupil, middle = clip.ellipses["pupil"], num_frames // 2
    first = pupil[0]
    assert first is not None

    survived = {}
    for keep in (False, True):
        predictor = ocusam.build_sam2_video_predictor("nano", add_all_frames_to_correct_as_cond=keep)
        state = predictor.init_state(clip.frames)
        predictor.add_new_points_or_box(state, 0, "pupil", points=[first.center], labels=[1])
        for _ in predictor.propagate_in_video(state):
            pass

        # The truth as a mask stands for a careful person's correction.
        truth = clip.coverage["pupil"][middle] > 127
        predictor.add_new_mask(state, middle, "pupil", truth)
        corrected = predictor.frame_output(state, middle).masks[0]
        again = {output.frame_idx: output.masks[0] for output in predictor.propagate(state)}

        survived[keep] = bool((again[middle] == corrected).all())
        print(f"add_all_frames_to_correct_as_cond={keep}: the correction of frame {middle} "
              f"{'stayed' if survived[keep] else 'was overwritten'}")  # fmt: skip
    return survived


if __name__ == "__main__":
    main()
