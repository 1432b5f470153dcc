"""Masters that begin anew are counted, element by element."""

import torch

from burnish.optim.engines.renewals import Renewals


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
