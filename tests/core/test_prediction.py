from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2).double()
        self.n_rows: list[int] = []

    def forward(self, x: Tensor, index: Tensor) -> dict[str, Any]:
        self.n_rows.append(len(x))
        return {"out": (self.layer(x), index + 1), "rows": [index]}


def test_arrays_go_through_in_batches_and_come_out_whole() -> None:
    net, x = Pair(), np.arange(21, dtype=np.float32).reshape(7, 3)

    output = burnish.predict(net, x, torch.arange(7), batch_size=3)

    assert net.n_rows == [3, 3, 1]
    expected = net.layer(torch.tensor(x).double())
    assert torch.allclose(output["out"][0], expected)
    assert output["out"][1].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert output["rows"][0].dtype == torch.int64
    assert not output["out"][0].requires_grad


def test_a_list_of_tensors_is_an_array_and_its_dtype_is_that_of_the_module() -> None:
    output = burnish.predict(nn.Linear(3, 2).half(), [torch.ones(3)] * 5)

    assert output.shape == (5, 2)
    assert output.dtype == torch.float16


def test_running_statistics_and_modes_stay() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
    net[1].eval()

    burnish.predict(net, torch.randn(9, 3), batch_size=2)

    assert [net.training, net[0].training, net[1].training] == [True, True, False]
    assert net.state_dict()["0.num_batches_tracked"] == 0


def test_modes_are_put_back_when_the_forward_raises() -> None:
    net = nn.Sequential(nn.Linear(3, 2))

    with pytest.raises(RuntimeError):
        burnish.predict(net, torch.ones(2, 4))

    assert net.training


def test_no_samples_give_an_empty_output_of_the_right_shape() -> None:
    assert burnish.predict(nn.Linear(3, 2), torch.ones(0, 3)).shape == (0, 2)


def test_what_does_not_fit_is_refused() -> None:
    net = nn.Linear(3, 2)

    with pytest.raises(ValueError, match=r"different lengths: \[2, 3\]"):
        burnish.predict(net, torch.ones(2, 3), torch.ones(3))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        burnish.predict(net, torch.ones(2, 3), batch_size=0)
    with pytest.raises(TypeError, match="predict what"):
        burnish.predict(net)
    with pytest.raises(ValueError, match="a single number for the whole batch"):
        burnish.predict(nn.MSELoss(), torch.ones(2), torch.ones(2))


def test_several_inputs_in_a_tuple_are_told_to_be_several_arguments() -> None:
    with pytest.raises(ValueError, match=r"predict\(module, a, b\)"):
        burnish.predict(nn.Bilinear(2, 3, 4), (torch.zeros(7, 2), torch.zeros(7, 3)))


def test_what_has_no_row_for_each_sample_is_refused() -> None:
    lstm = nn.LSTM(2, 3, num_layers=2, batch_first=True)

    shape = r"output\[1\]\[0\] has shape \(2, 4, 3\)"
    with pytest.raises(ValueError, match=shape):
        burnish.predict(lstm, torch.ones(8, 5, 2), batch_size=4)
    with pytest.raises(ValueError, match="a batch of 2 samples: expected one row"):
        burnish.predict(nn.Flatten(0), torch.ones(3, 2), batch_size=2)


@pytest.mark.parametrize("rows", [[0.1, 0.2], [np.float64(0.1), 0.2], (0.1, 0.2)])
def test_a_list_of_numbers_keeps_the_digits_that_the_module_takes(rows: Any) -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            doubled = x * self.factor
            return doubled

    assert burnish.predict(Doubled(), rows).tolist() == [0.2, 0.4]


class Reusing(nn.Module):
    """Writes each output where the one before stands, and into its input."""

    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows[: len(x)]
        rows.copy_(x.mul_(2))
        return rows


@pytest.mark.parametrize("batch_size", [4, 2])
def test_a_module_that_works_in_place_changes_no_input_and_no_earlier_output(
    batch_size: int,
) -> None:
    net, x = Reusing(), np.arange(12, dtype=np.float32).reshape(4, 3)

    output = burnish.predict(net, x, batch_size=batch_size)
    burnish.predict(net, np.zeros_like(x), batch_size=batch_size)

    assert np.array_equal(x, np.arange(12).reshape(4, 3))
    assert np.array_equal(output, 2 * x)


@pytest.mark.parametrize("batch_size", [None, "8", 2.0])
def test_the_size_of_a_batch_is_a_whole_number(batch_size: Any) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got"):
        burnish.predict(nn.Linear(3, 2), torch.ones(2, 3), batch_size=batch_size)


def test_a_class_predicts_nothing() -> None:
    cls: Any = nn.Linear
    with pytest.raises(TypeError, match="Linear is a class: build a module"):
        burnish.predict(cls, torch.ones(2, 3))
