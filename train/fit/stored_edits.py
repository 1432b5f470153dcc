"""The edits of a run as its checkpoints have them, and the file that is edited."""

from typing import Any

from ...config.live.history import Edit, edit_of_line
from ...config.live.live_config import NAME

FILE = f"{NAME}.yaml"
"""What a run's folder has at its top."""

LIVE_RUN = "LiveRun"
"""Under what the callback that follows the config keeps its state in checkpoints."""


def stored_edits(state: Any) -> list[Edit]:
    """Return the edits in the training state of a checkpoint, none if it has none."""
    callback: Any = state.get("callbacks", {}).get(LIVE_RUN, {})
    edits = map(edit_of_line, callback.get("edits", ()))
    return [edit for edit in edits if edit is not None]
