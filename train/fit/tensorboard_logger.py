"""A logger for TensorBoard whose files never overwrite each other."""

import itertools
import os
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger

_NUMBERS = itertools.count()


class EventFilesLogger(TensorBoardLogger):
    """Lightning's logger, with separate files for the fit and for the test.

    tensorboardX names a file by the second in which it is created, so that the test of
    a short run, or a run that is resumed immediately, would overwrite the one before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, filename_suffix=_suffix(), **kwargs)

    def finalize(self, status: str) -> None:
        """Close the file; later logs go to another one."""
        super().finalize(status)
        self._experiment = None
        self._kwargs["filename_suffix"] = _suffix()


def _suffix() -> str:
    return f".{os.getpid()}.{next(_NUMBERS)}"
