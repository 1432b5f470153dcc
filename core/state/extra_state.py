# pyright: reportPrivateUsage=false
# Nn.Module's tables have no public names.
"""What a module keeps beside parameters and buffers: torch's ``get_extra_state``."""

from typing import Any

from torch import Tensor, nn

from ...records.errors import RecordError
from .places import Places

EXTRA = "_extra_state"
"""The name of it in torch's state dicts, and here."""


def has_extra_state(module: nn.Module) -> bool:
    """Return whether the class of ``module`` says what else it keeps."""
    return type(module).get_extra_state is not nn.Module.get_extra_state


def extra_state(module: nn.Module) -> Any:
    """Return what ``module`` keeps."""
    return module.get_extra_state()


def check_state_dict(places: Places) -> None:
    """Raise `RecordError` for a module that keeps tensors that only it knows of.

    Classes that write a state dict of their own (packed weights of quantized layers)
    would lose them here. Those that only rename or filter what they have do not.
    """
    for prefix, owner in places:
        if type(owner)._save_to_state_dict is nn.Module._save_to_state_dict:
            continue
        state: dict[str, Any] = {}
        owner._save_to_state_dict(state, "", keep_vars=True)
        known = {
            id(t) for own in (owner._parameters, owner._buffers) for t in own.values()
        }
        for name, value in state.items():
            if isinstance(value, Tensor) and id(value) not in known and name != EXTRA:
                raise RecordError(
                    f"{prefix}{name}: {type(owner).__qualname__} writes it into its "
                    "state dict, and it is neither a parameter nor a buffer. Save this "
                    "module before it is packed, or save its state dict: "
                    "Record.from_state_dict(module.state_dict()).save(file)."
                )
