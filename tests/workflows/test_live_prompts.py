from ocusam.core.prompts import ObjectPrompt, parse_point
from ocusam.workflows.live_prompts import Click, LivePrompts

SIZE = (100, 200)


def plain(prompts: list[ObjectPrompt]) -> list[tuple[str, int, list[list[float]], list[int]]]:
    return [(p.name, p.frame_idx, p.points.tolist(), p.labels.tolist()) for p in prompts]


def click(name: str, x: float, y: float, on: bool = True) -> Click:
    return Click(name, ((x + 0.5) / SIZE[1], (y + 0.5) / SIZE[0]), on)


def test_prompts_belong_to_frames() -> None:
    prompts = LivePrompts([parse_point("pupil:10,20"), parse_point("iris:30,40@3")])
    assert [p.name for p in prompts.at(0)] == ["pupil"] and [p.name for p in prompts.at(3)] == ["iris"]
    assert prompts and prompts.at(1) == [] and not LivePrompts()


def test_clicks_become_prompts_of_the_newest_frame() -> None:
    prompts = LivePrompts([parse_point("pupil:10,20")])
    assert prompts.click(
        [click("iris", 30, 40), click("pupil", 5, 6, on=False), click("iris", 7, 8)], 4, SIZE
    )
    assert plain(prompts.at(4)) == [
        ("iris", 4, [[30.0, 40.0], [7.0, 8.0]], [1, 1]),
        ("pupil", 4, [[5.0, 6.0]], [0]),
    ]
    assert not prompts.click([], 5, SIZE)
    assert len(prompts.all) == 3


def test_what_is_not_followed_cannot_be_told_where_it_is_not() -> None:
    prompts = LivePrompts([parse_point("iris:30,40@9")])
    assert not prompts.click([click("pupil", 5, 6, on=False), click("iris", 5, 6, on=False)], 4, SIZE)
    assert plain(prompts.all) == [("iris", 9, [[30.0, 40.0]], [1])]
    assert prompts.click([click("pupil", 5, 6, on=False), click("pupil", 1, 2)], 4, SIZE)
    assert plain(prompts.at(4)) == [("pupil", 4, [[5.0, 6.0], [1.0, 2.0]], [0, 1])]
