"""Who writes when several processes train one model: the first; the others wait."""

import torch


def is_writer() -> bool:
    """Return whether this process is the only one, or the first of its group."""
    return not _is_running() or torch.distributed.get_rank() == 0


def wait_for_writer() -> None:
    """Wait until every process of the group has come here."""
    if _is_running():
        torch.distributed.barrier()


def _is_running() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized()
