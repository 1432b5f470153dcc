from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor

from burnish.optim import (
    SGD,
    AdamW,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    Muon,
    SimpleOptimizer,
    schedulers,
)
from burnish.records import RecordError, open_record
from burnish.train.plain_records import PlainData, record_of, value_of


def through_file(value: Any) -> Any:
    data = record_of(value).save()
    return value_of(open_record(data))


@pytest.mark.parametrize(
    "value",
    [
        SGD(momentum=0.9, nesterov=True),
        AdamW(weight_decay=0.25),
        Muon(),
        ClipValue(0.5),
        ClipNorm(2.0),
        ClipGlobalNorm(1.0),
    ],
    ids=repr,
)
def test_optimizers_and_clips_come_back_equal(value: Any) -> None:
    group = through_file([{"lr": 0.1, "object": value}])[0]

    assert type(group["object"]) is type(value)
    assert group == {"lr": 0.1, "object": value}


def test_a_schedule_comes_back_where_it_stood_with_what_it_is_made_of() -> None:
    cosine = schedulers.Cosine(1.0, 9)
    schedule = schedulers.Warmup([cosine], n_warmup=2)
    for _ in range(3):
        schedule.step()

    again = through_file({"schedule": schedule})["schedule"]

    assert type(again) is schedulers.Warmup
    assert [again.step() for _ in range(4)] == [schedule.step() for _ in range(4)]


@dataclass(frozen=True)
class Signed(SimpleOptimizer[None]):
    scale: float = 1.0

    def init(self, tensor: Tensor) -> None:
        return None

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: None
    ) -> tuple[Tensor, None]:
        return tensor - lr * self.scale * grad.sign(), state


def test_an_optimizer_of_the_program_comes_back_by_the_name_of_its_class() -> None:
    assert through_file([Signed(scale=3.0)]) == [Signed(scale=3.0)]


def test_an_optimizer_that_no_name_brings_back_is_told_where_it_stands() -> None:
    hidden = type("Signed", (Signed,), {"__qualname__": "Signed"})

    with pytest.raises(
        TypeError, match=r"groups\.0\.optimizer: .* cannot be restored .*only"
    ):
        record_of([{"optimizer": hidden()}], "groups")


def test_a_name_of_a_class_that_is_not_here_is_told_and_imports_nothing() -> None:
    record = PlainData({"$optimizer": ["nowhere:Signed", {"scale": 1.0}]})

    with pytest.raises(
        RecordError, match="'nowhere:Signed' is defined in this program; import"
    ):
        value_of(open_record(record.save()))
