"""The logger `burnish` is silent until a program asks, and then tells what went on."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import burnish

PROGRAM = """
import logging, burnish
from burnish.config.process.log import LOG
LOG.warning("nobody set up logging")
"""


def test_a_program_that_knows_no_loggers_sees_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("", "")


def test_a_save_and_a_load_tell_file_format_and_verification(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "net.mpk"
    net = nn.Linear(2, 2)

    with caplog.at_level(logging.DEBUG, "burnish"):
        burnish.save_record(net, file)
        burnish.load_record(net, file)

    assert caplog.messages == [
        f"{file}: written",
        f"{file}: opened as mpk, verify=True",
        f"{file}: 2 tensors loaded into a Linear, verified: all",
    ]


def test_a_large_file_is_told_to_be_mapped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record(nn.Linear(512, 512), file)

    with caplog.at_level(logging.DEBUG, "burnish"):
        burnish.from_record(lambda: nn.Linear(512, 512), file)

    assert f"{file}: {file.stat().st_size:,} bytes mapped for a load" in caplog.messages
