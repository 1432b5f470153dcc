"""Modules: their learned values as records, their arguments as hyperparameters."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..config.lazy_exports import lazily
from .hyperparameters.node_readers import register_node_reader

if TYPE_CHECKING:
    from torch import nn

    from .decorator import Module, module
    from .evolution.record_check import assert_records_load, upgrade_file
    from .evolution.tensor_rules import (
        MergeTensors,
        SplitTensor,
        StackTensors,
        TransposeTensor,
        UnstackTensor,
    )
    from .freezing import freeze, thaw
    from .hyperparameters.capture import register_hparams
    from .hyperparameters.reader import from_hyperparameters
    from .hyperparameters.writer import get_hparams
    from .module_summary import ModuleSummary, num_params, summary
    from .modules.functions import register_function
    from .modules.registry import allow_classes, register_class
    from .persistence.loading import from_record, load_record, report_of
    from .persistence.saving import into_record, save_record
    from .prediction import predict
    from .pretrained.pretrained import from_pretrained, save_pretrained
    from .state.identity import map_params, named_params
    from .state.uninitialized.uninitialized import skip_init

__all__ = [
    "MergeTensors",
    "Module",
    "ModuleSummary",
    "SplitTensor",
    "StackTensors",
    "TransposeTensor",
    "UnstackTensor",
    "allow_classes",
    "assert_records_load",
    "freeze",
    "from_hyperparameters",
    "from_pretrained",
    "from_record",
    "get_hparams",
    "into_record",
    "load_record",
    "map_params",
    "module",
    "named_params",
    "num_params",
    "predict",
    "register_class",
    "register_function",
    "register_hparams",
    "report_of",
    "save_pretrained",
    "save_record",
    "skip_init",
    "summary",
    "thaw",
    "upgrade_file",
]

_HOME = {
    "MergeTensors": "evolution.tensor_rules",
    "Module": "decorator",
    "ModuleSummary": "module_summary",
    "SplitTensor": "evolution.tensor_rules",
    "StackTensors": "evolution.tensor_rules",
    "TransposeTensor": "evolution.tensor_rules",
    "UnstackTensor": "evolution.tensor_rules",
    "allow_classes": "modules.registry",
    "assert_records_load": "evolution.record_check",
    "freeze": "freezing",
    "from_hyperparameters": "hyperparameters.reader",
    "from_pretrained": "pretrained.pretrained",
    "from_record": "persistence.loading",
    "get_hparams": "hyperparameters.writer",
    "into_record": "persistence.saving",
    "load_record": "persistence.loading",
    "map_params": "state.identity",
    "module": "decorator",
    "named_params": "state.identity",
    "num_params": "module_summary",
    "predict": "prediction",
    "register_class": "modules.registry",
    "register_function": "modules.functions",
    "register_hparams": "hyperparameters.capture",
    "report_of": "persistence.loading",
    "save_pretrained": "pretrained.pretrained",
    "save_record": "persistence.saving",
    "skip_init": "state.uninitialized.uninitialized",
    "summary": "module_summary",
    "thaw": "freezing",
    "upgrade_file": "evolution.record_check",
}


__getattr__, __dir__ = lazily(__name__, _HOME, ("blueprint",))


def _build_blueprint(cls: "type[nn.Module]", node: Mapping[str, Any]) -> "nn.Module":
    # A program that reads a file may not have imported the blueprints module yet.
    from .blueprint.blueprint import build_stored

    return build_stored(cls, node)


register_node_reader("__blueprint__", _build_blueprint)
