"""Modules that break what others do to build without init: a table for the tests."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

ZOO: dict[str, Callable[[], nn.Module]] = {}


def _add(cls: type[nn.Module]) -> type[nn.Module]:
    ZOO[cls.__name__] = cls
    return cls


@_add
class NonPersistent(nn.Module):
    f: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        frequency = 1.0 / (10000 ** (torch.arange(0, 4).float() / 4))
        self.register_buffer("f", frequency, persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.f


@_add
class ItemInInit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.r = [float(x.item()) for x in torch.linspace(0, 0.1, 4)]
        self.l = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.r[3]


@_add
class PlainTensorAttribute(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = torch.tensor([1.0, 2.0, 3.0, 4.0])
        self.l = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.c


@_add
class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Linear(4, 4, bias=False)
        self.h = nn.Linear(4, 4, bias=False)
        self.h.weight = self.e.weight

    def forward(self, x: Tensor) -> Any:
        return self.h(self.e(x))


@_add
class RandomParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4) / 2)
        self.g = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        return x @ self.w * self.g


@_add
class InitThroughData(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.l.weight.data.normal_(0, 0.02)
        self.l.bias.data.zero_()

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class EveryInitializer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.c = nn.Conv2d(4, 4, 3)
        nn.init.orthogonal_(self.a.weight)
        nn.init.trunc_normal_(self.b.weight)
        nn.init.dirac_(self.c.weight)
        nn.init.sparse_(self.a.weight, 0.1)
        nn.init.eye_(self.a.weight)
        nn.init.xavier_uniform_(self.b.weight)
        nn.init.kaiming_normal_(self.b.weight)

    def forward(self, x: Tensor) -> Any:
        return self.b(self.a(x))


@_add
class FillsSlices(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        with torch.no_grad():
            self.l.weight[0] = 0.0
            self.l.weight[:, 1].fill_(3)
            self.l.weight /= self.l.weight.norm()

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class BufferFromParameter(nn.Module):
    n: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        total = self.l.weight.detach().abs().sum()
        self.register_buffer("n", total, persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.n


@_add
class ChecksItsInit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        nn.init.ones_(self.l.weight)
        if float(self.l.weight.detach().sum()) != 16.0:
            raise RuntimeError("not ones")

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.l(x[:, None])[0]


@_add
class ShiftedBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.BatchNorm1d(4)
        assert self.l.running_mean is not None
        self.l.running_mean += 0.3

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Any:
        return self.l(x[:, None], x[:, None], x[:, None])[0]


@_add
class WeightAndSpectralNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = parametrizations.weight_norm(nn.Linear(4, 4))
        self.q = parametrizations.spectral_norm(nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Any:
        return self.q(self.l(x))


@_add
class OldWeightNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # Torch says that it is deprecated; models that use it still have files.
            warnings.simplefilter("ignore", FutureWarning)
            self.l = nn.utils.weight_norm(nn.Linear(4, 4))  # type: ignore[no-untyped-call]  # in torch

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class OldSpectralNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.utils.spectral_norm(nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class Orthogonal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = parametrizations.orthogonal(nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class FrozenAndTagged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.l.weight.requires_grad_(False)
        self.l.bias.tag = "keep"  # type: ignore[attr-defined]  # what the test is about

    def forward(self, x: Tensor) -> Any:
        is_kept = self.l.bias.tag == "keep"  # type: ignore[attr-defined]  # as above
        if self.l.weight.requires_grad or not self.l.bias.requires_grad or not is_kept:
            return x * math.nan
        return self.l(x)


@_add
class LambdaAttribute(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f: Callable[[Tensor], Tensor] = lambda x: x * 2
        self.l = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.l(self.f(x))


@_add
class ClosureHook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)

        def tripled(module: nn.Module, inputs: Any, output: Any) -> Any:
            return output * 3

        self.l.register_forward_hook(tripled)

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class SecondReference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.all = [self.l.weight]

    def forward(self, x: Tensor) -> Any:
        return self.l(x) @ self.all[0]


@_add
class Embeddings(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(10, 4, padding_idx=0)
        self.e2 = nn.Embedding.from_pretrained(torch.randn(10, 4))  # type: ignore[no-untyped-call]  # torch's

    def forward(self, x: Tensor) -> Any:
        return self.e(x.long()) + self.e2(x.long())


@_add
class CheckedConstant(nn.Module):
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        mask = torch.triu(torch.full((4, 4), float("-inf")), 1)
        self.register_buffer("mask", mask)
        self.k = bool(torch.isinf(mask).any())

    def forward(self, x: Tensor) -> Any:
        return self.l(x) if self.k else x


@_add
class SharedSubmodule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a
        self.c = nn.ModuleList([self.a, nn.Linear(4, 4), self.a])

    def forward(self, x: Tensor) -> Any:
        for layer in self.c:
            x = layer(x)
        return self.b(x)


@_add
class TiedBuffers(nn.Module):
    a: Tensor
    b: Tensor
    view: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.register_buffer("a", torch.rand(4))
        self.register_buffer("b", self.a)
        self.register_buffer("view", self.a[:])

    def forward(self, x: Tensor) -> Any:
        self.a.add_(1)
        result = self.l(x) * self.a + self.b + self.view
        self.a.sub_(1)
        return result


@_add
class ParameterCollections(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ParameterList(nn.Parameter(torch.rand(4)) for _ in range(3))
        self.dict = nn.ParameterDict({"a": torch.rand(4), "save": torch.rand(4)})
        for parameter in self.list:
            nn.init.normal_(parameter)

    def forward(self, x: Tensor) -> Any:
        return x * self.list[0] + self.list[2] * self.dict["a"] - self.dict["save"]


@_add
class Expanded(nn.Module):
    scale: Tensor
    ids: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.register_buffer("scale", torch.rand(1, 4).expand(2, 4))
        self.register_buffer("ids", torch.arange(4).expand((1, -1)), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.scale + self.ids


@_add
class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(1, 3, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.w = nn.Parameter(
            torch.rand(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
        )

    def forward(self, x: Tensor) -> Any:
        if not self.w.is_contiguous(memory_format=torch.channels_last):
            return x * math.nan
        return self.c(x[:, None, :, None].expand(-1, -1, -1, 4)) * self.w.sum()


@_add
class Complex(nn.Module):
    z: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4, dtype=torch.complex64))
        self.register_buffer("z", torch.randn(4, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Any:
        return (x.to(torch.complex64) @ self.w * self.z).abs()


@_add
class Float8(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        low = torch.randn(4, 4).to(torch.float8_e4m3fn)
        self.w = nn.Parameter(low, requires_grad=False)
        self.l = nn.Linear(4, 4, dtype=torch.bfloat16)

    def forward(self, x: Tensor) -> Any:
        return x @ self.w.float() + self.l(x.bfloat16()).float()


@_add
class ScalarsAndEmpty(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.nothing = nn.Parameter(torch.empty(0, 4))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("none", None)
        self.register_parameter("no", None)
        nn.init.uniform_(self.scale)

    def forward(self, x: Tensor) -> Any:
        return x * self.scale * self.count + self.nothing.sum()


@_add
class ExtraState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.seen: dict[str, Any] = {
            "steps": int(torch.randint(99, ())),
            "m": torch.rand(4),
        }

    def get_extra_state(self) -> Any:
        return self.seen

    def set_extra_state(self, state: Any) -> None:
        self.seen = state

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.seen["steps"] + self.seen["m"]


@_add
class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0)
        self.l = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Any:
        return self.l(x[:, None])


@_add
class ViewInAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.views = [self.l.weight.data, self.l.bias.detach()[1:]]

    def forward(self, x: Tensor) -> Any:
        return x @ self.views[0] + self.views[1].sum() + self.l(x)


@_add
class BufferOverParameter(nn.Module):
    same: Tensor
    flat: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.register_buffer("same", self.l.weight.data)
        self.register_buffer("flat", self.l.weight.data.view(-1), persistent=False)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            self.l.weight.mul_(2)
        result = self.l(x) @ self.same + self.flat.sum()
        with torch.no_grad():
            self.l.weight.div_(2)
        return result


@_add
class SharedMemory(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.l.share_memory()

    def forward(self, x: Tensor) -> Any:
        is_shared = self.l.weight.untyped_storage().is_shared()
        return self.l(x) if is_shared else x * math.nan


@_add
class ClonedByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        import copy

        self.online = nn.Linear(4, 4)
        self.target = copy.deepcopy(self.online)
        self.target.requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        return self.online(x) - self.target(x) * 0.5


@_add
class ChangesItsDtype(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4).double()
        self.h = nn.Linear(4, 4).half()

    def forward(self, x: Tensor) -> Any:
        return self.l(x.double()) + self.h(x.half())


class _Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).transpose(-1, -2)


@_add
class OwnParametrization(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        parametrize.register_parametrization(self.l, "weight", _Symmetric())

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class NumbersFromParameters(nn.Module):
    """No record holds what is not a tensor, so its initializers must have run."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        nn.init.constant_(self.l.weight, 0.5)
        self.total = float(self.l.weight.detach().numpy().sum())
        self.rows = self.l.weight.tolist()
        nn.init.normal_(self.l.weight)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) * self.total * self.rows[0][0]


@_add
class ReplacesParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.l.weight = nn.Parameter(self.l.weight.data.t())
        self.l.bias = nn.Parameter(torch.cat([self.l.bias.detach()[:2], torch.ones(2)]))

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


@_add
class UnregisteredParameter(nn.Module):
    """A parameter in a plain list belongs to nobody, and still has to be filled."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.hidden = [nn.Linear(4, 4)]
        for parameter in self.hidden[0].parameters():
            nn.init.constant_(parameter, 0.25)

    def forward(self, x: Tensor) -> Any:
        return self.l(x) + self.hidden[0](x)


def example() -> Tensor:
    """Return an input that every module of the table takes."""
    return torch.arange(4).float()[None].repeat(2, 1)
