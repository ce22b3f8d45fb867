"""Memory that is free goes back to the system while tables and page are made."""

import subprocess
import sys

import pytest

from ocusam.workflows.results.free_memory import lean

SCRIPT = """
import os
from pathlib import Path
import numpy as np
from ocusam.workflows.results.free_memory import give_back, lean

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

give_back()
with lean():
    before = resident_mb()
    columns = [np.ones(250_000) for _ in range(20)]  # 2 MB each
    held = resident_mb()
    last = columns[-1]  # what lies behind them does not keep them
    del columns
    print(held - before, resident_mb() - before, last[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_columns_go_back_as_soon_as_they_are_free() -> None:
    # A process of its own: in this one earlier tests have left room in the heap.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    held, kept, _ = map(float, done.stdout.split())
    assert held > 35 and kept < 10


def test_an_error_passes_through() -> None:
    with pytest.raises(ValueError, match="ours"), lean():
        raise ValueError("ours")
