"""Downloads that break off, from a hub on this machine that speaks HTTP as the real one does."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocusam.core.errors import WeightsError
from ocusam.weights.hub import PUBLISHED, HuggingFaceHub, fetch, local_weights

NAME = "sam2.1_hiera_tiny"
FILE = PUBLISHED[NAME]
CONTENT = np.random.default_rng(0).integers(0, 256, 400_000).astype(np.uint8).tobytes()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one file. `breaks_at`: the connection ends there, as long as it is set."""

    breaks_at: int | None = None
    announced = DIGEST

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[int] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        """Be silent."""

    def headers_for(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{self.server.announced}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_HEAD(self) -> None:
        assert self.path == f"/{FILE.repo}/resolve/main/{FILE.filename}"
        self.headers_for(200, len(CONTENT))

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.server.asked.append(start)
        self.headers_for(206 if start else 200, len(CONTENT) - start)
        end = self.server.breaks_at
        self.wfile.write(CONTENT[start : len(CONTENT) if end is None else max(start, end)])
        self.close_connection = True


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("OCUSAM_WEIGHTS", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["cache", "folder"])
def hub(
    request: pytest.FixtureRequest, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> HuggingFaceHub:
    if request.param == "folder":
        monkeypatch.setenv("OCUSAM_WEIGHTS", str(tmp_path / "mine"))
    return HuggingFaceHub(f"http://127.0.0.1:{server.server_address[1]}")


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_whole_download_is_found_again(server: Server, hub: HuggingFaceHub, tmp_path: Path) -> None:
    fetched = fetch(NAME, hub)
    assert fetched.path.read_bytes() == CONTENT and fetched.announced_sha256 == DIGEST
    assert local_weights(NAME, hub) == fetched and fetched.verify() is True
    assert fetch(NAME, hub) == fetched and server.asked == [0]
    assert not [name for name in files_below(tmp_path) if name.endswith((".part", ".incomplete"))]


def test_a_second_try_asks_only_for_the_rest(server: Server, hub: HuggingFaceHub) -> None:
    server.breaks_at = 150_000
    with pytest.raises(WeightsError, match=r"cannot be fetched.*have arrived and are kept"):
        fetch(NAME, hub)
    assert local_weights(NAME, hub) is None, "an unfinished file is not taken for weights"
    assert server.asked[0] == 0 and set(server.asked[1:]) == {150_000}
    server.breaks_at = None
    server.asked.clear()
    fetched = fetch(NAME, hub)
    assert server.asked == [150_000]
    assert fetched.path.read_bytes() == CONTENT and fetched.verify() is True


def test_what_was_kept_but_is_damaged_is_found_out(
    server: Server, hub: HuggingFaceHub, tmp_path: Path
) -> None:
    server.breaks_at = 150_000
    with pytest.raises(WeightsError):
        fetch(NAME, hub)
    (part,) = tmp_path.rglob("*.part")
    part.write_bytes(b"\0" * part.stat().st_size)
    server.breaks_at = None
    with pytest.raises(WeightsError, match="damaged"):
        fetch(NAME, hub)
    assert fetch(NAME, hub).path.read_bytes() == CONTENT


def test_a_new_version_does_not_go_on_with_the_old_one(
    server: Server, hub: HuggingFaceHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.breaks_at = 150_000
    with pytest.raises(WeightsError):
        fetch(NAME, hub)
    server.breaks_at, server.announced = None, "0" * 64
    server.asked.clear()
    with pytest.raises(WeightsError, match="damaged"):  # this server's content has not changed with its name
        fetch(NAME, hub)
    assert server.asked == [0]
