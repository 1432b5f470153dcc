"""Effects of a changed config, compared with what a checkpoint restores."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ...config.process.user_warning import warn_user
from ...core.persistence.meaning import check_meaning
from ...optim.bound.param_groups import plain_group
from ...records.errors import RecordMismatchError
from ..checkpoints.part import MODULE
from ..checkpoints.rng import restored_generators
from .blob_markers import LEGACY_SUFFIX
from .lazy_fields import value_in_state
from .object_kind import BOUND, FILLED, Description, open_object
from .stored_files import StoredFiles

_CURE = (
    "It is rebuilt from the checkpoint as it was saved, regardless of the "
    "config. Revert the override or the edit of config.ron, start a "
    "separate run, or continue with the stored one: HyperState.load(..., "
    'hyperparameters="ignore").'
)


def check_change(
    stored_files: StoredFiles,
    files: Mapping[str, str],
    begin_before: Callable[[], Any],
    begin_now: Callable[[], Any],
    *,
    is_allowed: bool,
) -> None:
    """Compare what a run would begin with now with the stored objects.

    ``files`` are those of the objects by path. Raises RecordMismatchError for a module
    with other hyperparameters, unless ``is_allowed``; warns about an optimizer's.
    """
    kinds = {path: _kind(stored_files, file, path) for path, file in files.items()}
    with restored_generators():
        now = begin_now()
        before = begin_before() if {BOUND, FILLED} & {*kinds.values()} else None
    for path, kind in kinds.items():
        current = value_in_state(now, path)
        if kind == MODULE and isinstance(current, nn.Module) and not is_allowed:
            _check_module(stored_files, files[path], path, current)
        if kind in (BOUND, FILLED) and isinstance(current, torch.optim.Optimizer):
            _warn_of_optimizer(path, value_in_state(before, path), current)


def _kind(stored_files: StoredFiles, file: str, path: str) -> str:
    if file.endswith(LEGACY_SUFFIX):
        return ""
    return Description.read(open_object(stored_files, file, path)).kind


def _check_module(
    stored_files: StoredFiles, file: str, path: str, module: nn.Module
) -> None:
    metadata: Any = open_object(stored_files, file, path).metadata.get("burnish", {})
    name = str(stored_files.file(file))
    try:
        check_meaning(module, metadata.get("hparams"), name)
    except RecordMismatchError as error:
        problems = [
            f"{path}.{problem.replace('the module has', 'the config makes')}"
            for problem in error.problems
        ]
        raise RecordMismatchError(name, problems, _CURE) from None


def _warn_of_optimizer(
    path: str, optimizer_before: object, optimizer: torch.optim.Optimizer
) -> None:
    """Warn about effects of a config change that a resumed run does not have."""
    groups = zip(
        getattr(optimizer_before, "param_groups", ()),
        optimizer.param_groups,
        strict=False,
    )
    for index, (was, now) in enumerate(groups):
        before, after = plain_group(was), plain_group(now)
        for name in sorted(after.keys() - {"params"}):
            if before.get(name) != after[name]:
                warn_user(
                    f"{path}: the config now gives {name} {after[name]} in group "
                    f"{index} (before: {before.get(name)}), but the optimizer "
                    "keeps the value of the checkpoint. To make it follow the "
                    "config, call run.bind_optimizer(...); to change it by "
                    f"hand, set run.state.{path}.param_groups[{index}][{name!r}]",
                    RuntimeWarning,
                )
