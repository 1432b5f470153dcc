"""The dtypes that files may hold, and torch's others, by their names in files."""

import torch

_NAMES = (
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 "
    "float64 complex32 complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz "
    "float8_e5m2fnuz float8_e8m0fnu"
)

BY_NAME: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in _NAMES.split() if hasattr(torch, name)
}
"""Every dtype of whole bytes in this version of torch."""

NAME_OF: dict[torch.dtype, str] = {dtype: name for name, dtype in BY_NAME.items()}

ALL: dict[str, torch.dtype] = {
    str(dtype): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}
"""Every dtype of this version of torch by its name in Python, as ``torch.int8``."""


def dtype_named(name: object) -> torch.dtype:
    """Return the dtype of a name with or without ``torch.``; ValueError for others."""
    full_name = f"torch.{str(name).removeprefix('torch.')}"
    if full_name not in ALL:
        raise ValueError(f"{name!r} is not a dtype of this torch version")
    return ALL[full_name]


def name_of_dtype(dtype: torch.dtype) -> str:
    """Return the name of a dtype in files, without ``torch.``."""
    return str(dtype).removeprefix("torch.")


def can_require_grad(tensor: torch.Tensor) -> bool:
    """Return whether torch allows tensors of its dtype to require grad."""
    return tensor.is_floating_point() or tensor.is_complex()


def dtype_meant(name: object) -> torch.dtype | None:
    """Return the floating dtype that any known library calls ``name``, or None.

    For suggestions: options accept fewer names than users know.
    """
    if not isinstance(name, str):
        return None
    return _ALSO_CALLED.get(name.lower().removeprefix("torch."))


_ALSO_CALLED = {
    **dict.fromkeys(("float16", "fp16", "f16", "half"), torch.float16),
    **dict.fromkeys(("bfloat16", "bf16"), torch.bfloat16),
    **dict.fromkeys(("float32", "fp32", "f32", "float", "full"), torch.float32),
    **dict.fromkeys(("float64", "fp64", "f64", "double"), torch.float64),
}
