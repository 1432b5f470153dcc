"""Records under a Lightning strategy that distributes a module over processes.

It calls no CheckpointIO, since each process writes pickles in its own format; here each
writes its shares of a record, and reads those that it needs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy

from ...records.processes.agreement import agreed
from ...records.processes.messages import broadcast_text, is_any
from ...records.sharded.share_payload import with_shares
from ..checkpoints.checkpoint import Checkpoint, open_part
from ..checkpoints.distributed import check_same_checkpoint, is_writer
from ..checkpoints.torch_optimizer_shares import outline_of
from ..plain_records import value_of
from .checkpoint_folder import MODEL, STATE_DICT_EXTRA, TRAINING, is_checkpoint
from .chosen_weights import live_values

_OPTIMIZERS = "optimizer_states"


def let_write_records(strategy: Any) -> None:
    """Let ``strategy`` save and load records if it would bypass its plugin."""
    if isinstance(strategy, ModelParallelStrategy):
        own_load = strategy.load_checkpoint
        instance: Any = strategy
        instance.save_checkpoint = partial(_save, strategy)
        instance.load_checkpoint = partial(_load, strategy, own_load)


def _save(
    strategy: Any,
    checkpoint: dict[str, Any],
    filepath: Any,
    storage_options: Any = None,
) -> None:
    path = broadcast_text(str(filepath))
    if strategy._save_distributed_checkpoint or is_writer():
        strategy.checkpoint_io.save_checkpoint(checkpoint, path, storage_options)


def _load(
    strategy: Any,
    own_load: Callable[..., dict[str, Any]],
    checkpoint_path: Any,
    weights_only: bool | None = None,
) -> dict[str, Any]:
    """Fill module and optimizers of all processes; return everything else."""
    path = broadcast_text(str(checkpoint_path))
    if not is_any(is_checkpoint(path)):
        return own_load(checkpoint_path, weights_only=weights_only)
    from torch.distributed.checkpoint import state_dict as torch_state

    live_tensors = torch_state.get_model_state_dict(strategy.model)
    # Everything is read and verified on all processes before anything is changed.
    checkpoint = agreed(lambda: Checkpoint.read(path))
    check_same_checkpoint(checkpoint.manifest, path)
    state_dict, training = agreed(lambda: _read(checkpoint, live_tensors))
    options = torch_state.StateDictOptions(
        strict=strategy.lightning_module.strict_loading
    )
    torch_state.set_model_state_dict(strategy.model, state_dict, options=options)
    optimizer_states = training.pop(_OPTIMIZERS, ())
    for optimizer, state in zip(strategy.optimizers, optimizer_states, strict=False):
        torch_state.set_optimizer_state_dict(strategy.model, optimizer, state)
    return training


def _read(
    checkpoint: Checkpoint, live_tensors: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state dict, sharded as ``live_tensors`` are, and everything else."""
    likes = {n: t for n, t in live_tensors.items() if hasattr(t, "device_mesh")}
    model = with_shares(checkpoint[MODEL], likes)
    record = open_part(checkpoint, TRAINING)
    paths, outline = outline_of(record)
    names = [*live_tensors]
    record = with_shares(
        record,
        {
            paths[id(value)]: likes[name]
            for state in outline.get(_OPTIMIZERS, ())
            for name, values in _by_name(state, names)["state"].items()
            if name in likes
            for value in values.values()
            if id(value) in paths
        },
    )
    model.load_all()
    record.load_all()
    training: dict[str, Any] = value_of(record)
    if _OPTIMIZERS in training:
        states = [_by_name(state, names) for state in training[_OPTIMIZERS]]
        training[_OPTIMIZERS] = states
    extra = training.pop(STATE_DICT_EXTRA, {})
    left_out = checkpoint.manifest.parts[MODEL].left_out
    live = live_values(left_out, live_tensors)
    return {**live, **model.to_state_dict(), **extra}, training


def _by_name(state: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the state of an optimizer by the names of parameters.

    Where the first process gathers everything, the strategy has it by their numbers.
    """

    def name(key: Any) -> Any:
        return names[key] if isinstance(key, int) else key

    groups = [
        {**group, "params": [*map(name, group["params"])]}
        for group in state["param_groups"]
    ]
    by_name = {name(key): values for key, values in state["state"].items()}
    return {"state": by_name, "param_groups": groups}
