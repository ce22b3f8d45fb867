"""What all tests share: where the recordings are, what is skipped, how many threads, how hypothesis draws."""

from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY_ROOT.parent / "shared"

# Shared machines make single examples slow now and then; a deadline would fail the test for that alone.
# The same examples every time: a failure that a colleague sees is one that you can see.
settings.register_profile("ocusam", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("ocusam")


def pytest_configure(config: pytest.Config) -> None:
    """One thread a process: the test workers already share the cores."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything under tests/real as `real`, and skip it where the recordings are absent."""
    here = Path(__file__).parent / "real"
    absent = pytest.mark.skip(reason="the recordings are not beside this repository (../shared/data)")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real)
        if item.get_closest_marker("real") and not (SHARED / "data").is_dir():
            item.add_marker(absent)


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The folder of pyproject.toml."""
    return REPOSITORY_ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder beside the repository with recordings (`data/`) and reference outputs (`reference/`)."""
    if not SHARED.is_dir():
        pytest.skip("there is no ../shared beside this repository")
    return SHARED
