"""What a load did, for people and in torch's terms."""

import torch

from burnish.records.report import LoadReport


def test_a_report_unpacks_as_that_of_torch() -> None:
    missing, unexpected = LoadReport(missing=["a"], unexpected=["b"])

    assert (missing, unexpected) == (["a"], ["b"])


def test_long_lists_are_cut_off_with_a_count() -> None:
    text = repr(LoadReport(missing=[f"w{i}" for i in range(9)]))

    assert "missing (9): w0, w1, w2, w3, w4, w5, and 3 more" in text


def test_conversions_name_both_dtypes() -> None:
    text = repr(LoadReport(converted={"w": (torch.float16, torch.float32)}))

    assert "w (float16 -> float32)" in text
