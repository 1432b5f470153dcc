"""Modules as plain data, and back through their constructors."""

import copy
import enum
import json
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from burnish.config import Hparam, Hparams
from burnish.core import (
    Module,
    from_hyperparameters,
    get_hparams,
    module,
    register_class,
    register_hparams,
)
from burnish.core.errors import HyperparameterError


class Net(Module):
    def __init__(self, a: int, b: int = 2, *, c: str = "x") -> None:
        super().__init__()
        self.lin = nn.Linear(a, b)
        self.acts = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.m = nn.ModuleDict({"k": nn.Identity()})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y


class Counted(Module):
    built = 0

    def __init__(self, *children: nn.Module, size: int = 1) -> None:
        super().__init__()
        type(self).built += 1
        self.parts = nn.ModuleList(children)


class Pair(Module):
    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right


class Holds(Module):
    """Takes anything, keeps what modules there are."""

    def __init__(self, value: Any = None, **more: Any) -> None:
        super().__init__()
        self.value = value


def again(net: nn.Module) -> Any:
    return from_hyperparameters(json.loads(json.dumps(get_hparams(net))))


def test_the_dict_has_class_arguments_and_children() -> None:
    hparams = Net(3).hparams

    assert hparams == {
        "__module__": __name__,
        "__name__": "Net",
        "a": 3,
        "b": 2,
        "c": "x",
        "lin": get_hparams(nn.Linear(3, 2)),
        "acts": [get_hparams(nn.ReLU()), get_hparams(nn.Tanh())],
        "m": {"k": get_hparams(nn.Identity())},
    }
    assert json.loads(json.dumps(hparams)) == hparams
    assert hparams.lin.in_features == hparams["lin"]["in_features"] == 3


def test_a_fresh_process_builds_the_same_from_the_dict(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
            import burnish.core, torch
            from torch import nn

            @burnish.core.module
            class Block(nn.Module):
                def __init__(self, width, *, act=nn.ReLU):
                    super().__init__()
                    self.lin, self.act = nn.Linear(width, width), act()

            @burnish.core.module
            class Net(nn.Module):
                def __init__(self, head, sizes=(2, 3), dtype=torch.float64):
                    super().__init__()
                    self.head = head
                    self.blocks = nn.ModuleList(Block(n, act=nn.Tanh) for n in sizes)
                    self.to(dtype)
        """)
    )
    make = (
        "import json, net, torch; n = net.Net(torch.nn.Linear(3, 1), sizes=(4, 5, 6))"
    )
    show = (
        "forms = [(k, list(v.shape), str(v.dtype)) for k, v in n.state_dict().items()];"
        "print(json.dumps([n.hparams, repr(n), forms]))"
    )
    first = run(tmp_path, f"{make}; {show}")
    remake = (
        "import json, sys, net, burnish.core; "
        "n = burnish.core.from_hyperparameters(json.loads(sys.stdin.read())[0])"
    )

    second = run(tmp_path, f"{remake}; {show}", first)

    assert json.loads(second) == json.loads(first)
    assert json.loads(first)[0]["__module__"] == "net"


def run(folder: Path, code: str, text: str = "") -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 4, bias=False),
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.LayerNorm([2, 3]),
        nn.LSTM(3, 4, 2, batch_first=True, proj_size=2),
        nn.MultiheadAttention(4, 2, bias=False),
        nn.Embedding(5, 3, padding_idx=0),
        nn.Hardtanh(-2, 2),
        nn.BatchNorm2d(4, affine=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_of_torch_are_told_and_made_again(layer: nn.Module) -> None:
    made = again(layer)

    assert repr(made) == repr(layer)
    assert shapes(made) == shapes(layer)


def test_a_linear_layer_is_its_three_numbers() -> None:
    hparams = get_hparams(nn.Linear(3, 4, bias=False))

    assert {k: v for k, v in hparams.items() if not k.startswith("__")} == {
        "in_features": 3,
        "out_features": 4,
        "bias": False,
    }


def shapes(net: nn.Module) -> dict[str, Any]:
    return {name: (t.shape, t.dtype) for name, t in net.state_dict().items()}


class Foreign(nn.Module):
    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size = size
        self.lin = nn.Linear(size, size)


def test_a_class_that_nobody_knows_is_named() -> None:
    with pytest.raises(
        NotImplementedError, match=rf"{__name__}\.Foreign.*register_hparams"
    ):
        get_hparams(Foreign())


def test_a_child_of_an_unknown_class_is_its_name_alone() -> None:
    assert Holds(Foreign()).hparams["value"] == {
        "__module__": __name__,
        "__name__": "Foreign",
    }


def with_computed_field() -> Any:
    from pydantic import computed_field

    class Computed(Hparams):
        dim: int = Hparam(64, ge=1)
        heads: int = 4

        @computed_field  # type: ignore[prop-decorator]  # as pydantic says to write it
        @property
        def head_dim(self) -> int:
            return self.dim // self.heads

    class Typed(Module):
        Hparams = Computed

        def __init__(self, dim: int = 64, heads: int = 4) -> None:
            super().__init__()
            self.lin = nn.Linear(dim, dim // heads)

    return Typed


def test_a_computed_field_is_in_the_extended_dict_alone() -> None:
    typed = with_computed_field()
    net = typed(32, heads=2)

    extended = get_hparams(net, extended=True)

    assert "head_dim" not in net.hparams
    assert extended["head_dim"] == 16
    assert from_hyperparameters(extended).hparams == net.hparams


def test_a_computed_field_that_disagrees_is_refused() -> None:
    extended = get_hparams(with_computed_field()(32), extended=True)
    extended["head_dim"] = 7

    with pytest.raises(
        HyperparameterError, match=r"head_dim: is computed as 8, found 7"
    ):
        from_hyperparameters(extended)


class Grown(Net):
    def __init__(self, a: int, deep: bool = False) -> None:
        super().__init__(a + 1)
        self.deep = deep


def test_a_subclass_notes_its_own_arguments_once() -> None:
    hparams = Grown(3).hparams

    assert hparams["__name__"] == "Grown"
    assert (hparams["a"], hparams["deep"]) == (3, False)
    assert "b" not in hparams
    assert hparams["lin"]["in_features"] == 4
    assert repr(again(Grown(3))) == repr(Grown(3))


def test_scripting_compiling_pickling_and_copying_keep_hparams() -> None:
    net = Net(3, c="y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that scripting is deprecated
        scripted: Any = torch.jit.script(net)
        compiled: Any = torch.compile(net, backend="eager")
        x = torch.ones(1, 3)
        outputs = [scripted(x), compiled(x), net(x)]

    assert all(torch.equal(y, outputs[-1]) for y in outputs)
    assert copy.deepcopy(net).hparams == net.hparams
    assert pickle.loads(pickle.dumps(net)).hparams == net.hparams
    assert get_hparams(compiled) == net.hparams


def test_a_child_under_two_names_is_shared_again() -> None:
    shared = nn.Linear(2, 2)
    net = Pair(Pair(shared, nn.ReLU()), shared)

    made = again(net)

    assert net.hparams["right"] == {"__ref__": "left.left"}
    assert made.right is made.left.left
    assert len(list(made.parameters())) == 2
    assert get_hparams(made) == net.hparams


def test_a_child_that_a_constructor_made_is_shared_again() -> None:
    inner = Net(3)
    net = Pair(inner, inner.acts[1])

    made = again(net)

    assert net.hparams["right"] == {"__ref__": "left.acts.1"}
    assert made.right is made.left.acts[1]


def test_a_container_under_two_names_is_shared_again() -> None:
    shared = nn.Sequential(nn.Linear(2, 2))

    made = again(Pair(shared, shared))

    assert made.right is made.left


@pytest.mark.parametrize("value", ["os", "posix", "torch.nn.modules.module"])
def test_what_is_no_module_is_refused(value: str) -> None:
    with pytest.raises(HyperparameterError, match="not known here"):
        from_hyperparameters({"__module__": value, "__name__": "system"})


def test_the_constructor_runs_once_per_module() -> None:
    net = Counted(Counted(Counted(), size=3), Counted())
    hparams = get_hparams(net)
    Counted.built = 0

    from_hyperparameters(hparams)

    assert Counted.built == 4


def test_changing_the_dict_changes_no_module() -> None:
    net = Holds([1, {"x": [2]}])
    hparams = net.hparams

    hparams["value"][1]["x"].append(3)
    hparams["more"] = 1

    assert net.hparams["value"] == [1, {"x": [2]}]
    assert "more" not in net.hparams
    with pytest.raises(AttributeError, match="are a copy"):
        net.hparams.value = 3


def test_plain_dicts_stay_plain_dicts() -> None:
    options = {"k": {"in_features": 3}, "names": {"a": "Linear"}}

    made = again(Holds(options))

    assert made.value == options


def test_what_is_passed_is_noted_as_it_was() -> None:
    sizes = [1, 2]
    net = Holds(sizes)

    sizes.append(3)

    assert net.hparams["value"] == [1, 2]


class Popping(Module):
    def __init__(self, sizes: list[int], options: dict[str, int]) -> None:
        super().__init__()
        sizes.pop()
        options.clear()


def test_a_constructor_that_empties_its_arguments_is_told_right() -> None:
    assert Popping([1, 2], {"a": 1}).hparams["sizes"] == [1, 2]
    assert Popping([1, 2], {"a": 1}).hparams["options"] == {"a": 1}


class Color(enum.Enum):
    RED = "red"


@dataclass
class Inner:
    size: tuple[int, int] = (1, 2)
    dtype: torch.dtype = torch.float16


@dataclass
class Config:
    width: int = 3
    color: Color = Color.RED
    inner: Inner = field(default_factory=Inner)


class Typed(Hparams):
    lr: float = 0.1
    tags: tuple[str, ...] = ()


class Declares(Module):
    def __init__(
        self,
        size: tuple[int, ...] = (1,),
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        color: Color = Color.RED,
        config: Config | None = None,
        typed: Typed | None = None,
        file: Path = Path("a"),
        by_number: dict[int, str] | None = None,
        names: frozenset[str] = frozenset(),
        act: type[nn.Module] = nn.ReLU,
        norm: Callable[..., nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.seen = dict(locals())
        self.seen = {
            k: v for k, v in self.seen.items() if k not in ("self", "__class__")
        }


def test_declared_arguments_come_back_as_what_they_are() -> None:
    net = Declares(
        size=(3, 4),
        dtype=torch.bfloat16,
        device=torch.device("cpu"),
        color=Color.RED,
        config=Config(5, inner=Inner((7, 8), torch.int8)),
        typed=Typed(lr=0.5, tags=("a", "b")),
        file=Path("x") / "y",
        by_number={1: "one"},
        names=frozenset({"b", "a"}),
        act=nn.Tanh,
    )

    made = again(net)

    assert {k: v for k, v in made.seen.items() if k not in ("norm", "device")} == {
        k: v for k, v in net.seen.items() if k not in ("norm", "device")
    }
    assert made.seen["norm"] is nn.LayerNorm
    assert made.seen["device"] == torch.device("cpu")
    assert get_hparams(made) == net.hparams


def test_a_partial_of_a_class_comes_back() -> None:
    net = Declares(norm=partial(nn.LayerNorm, eps=1e-3))

    made = again(net)

    assert made.seen["norm"](4).eps == 1e-3


def test_dtypes_come_back_where_nothing_is_declared() -> None:
    assert again(Holds([torch.float16, "float16"])).value == [torch.float16, "float16"]


class Anything(Module):
    def __init__(self, first: Any, /, *rest: Any, key: Any = 0, **options: Any) -> None:
        super().__init__()
        self.seen = (first, rest, key, options)


def test_arguments_of_every_kind_come_back() -> None:
    net = Anything(1, 2, [3], key={"a": None}, first="x", more=4.5)

    made = again(net)

    assert made.seen == net.seen
    assert net.hparams["rest"] == [2, [3]]
    assert net.hparams["options"] == {"first": "x", "more": 4.5}


class Many(Module):
    def __init__(
        self,
        layers: nn.Module,
        heads: dict[str, nn.Module],
        stages: list[nn.Module],
        named: nn.Module,
        maybe: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.layers, self.named, self.maybe = layers, named, maybe
        self.heads, self.stages = nn.ModuleDict(heads), nn.ModuleList(stages)


def test_submodules_as_arguments_come_back_in_what_held_them() -> None:
    from collections import OrderedDict

    net = Many(
        nn.ModuleList([nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.ModuleList())]),
        {"b": nn.Linear(3, 1), "a": nn.Sequential(nn.Linear(3, 2))},
        [nn.ModuleDict({"x": nn.Linear(1, 1)})],
        nn.Sequential(OrderedDict(first=nn.Linear(2, 2), last=nn.ReLU())),
    )

    made = again(net)

    assert repr(made) == repr(net)
    assert shapes(made) == shapes(net)
    assert get_hparams(made) == net.hparams
    assert net.hparams["layers"][0] == get_hparams(nn.Linear(2, 3))
    assert net.hparams["heads"]["b"] == get_hparams(nn.Linear(3, 1))


class Clash(Module):
    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)


def test_an_argument_wins_over_a_child_of_its_name() -> None:
    net = Clash(0.25)

    extended = get_hparams(net, extended=True)

    assert net.hparams["dropout"] == 0.25
    assert extended["__children__"] == {"dropout": get_hparams(nn.Dropout(0.25))}
    assert repr(from_hyperparameters(extended)) == repr(net)


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        open,
        object(),
        torch.zeros(2),
        {1: "a"},
        {"__name__": "x"},
        1j,
        Config(),
        Foreign,
        [{"deep": print}],
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_is_no_plain_data_is_an_error_when_told_not_when_built(value: Any) -> None:
    net = Holds(value)

    with pytest.raises((TypeError, HyperparameterError), match="value"):
        _ = net.hparams


def test_a_list_within_itself_is_an_error() -> None:
    net = Holds()
    arguments = net.__dict__["_burnish_arguments"]
    loop: list[Any] = []
    loop.append(loop)
    arguments.args = (loop,)

    with pytest.raises(HyperparameterError, match="within itself"):
        _ = net.hparams


def test_an_unknown_argument_names_the_nearest() -> None:
    hparams = Net(3).hparams
    hparams["cc"] = 1

    with pytest.raises(HyperparameterError, match=r"cc: Net takes no such .*mean 'c'"):
        from_hyperparameters(hparams)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(HyperparameterError, match="a: Net needs this argument"):
        from_hyperparameters({"__module__": __name__, "__name__": "Net"})


def test_what_a_constructor_refuses_is_told_with_its_path() -> None:
    hparams = get_hparams(Pair(nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2)))
    hparams["right"]["groups"] = 3

    with pytest.raises(HyperparameterError, match=r"right: Conv2d cannot .*divisible"):
        from_hyperparameters(hparams)


def test_nothing_is_built_before_everything_was_found_good() -> None:
    hparams = get_hparams(Counted(Counted(), Counted()))
    hparams["children"][1]["__name__"] = "system"
    Counted.built = 0

    with pytest.raises(HyperparameterError, match=r"children\.1: .*system"):
        from_hyperparameters(hparams)

    assert Counted.built == 0


def test_the_class_in_hand_is_trusted_wherever_it_was() -> None:
    hparams = json.loads(
        json.dumps(Pair(Net(3), Net(4)).hparams).replace(__name__, "gone")
    )

    made = Pair.from_hyperparameters(hparams)

    assert isinstance(made.left, Net)
    with pytest.raises(HyperparameterError, match="first import the module"):
        from_hyperparameters(hparams)


def test_the_class_in_hand_needs_no_header() -> None:
    assert Counted.from_hyperparameters({"size": 3}).hparams["size"] == 3
    assert Net.from_hyperparameters(Net.Hparams(a=5)).lin.in_features == 5


def test_hyperparameters_of_another_class_are_refused() -> None:
    with pytest.raises(HyperparameterError, match="of Pair, not of Counted"):
        Counted.from_hyperparameters(Pair(nn.ReLU(), nn.ReLU()).hparams)


class Legacy(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @classmethod
    def from_hyperparameters(cls, hparams: Any) -> Any:
        return cls(hparams.get("width") or hparams["size"])


def test_a_class_that_reads_hyperparameters_itself_does() -> None:
    node = {"__module__": __name__, "__name__": "Legacy", "size": 7}

    assert from_hyperparameters(node).width == 7
    made: Any = again(Pair(Legacy(3), Legacy(4)))
    assert (made.left.width, made.right.width) == (3, 4)


class Tensors(nn.Module):
    """Of somebody else, who takes an object as the argument."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.lin = nn.Linear(config.width, 1)


def test_a_getter_and_a_builder_make_foreign_classes_known() -> None:
    register_hparams(
        Tensors,
        lambda net: {"config": {"width": net.config.width}},
        build=lambda cls, found: cls(Config(**found["config"])),
        subclasses=True,
    )
    register_class(Tensors)

    class More(Tensors):
        pass

    made = again(Pair(Tensors(Config(4)), More(Config(5))))

    assert made.left.lin.in_features == 4
    assert type(made.right) is More


def test_only_classes_of_modules_get_a_getter() -> None:
    with pytest.raises(TypeError, match="module classes"):
        register_hparams(int, dict)  # type: ignore[type-var]  # that is refused


class Lit(nn.Module):
    """Like a LightningModule: a property of its own, without a setter."""

    @property
    def hparams(self) -> dict[str, Any]:
        return {"width": 3}


@module
class Task(Lit):
    def __init__(self, width: int, cls: str = "a") -> None:
        super().__init__()
        self.lin = nn.Linear(width, 1)


def test_an_hparams_of_somebody_else_is_left_alone() -> None:
    task = Task(4)

    assert task.hparams == {"width": 3}
    assert (get_hparams(task)["width"], get_hparams(task)["cls"]) == (4, "a")
    assert get_hparams(Lit())["width"] == 3
    assert repr(again(task)) == repr(task)


def test_a_module_with_hparams_of_its_own_keeps_them() -> None:
    class Own(Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.hparams = {"mine": width}

    own = Own(3)

    assert own.hparams == {"mine": 3}
    assert get_hparams(own)["width"] == 3


def test_parametrized_modules_count_as_their_class() -> None:
    net = Net(3)
    before = net.hparams
    nn.utils.parametrizations.weight_norm(net.lin)

    hparams = net.hparams

    assert hparams["lin"]["__name__"] == "Linear"
    assert {
        k: v for k, v in hparams["lin"].items() if k != "parametrizations"
    } == before["lin"]


def test_a_module_deeper_than_any_is_refused_not_crashed() -> None:
    deep: nn.Module = nn.ReLU()
    for _ in range(2000):
        deep = nn.Sequential(deep)
    node: Any = {"__module__": "torch.nn", "__name__": "ReLU"}
    for _ in range(5000):
        node = {"__module__": "torch.nn", "__name__": "Sequential", "args": [node]}

    with pytest.raises(HyperparameterError, match="nested over"):
        get_hparams(deep)
    with pytest.raises(HyperparameterError, match="nested"):
        from_hyperparameters(node)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(value=JSON)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    assert again(Holds(value)).value == value


@given(node=JSON)
def test_no_json_makes_the_reader_crash(node: Any) -> None:
    with pytest.raises(HyperparameterError):
        from_hyperparameters(node)
    for name, found in [("value", node), ("more", node), ("__containers__", node)]:
        hparams = {**get_hparams(Holds(1)), name: found}
        with suppress(HyperparameterError):
            from_hyperparameters(hparams)


def test_a_text_that_reads_as_a_dtype_is_refused_where_nothing_is_declared() -> None:
    class Text(Module):
        def __init__(self, text: str) -> None:
            super().__init__()

    with pytest.raises(TypeError, match=r"value: the text 'torch.int8'"):
        get_hparams(Holds("torch.int8"))
    assert again(Text("torch.int8")).hparams["text"] == "torch.int8"


def test_a_lightning_module_keeps_its_hparams_and_is_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # while the library is imported
        lightning: Any = pytest.importorskip("lightning.pytorch")

    class Base(lightning.LightningModule):  # type: ignore[misc]  # of any library
        def __init__(self, width: int = 3, rate: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.lin = nn.Linear(width, 1)

    plain: Any = register_class(Base)
    decorated: Any = module(type("Task", (Base,), {"__module__": __name__}))

    for cls in (plain, decorated):
        net = cls(width=5)
        made: Any = again(net)
        assert net.hparams["width"] == 5
        assert made.lin.in_features == 5
        assert get_hparams(made)["rate"] == 0.1


def test_bare_hyperparameters_leave_out_what_plain_data_makes() -> None:
    assert get_hparams(Net(3), bare=True) == {
        "__module__": __name__,
        "__name__": "Net",
        "a": 3,
        "b": 2,
        "c": "x",
    }
    net = Pair(Net(3), nn.ReLU())
    assert get_hparams(net, bare=True) == get_hparams(net)


def test_errors_pickle() -> None:
    error = HyperparameterError("a.b", "is wrong")

    assert str(pickle.loads(pickle.dumps(error))) == "a.b: is wrong"
