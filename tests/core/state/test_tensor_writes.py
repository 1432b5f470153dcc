import pytest
import torch

from burnish.core.state.tensor_writes import assign, copy_into


def test_equal_values_are_copied_into_memory_that_is_repeated() -> None:
    row = torch.zeros(1, 3)
    target = row.expand(4, 3)

    copy_into(target, torch.arange(3.0).expand(4, 3).clone())

    assert torch.equal(row, torch.arange(3.0)[None])
    assert target.data_ptr() == row.data_ptr()


@pytest.mark.parametrize("last", [2.0, -0.0])
def test_values_that_repeated_memory_cannot_hold_get_memory_of_their_own(
    last: float,
) -> None:
    row = torch.zeros(1, 1)
    target = row.expand(2, 1)
    values = torch.tensor([[0.0], [last]])

    copy_into(target, values)

    assert target.tolist() == values.tolist()
    assert torch.equal(target.signbit(), values.signbit())
    assert row.item() == 0.0


@pytest.mark.parametrize("is_now", [True, False])
@pytest.mark.parametrize("was_then", [True, False])
def test_values_are_written_into_tensors_of_either_mode(
    is_now: bool, was_then: bool
) -> None:
    with torch.inference_mode(was_then):
        copied, assigned = torch.zeros(2), torch.zeros(2)

    with torch.inference_mode(is_now):
        values = torch.ones(2)
        copy_into(copied, values)
        assign([assigned], values)

    for tensor in (copied, assigned):
        assert tensor.tolist() == [1.0, 1.0]
        assert tensor.is_inference() is was_then
    assert torch.is_inference_mode_enabled() is False


def test_gradients_follow_a_parameter_into_its_new_dtype() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)

    assign([weight], torch.zeros(2, dtype=torch.float16))

    assert weight.grad.dtype is torch.float16
