"""Fetching by name, against a hub that is a dictionary."""

import hashlib
from pathlib import Path

import pytest

from ocusam.core.errors import WeightsError
from ocusam.weights.hub import PUBLISHED, HubFile, HuggingFaceHub, UnreachableError, fetch, local_weights

NAME = "sam2.1_hiera_tiny"
FILE = PUBLISHED[NAME]
CONTENT = b"weights " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class FakeHub:
    """Stores downloads as the real one does: blobs under their SHA-256, and links to them."""

    def __init__(self, cache: Path, announced: str | None = DIGEST, online: bool = True) -> None:
        self.cache, self.announced, self.online = cache, announced, online
        self.content = CONTENT
        self.downloads = 0

    def announced_sha256(self, file: HubFile) -> str | None:
        if not self.online:
            raise UnreachableError("Name or service not known")
        return self.announced

    def download(self, file: HubFile, folder: Path | None) -> Path:
        if not self.online:
            raise UnreachableError("Name or service not known")
        self.downloads += 1
        if folder is not None:
            folder.mkdir(exist_ok=True)
            (folder / file.filename).write_bytes(self.content)
            return folder / file.filename
        self.cache.mkdir(exist_ok=True)
        blob, link = self.cache / (self.announced or "blob"), self.cache / file.filename
        blob.write_bytes(self.content)
        link.unlink(missing_ok=True)
        link.symlink_to(blob)
        return link

    def cached(self, file: HubFile) -> Path | None:
        path = self.cache / file.filename
        return path if path.exists() else None


@pytest.fixture(params=["cache", "folder"])
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.delenv("OCUSAM_WEIGHTS", raising=False)
    if request.param == "folder":
        monkeypatch.setenv("OCUSAM_WEIGHTS", str(tmp_path / "mine"))
    return FakeHub(tmp_path / "cache")


def test_the_eight_published_files() -> None:
    assert len(PUBLISHED) == 8
    assert HubFile("facebook/sam2.1-hiera-tiny", "sam2.1_hiera_tiny.pt") == FILE
    assert PUBLISHED["sam2_hiera_base_plus"] == HubFile(
        "facebook/sam2-hiera-base-plus", "sam2_hiera_base_plus.pt"
    )


def test_what_is_fetched_is_found_and_verified_without_a_network(hub: FakeHub) -> None:
    assert local_weights(NAME, hub) is None
    fetched = fetch(NAME, hub)
    assert fetched.path.read_bytes() == CONTENT and fetched.announced_sha256 == DIGEST
    hub.online = False
    again = fetch(NAME, hub)
    assert again == fetched == local_weights(NAME, hub)
    assert again.verify() is True and hub.downloads == 1


def test_a_damaged_download_is_removed(hub: FakeHub) -> None:
    hub.content = CONTENT[:-1]
    with pytest.raises(WeightsError, match=r"damaged.*removed"):
        fetch(NAME, hub)
    assert local_weights(NAME, hub) is None
    hub.content = CONTENT
    assert fetch(NAME, hub).verify() is True


def test_damage_that_comes_later_is_noticed(hub: FakeHub) -> None:
    path = fetch(NAME, hub).path
    path.resolve().write_bytes(b"else")
    found = local_weights(NAME, hub)
    assert found is not None and found.verify() is False
    hub.online = False
    with pytest.raises(WeightsError, match="damaged"):
        fetch(NAME, hub)


def test_offline_without_a_copy_says_what_to_do(hub: FakeHub) -> None:
    hub.online = False
    with pytest.raises(WeightsError) as caught:
        fetch(NAME, hub)
    for word in (FILE.filename, FILE.repo, "Name or service not known", "--weights", "OCUSAM_WEIGHTS"):
        assert word in str(caught.value)


def test_a_hub_that_announces_nothing_leaves_the_file_unverified(hub: FakeHub) -> None:
    hub.announced = None
    fetched = fetch(NAME, hub)
    assert fetched.announced_sha256 is None and fetched.verify() is None


def test_a_file_of_ones_own_without_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCUSAM_WEIGHTS", str(tmp_path))
    (tmp_path / FILE.filename).write_bytes(CONTENT)
    found = local_weights(NAME, FakeHub(tmp_path / "cache"))
    assert found is not None and found.verify() is None
    (tmp_path / f"{FILE.filename}.sha256").write_text(f"{DIGEST.upper()} *{FILE.filename}\n")
    found = local_weights(NAME, FakeHub(tmp_path / "cache"))
    assert found is not None and found.verify() is True


def test_unknown_names() -> None:
    assert local_weights("nano") is None
    with pytest.raises(WeightsError, match=r"'nano'.*known: sam2\.1_hiera_tiny"):
        fetch("nano")


def test_the_real_library_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    # What HF_HUB_OFFLINE=1 does when the library is imported.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("OCUSAM_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(UnreachableError):
        HuggingFaceHub().announced_sha256(FILE)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch(NAME)
