"""Checks that hyperparameters rebuild the module that they were taken from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...config.process.interrupts import raise_of_signal
from ...config.spelling import did_you_mean
from ..errors import HyperparameterError
from ..hyperparameters.reader import planned
from ..modules.classes import declared_class
from ..modules.tree import places_of, unwrapped
from ..state.entries import held_tensors
from ..state.grouping import group_paths
from ..state.uninitialized.modes import construct_on
from ..state.uninitialized.uninitialized import build_unfilled


def check_rebuilds(module: nn.Module, hparams: Mapping[str, object]) -> None:
    """Raise `HyperparameterError` if ``hparams`` do not rebuild ``module``'s tensors.

    The module is built a second time, without values, and discarded: tensors that were
    added, replaced or reshaped after its constructor are not in its hyperparameters.
    """
    rebuilt_shapes, shapes = _forms(_skeleton(module, hparams)), _forms(module)
    problems = [
        f"{path}, which is new"
        for path in group_paths(shapes.keys() - rebuilt_shapes.keys())
    ]
    for path in group_paths(rebuilt_shapes.keys() - shapes.keys()):
        hint = did_you_mean(path, shapes).replace(" Did you mean", "; is it now")
        problems.append(f"{path}, which is gone{hint}")
    for path in shapes.keys() & rebuilt_shapes.keys():
        if (
            None not in (shapes[path], rebuilt_shapes[path])
            and shapes[path] != rebuilt_shapes[path]
        ):
            problems.append(
                f"{path} of shape {shapes[path]} instead of {rebuilt_shapes[path]}"
            )
    if problems:
        name = type(unwrapped(module)).__qualname__
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise HyperparameterError(
            "",
            f"{name} was changed after it was built: "
            f"{'; '.join(sorted(problems)[:8])}{more}. Its hyperparameters do "
            "not include that change, so the folder could not be loaded. Make "
            "the change in __init__ (controlled by an argument), or save only "
            "the weights: burnish.save_record(module, file), later "
            "burnish.from_record(factory, file), where the factory makes the "
            "same change.",
        )


def _skeleton(module: nn.Module, hparams: Mapping[str, object]) -> nn.Module:
    """Return a module of ``hparams`` without computed values."""
    build = planned(hparams, declared_class(type(unwrapped(module))))
    generator = torch.get_rng_state()
    try:
        try:
            return construct_on("meta", build)
        except Exception as error:
            raise_of_signal(error)
            # Some constructors read values; parameters that they do not read have none.
            return build_unfilled(build, None)[0]
    finally:
        torch.set_rng_state(generator)


def _forms(module: nn.Module) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each saved tensor, None if it is not known yet."""
    return {
        path: _shape(tensor)
        for path, kind, tensor in held_tensors(places_of(module))
        if kind != "transient"
    }


def _shape(tensor: Tensor) -> tuple[int, ...] | None:
    return None if nn.parameter.is_lazy(tensor) else tuple(tensor.shape)
