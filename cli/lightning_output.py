"""What Lightning says while a run goes on, without what is of no use to its user."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module

LOGGERS = (None, "lightning", "lightning.pytorch", "lightning.fabric")
"""What Hydra and Lightning change of the program's loggers; None is the root."""

_SPEAKER = "lightning.pytorch.utilities.rank_zero"

_NOISE = (
    # Products that Lightning offers.
    "\N{ELECTRIC LIGHT BULB} Tip:",
    # Models bring their own callbacks here, and no others are given.
    "The following callbacks returned in `LightningModule.configure_callbacks`",
)


@contextmanager
def lightning_output() -> Generator[None]:
    """Let each line be said once, by Hydra's handlers, and noise not at all."""
    import_module("lightning.pytorch")
    for name in LOGGERS[1:]:
        # Hydra prints what Lightning says; its own handlers would do so again.
        logging.getLogger(name).handlers.clear()
    speaker = logging.getLogger(_SPEAKER)
    speaker.addFilter(_is_of_use)
    try:
        with warnings.catch_warnings():
            # Lightning's own use of a class that torch renamed.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        speaker.removeFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOISE)
