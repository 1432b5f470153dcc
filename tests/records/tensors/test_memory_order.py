"""What was in column-major order is so again: matrix products tell the difference."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.records import Precision, Record, Recorder, open_record
from burnish.train import Checkpoints


def column_major(n: int = 5, m: int = 3) -> Tensor:
    return torch.linspace(-1, 1, n * m).view(m, n).t()


class Basis(Record):
    q: Tensor
    sides: list[Tensor]


def channels_last() -> Tensor:
    return torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("form", ["mpk", "json"])
@pytest.mark.parametrize("make", [column_major, channels_last])
def test_plain_data_has_the_order_that_it_had(form: str, make: Any) -> None:
    tensor = make()
    data = {"state": [tensor, tensor], "half": {"gaps": tensor[:, :2]}, "step": 3}

    file = burnish.save_record(data, recorder=Recorder(form))
    again = open_record(open_record(file).save(recorder=Recorder(form)))

    for record in (open_record(file), again):
        back = record.to_data()
        first, second = back["state"]
        assert first is second
        assert first.stride() == tensor.stride()
        assert torch.equal(first, tensor)
        assert torch.equal(back["half"]["gaps"], tensor[:, :2])
        assert torch.equal(record["state.0"], tensor)


def test_arrays_have_the_order_that_they_had() -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    data: dict[str, Any] = {
        "by_column": array,
        "by_row": array.T,
        "reversed": array[::-1],
        "step": 1,
    }

    back = open_record(burnish.save_record(data)).to_data()

    assert all(np.array_equal(back[name], data[name]) for name in data)
    assert back["by_column"].strides == array.strides
    assert back["by_row"].strides == array.T.strides


def test_declared_fields_have_the_order_that_they_had() -> None:
    record = Basis(column_major(), [column_major(2, 2), torch.ones(2)])

    back = Basis.load(record.save(precision=Precision(tensor="double")))

    assert back.q.stride() == (1, 5)
    assert back.q is back.q
    assert back.sides[0].stride() == (1, 2)
    assert torch.equal(back.q, record.q.double())


def test_extra_state_has_the_order_that_it_had() -> None:
    class Kept(nn.Module):
        kept = torch.ones(1)

        def get_extra_state(self) -> Any:
            return {"q": self.kept}

        def set_extra_state(self, state: Any) -> None:
            self.kept = state["q"]

    source, module = Kept(), Kept()
    source.kept = column_major()

    burnish.load_record(module, burnish.save_record(source))

    assert module.kept.stride() == (1, 5)
    assert torch.equal(module.kept, source.kept)


class Eigen(torch.optim.Optimizer):
    """Keeps what `torch.linalg.eigh` gives, as optimizers of second order do."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for param in self.param_groups[0]["params"]:
            state = self.state[param]
            if not state:
                noise = torch.rand(len(param), len(param))
                state["q"] = torch.linalg.eigh(noise @ noise.T)[1]
            param -= 0.1 * (state["q"] @ (state["q"].T @ param.grad))


def test_an_optimizer_that_keeps_eigenvectors_goes_on_to_the_bit(
    tmp_path: Path,
) -> None:
    """Its steps had other last digits, since products take other code."""

    def step(net: nn.Module, optimizer: Eigen, seed: int) -> None:
        x = torch.rand(16, 9, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    net, other = (nn.Linear(9, 9) for _ in range(2))
    optimizer, restored = Eigen(net.parameters()), Eigen(other.parameters())
    step(net, optimizer, 0)
    Checkpoints(tmp_path).save(1, net=net, optimizer=optimizer)
    Checkpoints(tmp_path).restore(net=other, optimizer=restored)

    for seed in range(1, 4):
        step(net, optimizer, seed)
        step(other, restored, seed)

    assert torch.equal(net.bias, other.bias)


@pytest.mark.parametrize(
    "order", ["no", {}, [0], [0, 0], [1, "0"], [[1], 0], [True, 0]]
)
def test_what_is_no_order_in_a_file_is_left_alone(order: Any) -> None:
    data = burnish.save_record({"a": column_major(), "step": 1}, recorder="debug")
    edited = data.replace(b'"a":[1,0]', b'"a":' + json.dumps(order).encode())
    assert edited != data

    back = open_record(edited, verify=False).to_data()

    assert torch.equal(back["a"], column_major())
