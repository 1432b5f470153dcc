import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def digits() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield importlib.import_module("digits")
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(digits: Any) -> Any:
    return digits.Data()


@pytest.fixture(scope="module")
def net(digits: Any, data: Any) -> Any:
    return digits.train(data, epochs=4)


@pytest.fixture(scope="module")
def rows(digits: Any, data: Any, net: Any, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("digits")
    return [digits.measured(net, data, *way, folder) for way in digits.WAYS]


def test_a_few_epochs_learn_to_read(digits: Any, data: Any, net: Any) -> None:
    assert digits.accuracy(net, data) > 0.95


def test_every_format_is_measured_at_every_precision(rows: Any) -> None:
    formats = {row.format for row in rows}
    precisions = {row.precision for row in rows}

    assert formats == {
        ".mpk",
        ".mpk.zst",
        ".mpk.gz",
        ".json",
        ".json.gz",
        ".json.zst",
        ".safetensors",
        "bytes",
    }
    assert precisions == {None, "full", "half", "bfloat16", "double"}
    assert len(rows) == len(formats) * len(precisions)


def test_exact_precisions_lose_nothing(
    digits: Any, data: Any, net: Any, rows: Any
) -> None:
    exact = [row for row in rows if row.precision in (None, "full", "double")]

    assert {row.difference for row in exact} == {0.0}
    assert {row.score for row in exact} == {digits.accuracy(net, data)}


def test_rounding_is_seen_and_stays_within_what_it_explains(rows: Any) -> None:
    rounded = [row for row in rows if row.precision in ("half", "bfloat16")]

    assert all(0 < row.difference <= row.allowed for row in rounded)


def test_a_smaller_precision_makes_a_smaller_binary_file(rows: Any) -> None:
    sizes = {(row.format, row.precision): row.size for row in rows}

    for format_ in (".mpk", ".mpk.zst", ".mpk.gz", ".safetensors", "bytes"):
        assert sizes[format_, "half"] < sizes[format_, None] < sizes[format_, "double"]


def test_the_table_shows_every_row_and_its_columns(
    digits: Any, rows: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    digits.show("A title", rows, score="accuracy", memory=False)

    shown = capsys.readouterr().out
    for word in ("A title", "format", "precision", "size", "save", "load", "accuracy"):
        assert word in shown
    assert shown.count("bfloat16") == shown.count("as it is") == 8


def test_nothing_is_wrong_with_a_table_that_lost_nothing(
    digits: Any, data: Any, net: Any, rows: Any
) -> None:
    assert digits.problems_of(rows, digits.accuracy(net, data)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"difference": 1e-7}, "off by 1e-07, expected at most 0"),
        ({"difference": float("nan")}, "off by nan"),
        ({"score": 0.5}, "50.00% right"),
    ],
)
def test_a_loss_is_named_with_its_format(
    digits: Any, data: Any, net: Any, rows: Any, change: Any, words: str
) -> None:
    lossy = dataclasses.replace(rows[0], **change)

    problems = digits.problems_of([lossy], digits.accuracy(net, data))

    assert len(problems) == 1
    assert ".mpk at the precision of the module" in problems[0]
    assert words in problems[0]


def test_a_network_that_did_not_learn_is_a_problem(digits: Any) -> None:
    assert digits.problems_of([], 0.9) == [
        "training ended at 90.00%, expected over 95 %"
    ]
