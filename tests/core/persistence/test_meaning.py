"""A record knows what it is of: every way in, and every difference that counts."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import burnish
from burnish import from_record, load_record, module, open_record
from burnish.config import AddDefault, RenameField
from burnish.core.blueprint import Blueprint
from burnish.records import RecordMismatchError
from burnish.records.entries.entries import with_parts
from burnish.train import Checkpoints

from ...formats_of_records import SUFFIXES


class Leaky(nn.Module):
    """An activation of a user's own, which nobody decorated."""

    def __init__(self, slope: float = 0.1) -> None:
        super().__init__()
        self.slope = slope


burnish.register_class(Leaky)


@module(name="meaning/net")
class Net(nn.Module):
    def __init__(self, width: int = 4, rate: float = 0.1, kind: str = "relu") -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2)
        self.act: nn.Module = nn.Tanh()
        self.tail = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        self.rate, self.kind = rate, kind


def configured(act: Any = nn.GELU, **arguments: Any) -> Any:
    """Return a net that a blueprint built with another activation."""
    cls: Any = Net
    blueprint = cls.blueprint()
    blueprint.configure("act", act, **arguments)
    return blueprint.build()


def by_hand(act: nn.Module) -> Any:
    """Return a net with another activation, without a blueprint."""
    net = Net()
    net.act = act
    return net


def restored(net: Any, folder: Path, target: Callable[[], Any]) -> None:
    """Restore a checkpoint of ``net`` into another one."""
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, model=net)
    checkpoints.restore(model=target())


WAYS: dict[str, Callable[[Any, Path, Callable[[], Any]], object]] = {
    "load_record": lambda net, _, make: load_record(make(), net.save_record()),
    "method": lambda net, _, make: make().load_record(net.save_record()),
    "from_record": lambda net, _, make: from_record(make, net.save_record()),
    "live": lambda net, _, make: load_record(make(), net.into_record()),
    "opened": lambda net, _, make: load_record(make(), open_record(net.save_record())),
    "lax": lambda net, _, make: load_record(make(), net.save_record(), strict=False),
    "checkpoints": restored,
}


@pytest.mark.parametrize("way", WAYS)
def test_another_class_where_the_blueprint_changed_one_is_refused_on_every_way(
    way: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordMismatchError, match=r"act: stored GELU.* has Tanh") as e:
        WAYS[way](configured(), tmp_path, Net)

    assert 'hyperparameters="ignore"' in str(e.value)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_built_by_hand_to_the_same_structure_loads_on_every_way(
    way: str, tmp_path: Path
) -> None:
    WAYS[way](configured(), tmp_path, lambda: by_hand(nn.GELU()))


@pytest.mark.parametrize("way", WAYS)
def test_another_argument_is_refused_on_every_way(way: str, tmp_path: Path) -> None:
    with pytest.raises(RecordMismatchError, match=r"kind: stored 'gelu'.* has 'relu'"):
        WAYS[way](Net(kind="gelu"), tmp_path, Net)


@pytest.mark.parametrize("suffix", [*SUFFIXES, "mpk.gz"])
def test_every_format_knows_what_it_is_of(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"net.{suffix}"
    configured().save_record(file)

    built: Any = Net.from_record(file)  # type: ignore[attr-defined]  # ours

    assert isinstance(built.act, nn.GELU)
    with pytest.raises(RecordMismatchError, match="act: stored GELU"):
        from_record(Net, file)


def test_a_refused_module_is_exactly_as_it_was() -> None:
    net = Net()
    before = copy.deepcopy(net.state_dict())

    with pytest.raises(RecordMismatchError, match="The module is unchanged"):
        load_record(net, configured().save_record())

    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_differences_that_are_meant_are_ignored_and_reported() -> None:
    data = configured().save_record()

    report = load_record(Net(rate=0.0), data, hyperparameters="ignore")
    opened = load_record(Net(), open_record(data, hyperparameters="ignore"))
    built = from_record(Net, data, hyperparameters="ignore")

    assert any("act: stored GELU" in line for line in report.changed)
    assert any("rate: stored 0.1" in line for line in report.changed)
    assert any("act: stored GELU" in line for line in opened.changed)
    assert isinstance(built.act, nn.Tanh)
    with pytest.raises(ValueError, match="'compare' or 'ignore'"):
        open_record(data, hyperparameters="drop")  # type: ignore[arg-type]  # refused


def test_copies_of_a_configured_module_load_its_records() -> None:
    net = configured(Leaky, slope=0.2)
    data = net.save_record()

    for other in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert load_record(other, data).changed == []
        assert load_record(other, other.save_record()).changed == []


def test_arguments_of_undecorated_parts_are_compared_where_a_blueprint_knows() -> None:
    data = configured(Leaky, slope=0.2).save_record()

    load_record(configured(Leaky, slope=0.2), data)
    with pytest.raises(RecordMismatchError, match=r"act\.slope: stored 0\.2.* 0\.1"):
        load_record(configured(Leaky, slope=0.1), data)


def test_what_the_module_does_not_tell_is_one_warning_and_in_the_report() -> None:
    data = configured(Leaky, slope=0.2).save_record()

    with pytest.warns(UserWarning, match="act: the arguments of this Leaky") as caught:
        report = load_record(by_hand(Leaky(0.2)), data)

    assert len(caught) == 1
    assert any("act: the arguments of this Leaky" in line for line in report.changed)


def test_changes_by_hand_after_the_build_are_stored_as_they_are() -> None:
    net = configured()
    net.act = nn.SiLU()
    data = net.save_record()

    with pytest.raises(RecordMismatchError, match=r"act: stored SiLU.* has GELU"):
        Net.from_record(data)  # type: ignore[attr-defined]  # ours
    load_record(by_hand(nn.SiLU()), data)


def test_lists_that_a_blueprint_changed_are_compared_item_by_item() -> None:
    cls: Any = Net
    blueprint = cls.blueprint()
    blueprint.tail.append(nn.Dropout(0.3))
    data = blueprint.build().save_record()

    def extended(rate: float) -> Any:
        net = Net()
        net.tail.append(nn.Dropout(rate))
        return net

    load_record(extended(0.3), data)
    with pytest.raises(RecordMismatchError, match=r"tail\.2\.p: stored 0\.3.* 0\.4"):
        load_record(extended(0.4), data)
    with pytest.raises(RecordMismatchError, match=r"tail: stored \[Linear, ReLU, Drop"):
        load_record(Net(), data)


def test_calls_on_a_blueprint_count_by_what_they_made() -> None:
    from burnish.core.blueprint import stateful

    @module
    class Styled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)
            self.act: nn.Module = nn.ReLU()

        @stateful
        def smooth(self: Any) -> None:
            self.configure("act", nn.SiLU)

    cls: Any = Styled
    blueprint = cls.blueprint()
    blueprint.smooth()
    data = blueprint.build().save_record()

    with pytest.raises(RecordMismatchError, match=r"act: stored SiLU.* has ReLU"):
        load_record(Styled(), data)
    assert isinstance(cls.from_record(data).act, nn.SiLU)


def test_the_paths_of_a_stored_blueprint_follow_the_rules_of_the_class() -> None:
    data = configured().save_record()

    @module(
        name="meaning/net",
        version=1,
        upgrade_rules={0: [RenameField("act", "activation")]},
    )
    class Newer(nn.Module):
        def __init__(
            self, width: int = 4, rate: float = 0.1, kind: str = "relu"
        ) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)
            self.activation: nn.Module = nn.Tanh()
            self.tail = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    try:
        with pytest.raises(RecordMismatchError, match="activation: stored GELU"):
            load_record(Newer(), data)
        same = Newer()
        same.activation = nn.GELU()
        assert load_record(same, data).changed == []
        built: Any = Newer.from_record(data)  # type: ignore[attr-defined]  # ours
        assert isinstance(built.activation, nn.GELU)
    finally:
        burnish.register_class(Net, name="meaning/net")


def normed(name: str, *rules: Any) -> Any:
    """Return a class with a norm of this name, and an activation that no file holds."""

    version: Any = {"version": 1, "upgrade_rules": {0: [*rules]}} if rules else {}

    @module(name="tests/meaning/normed", **version)
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module(name, nn.Sequential(nn.LayerNorm(4), nn.ReLU()))

    return Normed


BY_TENSOR = [
    RenameField(f"enc.0.{name}", f"encoder.0.{name}") for name in ("weight", "bias")
]


@pytest.mark.parametrize(
    ("target", "change"),
    [("enc.0", {"eps": 0.5}), ("*c.0", {"eps": 0.5}), ("enc.1", {"inplace": True})],
)
def test_what_a_blueprint_changed_in_a_part_is_not_lost_by_rules_for_its_tensors(
    target: str, change: Any
) -> None:
    data = normed("enc").blueprint().configure(target, **change).build().save_record()
    cls = normed("encoder", *BY_TENSOR)

    for load in (cls.from_record, lambda data: load_record(cls(), data)):
        with pytest.raises(RecordMismatchError, match=r"lacks .* RenameField\('enc"):
            load(data)


def test_a_pattern_finds_a_part_whose_tensors_alone_were_renamed() -> None:
    data = normed("enc").blueprint().configure("**.0", eps=0.5).build().save_record()

    net = normed("encoder", *BY_TENSOR).from_record(data)

    assert net.encoder[0].eps == 0.5


def versioned(version: int, rules: Any, **defaults: Any) -> Any:
    """Return a class of one name whose constructor takes ``defaults``."""
    names = list(defaults)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        nn.Module.__init__(self)
        self.fc = nn.Linear(2, 2)

    cls = type("Ages", (nn.Module,), {"__module__": __name__})
    source = ", ".join(f"{n}=defaults[{n!r}]" for n in names)
    scope: dict[str, Any] = {"defaults": defaults, "init": __init__}
    exec(f"def __init__(self, {source}): init(self)", scope)
    cls.__init__ = scope["__init__"]  # type: ignore[misc]  # that is what it takes
    return module(version=version, upgrade_rules=rules)(cls)


def test_an_argument_that_is_newer_than_the_file_counts_as_its_default() -> None:
    data = versioned(0, {}, width=2)(3).save_record()
    newer = versioned(0, {}, width=2, gate=False)

    assert load_record(newer(3), data).changed == []
    with pytest.raises(
        RecordMismatchError, match=r"gate: not stored .*False.* has True"
    ):
        load_record(newer(3, True), data)


def test_a_default_that_a_rule_writes_into_older_files_is_compared() -> None:
    data = versioned(0, {}, width=2)(3).save_record()
    newer = versioned(1, {0: [AddDefault("gate", False)]}, width=2, gate=True)

    with pytest.raises(RecordMismatchError, match=r"gate: stored False.* has True"):
        load_record(newer(3), data)
    assert load_record(newer(3, False), data).changed == []


def test_an_argument_that_is_gone_is_a_warning() -> None:
    data = versioned(0, {}, width=2, gate=True)(3).save_record()

    with pytest.warns(UserWarning, match="gate: stored True, and Ages takes no such"):
        load_record(versioned(0, {}, width=2)(3), data)


def test_devices_and_dtypes_are_the_readers_choice() -> None:
    @module
    class Placed(nn.Module):
        def __init__(self, device: str, dtype: Any, kind: Any = "torch.half") -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2, dtype=dtype)

    report = load_record(
        Placed("cpu", torch.float64, torch.float16),
        Placed("cpu:0", torch.float32, torch.float32).save_record(),  # type: ignore[operator]  # ours
    )

    assert len(report.changed) == 3


def test_functions_are_compared_by_name_and_other_objects_are_not() -> None:
    @module
    class Acts(nn.Module):
        def __init__(self, act: Any = functional.gelu, handle: Any = None) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

    data = Acts(functional.relu, object()).save_record()  # type: ignore[operator]  # ours

    load_record(Acts(functional.relu, [object()]), data)
    with pytest.raises(RecordMismatchError, match=r"act: stored relu, .* has gelu"):
        load_record(Acts(), data)
    with pytest.raises(RecordMismatchError, match=r"act: stored gelu, .* has relu"):
        load_record(Acts(functional.relu), Acts().save_record())  # type: ignore[operator]  # ours


def test_a_module_of_another_class_is_compared_by_its_parts_alone() -> None:
    class Hand(nn.Module):
        def __init__(self, act: nn.Module) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(4, 2), act
            self.tail = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    data = configured().save_record()

    load_record(Hand(nn.GELU()), data)
    with pytest.raises(RecordMismatchError, match=r"act: stored GELU.* has Tanh"):
        load_record(Hand(nn.Tanh()), data)


def test_of_a_part_of_a_record_another_module_may_be_made_with_a_warning() -> None:
    data = Net(kind="gelu").save_record()  # type: ignore[operator]  # ours
    part = Net(kind="gelu").save_record(only="fc.**")  # type: ignore[operator]  # ours

    with pytest.warns(UserWarning, match="kind: stored 'gelu'"):
        load_record(Net(), open_record(data, exclude="tail.**"))
    with pytest.warns(UserWarning, match="kind: stored 'gelu'"):
        load_record(Net(), part, allow_missing="**")


def test_arguments_that_are_modules_are_compared_to_their_depth() -> None:
    @module
    class Holder(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    data = Holder(Net(rate=0.5)).save_record()  # type: ignore[operator]  # ours

    load_record(Holder(Net(rate=0.5)), data)
    with pytest.raises(RecordMismatchError, match=r"inner\.rate: stored 0\.5"):
        load_record(Holder(Net()), data)


def test_a_folder_knows_what_it_is_of(tmp_path: Path) -> None:
    burnish.save_pretrained(configured(), tmp_path)

    assert isinstance(burnish.from_pretrained(tmp_path, Net).act, nn.GELU)
    with pytest.raises(RecordMismatchError, match="act: stored GELU"):
        from_record(Net, tmp_path / "model.safetensors")


def test_a_stored_result_that_is_none_is_refused() -> None:
    record = open_record(configured().save_record())
    ours: Any = copy.deepcopy(record.metadata)
    ours["burnish"]["hparams"]["__blueprint__"]["result"] = {"act": 1}

    with pytest.raises(RecordMismatchError, match="expected pairs of paths"):
        load_record(Net(), with_parts(record, metadata=ours))


FOREIGN = [{"strict": False}, {"allow_missing": "**", "allow_unexpected": "**"}]


@pytest.mark.parametrize("options", FOREIGN)
def test_a_record_of_which_nothing_fits_is_refused_however_lax(options: Any) -> None:
    data = burnish.save_record(nn.BatchNorm1d(2))

    with pytest.raises(RecordMismatchError, match=r"found weight, .* expected fc\.w"):
        load_record(Net(), data, **options)
    with pytest.raises(RecordMismatchError, match="allow_empty=True"):
        from_record(Net, data, **options)

    assert load_record(Net(), data, allow_empty=True, **options).loaded == []
    assert isinstance(from_record(Net, data, allow_empty=True, **options), Net)


def test_modules_without_parameters_load_nothing_without_a_word() -> None:
    empty = burnish.save_record(nn.ReLU())

    assert load_record(nn.ReLU(), empty).loaded == []
    assert isinstance(from_record(nn.ReLU, empty), nn.ReLU)
    assert load_record(Net(), empty, strict=False).loaded == []


class Twins(nn.Module):
    """Two parameters over one memory, of which the second has a flag of its own."""

    def __init__(self, flags: tuple[bool, bool]) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(3), requires_grad=flags[0])
        self.b = nn.Parameter(self.a.data, requires_grad=flags[1])


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_parameter_whose_flag_differs_from_that_of_its_twin_keeps_it(
    stored: bool, first: bool, second: bool
) -> None:
    data = burnish.save_record(Twins((stored, second)))

    built = from_record(lambda: Twins((first, second)), data)

    assert built.a.requires_grad is stored
    assert built.b.requires_grad is (stored if first is second else second)
    assert built.a.data_ptr() == built.b.data_ptr()


@pytest.mark.parametrize("suffix", [*SUFFIXES, None])
def test_what_was_frozen_is_frozen_again_in_a_new_module(
    suffix: str | None, tmp_path: Path
) -> None:
    net: Any = Net()
    net.fc.weight.requires_grad_(False)
    source: Any = net.into_record()
    if suffix is not None:
        source = tmp_path / f"net.{suffix}"
        net.save_record(source)

    built: Any = from_record(Net, source)
    living: Any = Net()
    report = load_record(living, source)

    assert not built.fc.weight.requires_grad
    assert built.fc.bias.requires_grad
    built_report: Any = burnish.core.report_of(built)
    assert built_report.requires_grad == ["fc.weight"]
    assert living.fc.weight.requires_grad
    assert report.requires_grad == []


def test_what_was_trained_is_thawed_and_foreign_files_leave_the_constructors_flags(
    tmp_path: Path,
) -> None:
    def frozen() -> Any:
        return Net().requires_grad_(False)

    torch.save(Net().state_dict(), tmp_path / "net.pt")

    thawed = from_record(frozen, Net().save_record())  # type: ignore[operator]  # ours
    foreign = from_record(frozen, tmp_path / "net.pt")
    usual = from_record(Net, tmp_path / "net.pt")

    assert all(p.requires_grad for p in thawed.parameters())
    assert not any(p.requires_grad for p in foreign.parameters())
    assert all(p.requires_grad for p in usual.parameters())


@pytest.mark.parametrize("name", ["device", "dtype", "hyperparameters", "only"])
def test_an_option_of_reading_among_the_constructors_arguments_is_told_where_it_goes(
    name: str,
) -> None:
    cls: Any = Net

    with pytest.raises(TypeError, match=rf"from_record\(burnish\.open_record.*{name}="):
        cls.from_record(cls().save_record(), **{name: "ignore"})
    with pytest.raises(TypeError, match=r"burnish\.from_record\(lambda: Net"):
        cls.from_record(cls().save_record(), allow_empty=True)


def test_a_file_that_names_a_million_paths_is_refused_in_no_time() -> None:
    record = open_record(configured().save_record())
    ours: Any = copy.deepcopy(record.metadata)
    blueprint = ours["burnish"]["hparams"]["__blueprint__"]
    node = blueprint["result"][0][1]
    blueprint["result"] = [[[f"no.{i}" for i in range(100_000)] + ["act"] * 1000, node]]

    with pytest.raises(RecordMismatchError, match=r"no\.0: stored GELU"):
        load_record(Net(), with_parts(record, metadata=ours))


def test_a_part_of_a_state_is_filled_only_with_what_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model=configured(), other=nn.Linear(1, 1))
    net, other = Net(), nn.Linear(1, 1)
    before = copy.deepcopy({**net.state_dict(), **other.state_dict()})

    with pytest.raises(RecordMismatchError, match="act: stored GELU") as caught:
        checkpoints.restore(other=other, model=net)

    for name, value in {**net.state_dict(), **other.state_dict()}.items():
        assert torch.equal(value, before[name])
    assert 'restore(..., hyperparameters="ignore")' in str(caught.value)
    checkpoints.restore(other=other, model=net, hyperparameters="ignore")
    load_record(net, checkpoints["latest"]["model"], hyperparameters="ignore")
    with pytest.raises(ValueError, match="an option of restore"):
        checkpoints.save(2, hyperparameters={"lr": 0.1})


class Undecorated(nn.Module):
    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(2, 2), nn.ReLU()
        self.rate = rate


def test_a_blueprint_of_an_undecorated_class_is_compared_as_far_as_it_is_known() -> (
    None
):
    def built(rate: float, act: Any = nn.GELU) -> Any:
        return Blueprint(Undecorated, rate=rate).configure("act", act).build()

    hand: Any = Undecorated()
    hand.act = nn.GELU()
    data = burnish.save_record(built(0.5))

    assert load_record(hand, data).changed == []
    load_record(built(0.5), data)
    with pytest.raises(RecordMismatchError, match="rate: stored 0"):
        load_record(built(0.1), data)
    with pytest.raises(RecordMismatchError, match="act: stored GELU"):
        load_record(Undecorated(0.5), data)


def test_an_argument_of_an_undecorated_whole_that_was_configured_is_a_warning() -> None:
    blueprint = Blueprint(Undecorated)
    blueprint.configure(rate=0.5)
    data = burnish.save_record(blueprint.build())

    with pytest.warns(UserWarning, match="the arguments of this Undecorated are not"):
        load_record(Undecorated(0.5), data)


def test_arguments_that_are_passed_are_laid_over_the_stored_ones() -> None:
    cls: Any = Net
    data = cls(width=6, rate=0.2, kind="gelu").save_record()

    for net in (cls.from_record(data, rate=0.5), cls.from_record(data, 6, 0.5)):
        assert (net.fc.in_features, net.rate, net.kind) == (6, 0.5, "gelu")
        assert report(net).changed == ["rate: stored 0.2, the module has 0.5"]
    with pytest.raises(RecordMismatchError, match=r"fc\.weight: found shape"):
        cls.from_record(data, width=5)
    with pytest.raises(TypeError, match="nonsense"):
        cls.from_record(data, nonsense=1)


def test_passed_arguments_are_laid_over_what_a_blueprint_built() -> None:
    cls: Any = Net
    data = cls.blueprint(width=6).configure("act", nn.GELU).build().save_record()

    net = cls.from_record(data, rate=0.5)

    assert (net.fc.in_features, net.rate, type(net.act)) == (6, 0.5, nn.GELU)
    assert report(net).changed == ["rate: stored 0.1, the module has 0.5"]


def test_passed_arguments_may_be_modules_objects_and_what_no_file_holds() -> None:
    @module
    class Holder(nn.Module):
        def __init__(self, inner: nn.Module, hook: Any, width: int = 2) -> None:
            super().__init__()
            self.inner, self.hook = inner, hook
            self.fc = nn.Linear(width, 2)

    cls: Any = Holder
    data = cls(Net(6), object(), 3).save_record()
    hook, inner = object(), Net(6, rate=0.7)

    hooked = cls.from_record(data, hook=hook)
    both = cls.from_record(data, inner, hook)

    assert hooked.hook is hook
    assert (hooked.inner.fc.in_features, hooked.fc.in_features) == (6, 3)
    assert both.inner is inner
    assert any("inner.rate" in x for x in report(both).changed)


def test_passed_arguments_of_any_name_are_laid_over_the_stored_ones() -> None:
    @module
    class Open(nn.Module):
        def __init__(self, width: int, **options: Any) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2, bias=options.get("bias", True))
            self.options = options

    @module
    class Delegating(Net):  # type: ignore[misc, valid-type]  # decorated
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    opened: Any = Open
    delegating: Any = Delegating

    net = opened.from_record(opened(3, bias=False, a=1).save_record(), a=2)
    by_position = delegating.from_record(delegating(6, 0.2).save_record(), 6, rate=0.5)
    by_name = delegating.from_record(delegating(width=6).save_record(), rate=0.5)

    assert (net.fc.in_features, net.options) == (3, {"bias": False, "a": 2})
    assert (by_position.fc.in_features, by_position.rate) == (6, 0.5)
    assert (by_name.fc.in_features, by_name.rate) == (6, 0.5)


def test_a_file_without_hyperparameters_leaves_all_to_the_arguments(
    tmp_path: Path,
) -> None:
    cls: Any = Net
    torch.save(Net(6).state_dict(), tmp_path / "net.pt")

    net = cls.from_record(tmp_path / "net.pt", 6, kind="gelu")

    assert (net.fc.in_features, net.kind, net.rate) == (6, "gelu", 0.1)


def test_a_default_is_never_called_stored_and_renamed_arguments_can_be_passed() -> None:
    data = versioned(0, {}, width=2)(20).save_record()
    newer = versioned(0, {}, dim=16, rate=0.1)

    with pytest.warns(UserWarning, match="width: stored 20, and Ages takes no such"):
        built = newer.from_record(data, dim=20)
    with pytest.raises(RecordMismatchError, match=r"dim: not stored \(the default is"):
        load_record(newer(20), data)

    assert any("dim: not stored" in x for x in report(built).changed)


def test_upgraded_arguments_are_upgraded_once_under_passed_ones() -> None:
    data = versioned(0, {}, w=2, rate=0.1)(3, 0.2).save_record()
    newer = versioned(1, {0: [RenameField("w", "width")]}, width=2, rate=0.1)

    built = newer.from_record(data, rate=0.5)

    assert built.hparams["width"] == 3
    assert built.hparams["rate"] == 0.5


def test_building_a_class_that_has_nothing_to_do_with_the_stored_one_is_a_warning(
    tmp_path: Path,
) -> None:
    @module
    class Other(nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)
            self.tail = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    class Derived(Net):  # type: ignore[misc, valid-type]  # decorated
        def __init__(self, more: int = 1) -> None:
            super().__init__()

    cls: Any = Other
    data = Net().save_record()  # type: ignore[operator]  # ours
    torch.save(Net().state_dict(), tmp_path / "net.pt")

    with pytest.warns(UserWarning, match="stored is a Net, the module is a") as caught:
        from_record(Other, data)
    with pytest.warns(UserWarning, match=r"Other: their arguments are not compared"):
        cls.from_record(data, 4)

    assert len(caught) == 1
    from_record(Other, data, hyperparameters="ignore")
    from_record(Derived, data)
    from_record(Other, tmp_path / "net.pt")
    assert any("stored is a Net" in x for x in load_record(Other(), data).changed)


def test_what_a_blueprint_changed_and_the_file_does_not_tell_is_a_warning() -> None:
    cls: Any = Net
    plain = cls().save_record()
    tail = cls.blueprint()
    tail.tail.append(nn.Dropout(0.3))

    with pytest.warns(UserWarning, match="act: the module has GELU from its blueprint"):
        report = load_record(configured(), plain)
    with pytest.raises(RecordMismatchError, match="tail: stored"):
        load_record(configured(), tail.build().save_record())

    assert any("act: the module has GELU" in line for line in report.changed)


def test_an_argument_that_is_gone_is_told_of_upgrade_rules() -> None:
    data = versioned(0, {}, width=2, gate=True)(3).save_record()

    with pytest.raises(
        RecordMismatchError,
        match=r"say how: @burnish\.module\(version=1, upgrade_rules=.*DeleteField",
    ):
        versioned(0, {}, width=2).from_record(data)


def test_a_class_with_the_base_is_told_of_its_class_statement() -> None:
    class Net(burnish.Module, name="test_meaning/based"):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.layer = nn.Linear(width, width)

    data = Net(3).save_record()

    class Renamed(burnish.Module, name="test_meaning/based"):
        def __init__(self, size: int = 2) -> None:
            super().__init__()
            self.layer = nn.Linear(size, size)

    Renamed.__qualname__ = Net.__qualname__
    with pytest.raises(
        RecordMismatchError,
        match=r"(?s)used to be .*, add a rule to class Renamed\(burnish.*"
        r"say how: class Renamed\(burnish\.Module, version=1, upgrade_rules=\{0: ",
    ):
        Renamed.from_record(data)


def test_a_part_of_a_record_tells_that_it_has_no_arguments() -> None:
    class Net(burnish.Module, name="test_meaning/inner"):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.layer = nn.Linear(width, width)

    part = burnish.open_record(burnish.save_record(nn.ModuleDict({"net": Net(3)})))[
        "net"
    ]

    with pytest.raises(
        RecordMismatchError, match=r"does not hold its arguments: pass the same ones"
    ):
        Net.from_record(part)
    assert Net.from_record(part, width=3).layer.in_features == 3


def report(module: nn.Module) -> Any:
    """Return what `from_record` did to build ``module``."""
    return burnish.core.report_of(module)
