import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.config import RenameField
from burnish.records import RecordMismatchError, RecordVersionError


@burnish.module
class Net(nn.Module):
    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@burnish.module(name="tests/wide", skip=["ema", "cache.*"])
class Wide(Net):
    def __init__(self, extra: float) -> None:
        super().__init__(width=6, depth=1)
        self.ema = nn.Linear(6, 6)
        self.cache = nn.BatchNorm1d(6)
        self.extra = extra


class Plain(Net):
    def __init__(self, text: str) -> None:
        super().__init__(depth=1)
        self.text = text


class Typed(burnish.Module, name="tests/typed"):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.l = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Any:
        return self.l(x)


def method(module: nn.Module | type[nn.Module], name: str) -> Any:
    """Return a method that a decorator has added, which no type checker sees."""
    return getattr(module, name)


def test_a_decorated_class_is_the_same_class_with_methods() -> None:
    class Small(nn.Module):
        pass

    forward = Small.forward

    decorated = burnish.module(Small)

    assert decorated is Small
    assert Small.forward is forward
    assert isinstance(method(Small(), "save_record")(), bytes)


def test_a_record_is_an_instance_of_the_record_type_of_its_class() -> None:
    record = method(Wide(1.0), "into_record")()

    assert isinstance(record, method(Wide, "Record"))
    assert isinstance(record, method(Net, "Record"))
    assert not isinstance(method(Net(), "into_record")(), method(Wide, "Record"))
    assert method(Net, "Record").__qualname__ == "Net.Record"


def test_hyperparameters_are_the_arguments_as_they_were_passed() -> None:
    hparams = dict(method(Net(width=5), "hparams"))

    assert (hparams["__module__"], hparams["__name__"]) == (__name__, "Net")
    assert (hparams["width"], hparams["depth"]) == (5, 2)


def test_a_subclass_records_its_own_arguments_decorated_or_not() -> None:
    decorated, plain = Wide(extra=2.5), Plain("hello")

    assert method(decorated, "hparams")["extra"] == 2.5
    assert "width" not in method(decorated, "hparams")
    assert method(plain, "hparams")["text"] == "hello"
    assert method(plain, "hparams")["__name__"] == "Plain"


def test_a_class_without_a_constructor_records_what_it_passes_on() -> None:
    @burnish.module
    class Inherits(nn.Linear):
        pass

    assert method(Inherits(2, 3), "hparams")["out_features"] == 3


def test_hyperparameters_in_the_file_build_the_module() -> None:
    net: Any = Net(width=7, depth=3)
    data = method(net, "save_record")()

    loaded = method(Net, "from_record")(data)

    assert len(loaded.layers) == 3
    assert torch.equal(loaded.layers[2].weight, net.layers[2].weight)


def test_arguments_win_over_the_hyperparameters_in_the_file() -> None:
    data = method(Net(width=7), "save_record")()

    with pytest.raises(RecordMismatchError, match=r"found shape \(7, 7\), expected"):
        method(Net, "from_record")(data, width=8)


def test_an_argument_that_no_file_can_hold_does_not_keep_weights_from_being_saved() -> (
    None
):
    @burnish.module
    class WithHandle(nn.Module):
        def __init__(self, handle: object) -> None:
            super().__init__()
            self.handle = handle
            self.l = nn.Linear(2, 2)

    net = WithHandle(open)
    data = method(net, "save_record")()

    loaded = method(WithHandle, "from_record")(data, None)

    assert torch.equal(loaded.l.weight, net.l.weight)
    with pytest.raises(RecordMismatchError, match=r"handle: .* could not be stored"):
        method(WithHandle, "from_record")(data)


def test_skipped_fields_are_in_no_record_and_come_out_initialized() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        net = Wide(1.0)
        paths = {entry.path for entry in method(net, "into_record")().entries()}
        data = method(net, "save_record")()

        loaded = method(Wide, "from_record")(data)
    finally:
        torch.use_deterministic_algorithms(False)

    assert paths == {"layers.0.weight", "layers.0.bias"}
    assert loaded.ema.weight.isfinite().all()
    report = burnish.core.report_of(loaded)
    assert report is not None
    assert "ema.weight" in report.initialized


def test_a_class_that_has_a_method_of_ours_is_refused_before_it_is_changed() -> None:
    class Clashing(nn.Module):
        def save_record(self) -> None:
            pass

    with pytest.raises(
        TypeError, match=r"Clashing defines 'save_record'.*burnish\.save"
    ):
        burnish.module(Clashing)
    assert not hasattr(Clashing, "into_record")


def test_what_is_no_class_of_modules_is_refused() -> None:
    with pytest.raises(TypeError, match="module classes"):
        burnish.module(int)  # type: ignore[type-var]  # the error under test


def test_inherited_attributes_from_elsewhere_are_left_alone() -> None:
    class Other(nn.Module):
        @property
        def hparams(self) -> str:
            return "theirs"

        def save_record(self) -> str:
            return "theirs"

    @burnish.module
    class Mine(Other):
        pass

    assert Mine().hparams == "theirs"
    assert Mine().save_record() == "theirs"
    assert isinstance(burnish.save_record(Mine()), bytes)


def test_a_module_may_keep_hyperparameters_of_its_own_under_the_name() -> None:
    @burnish.module
    class Keeps(nn.Module):
        def __init__(self, hparams: dict[str, int]) -> None:
            super().__init__()
            self.hparams = hparams

    assert Keeps({"a": 1}).hparams == {"a": 1}


def test_a_constructor_that_fails_leaves_its_error_as_it_is() -> None:
    @burnish.module
    class Fails(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            raise KeyError(width)

    with pytest.raises(KeyError, match="3"):
        Fails(3)


def test_a_module_can_be_copied_and_pickled_whatever_it_was_given() -> None:
    net = Given(iter([1, 2]), lambda x: x)

    copied, loaded = copy.deepcopy(net), pickle.loads(pickle.dumps(net))

    assert torch.equal(copied.l.weight, net.l.weight)
    assert torch.equal(loaded.l.weight, net.l.weight)


@burnish.module
class Given(nn.Module):
    def __init__(self, items: Any, function: Any) -> None:
        super().__init__()
        self.total = sum(items)
        self.l = nn.Linear(2, 2)


@pytest.mark.filterwarnings("ignore:.*torch.jit:Warning")
def test_a_decorated_module_is_scripted() -> None:
    net = Typed()
    list(burnish.named_params(net))

    scripted = torch.jit.script(net)

    x = torch.ones(1, 3)
    assert torch.equal(scripted(x), net(x))
    assert "hparams" in Typed.__jit_unused_properties__


def test_a_decorated_module_is_compiled_and_saved_under_its_own_paths() -> None:
    net = Net()
    compiled: Any = torch.compile(net, backend="eager")
    x = torch.ones(1, 4)

    assert torch.equal(compiled(x), net(x))
    paths = [e.path for e in burnish.core.into_record(compiled).entries()]
    assert paths == [e.path for e in method(net, "into_record")().entries()]


def test_a_decorated_module_is_exported() -> None:
    net = Net()
    x = torch.ones(1, 4)

    exported = torch.export.export(net, (x,)).module()

    assert torch.allclose(exported(x), net(x))


def test_the_base_class_gives_typed_methods_and_takes_the_decorators_arguments() -> (
    None
):
    net = Typed(width=5)
    data = net.save_record()
    assert data is not None

    loaded = Typed.from_record(data)

    assert torch.equal(loaded.l.weight, net.l.weight)
    assert isinstance(net.into_record(), Typed.Record)
    assert net.load_record(data).loaded == ["l.weight", "l.bias"]


def test_a_record_of_a_newer_version_of_the_class_is_refused() -> None:
    def versioned(version: int) -> type[nn.Module]:
        class Grows(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.l = nn.Linear(2, 2)

        return burnish.module(version=version)(Grows)

    old, new = versioned(1), versioned(2)
    data = burnish.save_record(new())

    with pytest.raises(RecordVersionError, match=r"Grows is version 2.* is 1\."):
        burnish.load_record(old(), data)
    assert burnish.load_record(new(), burnish.save_record(old())).loaded


def test_stored_keyword_arguments_that_are_not_passed_stay() -> None:
    class Variadic(burnish.Module):
        def __init__(self, width: int = 2, **others: int) -> None:
            super().__init__()
            self.lin = nn.Linear(width, width)
            self.others = others

    data = Variadic(width=3, b=5, c=7).save_record()

    assert Variadic.from_record(data, b=1).others == {"b": 1, "c": 7}
    assert Variadic.from_record(data, d=1).others == {"b": 5, "c": 7, "d": 1}
    assert Variadic.from_record(data, width=3).others == {"b": 5, "c": 7}


def test_rules_in_the_body_of_a_class_are_told_where_they_go() -> None:
    rules = {0: [RenameField("fc", "out")]}

    with pytest.raises(TypeError, match=r"version=1, upgrade_rules="):
        type("Net", (burnish.Module,), {"upgrade_rules": rules})
