"""Initialization of parameters of selected parts by edits."""

from collections.abc import Sequence

from torch import nn

from ....config.process.interrupts import raise_of_signal
from ....config.short_text import first_names
from ....records.tensors.grad_mode import no_grad
from ..edits.edits import Edit, Initialize
from ..errors import SettingError


def initialize(
    root: nn.Module,
    log: Sequence[Edit],
    edits_by_module: Sequence[tuple[nn.Module, Edit]],
) -> None:
    """Fill parameters, each once, by the last edit that applies to it.

    They are drawn in the order of the module, so that the same seed gives the same
    values in whatever order the edits were made.
    """
    edit_by_id: dict[int, Initialize] = {}
    for edit in log:
        if isinstance(edit, Initialize):
            parts = [part for part, part_edit in edits_by_module if part_edit is edit]
            edit_by_id.update((id(p), edit) for p in _meant_parameters(parts, edit))
    with no_grad():
        for path, parameter in root.named_parameters() if edit_by_id else ():
            last_edit = edit_by_id.get(id(parameter))
            if last_edit is not None:
                _fill(path, parameter, last_edit)


def _fill(path: str, parameter: nn.Parameter, edit: Initialize) -> None:
    try:
        edit.function(parameter, *edit.args, **edit.kwargs)
    except Exception as error:  # a user's function may raise anything
        raise_of_signal(error)
        shape, reason = tuple(parameter.shape), f"{type(error).__name__}: {error}"
        message = f"{edit} raised {reason} (for a parameter of {shape})"
        raise SettingError(path, message) from error


def check_param_names(parts: Sequence[nn.Module], edit: Initialize) -> None:
    """Raise `SettingError` if a name in ``edit`` is that of no parameter in ``parts``.

    A misspelled one of several names would leave its parameters unchanged.
    """
    names = {name for name, _ in _names_and_parameters(parts)}
    for name in edit.tensors or ("",):
        if name not in names:
            raise _means_nothing(edit, names, name)


def _meant_parameters(
    parts: Sequence[nn.Module], edit: Initialize
) -> list[nn.Parameter]:
    names_and_parameters = _names_and_parameters(parts)
    parameters = [p for name, p in names_and_parameters if name in edit.tensors]
    # A name that was valid and matches nothing now was removed by an edit since then,
    # and a pattern that matches no part is meant for those that come later.
    if parts and not parameters and not edit.is_checked:
        raise _means_nothing(edit, {name for name, _ in names_and_parameters})
    return parameters


def _names_and_parameters(
    parts: Sequence[nn.Module],
) -> list[tuple[str, nn.Parameter]]:
    return [
        (path.rpartition(".")[2], parameter)
        for part in parts
        for path, parameter in part.named_parameters(remove_duplicate=False)
    ]


def _means_nothing(edit: Initialize, names: set[str], name: str = "") -> SettingError:
    target = (
        edit.target if isinstance(edit.target, str) else first_names(edit.target, 8)
    )
    reason = (
        f"{name!r} is not the name of a parameter"
        if name
        else "it matches no parameter"
    )
    names_text = ", ".join(map(repr, sorted(names))) or "none"
    return SettingError(
        target, f"{edit}: {reason} in the selection; there are {names_text}."
    )
