import pytest
import torch

from burnish.records.tensors.flat_pieces import PIECE, flat_pieces

LARGE = torch.arange(PIECE // 2, dtype=torch.float32)


@pytest.mark.parametrize(
    "tensor",
    [
        LARGE,
        LARGE.view(2, -1).t(),
        LARGE.view(-1, 8, 2).transpose(0, 2),
        torch.tensor(3.0),
        torch.empty(0, 4),
        torch.ones(3, 1).expand(3, PIECE),
    ],
)
def test_pieces_are_the_values_in_order(tensor: torch.Tensor) -> None:
    pieces = [*flat_pieces(tensor)]

    assert all(p.dim() == 1 and p.nbytes <= PIECE for p in pieces)
    together = torch.cat(pieces) if pieces else torch.empty(0)
    assert torch.equal(together, tensor.reshape(-1))


@pytest.mark.parametrize(
    "tensor",
    [
        LARGE.view(2, -1).t(),
        LARGE.view(-1, 8, 2).transpose(0, 2),
        torch.ones(3, 1).expand(3, PIECE),
        LARGE[::2],
    ],
)
def test_of_any_strides_there_are_few_pieces(tensor: torch.Tensor) -> None:
    n_full = -(-tensor.numel() * tensor.itemsize // PIECE)

    assert len([*flat_pieces(tensor)]) <= 2 * n_full


def test_pieces_of_a_contiguous_tensor_are_views() -> None:
    assert next(flat_pieces(LARGE)).data_ptr() == LARGE.data_ptr()
