"""Masters that begin anew are counted, element by element."""

from pathlib import Path

import pytest
import torch

from burnish.optim.engines.renewals import Renewals

from ...forked_processes import in_two_processes
from ...sharded_nets import mesh_of


def test_counts_add_up_over_weights() -> None:
    renewals = Renewals()
    master = torch.linspace(0, 1, 100)
    weight = master.bfloat16()

    renewals.compare(weight, master)
    assert renewals.total() == 0

    weight[:3] += 1
    renewals.compare(weight, master)
    renewals.compare(weight, master)
    assert renewals.total() == 6


def test_what_counts_by_itself_has_the_count_of_its_device() -> None:
    renewals = Renewals()

    renewals.counter(torch.device("cpu")).add_(5)

    assert renewals.counter(torch.device("cpu")).data_ptr()
    assert renewals.total() == 5


# Torch 2.6 warns that distributed tensors may draw no numbers on a CPU.
@pytest.mark.filterwarnings("ignore:DTensor random operators:UserWarning")
def test_a_process_compares_its_share_without_the_others(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        from torch.distributed.tensor import Replicate, Shard, distribute_tensor

        for placement in (Shard(0), Replicate()):
            master = distribute_tensor(torch.ones(3), mesh_of(), [placement])
            weight = distribute_tensor(
                torch.tensor([1, 2, 1], dtype=torch.bfloat16), mesh_of(), [placement]
            )
            renewals = Renewals()
            # What waits for the other process waits for good.
            if rank == 0:
                renewals.compare(weight, master)
                assert renewals.total() == 1

    in_two_processes(act, tmp_path)
