import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ocusam.workflows.results.free_memory import give_back, lean


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_columns_go_back_as_soon_as_they_are_free() -> None:
    give_back()
    with lean():
        before = resident_mb()
        columns = [np.ones(250_000) for _ in range(20)]  # 2 MB each
        held = resident_mb()
        last = columns[-1]  # what lies behind them does not keep them
        del columns
        after = resident_mb()
    assert held - before > 35 and after - before < 10 and last[0] == 1


def test_an_error_passes_through() -> None:
    with pytest.raises(ValueError, match="ours"), lean():
        raise ValueError("ours")
