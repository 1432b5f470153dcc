"""The dtypes that files may hold, by the names that files give them."""

import torch

_NAMES = (
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 "
    "float64 complex32 complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz "
    "float8_e5m2fnuz float8_e8m0fnu"
)

BY_NAME: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in _NAMES.split() if hasattr(torch, name)
}
"""Every dtype of whole bytes that this torch has."""

NAME_OF: dict[torch.dtype, str] = {dtype: name for name, dtype in BY_NAME.items()}
