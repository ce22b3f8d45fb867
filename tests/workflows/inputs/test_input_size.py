import pytest

from ocusam.core.errors import InputError
from ocusam.model.config import get_config
from ocusam.workflows.camera import CameraSettings
from ocusam.workflows.inputs.input_size import input_px
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.session.models import open_predictor


def test_words_and_pixels() -> None:
    nano, tiny = get_config("nano"), get_config("sam2.1_hiera_tiny")
    assert [input_px("fine", c) for c in (nano, tiny)] == [256, 1024]
    assert [input_px("fast", c) for c in (nano, tiny)] == [160, 512]
    assert input_px("192", nano) == input_px(192, nano) == 192


@pytest.mark.parametrize("size", ["quick", "200", 0, "-32", "19.2"])
@pytest.mark.parametrize("settings", [RunSettings, CameraSettings])
def test_other_sizes_are_refused(settings: type, size: object) -> None:
    with pytest.raises(InputError, match="fine, fast, or px, a multiple of 32"):
        settings(size=size)


def test_the_network_gets_the_size_and_the_record_says_so() -> None:
    opened = open_predictor("nano", computing=RunSettings(size="fast"))
    assert opened.predictor.image_size == opened.record["image_size"] == 160  # type: ignore[attr-defined]
    assert not opened.record["compiled"]
