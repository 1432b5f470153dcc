"""Modules written for Burn and read from it: its names, and its orders of values."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch as peer
import torch
from torch import Tensor, nn

import burnish
from burnish.core import into_record
from burnish.core.persistence.loading import report_of
from burnish.records import RecordError, RecordMismatchError
from burnish.records.recorder import Recorder

from ...records.burn_files import bpk, id_text, mpk, param, tensor
from . import burn_formulas as burn
from .burn_formulas import Fields

BPK = Recorder("bpk")


class Both(nn.Module):
    """A decoder layer whose memory is its input backwards."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x, x.flip(1))
        return out


class First(nn.Module):
    """The outputs of a layer that gives more than those."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *x: Tensor) -> Tensor:
        out: Tensor = self.layer(*x)[0]
        return out


class Attention(First):
    """Attention of a sequence to itself."""

    def forward(self, *x: Tensor) -> Tensor:
        return super().forward(*x, *x, *x)


def vary(module: nn.Module, seed: int = 0) -> nn.Module:
    """Return ``module`` in evaluation, in float64, and no two values of it alike."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    for tensor_ in [*module.parameters(), *module.buffers()]:
        if tensor_.is_floating_point():
            noise = torch.rand(tensor_.shape, generator=generator, dtype=torch.float64)
            tensor_.data.copy_(noise + 0.1)
    return module


def layer(cls: Callable[..., nn.Module], norm_first: bool) -> nn.Module:
    return cls(
        4, 2, 6, activation="gelu", batch_first=True, norm_first=norm_first, dropout=0
    )


SEQUENCE, IMAGE = (2, 5, 4), (2, 4, 6)

Formula = Callable[[Fields, Tensor], Tensor]
LAYERS: dict[str, tuple[Callable[[], nn.Module], Formula, tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(4, 3), burn.linear, SEQUENCE),
    "a square Linear": (lambda: nn.Linear(4, 4), burn.linear, SEQUENCE),
    "Linear without bias": (lambda: nn.Linear(4, 3, bias=False), burn.linear, SEQUENCE),
    "Conv1d": (lambda: nn.Conv1d(4, 3, 2), burn.conv1d, IMAGE),
    "Conv2d": (lambda: nn.Conv2d(4, 3, (2, 3)), burn.conv2d, (2, 4, 5, 6)),
    "ConvTranspose1d": (
        lambda: nn.ConvTranspose1d(4, 3, 2),
        burn.conv_transpose1d,
        IMAGE,
    ),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), burn.batch_norm, IMAGE),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), burn.batch_norm, (2, 4, 5, 6)),
    "LayerNorm": (lambda: nn.LayerNorm(4), burn.layer_norm, SEQUENCE),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), burn.group_norm, IMAGE),
    "InstanceNorm": (
        lambda: nn.InstanceNorm1d(4, affine=True),
        burn.instance_norm,
        IMAGE,
    ),
    "RMSNorm": (lambda: nn.RMSNorm(4, eps=1e-5), burn.rms_norm, SEQUENCE),
    "PReLU": (lambda: nn.PReLU(4), burn.prelu, (3, 4)),
    "RNN": (lambda: First(nn.RNN(4, 3, batch_first=True)), burn.rnn, SEQUENCE),
    "LSTM": (lambda: First(nn.LSTM(4, 3, batch_first=True)), burn.lstm, SEQUENCE),
    "LSTM without bias": (
        lambda: First(nn.LSTM(4, 3, batch_first=True, bias=False)),
        burn.lstm,
        SEQUENCE,
    ),
    "LSTM both ways": (
        lambda: First(nn.LSTM(4, 3, batch_first=True, bidirectional=True)),
        burn.both_ways_lstm,
        SEQUENCE,
    ),
    "GRU": (lambda: First(nn.GRU(4, 3, batch_first=True)), burn.gru, SEQUENCE),
    "GRU both ways": (
        lambda: First(nn.GRU(4, 3, batch_first=True, bidirectional=True)),
        burn.both_ways_gru,
        SEQUENCE,
    ),
    "MultiheadAttention": (
        lambda: Attention(nn.MultiheadAttention(4, 2, batch_first=True)),
        burn.attention,
        SEQUENCE,
    ),
    "attention to other widths": (
        lambda: Attention(
            nn.MultiheadAttention(4, 2, batch_first=True, kdim=4, vdim=4)
        ),
        burn.attention,
        SEQUENCE,
    ),
    "encoder layer": (
        lambda: layer(nn.TransformerEncoderLayer, norm_first=False),
        burn.encoder_layer,
        SEQUENCE,
    ),
    "encoder layer, norms first": (
        lambda: layer(nn.TransformerEncoderLayer, norm_first=True),
        burn.encoder_layer_norm_first,
        SEQUENCE,
    ),
    "decoder layer": (
        lambda: Both(layer(nn.TransformerDecoderLayer, norm_first=False)),
        burn.decoder_layer,
        SEQUENCE,
    ),
    "decoder layer, norms first": (
        lambda: Both(layer(nn.TransformerDecoderLayer, norm_first=True)),
        burn.decoder_layer_norm_first,
        SEQUENCE,
    ),
}


def stored_layer(data: bytes) -> Fields:
    """Return the tensors of a layer's file by Burn's names of its fields."""
    tensors = {
        path.removeprefix("layer."): tensor_
        for path, tensor_ in burnish.open_record(data).items()
    }
    return Fields(tensors)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_written_for_burn_computes_by_burns_formula(name: str) -> None:
    make, formula, shape = LAYERS[name]
    module = vary(make())
    x = torch.linspace(-1, 1, torch.Size(shape).numel(), dtype=torch.float64)
    x = torch.sin(7 * x).view(shape)

    fields = stored_layer(burnish.save_record(module, recorder=BPK))
    out = formula(fields, x)

    with torch.no_grad():
        torch.testing.assert_close(out, module(x), rtol=1e-12, atol=1e-12)
    assert fields.used == set(fields.tensors)


def test_an_embedding_is_the_same_in_burn() -> None:
    module = nn.Embedding(5, 3)

    fields = stored_layer(burnish.save_record(module, recorder=BPK))

    x = torch.tensor([4, 0, 2])
    assert torch.equal(burn.embedding(fields, x), module(x))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_from_burn_bit_for_bit(name: str) -> None:
    module, other = vary(LAYERS[name][0](), 1), vary(LAYERS[name][0](), 2)
    data = burnish.save_record(module, recorder=BPK)

    report = burnish.load_record(other, data)
    built = burnish.from_record(LAYERS[name][0], burnish.open_record(data))

    for path, tensor_ in module.state_dict().items():
        if not path.endswith("num_batches_tracked"):
            assert torch.equal(other.state_dict()[path], tensor_), path
            assert torch.equal(built.state_dict()[path], tensor_.float()), path
    assert report.unexpected == []
    assert all(parameter.requires_grad for parameter in built.parameters())


class Net(nn.Module):
    """A network as the example of Burn on handwritten digits has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2, 3)


def file_of_net(extra: dict[str, Any] | None = None) -> bytes:
    """Return the container that Burn would write of `Net`, all its values in turn."""
    tables: dict[str, Any] = {}
    values = 0
    start = 0
    data = b""
    for name, shape in SHAPES.items():
        n = torch.Size(shape).numel()
        tables[name] = tensor("F32", shape, start, start + 4 * n, 100 + len(tables))
        raw = torch.arange(float(values), values + n).numpy().tobytes()
        data = data.ljust(start, b"\0") + raw
        values, start = values + n, -(-(start + 4 * n) // 256) * 256
    tables |= extra or {}
    return bpk({"tensors": dict(sorted(tables.items()))}, data)


SHAPES = {
    "conv.weight": [2, 1, 3, 3],
    "conv.bias": [2],
    "norm.gamma": [2],
    "norm.beta": [2],
    "norm.running_mean": [2],
    "norm.running_var": [2],
    "fc.weight": [2, 3],
    "fc.bias": [3],
}


def check_net(net: Net) -> None:
    assert net.norm.weight.tolist() == [20.0, 21.0]
    assert net.norm.bias.tolist() == [22.0, 23.0]
    assert net.norm.running_var is not None
    assert net.norm.running_var.tolist() == [26.0, 27.0]
    assert net.fc.weight.tolist() == [[28.0, 31.0], [29.0, 32.0], [30.0, 33.0]]
    assert net.fc.bias.tolist() == [34.0, 35.0, 36.0]


def test_a_container_of_burn_fills_a_module_by_its_layers(tmp_path: Path) -> None:
    net, file = Net(), tmp_path / "model.bpk"
    file.write_bytes(file_of_net())
    assert net.norm.num_batches_tracked is not None
    net.norm.num_batches_tracked.fill_(5)

    report = burnish.load_record(net, file)

    check_net(net)
    assert net.norm.num_batches_tracked == 5
    assert report.missing == ["norm.num_batches_tracked"]
    assert report.renamed == {"norm.gamma": "norm.weight", "norm.beta": "norm.bias"}
    check_net(burnish.from_record(Net, file))


def test_a_container_of_burn_written_again_from_a_module_is_the_same_table() -> None:
    data, net = file_of_net(), Net()
    burnish.load_record(net, data)

    again = burnish.save_record(net, recorder=BPK)

    before, after = burnish.open_record(data), burnish.open_record(again)
    assert dict.fromkeys(before) == dict.fromkeys(after)
    assert all(torch.equal(before[path], after[path]) for path in before)
    ids = {entry.path: entry.id for entry in after.entries() if entry.id}
    assert ids == {
        entry.path: entry.id
        for entry in before.entries()
        if "running" not in entry.path
    }


@pytest.mark.parametrize("ending", ["mpk", "mpk.gz"])
def test_a_recorders_file_of_burn_fills_a_module_and_keeps_its_ids(
    tmp_path: Path, ending: str
) -> None:
    weight = torch.arange(6.0).view(2, 3)
    item = {
        "fc": {
            "weight": param(id_text(77), "F32", [2, 3], weight.numpy().tobytes()),
            "bias": param(
                id_text(78), "F16", [3], torch.ones(3).half().numpy().tobytes()
            ),
        }
    }
    file = tmp_path / f"model.{ending}"
    file.write_bytes(gzip.compress(mpk(item)) if "gz" in ending else mpk(item))
    net = nn.Sequential()
    net.fc = nn.Linear(2, 3)

    report = burnish.load_record(net, file)

    assert torch.equal(net.fc.weight, weight.t())
    assert report.converted == {"fc.bias": (torch.float16, torch.float32)}
    stored_ids = [entry.id for entry in burnish.open_record(file).entries()]
    assert [p.id for p in burnish.named_params(net)] == stored_ids


def test_a_part_with_another_name_in_burn_is_renamed_before_its_layers_are_known() -> (
    None
):
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm2d(2)

    record = burnish.open_record(
        file_of_net(), rename={"norm": "bn"}, exclude=["conv.*", "fc.*"]
    )
    net = Flat()

    burnish.load_record(net, record)

    assert net.bn.weight.tolist() == [20.0, 21.0]


def test_what_is_left_out_by_burns_names_stays_as_the_module_has_it() -> None:
    net = Net()
    before = net.norm.weight.detach().clone()

    report = burnish.load_record(
        net, burnish.open_record(file_of_net(), exclude="norm.gamma")
    )

    assert torch.equal(net.norm.weight, before)
    assert "norm.weight" in report.missing
    assert net.norm.bias.tolist() == [22.0, 23.0]


def test_a_tensor_that_the_module_lacks_is_refused_and_nothing_changes() -> None:
    net = Net()
    before = {path: t.clone() for path, t in net.state_dict().items()}
    data = file_of_net({"head.weight": tensor("F32", [0, 2], 0, 0)})

    with pytest.raises(RecordMismatchError, match=r"head\.weight: found tensor"):
        burnish.load_record(net, data)

    assert all(torch.equal(t, before[p]) for p, t in net.state_dict().items())


def test_a_file_with_both_names_of_a_norm_is_refused() -> None:
    data = file_of_net({"norm.weight": tensor("F32", [0], 0, 0)})

    with pytest.raises(RecordMismatchError, match=r"norm\.gamma and norm\.weight"):
        burnish.load_record(Net(), data)


def test_torchs_own_names_and_orders_are_an_option_both_ways(tmp_path: Path) -> None:
    net, file = vary(Net()), tmp_path / "net.bpk"
    recorder = Recorder("bpk", convention="torch")

    burnish.save_record(net, file, recorder=recorder)
    other = Net().double()
    burnish.load_record(other, file)

    assert set(burnish.open_record(file)) == set(net.state_dict())
    assert torch.equal(other.fc.weight, net.get_parameter("fc.weight"))


def test_a_foreign_file_can_be_said_to_be_in_either_convention(tmp_path: Path) -> None:
    net = nn.Linear(2, 3)
    turned = {"weight": net.weight.detach().t().contiguous(), "bias": net.bias.detach()}
    straight = bpk(
        {"tensors": {"weight": tensor("F32", [3, 2], 0, 24)}},
        net.weight.detach().numpy().tobytes(),
    )
    burnish.Record.from_state_dict(turned).save(tmp_path / "burn.safetensors")
    one, two = nn.Linear(2, 3), nn.Linear(2, 3, bias=False)

    file = tmp_path / "burn.safetensors"
    burnish.load_record(one, burnish.open_record(file, convention="burn"))
    burnish.load_record(two, burnish.open_record(straight, convention="torch"))

    assert torch.equal(one.weight, net.weight)
    assert torch.equal(two.weight, net.weight)


def test_a_record_in_burns_convention_keeps_it_in_other_formats(tmp_path: Path) -> None:
    burnish.open_record(file_of_net()).save(tmp_path / "copy.mpk")
    net = Net()

    burnish.load_record(net, tmp_path / "copy.mpk")

    check_net(net)


def test_a_record_without_its_module_is_written_as_it_is_and_says_so() -> None:
    net = vary(Net())

    data = BPK.dumps(into_record(net))
    other = Net().double()
    burnish.load_record(other, data)

    assert torch.equal(other.fc.weight, net.get_parameter("fc.weight"))
    with pytest.raises(ValueError, match="only its module knows"):
        Recorder("bpk", convention="burn").dumps(into_record(net))
    with pytest.raises(ValueError, match="convention must be 'torch' or 'burn'"):
        Recorder("bpk", convention="keras")  # type: ignore[arg-type]


class Tied(nn.Module):
    """A language model's two ends, which share their weights, and a twin of one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.twin = nn.Linear(3, 5, bias=False)
        self.head.weight = self.twin.weight = self.embedding.weight


def test_tied_tensors_stand_under_each_name_as_their_layers_have_them() -> None:
    net = Tied()

    data = burnish.save_record(net, recorder=BPK)
    record = burnish.open_record(data)
    other = Tied()
    burnish.load_record(other, data)

    assert torch.equal(record["head.weight"], net.embedding.weight.t())
    assert torch.equal(record["embedding.weight"], net.embedding.weight)
    ties = {entry.path: entry.ties for entry in record.entries()}
    assert ties == {"embedding.weight": (), "head.weight": ("twin.weight",)}
    assert torch.equal(other.head.weight, net.head.weight)
    assert other.head.weight is other.embedding.weight


def test_a_recurrent_layer_that_burn_lacks_is_refused_both_ways() -> None:
    net = nn.Sequential(nn.LSTM(4, 3, num_layers=2))

    with pytest.raises(RecordError, match=r"^0: an LSTM with 2 layers, .*='torch'"):
        burnish.save_record(net, recorder=BPK)
    with pytest.raises(RecordMismatchError, match="0: an LSTM with 2 layers"):
        burnish.load_record(net, file_of_net())
    assert burnish.save_record(net, recorder=Recorder("bpk", convention="torch"))


@burnish.module
class Decorated(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.fc = nn.Linear(3, width)


def test_a_decorated_module_builds_itself_from_its_container(tmp_path: Path) -> None:
    net: Any = Decorated(width=5)

    net.save_record(tmp_path / "net.bpk", metadata={"note": "mine", "epoch": 3})
    with burnish.allow_classes(Decorated):
        again: Any = Decorated.from_record(tmp_path / "net.bpk")  # type: ignore[attr-defined]

    assert again.fc.out_features == 5
    assert torch.equal(again.fc.weight, net.fc.weight)
    metadata = burnish.open_record(tmp_path / "net.bpk").metadata
    assert (metadata["note"], metadata["epoch"]) == ("mine", 3)


def test_frozen_parameters_stay_as_the_module_has_them() -> None:
    def frozen() -> Net:
        net = Net()
        net.fc.requires_grad_(False)
        return net

    net = burnish.from_record(frozen, file_of_net())

    assert not net.fc.weight.requires_grad
    assert net.conv.weight.requires_grad
    report = report_of(net)
    assert report is not None
    assert report.requires_grad == []


def test_half_precision_is_written_for_parameters_alone() -> None:
    net = Net()

    data = burnish.save_record(net, recorder=BPK, precision="half")

    dtypes = {path: t.dtype for path, t in burnish.open_record(data).items()}
    assert dtypes["fc.weight"] is dtypes["norm.gamma"] is torch.float16
    assert dtypes["norm.running_var"] is torch.float32


@pytest.mark.parametrize("form", ["safetensors", "mpk", "json", "bpk"])
def test_every_format_takes_burns_convention_and_gives_it_back(form: str) -> None:
    net, other = vary(Net()), Net().double()
    recorder = Recorder(form, convention="burn")

    data = burnish.save_record(net, recorder=recorder)
    burnish.load_record(other, data)

    assert "norm.gamma" in burnish.open_record(data)
    assert torch.equal(other.fc.weight, net.get_parameter("fc.weight"))
    with pytest.raises(ValueError, match=r"convention='torch'.*only its module knows"):
        Recorder(form, convention="torch").dumps(burnish.open_record(data))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_wrappers_are_no_part_of_burns_names() -> None:
    net = nn.Sequential(vary(nn.Linear(2, 3)), nn.Linear(3, 2).double())
    linear: Any = torch.compile(net[0])
    compiled = nn.Sequential(linear, net[1])
    parallel = nn.DataParallel(compiled)

    plain, wrapped = (
        burnish.save_record(module, recorder=BPK) for module in (net, parallel)
    )

    assert plain == wrapped


def test_a_lazy_module_takes_its_shapes_from_burn() -> None:
    net = nn.Sequential(nn.LazyLinear(3))
    data = burnish.save_record(nn.Sequential(nn.Linear(2, 3)), recorder=BPK)

    burnish.load_record(net, data)

    assert net[0].weight.shape == (3, 2)


def test_two_tensors_that_burn_would_call_alike_are_refused() -> None:
    net = nn.BatchNorm1d(2)
    net.register_buffer("gamma", torch.ones(2))

    with pytest.raises(
        RecordError, match="weight and gamma: Burn would call both gamma"
    ):
        burnish.save_record(net, recorder=BPK)


def of_burns_safetensors_store(state: dict[str, Tensor]) -> bytes:
    """Return a `.safetensors` file as Burn notes it to be its own."""
    copies = {path: t.detach().clone() for path, t in state.items()}
    return peer.save(copies, {"format": "safetensors", "producer": "burn"})


def test_a_record_in_the_other_convention_is_told_to_be() -> None:
    net = Net()
    theirs = dict(burnish.open_record(burnish.save_record(net, recorder=BPK)))
    straight = burnish.open_record(BPK.dumps(into_record(net)), convention="burn")

    for source, convention in (
        (of_burns_safetensors_store(theirs), "burn"),
        (straight, "torch"),
    ):
        with pytest.raises(RecordMismatchError, match=f"convention='{convention}'"):
            burnish.load_record(net, source)
        with pytest.raises(RecordMismatchError, match=f"convention='{convention}'"):
            burnish.from_record(Net, source)
    burnish.load_record(
        Net(),
        burnish.open_record(of_burns_safetensors_store(theirs), convention="burn"),
    )


class Square(burnish.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.drop = nn.Dropout(p)


@pytest.mark.parametrize("form", ["mpk", "bpk"])
def test_a_mismatch_that_is_not_one_of_names_or_orders_says_nothing_of_conventions(
    form: str,
) -> None:
    changed = Square()
    changed.drop.p = 0.1
    for stored, loads in (
        (Square(p=0.1), Square().load_record),
        (changed, Square.from_record),
    ):
        data = stored.save_record(recorder=Recorder(form))

        with pytest.raises(RecordMismatchError, match=r"p: |drop") as caught:
            loads(data)
        assert "convention" not in str(caught.value)


def test_square_layers_of_burn_whose_order_nobody_says_are_warned_of() -> None:
    net = nn.Sequential(nn.Linear(3, 3))
    data = of_burns_safetensors_store(net.state_dict())

    with pytest.warns(UserWarning, match=r"a file of Burn.*0\.weight.*convention="):
        burnish.load_record(net, data)
    for convention in ("torch", "burn"):
        burnish.load_record(net, burnish.open_record(data, convention=convention))  # type: ignore[arg-type]
    burnish.load_record(net, peer.save(net.state_dict()))


def test_names_to_leave_out_are_said_to_be_burns() -> None:
    net = Net()
    net.norm = nn.BatchNorm2d(3)

    with pytest.raises(RecordMismatchError, match="In exclude= the names are Burn's"):
        burnish.load_record(net, file_of_net())
