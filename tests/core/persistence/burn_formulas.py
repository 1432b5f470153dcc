"""What Burn's layers compute, from their fields in its records, written by hand.

Each function takes the tensors by their names in Burn, and the input.
"""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


class Fields(Mapping[str, Tensor]):
    """Tensors by name, below a prefix; notes which of them were used."""

    def __init__(
        self, tensors: dict[str, Tensor], prefix: str = "", used: set[str] | None = None
    ) -> None:
        self.tensors, self.prefix = tensors, prefix
        self.used = set[str]() if used is None else used

    def __getitem__(self, name: str) -> Tensor:
        tensor = self.tensors[self.prefix + name]
        self.used.add(self.prefix + name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def below(self, name: str) -> "Fields":
        return Fields(self.tensors, f"{self.prefix}{name}.", self.used)


EPSILON = 1e-5


def linear(t: Fields, x: Tensor) -> Tensor:
    """O = I W + b, W of shape [in, out]."""
    out = torch.einsum("...i,io->...o", x, t["weight"])
    return out + t["bias"] if t.prefix + "bias" in t.tensors else out


def embedding(t: Fields, x: Tensor) -> Tensor:
    return torch.stack([t["weight"][i] for i in x.tolist()])


def conv1d(t: Fields, x: Tensor) -> Tensor:
    """Cross-correlation, the weight of shape [out, in, kernel]."""
    weight = t["weight"]
    n = x.shape[2] - weight.shape[2] + 1
    steps = [
        torch.einsum("bik,oik->bo", x[:, :, i : i + weight.shape[2]], weight)
        for i in range(n)
    ]
    return torch.stack(steps, 2) + t["bias"][:, None]


def conv2d(t: Fields, x: Tensor) -> Tensor:
    weight = t["weight"]
    height, width = weight.shape[2:]
    rows = [
        [
            torch.einsum(
                "bihw,oihw->bo", x[:, :, i : i + height, j : j + width], weight
            )
            for j in range(x.shape[3] - width + 1)
        ]
        for i in range(x.shape[2] - height + 1)
    ]
    out = torch.stack([torch.stack(row, 2) for row in rows], 2)
    return out + t["bias"][:, None, None]


def conv_transpose1d(t: Fields, x: Tensor) -> Tensor:
    """Each input adds the weight, of shape [in, out, kernel], from its place on."""
    weight = t["weight"]
    n = x.shape[2] + weight.shape[2] - 1
    out = torch.zeros(x.shape[0], weight.shape[1], n, dtype=x.dtype)
    for i in range(x.shape[2]):
        part = torch.einsum("bi,iok->bok", x[:, :, i], weight)
        out[:, :, i : i + weight.shape[2]] += part
    return out + t["bias"][:, None]


def batch_norm(t: Fields, x: Tensor) -> Tensor:
    """In evaluation, by the running statistics."""
    scale = t["gamma"] / torch.sqrt(t["running_var"] + EPSILON)
    shape = [-1] + [1] * (x.dim() - 2)
    mean, beta = t["running_mean"].view(shape), t["beta"].view(shape)
    return (x - mean) * scale.view(shape) + beta


def layer_norm(t: Fields, x: Tensor) -> Tensor:
    centered = x - x.mean(-1, keepdim=True)
    variance = (centered**2).mean(-1, keepdim=True)
    return centered / torch.sqrt(variance + EPSILON) * t["gamma"] + t["beta"]


def group_norm(t: Fields, x: Tensor, n_groups: int = 2) -> Tensor:
    groups = x.reshape(x.shape[0], n_groups, -1)
    centered = groups - groups.mean(-1, keepdim=True)
    variance = (centered**2).mean(-1, keepdim=True)
    normal = (centered / torch.sqrt(variance + EPSILON)).view(x.shape)
    return normal * t["gamma"][:, None] + t["beta"][:, None]


def instance_norm(t: Fields, x: Tensor) -> Tensor:
    return group_norm(t, x, n_groups=x.shape[1])


def rms_norm(t: Fields, x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + EPSILON) * t["gamma"]


def prelu(t: Fields, x: Tensor) -> Tensor:
    return torch.where(x > 0, x, t["alpha"] * x)


def gate(t: Fields, x: Tensor, h: Tensor) -> Tensor:
    return linear(t.below("input_transform"), x) + linear(
        t.below("hidden_transform"), h
    )


def rnn(t: Fields, x: Tensor) -> Tensor:
    h, outputs = torch.zeros(x.shape[0], 3, dtype=x.dtype), list[Tensor]()
    for step in x.unbind(1):
        h = torch.tanh(gate(t.below("gate"), step, h))
        outputs.append(h)
    return torch.stack(outputs, 1)


def lstm(t: Fields, x: Tensor) -> Tensor:
    c = h = torch.zeros(x.shape[0], 3, dtype=x.dtype)
    outputs: list[Tensor] = []
    for step in x.unbind(1):
        entering = torch.sigmoid(gate(t.below("input_gate"), step, h))
        staying = torch.sigmoid(gate(t.below("forget_gate"), step, h))
        leaving = torch.sigmoid(gate(t.below("output_gate"), step, h))
        c = staying * c + entering * torch.tanh(gate(t.below("cell_gate"), step, h))
        h = leaving * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, 1)


def gru(t: Fields, x: Tensor) -> Tensor:
    """With ``reset_after``, its default."""
    h, outputs = torch.zeros(x.shape[0], 3, dtype=x.dtype), list[Tensor]()
    for step in x.unbind(1):
        update = torch.sigmoid(gate(t.below("update_gate"), step, h))
        reset = torch.sigmoid(gate(t.below("reset_gate"), step, h))
        new = t.below("new_gate")
        candidate = torch.tanh(
            linear(new.below("input_transform"), step)
            + reset * linear(new.below("hidden_transform"), h)
        )
        h = (1 - update) * candidate + update * h
        outputs.append(h)
    return torch.stack(outputs, 1)


def both_ways_lstm(t: Fields, x: Tensor) -> Tensor:
    back = lstm(t.below("reverse"), x.flip(1)).flip(1)
    return torch.cat([lstm(t.below("forward"), x), back], 2)


def both_ways_gru(t: Fields, x: Tensor) -> Tensor:
    back = gru(t.below("reverse"), x.flip(1)).flip(1)
    return torch.cat([gru(t.below("forward"), x), back], 2)


def attention(
    t: Fields, x: Tensor, memory: Tensor | None = None, n_heads: int = 2
) -> Tensor:
    memory = x if memory is None else memory

    def heads(name: str, of: Tensor) -> Tensor:
        out = linear(t.below(name), of)
        return out.view(*out.shape[:2], n_heads, -1).transpose(1, 2)

    query = heads("query", x)
    scores = query @ heads("key", memory).transpose(2, 3) / math.sqrt(query.shape[3])
    context = torch.softmax(scores, 3) @ heads("value", memory)
    return linear(t.below("output"), context.transpose(1, 2).reshape(x.shape))


def feed_forward(t: Fields, x: Tensor) -> Tensor:
    inner = torch.nn.functional.gelu(linear(t.below("linear_inner"), x))
    return linear(t.below("linear_outer"), inner)


def encoder_layer(t: Fields, x: Tensor) -> Tensor:
    x = layer_norm(t.below("norm_1"), x + attention(t.below("mha"), x))
    return layer_norm(t.below("norm_2"), x + feed_forward(t.below("pwff"), x))


def encoder_layer_norm_first(t: Fields, x: Tensor) -> Tensor:
    x = x + attention(t.below("mha"), layer_norm(t.below("norm_2"), x))
    return x + feed_forward(t.below("pwff"), layer_norm(t.below("norm_1"), x))


def decoder_layer(t: Fields, x: Tensor) -> Tensor:
    memory = x.flip(1)
    x = layer_norm(t.below("norm_1"), x + attention(t.below("self_attn"), x))
    x = layer_norm(t.below("norm_2"), x + attention(t.below("cross_attn"), x, memory))
    return layer_norm(t.below("norm_3"), x + feed_forward(t.below("pwff"), x))


def decoder_layer_norm_first(t: Fields, x: Tensor) -> Tensor:
    memory = x.flip(1)
    x = x + attention(t.below("self_attn"), layer_norm(t.below("norm_3"), x))
    inner = layer_norm(t.below("norm_1"), x)
    x = x + attention(t.below("cross_attn"), inner, memory)
    return x + feed_forward(t.below("pwff"), layer_norm(t.below("norm_2"), x))
