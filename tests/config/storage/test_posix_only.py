"""Where Python has no fcntl, as on Windows, the library says so in words."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["fcntl"] = None  # what an import finds on Windows
import burnish
from torch import nn
try:
    burnish.save_record(nn.Linear(1, 1), "net.mpk")
except ImportError as error:
    print(error)
"""


def test_a_save_on_windows_says_where_it_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert "POSIX systems (Linux, macOS) only" in done.stdout
    assert "WSL 2" in done.stdout
