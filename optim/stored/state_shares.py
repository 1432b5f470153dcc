"""States of parameters that are spread over processes: each reads its own share."""

from typing import Any

from ...records.flat_record import FlatRecord
from ...records.sharded.share_payload import with_shares
from ..bound.bound_state import BoundState
from .record_types import OptimizerRecord


def with_state_shares(record: FlatRecord, bound: BoundState) -> FlatRecord:
    """Return the record of an optimizer, its tensors spread as their parameters are.

    Those whose parameter or shape is another by now are read whole.
    """
    params = bound.params.current()
    if not any(hasattr(param.tensor, "device_mesh") for param in params):
        return record
    by_id = {str(param.id): param.tensor for param in params}
    by_path = {param.path: param.tensor for param in params}
    tensors = {
        param_id: by_id.get(param_id, by_path.get(state.path))
        for param_id, state in record.typed(OptimizerRecord).states.items()
    }
    likes: dict[str, Any] = {}
    for entry in record.entries():
        # states.ID.values.exp_avg
        head, _, path = entry.path.partition(".")
        tensor = tensors.get(path.partition(".")[0]) if head == "states" else None
        if hasattr(tensor, "device_mesh"):
            likes[entry.path] = tensor
    return with_shares(record, likes)
