"""Lightning's log messages during a run, without those that do not help the user."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

LOGGERS = (None, "lightning", "lightning.pytorch", "lightning.fabric")
"""The loggers that Hydra and Lightning change; None is the root logger."""

_SPEAKER = "lightning.pytorch.utilities.rank_zero"

_NOISE = (
    # Advertisements for Lightning's products.
    "\N{ELECTRIC LIGHT BULB} Tip:",
    # Models bring their own callbacks here, and no others are passed.
    "The following callbacks returned in `LightningModule.configure_callbacks`",
)


@contextmanager
def lightning_output() -> Generator[None]:
    """Have each message logged once, by Hydra's handlers, and drop the noise."""
    import_module("lightning.pytorch")
    for name in LOGGERS[1:]:
        # Hydra's handlers print Lightning's messages; Lightning's would repeat them.
        logging.getLogger(name).handlers.clear()
    speaker = logging.getLogger(_SPEAKER)
    speaker.addFilter(_is_of_use)
    try:
        with warnings.catch_warnings():
            # Lightning itself uses a class that torch has renamed.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        speaker.removeFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOISE)
