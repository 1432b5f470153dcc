"""The peers' own calls, with the types that they lack."""

from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor


def save_safetensors(tensors: dict[str, Tensor], file: str) -> None:
    """Write ``tensors``; no checksums, no fsync."""
    safetensors.torch.save_file(tensors, file)  # pyright: ignore[reportUnknownMemberType]  # PathLike without its argument


def load_safetensors(file: str, device: str = "cpu") -> dict[str, Tensor]:
    """Return all tensors, mapped, or copied to a device."""
    return safetensors.torch.load_file(file, device)  # pyright: ignore[reportUnknownMemberType]  # PathLike without its argument


def one_of_safetensors(file: str, path: str) -> Tensor:
    """Return one tensor."""
    opened: Any
    with safe_open(file, framework="pt") as opened:
        tensor: Tensor = opened.get_tensor(path)
    return tensor


def save_torch(tensors: dict[str, Tensor], file: str) -> None:
    """Write ``tensors`` as torch does."""
    torch.save(tensors, file)


def load_torch(file: str) -> dict[str, Tensor]:
    """Return all tensors, read and unpickled without running code."""
    tensors: dict[str, Tensor] = torch.load(file, weights_only=True)
    return tensors
