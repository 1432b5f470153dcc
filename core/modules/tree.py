# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The submodules of a module by path, with wrappers removed."""

from typing import TypeAlias

from torch import nn

Places: TypeAlias = list[tuple[str, nn.Module]]
"""The prefix of the paths of a submodule ("", "layers.0."), and the submodule."""

WRAPPING = frozenset(
    {
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
        "_original_module",
    }
)
"""Attributes of torch.compile, FSDP, checkpointing and Fabric that hold a module."""

_WRAPPERS = frozenset(
    {
        "DataParallel",
        "DeepSpeedEngine",
        "DistributedDataParallel",
        "FullyShardedDataParallel",
        "LightningDistributedDataParallel",
        "ShardedDataParallel",
    }
)
_NAMES = WRAPPING | {"module"}


def places_of(module: nn.Module) -> Places:
    """Return every submodule by path, parents first; a shared one at each of its paths.

    A wrapper adds nothing to a path. A module that contains itself is visited once.
    """
    places: Places = []
    _visit("", module, places, set(), set())
    return places


def _visit(
    prefix: str,
    owner: nn.Module,
    places: Places,
    above: set[int],
    visited: set[tuple[str, int]],
) -> None:
    # A recursive closure would keep the module alive until garbage is collected.
    places.append((prefix, owner))
    above.add(id(owner))
    for name, child in owner._modules.items():
        if child is None:
            continue
        if name in _NAMES and wraps(owner, name):
            if id(child) not in above and (prefix, id(child)) not in visited:
                visited.add((prefix, id(child)))
                _visit(prefix, child, places, above, visited)
        elif not child._modules:
            # Most modules have no children, and this runs for 5,000 modules at every
            # save.
            places.append((f"{prefix}{name}.", child))
        elif id(child) not in above:
            _visit(f"{prefix}{name}.", child, places, above, visited)
    above.discard(id(owner))


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside all wrappers."""
    # Wrappers are nested: FSDP around torch.compile around the module.
    for name, child in module._modules.items():
        if child is not None and wraps(module, name):
            return unwrapped(child)
    return module


def wraps(owner: nn.Module, name: str) -> bool:
    """Return whether ``owner`` only wraps its child ``name``, as DDP and FSDP do.

    A user's own module with a child called ``module`` does not.
    """
    if name in WRAPPING:
        # Any module may have a child of such a name; a wrapper has nothing else.
        return (
            not owner._parameters
            and not owner._buffers
            and all(child == "module" or child in WRAPPING for child in owner._modules)
        )
    if name != "module":
        return False
    return any(base.__name__ in _WRAPPERS for base in type(owner).__mro__)
