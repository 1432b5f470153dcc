# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The layers of torch with other names or orders in Burn, as one table.

It is that of Burn 0.22, whose layers have had these fields since 0.13. Numbers that are
not tensors (an epsilon, a stride) are constructor arguments on both sides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from ...config.short_text import quantity, with_article
from ...records.errors import RecordError
from ...records.tensors.torch_internals import NormBase


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A tensor of torch, and those of Burn whose concatenation it is."""

    torch_name: str
    burn_names: tuple[str, ...]
    is_transposed: bool = False
    """Whether each of Burn's tensors is transposed."""


def counterparts_of(module: nn.Module) -> dict[str, Counterpart]:
    """Return the tensors of ``module`` itself that differ in Burn, by torch's names.

    Raises `RecordError` for a recurrent layer without a counterpart in Burn.
    """
    for cls, gates in _GATES.items():
        if isinstance(module, cls):
            return {
                p.torch_name: p for p in _recurrent(module, gates) if _has(module, p)
            }
    for classes, pairings in _LAYERS:
        if isinstance(module, classes):
            return {p.torch_name: p for p in pairings if _has(module, p)}
    return {}


def children_of(module: nn.Module) -> Mapping[str, str]:
    """Return Burn's names of the children of ``module``, by torch's names."""
    if isinstance(module, nn.TransformerEncoderLayer):
        return _ENCODER_NORM_FIRST if module.norm_first else _ENCODER
    if isinstance(module, nn.TransformerDecoderLayer):
        return _DECODER_NORM_FIRST if module.norm_first else _DECODER
    if isinstance(module, nn.MultiheadAttention):
        return {"out_proj": "output"}
    return {}


def unknown_to_burn(module: nn.Module) -> frozenset[str]:
    """Return the names of tensors of ``module`` itself that Burn does not have."""
    return _COUNTS if isinstance(module, NormBase) else frozenset()


def _has(module: nn.Module, pairing: Counterpart) -> bool:
    return module._parameters.get(pairing.torch_name) is not None


def _recurrent(module: nn.RNNBase, gates: tuple[str, ...]) -> Iterator[Counterpart]:
    """Yield the pairings of a layer whose gates are one tensor in torch."""
    if module.num_layers > 1 or module.proj_size:
        problem = (
            "a projection"
            if module.proj_size
            else f"{quantity(module.num_layers, 'layer')}"
        )
        raise RecordError(
            f"{with_article(type(module).__name__)} with {problem}, but Burn's has "
            "one layer and no projection. Build it from several modules of one layer, "
            "or keep torch's names and orders: convention='torch'"
        )
    directions = {"": ""}
    if module.bidirectional:
        directions = {"forward.": "", "reverse.": "_reverse"}
    for direction, ending in directions.items():
        for name, burn_name in _TRANSFORMS.items():
            burn_names = tuple(f"{direction}{gate}.{burn_name}" for gate in gates)
            is_weight = name.startswith("weight")
            yield Counterpart(f"{name}_l0{ending}", burn_names, is_transposed=is_weight)


_TRANSFORMS = {
    "weight_ih": "input_transform.weight",
    "weight_hh": "hidden_transform.weight",
    "bias_ih": "input_transform.bias",
    "bias_hh": "hidden_transform.bias",
}

_GATES: dict[type[nn.RNNBase], tuple[str, ...]] = {
    nn.LSTM: ("input_gate", "forget_gate", "cell_gate", "output_gate"),
    nn.GRU: ("reset_gate", "update_gate", "new_gate"),
    nn.RNN: ("gate",),
}
"""The gates of each recurrent layer, in torch's order."""

_QKV = ("query", "key", "value")

_NORM = (Counterpart("weight", ("gamma",)), Counterpart("bias", ("beta",)))

_LAYERS: tuple[tuple[tuple[type[nn.Module], ...], tuple[Counterpart, ...]], ...] = (
    ((nn.Linear,), (Counterpart("weight", ("weight",), is_transposed=True),)),
    (
        (
            NormBase,
            nn.LayerNorm,
            nn.GroupNorm,
            nn.RMSNorm,
        ),
        _NORM,
    ),
    ((nn.PReLU,), (Counterpart("weight", ("alpha",)),)),
    (
        (nn.MultiheadAttention,),
        (
            Counterpart(
                "in_proj_weight",
                tuple(f"{n}.weight" for n in _QKV),
                is_transposed=True,
            ),
            Counterpart("in_proj_bias", tuple(f"{n}.bias" for n in _QKV)),
            Counterpart("q_proj_weight", ("query.weight",), is_transposed=True),
            Counterpart("k_proj_weight", ("key.weight",), is_transposed=True),
            Counterpart("v_proj_weight", ("value.weight",), is_transposed=True),
        ),
    ),
)
"""Layers that differ; embeddings and convolutions, transposed ones too, do not."""

_COUNTS = frozenset({"num_batches_tracked"})

_FEED_FORWARD = {"linear1": "pwff.linear_inner", "linear2": "pwff.linear_outer"}
_ENCODER = {
    **_FEED_FORWARD,
    "self_attn": "mha",
    "norm1": "norm_1",
    "norm2": "norm_2",
}
# Burn numbers the norms in order when they follow the sublayers; when they precede
# them, the last one comes first.
_ENCODER_NORM_FIRST = {**_ENCODER, "norm1": "norm_2", "norm2": "norm_1"}
_DECODER = {
    **_FEED_FORWARD,
    "multihead_attn": "cross_attn",
    "norm1": "norm_1",
    "norm2": "norm_2",
    "norm3": "norm_3",
}
_DECODER_NORM_FIRST = {
    **_DECODER,
    "norm1": "norm_3",
    "norm2": "norm_1",
    "norm3": "norm_2",
}
