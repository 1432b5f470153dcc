"""Every public layer of torch is told as data, and made again from it."""

import inspect
import json
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, load_record, save_record
from burnish.core.hyperparameters.reader import from_hyperparameters
from burnish.core.hyperparameters.writer import get_hparams
from burnish.core.modules.classes import torch_classes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ENCODER = nn.TransformerEncoderLayer(8, 2, 16, 0.2, "gelu", batch_first=True)
    DECODER = nn.TransformerDecoderLayer(8, 2, 16, norm_first=True, bias=False)

OLD: Any = nn
"""Where classes stand that torch has but does not want to be used."""

Case = tuple[type[nn.Module], tuple[Any, ...], dict[str, Any]]


def case(cls: type[nn.Module], *args: Any, **kwargs: Any) -> Case:
    return cls, args, kwargs


def named(**modules: nn.Module) -> "OrderedDict[str, nn.Module]":
    return OrderedDict(modules)


CASES = [
    case(nn.AdaptiveAvgPool1d, 3),
    case(nn.AdaptiveAvgPool2d, (None, 3)),
    case(nn.AdaptiveAvgPool3d, (1, 2, 3)),
    case(nn.AdaptiveLogSoftmaxWithLoss, 8, 20, [4, 10], div_value=2.0, head_bias=True),
    case(nn.AdaptiveMaxPool1d, 3, return_indices=True),
    case(nn.AdaptiveMaxPool2d, (2, 3)),
    case(nn.AdaptiveMaxPool3d, 2),
    case(nn.AlphaDropout, 0.3, inplace=True),
    case(nn.AvgPool1d, 3, 2, 1, ceil_mode=True),
    case(nn.AvgPool2d, (3, 2), divisor_override=5),
    case(nn.AvgPool3d, 3, count_include_pad=False),
    case(nn.BCELoss, torch.ones(4), reduction="sum"),
    case(nn.BCEWithLogitsLoss, pos_weight=torch.ones(3)),
    case(nn.BatchNorm1d, 4, 1e-3, None),
    case(nn.BatchNorm2d, 4, affine=False),
    case(nn.BatchNorm3d, 4, track_running_stats=False),
    case(nn.Bilinear, 2, 3, 4, bias=False),
    case(nn.CELU, 0.5, inplace=True),
    case(nn.CTCLoss, 1, "sum", zero_infinity=True),
    case(nn.ChannelShuffle, 2),
    case(nn.CircularPad1d, (1, 2)),
    case(nn.CircularPad2d, 2),
    case(nn.CircularPad3d, (1, 1, 2, 2, 1, 0)),
    case(nn.ConstantPad1d, 2, 3.5),
    case(nn.ConstantPad2d, (1, 2, 3, 4), 1.0),
    case(nn.ConstantPad3d, 1, -1.0),
    case(OLD.Container, a=nn.ReLU(), b=nn.Linear(2, 3)),
    case(nn.Conv1d, 4, 6, 3, 2, "valid", 2, groups=2),
    case(nn.Conv2d, 3, 4, 3, padding="same"),
    case(nn.Conv3d, 3, 4, (1, 2, 3), padding=(0, 1, 2), padding_mode="replicate"),
    case(nn.ConvTranspose1d, 4, 4, 3, 2, 1, 1, groups=4, bias=False),
    case(nn.ConvTranspose2d, 3, 4, (2, 3), dilation=(2, 1)),
    case(nn.ConvTranspose3d, 3, 4, 2, 3, output_padding=1),
    case(nn.CosineEmbeddingLoss, 0.2, reduction="none"),
    case(nn.CosineSimilarity, -1, 1e-4),
    case(nn.CrossEntropyLoss, torch.ones(5), ignore_index=2, label_smoothing=0.1),
    case(nn.CrossMapLRN2d, 3, 0.1, 0.2, 2),
    case(nn.Dropout, 0.1),
    case(nn.Dropout1d, 0.2),
    case(nn.Dropout2d, 0.3, inplace=True),
    case(nn.Dropout3d, 0.4),
    case(nn.ELU, 0.7),
    case(nn.Embedding, 5, 3, padding_idx=0, max_norm=2.0, sparse=True),
    case(nn.EmbeddingBag, 5, 3, mode="sum", include_last_offset=True, padding_idx=1),
    case(nn.FeatureAlphaDropout, 0.1),
    case(nn.Flatten, 0, 2),
    case(nn.Fold, (4, 5), (2, 2), stride=2),
    case(nn.FractionalMaxPool2d, 2, output_ratio=(0.5, 0.6)),
    case(nn.FractionalMaxPool3d, 2, (3, 2, 1), return_indices=True),
    case(nn.GELU, "tanh"),
    case(nn.GLU, 1),
    case(nn.GRU, 3, 4, 2, bias=False, dropout=0.1, bidirectional=True),
    case(nn.GRUCell, 3, 4, bias=False),
    case(nn.GaussianNLLLoss, full=True, eps=1e-3),
    case(nn.GroupNorm, 2, 4, 1e-3, affine=False),
    case(nn.Hardshrink, 0.3),
    case(nn.Hardsigmoid, inplace=True),
    case(nn.Hardswish),
    case(nn.Hardtanh, -2, 2),
    case(nn.HingeEmbeddingLoss, 2.0),
    case(nn.HuberLoss, "sum", 0.5),
    case(nn.Identity, 5, unused=True),
    case(nn.InstanceNorm1d, 3, affine=True),
    case(nn.InstanceNorm2d, 3, track_running_stats=True),
    case(nn.InstanceNorm3d, 3, 1e-3, 0.2),
    case(nn.KLDivLoss, reduction="batchmean", log_target=True),
    case(nn.L1Loss, reduction="sum"),
    case(nn.LPPool1d, 2, 3, ceil_mode=True),
    case(nn.LPPool2d, 1.5, (2, 3), 2),
    case(nn.LPPool3d, 2, 3),
    case(nn.LSTM, 3, 4, 2, batch_first=True, proj_size=2),
    case(nn.LSTMCell, 3, 4),
    case(nn.LayerNorm, (2, 3), elementwise_affine=False),
    case(nn.LazyBatchNorm1d, 1e-3),
    case(nn.LazyBatchNorm2d, affine=False),
    case(nn.LazyBatchNorm3d, track_running_stats=False),
    case(nn.LazyConv1d, 4, 3, bias=False),
    case(nn.LazyConv2d, 4, (3, 2), padding=1),
    case(nn.LazyConv3d, 4, 3, groups=2),
    case(nn.LazyConvTranspose1d, 4, 3),
    case(nn.LazyConvTranspose2d, 4, 3, 2, 1, 1),
    case(nn.LazyConvTranspose3d, 4, 3, bias=False),
    case(nn.LazyInstanceNorm1d, affine=True),
    case(nn.LazyInstanceNorm2d),
    case(nn.LazyInstanceNorm3d, track_running_stats=True),
    case(nn.LazyLinear, 4, bias=False),
    case(nn.LeakyReLU, 0.3, inplace=True),
    case(nn.Linear, 3, 4, bias=False),
    case(nn.LocalResponseNorm, 2, 0.1),
    case(nn.LogSigmoid),
    case(nn.LogSoftmax, 1),
    case(nn.MSELoss, reduction="none"),
    case(nn.MarginRankingLoss, 0.5),
    case(nn.MaxPool1d, 2, return_indices=True),
    case(nn.MaxPool2d, (2, 3), 1, 1, (1, 2)),
    case(nn.MaxPool3d, 2, ceil_mode=True),
    case(nn.MaxUnpool1d, 2),
    case(nn.MaxUnpool2d, (2, 3), 1),
    case(nn.MaxUnpool3d, 2, padding=1),
    case(nn.Mish, inplace=True),
    case(nn.Module),
    case(nn.ModuleDict, {"z": nn.ReLU(), "a": nn.Linear(2, 3)}),
    case(nn.ModuleList, [nn.ReLU(), nn.ModuleList([nn.Linear(2, 3)])]),
    case(nn.MultiLabelMarginLoss, reduction="sum"),
    case(nn.MultiLabelSoftMarginLoss, torch.ones(3)),
    case(nn.MultiMarginLoss, 2, 0.5, torch.ones(4)),
    case(nn.MultiheadAttention, 4, 2, 0.1, bias=False, add_bias_kv=True, kdim=3),
    case(nn.NLLLoss, torch.ones(3), ignore_index=1),
    case(OLD.NLLLoss2d, reduction="sum"),
    case(nn.PReLU, 3, 0.1),
    case(nn.PairwiseDistance, 1.0, keepdim=True),
    case(nn.ParameterDict, {"b": torch.zeros(2), "a": nn.Parameter(torch.zeros(3, 1))}),
    case(nn.ParameterList, [torch.zeros(2), nn.Parameter(torch.zeros(3))]),
    case(nn.PixelShuffle, 2),
    case(nn.PixelUnshuffle, 3),
    case(nn.PoissonNLLLoss, log_input=False, eps=1e-4),
    case(nn.RMSNorm, (2, 3), 1e-4),
    case(nn.RNN, 3, 4, nonlinearity="relu", bidirectional=True),
    case(nn.RNNBase, "GRU", 3, 4, 2, dropout=0.1),
    case(nn.RNNCell, 3, 4, nonlinearity="relu"),
    case(nn.RNNCellBase, 3, 4, bias=True, num_chunks=3),
    case(nn.RReLU, 0.1, 0.2),
    case(nn.ReLU, inplace=True),
    case(nn.ReLU6),
    case(nn.ReflectionPad1d, (1, 2)),
    case(nn.ReflectionPad2d, 2),
    case(nn.ReflectionPad3d, 1),
    case(nn.ReplicationPad1d, 1),
    case(nn.ReplicationPad2d, (1, 2, 3, 4)),
    case(nn.ReplicationPad3d, 2),
    case(nn.SELU),
    case(nn.Sequential, named(first=nn.Linear(2, 3), last=nn.ReLU())),
    case(nn.SiLU),
    case(nn.Sigmoid),
    case(nn.SmoothL1Loss, beta=0.5),
    case(nn.SoftMarginLoss),
    case(nn.Softmax, -1),
    case(nn.Softmax2d),
    case(nn.Softmin, 1),
    case(nn.Softplus, 2.0, 10.0),
    case(nn.Softshrink, 0.2),
    case(nn.Softsign),
    case(nn.SyncBatchNorm, 4, momentum=0.2),
    case(nn.Tanh),
    case(nn.Tanhshrink),
    case(nn.Threshold, 0.1, 20.0),
    case(nn.Transformer, 8, 2, 2, 1, 16, 0.0, "gelu", norm_first=True, bias=False),
    case(nn.TransformerDecoder, DECODER, 2, nn.LayerNorm(8)),
    case(nn.TransformerDecoderLayer, 8, 4, 16, 0.3, layer_norm_eps=1e-4),
    case(nn.TransformerEncoder, ENCODER, 3, enable_nested_tensor=False),
    case(nn.TransformerEncoderLayer, 8, 2, 16, 0.1, nn.GELU("tanh")),
    case(nn.TripletMarginLoss, 0.5, 1.0, swap=True),
    case(nn.TripletMarginWithDistanceLoss, distance_function=nn.CosineSimilarity()),
    case(nn.Unflatten, 1, (2, 3)),
    case(nn.Unfold, 3, stride=(2, 1)),
    case(nn.Upsample, scale_factor=(2.0, 3.0), mode="bilinear", align_corners=True),
    case(nn.UpsamplingBilinear2d, (3, 4)),
    case(nn.UpsamplingNearest2d, scale_factor=2),
    case(nn.ZeroPad1d, 2),
    case(nn.ZeroPad2d, (1, 2, 3, 4)),
    case(nn.ZeroPad3d, 1),
]
if hasattr(nn, "LinearCrossEntropyLoss"):
    CASES.append(case(nn.LinearCrossEntropyLoss, 4, 3, bias=True, weight=torch.ones(3)))

MORE = [
    case(nn.BatchNorm2d, 4),
    case(nn.Conv2d, 3, 4, 3, dtype=torch.float64),
    case(nn.Linear, 2, 2, dtype=torch.bfloat16),
    case(nn.LSTM, 3, 4),
    case(nn.LayerNorm, 5, bias=False),
    case(nn.LayerNorm, (2, 3)),
    case(nn.ModuleList),
    case(nn.MultiheadAttention, 4, 2, bias=False),
    case(nn.MultiheadAttention, 4, 2, batch_first=True, dtype=torch.float64),
    case(nn.Sequential),
    case(nn.Sequential, nn.Linear(2, 3), nn.Sequential(nn.ReLU())),
    case(nn.Transformer, 8, 2, 1, 1, 16, custom_encoder=nn.Identity()),
    case(nn.Transformer, 8, 2, 1, 1, 16, activation=nn.SiLU()),
]


def build(of: Case) -> nn.Module:
    cls, args, kwargs = of
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # lazy modules and nested tensors announce themselves
        torch.manual_seed(0)
        return cls(*args, **kwargs)


def rebuilt(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return from_hyperparameters(json.loads(json.dumps(get_hparams(module))))


def forms(module: nn.Module) -> dict[str, Any]:
    lazy = (nn.UninitializedParameter, nn.UninitializedBuffer)
    return {
        name: (type(t) if isinstance(t, lazy) else t.shape, t.dtype)
        for name, t in module.state_dict(keep_vars=True).items()
    }


def title(of: Case) -> str:
    return of[0].__name__


def test_every_public_class_of_torch_is_tried() -> None:
    public = {c for _, c in inspect.getmembers(nn, inspect.isclass)}
    modules = {c for c in public if issubclass(c, nn.Module)}

    tried = {cls for cls, _, _ in CASES}

    assert modules - tried == {nn.DataParallel}
    assert modules - {nn.DataParallel} <= torch_classes()
    assert len(tried) > 150


@pytest.mark.parametrize("of", CASES + MORE, ids=title)
def test_a_layer_is_made_again_from_its_hyperparameters(of: Case) -> None:
    module = build(of)

    again = rebuilt(module)

    assert type(again) is type(module)
    assert repr(again) == repr(module)
    assert forms(again) == forms(module)
    assert get_hparams(again) == get_hparams(module)


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def run_lstm(net: nn.Module) -> Tensor:
    y: Tensor = net(image(5, 2, 3))[0]
    return y


def log_prob(net: Any, x: Tensor) -> Any:
    return net.log_prob(x)


WITH_OUTPUT: list[tuple[Case, Callable[[nn.Module], Any]]] = [
    (case(nn.Linear, 3, 4), lambda net: net(image(2, 3))),
    (case(nn.Conv2d, 3, 4, 3, padding="same"), lambda net: net(image(1, 3, 5, 5))),
    (case(nn.ConvTranspose2d, 3, 4, (2, 3)), lambda net: net(image(1, 3, 5, 5))),
    (case(nn.BatchNorm2d, 3), lambda net: net.eval()(image(2, 3, 4, 4))),
    (case(nn.LSTM, 3, 4, 2, bidirectional=True), run_lstm),
    (case(nn.GRU, 3, 4, bidirectional=True), run_lstm),
    (case(nn.RNN, 3, 4, nonlinearity="relu"), run_lstm),
    (case(nn.LayerNorm, (2, 3)), lambda net: net(image(4, 2, 3))),
    (case(nn.PReLU, 3), lambda net: net(image(2, 3))),
    (case(nn.Embedding, 9, 3), lambda net: net(torch.arange(9))),
    (
        case(nn.MultiheadAttention, 4, 2, add_bias_kv=True),
        lambda net: net(image(3, 1, 4), image(2, 1, 4), image(2, 1, 4))[0],
    ),
    (
        case(nn.CrossEntropyLoss, torch.tensor([0.1, 2.0, 3.0])),
        lambda net: net(image(4, 3), torch.tensor([0, 1, 2, 0])),
    ),
    (
        case(nn.Transformer, 8, 2, 1, 1, 16, 0.0),
        lambda net: net.eval()(image(3, 1, 8), image(2, 1, 8)),
    ),
    (
        case(nn.AdaptiveLogSoftmaxWithLoss, 8, 20, [4, 10]),
        lambda net: log_prob(net, image(3, 8)),
    ),
]


@pytest.mark.parametrize(("of", "run"), WITH_OUTPUT)
def test_a_layer_made_again_and_loaded_gives_the_same(
    of: Case, run: Callable[[nn.Module], Any]
) -> None:
    module = build(of)
    data = save_record(module)
    assert data is not None

    loaded = rebuilt(module)
    load_record(loaded, data)
    cold = from_record(lambda: rebuilt(module), data)

    assert torch.equal(run(loaded), run(module))
    assert torch.equal(run(cold), run(module))


def test_a_function_of_torch_is_the_activation_of_a_rebuilt_layer() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=torch.tanh)

    assert rebuilt(layer).activation is torch.tanh


def test_a_function_of_the_users_is_named_where_it_stands() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=lambda x: x)

    with pytest.raises(TypeError, match=r"activation: .* not plain data: .*lambda"):
        get_hparams(layer)


def test_an_encoder_of_no_layers_says_that_it_cannot_be_told() -> None:
    encoder = nn.TransformerEncoder(ENCODER, 1, enable_nested_tensor=False)
    encoder.layers = nn.ModuleList()

    with pytest.raises(NotImplementedError, match="TransformerEncoder without layers"):
        get_hparams(encoder)


def encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


@pytest.mark.parametrize(
    ("name", "part", "found"),
    [
        ("norm1", nn.Identity(), "'Identity' object has no attribute 'eps'"),
        ("norm2", nn.Identity(), "its norm2 is an Identity"),
        ("norm2", nn.GroupNorm(1, 8), "its norm2 is a GroupNorm"),
        ("norm2", nn.LayerNorm(8, eps=0.5), "norm2.eps is 0.5, not 1e-05"),
        ("dropout", nn.Dropout(0.5), "self_attn.dropout is 0.1, not 0.5"),
        ("dropout2", nn.Dropout(0.5), "dropout2.p is 0.5, not 0.1"),
        ("linear1", nn.Sequential(nn.Linear(8, 16)), "no attribute 'out_features'"),
    ],
)
def test_a_transformer_layer_with_another_part_is_not_told(
    name: str, part: nn.Module, found: str
) -> None:
    layer = encoder_layer()
    setattr(layer, name, part)

    with pytest.raises(NotImplementedError, match=re.escape(found)):
        get_hparams(layer)


def test_a_stack_is_not_told_by_its_first_layer_if_a_later_one_differs() -> None:
    stack: Any = nn.TransformerEncoder(encoder_layer(), 2)
    stack.layers[1].norm_first = True

    with pytest.raises(NotImplementedError, match=r"layers\.1 differs from layers\.0"):
        get_hparams(stack)


def test_a_side_of_a_transformer_that_differs_from_the_other_is_told_by_itself() -> (
    None
):
    module = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    norms = (m for m in module.decoder.modules() if isinstance(m, nn.LayerNorm))
    for norm in norms:
        norm.eps = 0.5

    assert repr(rebuilt(module)) == repr(module)

    module.encoder.norm = nn.LayerNorm(8, eps=0.25)
    assert repr(rebuilt(module)) == repr(module)


def test_a_layer_without_an_attribute_of_its_constructor_is_not_told() -> None:
    layer = nn.Linear(2, 3)
    del layer.in_features

    with pytest.raises(NotImplementedError, match="'Linear' object has no attribute"):
        get_hparams(layer)


def without_norm() -> nn.TransformerEncoderLayer:
    layer = encoder_layer()
    layer.add_module("norm1", nn.Identity())
    return layer


class Around(burnish.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def test_a_module_around_a_layer_with_another_part_is_stored_without_arguments() -> (
    None
):
    layer = without_norm()
    net = Around(layer)

    data = net.save_record()

    with pytest.raises(
        burnish.records.RecordMismatchError, match="does not provide them"
    ):
        Around.from_record(data)
    loaded: Any = Around.from_record(data, without_norm())
    assert torch.equal(loaded.layer.linear1.weight, layer.linear1.weight)


def test_what_hparams_cannot_tell_is_said_rather_than_that_there_are_none() -> None:
    # torch turns an AttributeError of a property into one that denies the property.
    with pytest.raises(NotImplementedError, match="was changed after it was built"):
        Around(without_norm()).hparams  # noqa: B018


def test_a_subclass_with_the_constructor_of_its_base_is_told_alike() -> None:
    class Scaled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    assert get_hparams(Scaled(3, 4)) == {
        "__module__": __name__,
        "__name__": Scaled.__qualname__,
        "in_features": 3,
        "out_features": 4,
        "bias": True,
    }


def test_a_subclass_with_a_constructor_of_its_own_is_unknown() -> None:
    class Square(nn.Linear):
        def __init__(self, size: int) -> None:
            super().__init__(size, size)

    with pytest.raises(NotImplementedError, match="Square"):
        get_hparams(Square(3))


def test_what_parametrize_derives_counts_as_its_base() -> None:
    plain = nn.Linear(3, 3)
    module = nn.Linear(3, 3)
    nn.utils.parametrizations.orthogonal(module)

    hparams = get_hparams(module)

    assert type(module) is not nn.Linear
    assert hparams["__name__"] == "Linear"
    assert {k: hparams[k] for k in get_hparams(plain)} == get_hparams(plain)


def test_a_layer_of_a_stack_whose_class_torch_derives_is_like_the_others() -> None:
    stack = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), num_layers=2
    )
    before = get_hparams(stack)
    # As fully_shard of one layer makes it.
    stack.layers[0].__class__ = type(
        "FSDPTransformerEncoderLayer",
        (nn.TransformerEncoderLayer,),
        {"__module__": "torch.distributed.fsdp"},
    )

    assert get_hparams(stack) == before


def test_a_wrapper_counts_as_what_it_wraps() -> None:
    module = nn.Linear(3, 4)

    assert get_hparams(nn.DataParallel(module)) == get_hparams(module)
    assert get_hparams(compiled(module)) == get_hparams(module)


def compiled(module: nn.Module) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while its compiler is imported
        return torch.compile(module, backend="eager")
