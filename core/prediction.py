"""`predict`: the outputs of a module for arrays, computed in batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config.arguments import check_count
from ..config.short_text import quantity
from ..records.tensors.grad_mode import no_grad
from .modules.module_argument import check_module


def predict(
    module: nn.Module,
    *inputs: Any,
    batch_size: int = 32,
    device: torch.device | str | None = None,
    output_device: torch.device | str | None = None,
) -> Any:
    """Return the outputs of ``module`` for arrays of equal length, computed in batches.

    ``inputs`` are tensors, numpy arrays or lists, with one sample per row; floats are
    converted to the dtype of the module's parameters. It runs in eval mode, without
    gradients, on ``device`` (that of the parameters by default); afterwards every
    submodule is in its previous mode. The result has the structure of the module's
    output (a tensor, or tuples, lists and dicts of them), each tensor as long as the
    inputs, on ``output_device`` (``device`` by default). ValueError for an output
    tensor whose number of rows differs from that of its batch. The inputs are not
    changed, even by a module that works in place, and the result shares no memory.
    """
    if not inputs:
        raise TypeError("predict what? predict(module, x, batch_size=64)")
    check_module(module, "predict")
    check_count("batch_size", batch_size)
    lengths = [len(array) for array in inputs]
    if len(set(lengths)) > 1:
        raise ValueError(f"the inputs have different lengths: {lengths}")
    parameter = next((p for p in module.parameters() if p.is_floating_point()), None)
    if device is None:
        device = torch.device("cpu") if parameter is None else parameter.device
    dtype = torch.get_default_dtype() if parameter is None else parameter.dtype
    tensors = [_tensor(array, dtype) for array in inputs]
    # Without samples an empty batch determines the shapes of the outputs.
    starts = range(0, max(lengths[0], 1), batch_size)
    sizes = [min(batch_size, lengths[0] - start) for start in starts]
    is_training = {part: part.training for part in module.modules()}
    try:
        module.eval()
        with no_grad():
            batches = [
                _copied(module(*_batch(tensors, i, batch_size, device)), output_device)
                for i in starts
            ]
    finally:
        for part, mode in is_training.items():
            part.training = mode
    return _joined(batches, sizes, "the output")


def _tensor(array: Any, dtype: torch.dtype) -> Tensor:
    is_rows = isinstance(array, Sequence) and all(isinstance(r, Tensor) for r in array)
    shapes = {tuple(row.shape) for row in array} if is_rows else set()
    if len(shapes) > 1:
        raise ValueError(
            f"the rows of an input have different shapes: {sorted(shapes)}. Pass "
            "several inputs as separate arguments: predict(module, a, b)"
        )
    tensor = torch.stack(list(array)) if is_rows and array else torch.as_tensor(array)
    if not tensor.is_floating_point():
        return tensor
    if isinstance(array, Sequence) and not is_rows:
        # Python floats are float32 at this point, which a float64 module would widen.
        return torch.as_tensor(array, dtype=dtype)
    return tensor.to(dtype)


def _batch(
    tensors: Sequence[Tensor], start: int, size: int, device: torch.device | str
) -> list[Tensor]:
    # Copies, since a first layer that works in place would change the caller's arrays.
    return [t[start : start + size].to(device, copy=True) for t in tensors]


def _copied(output: Any, device: torch.device | str | None) -> Any:
    """Return copies, since a module may reuse the memory of its output."""
    if isinstance(output, Tensor):
        return output.to(output.device if device is None else device, copy=True)
    if isinstance(output, Mapping):
        return {key: _copied(value, device) for key, value in output.items()}
    if type(output) in (tuple, list):
        return type(output)(_copied(value, device) for value in output)
    return output


def _joined(batches: Sequence[Any], sizes: Sequence[int], where: str) -> Any:
    output = batches[0]
    if isinstance(output, Tensor):
        _check_rows(batches, sizes, where)
        return torch.cat(list(batches))
    if isinstance(output, Mapping):
        return {
            key: _joined([b[key] for b in batches], sizes, f"{where}[{key!r}]")
            for key in output
        }
    if type(output) in (tuple, list):
        columns = zip(*batches, strict=True)
        return type(output)(
            _joined(column, sizes, f"{where}[{i}]") for i, column in enumerate(columns)
        )
    raise TypeError(f"{where}: expected tensors, got {output!r:.60}")


def _check_rows(batches: Sequence[Tensor], sizes: Sequence[int], where: str) -> None:
    """Raise ValueError for a tensor that does not have one row for each sample.

    Concatenated, the layers of a recurrent state would look like samples.
    """
    for batch, size in zip(batches, sizes, strict=True):
        if batch.ndim == 0:
            raise ValueError(
                f"{where} is a single number for the whole batch; expected one "
                "row for each sample"
            )
        if len(batch) != size:
            raise ValueError(
                f"{where} has shape {tuple(batch.shape)} for a batch of "
                f"{quantity(size, 'sample')}: expected one row for each. Have the "
                "module return the batch dimension first, or predict with a module "
                "that leaves this output out"
            )
