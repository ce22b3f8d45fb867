"""What must hold of the weights, whatever they were fitted to."""

from ocusam.workflows.find.weighing import CONVINCING, weigh

ALL, NONE = (0.95, 1.0, 0.95, 1.0), (0.0, 0.0, 0.0, 0.0)


def test_the_networks_click_counts_where_there_is_no_map() -> None:
    assert weigh(0.9, 0.9) > weigh(0.9, 0.2) > weigh(0.3, 0.2)


def test_the_map_decides_with_and_without_a_click() -> None:
    assert weigh(0.7, None, ALL) > CONVINCING > weigh(0.7, None, NONE)
    assert weigh(0.7, 0.9, ALL) > CONVINCING > weigh(0.7, 0.9, NONE)
