import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocusam.core.errors import OutputError
from ocusam.workflows.session.atomic import write_bytes


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.csv"
    write_bytes(path, b"old")
    write_bytes(path, [b"ne", b"w"])
    assert path.read_bytes() == b"new"

    def breaks_off() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"a\.csv: the disk is full"):
        write_bytes(path, breaks_off())
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        write_bytes(tmp_path / "file" / "a.csv", b"x")
