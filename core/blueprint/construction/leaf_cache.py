"""Layers of torch edited without running their makers, each kind tried once."""

from torch import nn

from ....config.process.interrupts import raise_of_signal
from ...modules.classes import torch_classes
from ...modules.signature import call_arguments
from ...state.uninitialized.uninitialized import call_unfilled
from ..edits.computed import computed_in
from ..edits.edits import Edit, SetArguments, with_replacements
from ..errors import constructor_error
from ..tree.arguments import ConstructorCall, check_arguments, edited_call_of
from ..tree.construction_node import ConstructionNode, describe_value, is_repeatable
from ..tree.infer_sizes import missing_sizes, placeholder_sizes
from ..tree.module_values import build_values
from .part_cache import values_key


class LeafCache:
    """Edits layers of torch without running their makers, and tries equal layers once.

    A layer that constructs no others changes nothing outside of itself, so that its
    maker need not run again. This makes many edits of a large module fast.
    """

    def __init__(self) -> None:
        self._valid_keys: set[object] = set()
        self._edited_leaves: dict[object, ConstructionNode] = {}

    def edited_node(
        self,
        node: ConstructionNode,
        replacements: dict[int, Edit | None],
        edit: SetArguments,
    ) -> ConstructionNode | None:
        """Return ``node`` after ``edit``, None if the result may construct others."""
        if node.children or not is_repeatable(node.passed_arguments):
            return None
        edits = (*with_replacements(node.edits, replacements), edit)
        call = edited_call_of(node, edits)
        check_arguments(call, node.path, edit)
        if computed_in(call.arguments):
            return None
        if not self._is_leaf(call, node.path):
            return None
        edited_node = node.without_children()
        edited_node.edits, edited_node.cls = edits, call.cls
        edited_node.arguments = describe_value(call.arguments)
        edited_node.missing_sizes = missing_sizes(call.cls, call.arguments)
        arguments_key = values_key(node.passed_arguments)
        if arguments_key is None:
            return edited_node
        if len(self._edited_leaves) > _MAX_LEAVES:
            self._edited_leaves.clear()
        # One object serves all equal layers, so that their edits compare by identity.
        key = (node.original_cls, edits, node.inner_edits, arguments_key)
        return self._edited_leaves.setdefault(key, edited_node)

    def _is_leaf(self, call: ConstructorCall, path: str) -> bool:
        """Return whether this constructs a layer of torch alone, after trying it."""
        cls = call.cls
        if cls not in torch_classes() or cls in _MAKERS:
            return False
        arguments_key = values_key(call.arguments)
        if arguments_key is not None and (cls, arguments_key) in self._valid_keys:
            return True
        arguments = call.arguments | placeholder_sizes(cls, call.arguments)
        try:
            args, kwargs = call_arguments(
                cls, {n: build_values(v) for n, v in arguments.items()}
            )
            call_unfilled(lambda: cls(*args, **kwargs))
        except Exception as error:
            raise_of_signal(error)
            raise constructor_error(path, cls, error) from error
        if len(self._valid_keys) > _MAX_LEAVES:
            self._valid_keys.clear()
        if arguments_key is not None:
            self._valid_keys.add((cls, arguments_key))
        return True


_MAX_LEAVES = 1000
"""Maximal number of layers in a cache before it is emptied."""

_MAKERS = {
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Module, nn.MultiheadAttention),
    *(nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
    *(nn.AdaptiveLogSoftmaxWithLoss, getattr(nn, "LinearCrossEntropyLoss", nn.Module)),
}
"""Classes of torch whose constructors create modules, or take them as arguments."""
