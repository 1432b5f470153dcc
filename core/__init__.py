"""Modules: what they have learned as records, what they are as hyperparameters."""

from typing import TYPE_CHECKING

from ..config.lazily import lazily

if TYPE_CHECKING:
    from .building import from_hyperparameters
    from .decorator import Module, module
    from .hyperparameters import get_hparams
    from .identity import map_params, named_params
    from .known_arguments import register_hparams
    from .loading import from_record, load_record, report_of
    from .pretrained import from_pretrained, save_pretrained
    from .record_check import assert_records_load, upgrade_file
    from .registry import allow_classes, register_class
    from .saving import into_record, save_record
    from .tensor_rules import (
        MergeTensors,
        SplitTensor,
        StackTensors,
        TransposeTensor,
        UnstackTensor,
    )
    from .uninitialized import skip_init

__all__ = [
    "MergeTensors",
    "Module",
    "SplitTensor",
    "StackTensors",
    "TransposeTensor",
    "UnstackTensor",
    "allow_classes",
    "assert_records_load",
    "from_hyperparameters",
    "from_pretrained",
    "from_record",
    "get_hparams",
    "into_record",
    "load_record",
    "map_params",
    "module",
    "named_params",
    "register_class",
    "register_hparams",
    "report_of",
    "save_pretrained",
    "save_record",
    "skip_init",
    "upgrade_file",
]

_HOME = {
    "MergeTensors": "tensor_rules",
    "Module": "decorator",
    "SplitTensor": "tensor_rules",
    "StackTensors": "tensor_rules",
    "TransposeTensor": "tensor_rules",
    "UnstackTensor": "tensor_rules",
    "allow_classes": "registry",
    "assert_records_load": "record_check",
    "from_hyperparameters": "building",
    "from_pretrained": "pretrained",
    "from_record": "loading",
    "get_hparams": "hyperparameters",
    "into_record": "saving",
    "load_record": "loading",
    "map_params": "identity",
    "module": "decorator",
    "named_params": "identity",
    "register_class": "registry",
    "register_hparams": "known_arguments",
    "report_of": "loading",
    "save_pretrained": "pretrained",
    "save_record": "saving",
    "skip_init": "uninitialized",
    "upgrade_file": "record_check",
}


__getattr__, __dir__ = lazily(__name__, _HOME, ("blueprint",))
