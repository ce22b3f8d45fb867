"""How do I follow two objects through a video? One click each on the first frame.

    python examples/follow_two_objects.py

The method names are those of the official package. For a video of your own, give `init_state` its path.
"""

import numpy as np

import ocusam
from ocusam.synthetic.eye import lab_style


def main(num_frames: int = 24, seed: int = 1) -> dict[str, list[int]]:
    """Follow pupil and iris through a rendered clip; returns their areas in px, frame by frame."""
    clip = ocusam.render_eye_clip(seed, num_frames=num_frames, style=lab_style())
    pupil = clip.ellipses["pupil"][0]
    assert pupil is not None
    on_iris = np.argwhere(clip.coverage["iris"][0] == 255)  # rows of y, x

    predictor = ocusam.build_sam2_video_predictor("nano")
    state = predictor.init_state(clip.frames)
    predictor.add_new_points_or_box(state, 0, "pupil", points=[pupil.center], labels=[1])
    y, x = on_iris[len(on_iris) // 2]
    predictor.add_new_points_or_box(state, 0, "iris", points=[[x, y]], labels=[1])

    areas: dict[str, list[int]] = {"pupil": [], "iris": []}
    for frame_idx, obj_ids, mask_logits in predictor.propagate_in_video(state):
        masks = (mask_logits[:, 0] > 0).numpy()  # (objects, height, width)
        for obj_id, mask in zip(obj_ids, masks, strict=True):
            areas[str(obj_id)].append(int(mask.sum()))
        print(f"frame {frame_idx}: " + ", ".join(f"{name} {area[-1]} px" for name, area in areas.items()))
    return areas


if __name__ == "__main__":
    main()
