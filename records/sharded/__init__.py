"""Records in folders: a file for each process that saves, and an index of them.

`burnish.save_record(net, "net/")` writes one. The names exported here let
`torch.distributed.checkpoint` write and read such folders too.
"""

from typing import TYPE_CHECKING

from ...config.lazy_exports import lazily

if TYPE_CHECKING:
    from .dcp_planners import RecordLoadPlanner, RecordSavePlanner
    from .dcp_storage import RecordStorageReader, RecordStorageWriter

__all__ = [
    "RecordLoadPlanner",
    "RecordSavePlanner",
    "RecordStorageReader",
    "RecordStorageWriter",
]

_HOME = {
    "RecordLoadPlanner": "dcp_planners",
    "RecordSavePlanner": "dcp_planners",
    "RecordStorageReader": "dcp_storage",
    "RecordStorageWriter": "dcp_storage",
}

__getattr__, __dir__ = lazily(__name__, _HOME)
