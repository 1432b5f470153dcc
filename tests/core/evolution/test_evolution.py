"""Records and hyperparameters of older versions, and the check that finds them."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.config import DeleteField, MapFieldValue, RenameField, RewriteRule
from burnish.core import from_hyperparameters, load_record, module, report_of
from burnish.core.errors import HyperparameterError
from burnish.core.evolution.record_check import (
    RecordChecker,
    assert_records_load,
    upgrade_file,
)
from burnish.core.evolution.record_schema import dump_schema, load_schema, schema_of
from burnish.core.evolution.tensor_rules import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)
from burnish.records import (
    RecordError,
    RecordFormatError,
    RecordMismatchError,
    RecordVersionError,
    open_record,
)

FORMATS = ["net.mpk", "net.mpk.zst", "net.json", "net.safetensors", "net.mpk.gz"]


def define(
    make: Any, version: int = 0, rules: Any = None, name: str = "Net", **more: Any
) -> Any:
    """Return a decorated class whose constructor is ``make``."""

    def __init__(self: Any, **arguments: Any) -> None:
        nn.Module.__init__(self)
        make(self, **arguments)

    cls = type(name, (nn.Module,), {"__init__": __init__, "__module__": __name__})
    return (
        module(cls, **more)
        if not version
        else module(version=version, upgrade_rules=rules, **more)(cls)
    )


def attention_v0(self: Any) -> None:
    self.fc1 = nn.Linear(4, 4)
    self.layers = nn.ModuleList(
        nn.ModuleDict({"qkv": nn.Linear(4, 12)}) for _ in range(2)
    )
    self.old = nn.Linear(1, 1)
    self.norm = nn.BatchNorm1d(4)


def attention_v2(self: Any) -> None:
    self.head = nn.Linear(4, 4)
    self.layers = nn.ModuleList(
        nn.ModuleDict({n: nn.Linear(4, 4) for n in "qkv"}) for _ in range(2)
    )
    self.norm = nn.BatchNorm1d(4)


RULES = {
    0: [RenameField("fc1", "middle"), DeleteField("old")],
    1: [
        RenameField("middle", "head"),
        SplitTensor("layers.*.qkv.weight", [f"layers.*.{n}.weight" for n in "qkv"]),
        SplitTensor("layers.*.qkv.bias", [f"layers.*.{n}.bias" for n in "qkv"]),
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_an_older_record_of_every_format_loads(tmp_path: Path, name: str) -> None:
    old = define(attention_v0)()
    old.save_record(tmp_path / name)
    newer = define(attention_v2, 2, RULES)

    for net in (newer.from_record(tmp_path / name), newer()):
        report = load_record(net, tmp_path / name)

        assert torch.equal(net.head.weight, old.fc1.weight)
        fused = torch.cat([net.layers[1][n].weight for n in "qkv"])
        assert torch.equal(fused, old.layers[1].qkv.weight)
        assert torch.equal(net.layers[0].v.bias, old.layers[0].qkv.bias[8:])
        assert report.renamed["fc1.weight"] == "head.weight"


def test_a_split_piece_has_memory_of_its_own(tmp_path: Path) -> None:
    define(attention_v0)().save_record(tmp_path / "net.mpk")

    net = define(attention_v2, 2, RULES).from_record(tmp_path / "net.mpk")

    weight = net.layers[0].q.weight
    assert weight.untyped_storage().nbytes() == weight.numel() * weight.itemsize
    assert weight.is_contiguous()


def test_rules_begin_at_the_version_that_wrote_the_record(tmp_path: Path) -> None:
    def middle(self: Any) -> None:
        attention_v0(self)
        self.middle = self.fc1
        del self.fc1, self.old

    old = define(middle, 1, {0: RULES[0]})()
    old.save_record(tmp_path / "net.mpk")

    net = define(attention_v2, 2, RULES).from_record(tmp_path / "net.mpk")

    assert torch.equal(net.head.weight, old.middle.weight)
    with open_record(tmp_path / "net.mpk") as record:
        assert record.metadata["burnish"]["version"] == 1


def test_a_record_of_today_is_not_rewritten(tmp_path: Path) -> None:
    rules = {0: [TransposeTensor("lin.weight"), RenameField("lin", "lin")]}

    def make(self: Any) -> None:
        self.lin = nn.Linear(3, 3)

    cls = define(make, 1, rules)
    net = cls()
    net.save_record(tmp_path / "net.mpk")

    assert torch.equal(cls.from_record(tmp_path / "net.mpk").lin.weight, net.lin.weight)


def test_a_newer_record_is_refused(tmp_path: Path) -> None:
    define(attention_v2, 2, RULES)().save_record(tmp_path / "net.mpk")

    with pytest.raises(RecordVersionError, match="version 2"):
        define(attention_v2, 1, {}).from_record(tmp_path / "net.mpk")


def test_rules_of_a_child_hold_wherever_it_stands(tmp_path: Path) -> None:
    def old_block(self: Any) -> None:
        self.fc = nn.Linear(3, 3)

    def new_block(self: Any) -> None:
        self.lin = nn.Linear(3, 3)

    old, new = (
        define(old_block, name="Block"),
        define(new_block, 1, {0: [RenameField("fc", "lin")]}, name="Block"),
    )

    def old_net(self: Any) -> None:
        self.blocks = nn.ModuleList(old() for _ in range(2))
        self.fc = nn.Linear(1, 1)

    def new_net(self: Any) -> None:
        self.stages = nn.ModuleList(new() for _ in range(2))
        self.fc = nn.Linear(1, 1)

    before = define(old_net)()
    before.save_record(tmp_path / "net.mpk")
    after = define(new_net, 1, {0: [RenameField("blocks", "stages")]})

    net = after.from_record(tmp_path / "net.mpk")

    assert torch.equal(net.stages[1].lin.weight, before.blocks[1].fc.weight)
    assert torch.equal(net.fc.weight, before.fc.weight)
    net.save_record(tmp_path / "again.mpk")
    assert torch.equal(
        after.from_record(tmp_path / "again.mpk").fc.bias, before.fc.bias
    )


def test_hyperparameters_are_carried_over_by_the_same_rules(tmp_path: Path) -> None:
    def make_old(self: Any, width: int = 3) -> None:
        self.fc = nn.Linear(width, 1)

    def make_new(self: Any, hidden: int = 1) -> None:
        self.head = nn.Linear(hidden, 1)

    class Old(nn.Module):
        def __init__(self, width: int = 3, drop: int = 1) -> None:
            super().__init__()
            make_old(self, width)

    class New(nn.Module):
        def __init__(self, hidden: int = 1) -> None:
            super().__init__()
            make_new(self, hidden)

    old: Any = module(name="tests/evolving")(Old)(7)
    old.save_pretrained(tmp_path)
    rules = [
        RenameField("width", "hidden"),
        DeleteField("drop"),
        RenameField("fc", "head"),
    ]
    new: Any = module(name="tests/evolving", version=1, upgrade_rules={0: rules})(New)

    net = new.from_pretrained(tmp_path)

    assert net.hparams["hidden"] == 7
    assert net.hparams["__version__"] == 1
    assert torch.equal(net.head.weight, old.fc.weight)
    again: Any = from_hyperparameters(net.hparams)
    assert again.head.in_features == 7
    with pytest.raises(RecordVersionError, match=r"version 9, and the newest .* is 1"):
        from_hyperparameters({**net.hparams, "__version__": 9})


def test_a_renamed_argument_comes_back_as_the_type_that_was_passed() -> None:
    class Old(burnish.Module, name="tests/renamed_kinds"):
        def __init__(self, sizes: Any, parts: Any, by_name: Any, act: Any) -> None:
            super().__init__()
            self.parts = parts

    old = Old(
        (1, 2), nn.ModuleList([nn.ReLU()]), {"a.b": (1,), "old": (2,)}, torch.tanh
    )
    data = burnish.save_record(old)
    rules = [
        RenameField("sizes", "dims"),
        RenameField("parts", "layers"),
        RenameField("by_name", "named"),
        RenameField("named.old", "named.new"),
        RenameField("act", "function"),
    ]

    class New(
        burnish.Module,
        name="tests/renamed_kinds",
        version=1,
        upgrade_rules={0: rules},
    ):
        def __init__(
            self, dims: Any, layers: Any, named: Any, function: Any = torch.relu
        ) -> None:
            super().__init__()
            self.layers = layers
            self.told = (dims, named, function)

    new = New.from_record(data, function=torch.tanh)

    assert isinstance(new.layers, nn.ModuleList)
    assert new.told == ((1, 2), {"a.b": (1,), "new": (2,)}, torch.tanh)
    with pytest.raises(RecordError, match=r"function: this .*New was built with"):
        New.from_record(data)


def test_ties_and_buffers_survive_a_rename(tmp_path: Path) -> None:
    def old(self: Any) -> None:
        self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight
        self.norm = nn.BatchNorm1d(3)

    def new(self: Any) -> None:
        self.c, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.b.weight = self.c.weight
        self.bn = nn.BatchNorm1d(3)

    before = define(old)()
    before.norm.running_mean.fill_(5)
    before.save_record(tmp_path / "net.mpk")
    rules = {0: [RenameField("a", "c"), RenameField("norm", "bn")]}

    net = define(new, 1, rules).from_record(tmp_path / "net.mpk")

    assert net.b.weight is net.c.weight
    assert float(net.bn.running_mean[0]) == 5
    report = report_of(net)
    assert report is not None
    assert not report.missing_keys


ROUND_TRIPS: list[
    tuple[Any, Any, dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]
] = [
    (
        MergeTensors(["a.gate.weight", "a.up.weight"], "a.gate_up.weight"),
        SplitTensor("a.gate_up.weight", ["a.gate.weight", "a.up.weight"]),
        {"a.gate.weight": (4, 3), "a.up.weight": (4, 3)},
        {"a.gate_up.weight": (8, 3)},
    ),
    (
        MergeTensors(["q", "k"], "qk", dim=1),
        SplitTensor("qk", ["q", "k"], dim=-1, sizes=[4, 2]),
        {"q": (2, 4), "k": (2, 2)},
        {"qk": (2, 6)},
    ),
    (
        TransposeTensor("*.c.weight"),
        TransposeTensor("*.c.weight", (1, 0)),
        {"0.c.weight": (2, 3), "1.c.weight": (2, 3)},
        {"0.c.weight": (3, 2), "1.c.weight": (3, 2)},
    ),
    (
        StackTensors("h.*.mlp.*.w", "h.*.mlp_w"),
        UnstackTensor("h.*.mlp_w", "h.*.mlp.*.w"),
        {f"h.{i}.mlp.{j}.w": (2, 3) for i in range(2) for j in range(11)},
        {f"h.{i}.mlp_w": (11, 2, 3) for i in range(2)},
    ),
]


def nest(forms: dict[str, tuple[int, ...]]) -> Any:
    def make(self: Any) -> None:
        for path, shape in forms.items():
            *names, leaf = path.split(".")
            owner = self
            for name in names:
                if name not in owner._modules:
                    owner.add_module(name, nn.Module())
                owner = owner._modules[name]
            owner.register_parameter(leaf, nn.Parameter(torch.randn(shape)))

    return make


@pytest.mark.parametrize(("there", "back", "old", "new"), ROUND_TRIPS, ids=str)
def test_a_rule_and_its_inverse_give_what_was_there(
    there: Any, back: Any, old: Any, new: Any
) -> None:
    first = define(nest(old))()
    data = first.save_record()

    second = define(nest(new), 1, {0: [there]}).from_record(data)
    third = define(nest(old), 1, {0: [back]})()
    second_as_old = define(nest(new))()
    second_as_old.load_state_dict(second.state_dict())
    load_record(third, second_as_old.save_record())

    state = first.state_dict()
    assert {k: tuple(v.shape) for k, v in second.state_dict().items()} == new
    assert all(torch.equal(v, state[k]) for k, v in third.state_dict().items())


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (SplitTensor("w", ["a", "b"], sizes=[1, 2]), "cannot be cut into"),
        (SplitTensor("w", ["a", "b", "c"]), "cannot be cut into"),
        (SplitTensor("w", ["a", "b"], dim=5), "has no dimension 5"),
        (MergeTensors(["w", "nothing"], "a"), "the record has w but nothing"),
        (MergeTensors(["w", "v"], "a"), "cannot be put together"),
        (RenameField("w", "v"), "two entries would be v"),
    ],
    ids=str,
)
def test_a_rule_that_does_not_fit_says_so(rule: Any, problem: str) -> None:
    data = define(nest({"w": (4, 2), "v": (3,)}))().save_record()
    net = define(nest({"w": (4, 2), "v": (3,)}), 1, {0: [rule]})()
    before = {k: v.clone() for k, v in net.state_dict().items()}

    with pytest.raises(RecordMismatchError, match=problem):
        load_record(net, data)

    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_value_is_mapped_when_it_is_read() -> None:
    old = define(nest({"w": (4, 2)}))()
    rule = MapFieldValue("w", lambda w: 2 * w[:2])

    net = define(nest({"w": (2, 2)}), 1, {0: [rule]}).from_record(old.save_record())

    assert torch.equal(net.w, 2 * old.w[:2])


def test_names_of_a_rule_have_the_same_wildcards() -> None:
    with pytest.raises(ValueError, match="same wildcards"):
        SplitTensor("layers.*.w", ["a", "b"])
    with pytest.raises(ValueError, match=r"one '\*' more"):
        StackTensors("layers.*.w", "layers.*.w")


@pytest.mark.parametrize("version", [1, 5])
def test_rules_from_the_version_on_are_refused(version: int) -> None:
    with pytest.raises(ValueError, match=f"rules for version {version}"):
        define(attention_v2, 1, {version: []})


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="which is no rule"):
        define(attention_v2, 1, {0: ["fc1 -> head"]})


def test_a_schema_is_readable_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    cls = define(attention_v2, 2, RULES)

    dump_schema(cls, file)

    told = json.loads(file.read_text())
    assert told["version"] == 2
    assert told["tensors"]["head.weight"] == ["parameter", "float32", [4, 4]]
    assert load_schema(file) == schema_of(cls)
    assert_records_load(file, cls)


CHANGES: list[tuple[str, Any, Any, list[str], list[str]]] = [
    (
        "a rename",
        {"fc1.weight": (3, 3), "fc1.bias": (3,)},
        {"head.weight": (3, 3), "head.bias": (3,)},
        ["warn  renamed to head: fc1"],
        ["RenameField(old_field=('fc1',), new_field=('head',))"],
    ),
    (
        "a rename in every layer",
        {f"h.{i}.fc.weight": (3, 3) for i in range(12)},
        {f"h.{i}.lin.weight": (3, 3) for i in range(12)},
        ["warn  renamed to h.*.lin: h.*.fc"],
        ["RenameField(old_field=('h', '*', 'fc'), new_field=('h', '*', 'lin'))"],
    ),
    (
        "a move",
        {"h.0.w": (3,), "h.1.w": (4,)},
        {"body.h.0.w": (3,), "body.h.1.w": (4,)},
        ["warn  renamed to body.h: h"],
        ["RenameField(old_field=('h',), new_field=('body', 'h'))"],
    ),
    (
        "a fusion",
        {f"h.{i}.{n}.weight": (4, 4) for i in range(2) for n in "qkv"},
        {f"h.{i}.qkv.weight": (12, 4) for i in range(2)},
        ["warn  fused into h.*.qkv.weight: h.*.q.weight, h.*.k.weight, h.*.v.weight"],
        [
            "MergeTensors(fields=['h.*.q.weight', 'h.*.k.weight', 'h.*.v.weight'], "
            "into='h.*.qkv.weight', dim=0)"
        ],
    ),
    (
        "a split",
        {"qkv.weight": (12, 4), "qkv.bias": (12,)},
        {
            f"{n}.{leaf}": (4, 4)[:d]
            for n in "qkv"
            for leaf, d in [("weight", 2), ("bias", 1)]
        },
        ["warn  split into q.weight, k.weight, v.weight: qkv.weight"],
        [
            "SplitTensor(field='qkv.weight', into=['q.weight', 'k.weight', "
            "'v.weight'], dim=0, sizes=None)"
        ],
    ),
    (
        "a transpose",
        {"c.weight": (2, 5)},
        {"c.weight": (5, 2)},
        ["warn  shape changed from (2, 5) to (5, 2): c.weight"],
        ["TransposeTensor(field='c.weight', dims=(0, 1))"],
    ),
    (
        "a stack",
        {f"h.{i}.w": (2, 3) for i in range(4)},
        {"h_w": (4, 2, 3)},
        ["warn  stacked into h_w: h.*.w"],
        ["StackTensors(fields='h.*.w', into='h_w', dim=0)"],
    ),
    (
        "a removal and an addition",
        {"a": (2,), "b": (3, 3)},
        {"a": (2,), "c": (5,)},
        ["warn  tensor removed: b", "error new tensor, which older records lack"],
        ["DeleteField(field=('b',))"],
    ),
    (
        "another shape",
        {"a": (2, 3)},
        {"a": (2, 4)},
        ["error shape changed from (2, 3) to (2, 4): a"],
        [],
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "lines", "rules"),
    [c[1:] for c in CHANGES],
    ids=[c[0] for c in CHANGES],
)
def test_a_refactor_that_breaks_records_is_found_and_bridged(
    tmp_path: Path, old: Any, new: Any, lines: list[str], rules: list[str]
) -> None:
    file = tmp_path / "schema.json"
    before = define(nest(old))
    dump_schema(before, file)

    checker = RecordChecker(load_schema(file), define(nest(new)))

    report = checker.report()
    assert not checker.compatible
    assert all(line in report for line in lines), report
    assert all(rule in report for rule in rules), report
    assert "bump version to 1" in report
    if "error" not in report:
        after = define(nest(new), 1, {0: checker.proposed_rules})
        assert RecordChecker(load_schema(file), after).compatible
        after.from_record(before().save_record())
    with pytest.raises(AssertionError, match="Records incompatible"):
        assert_records_load(file, define(nest(new)))


def test_another_float_type_is_no_break(tmp_path: Path) -> None:
    def make(self: Any) -> None:
        self.lin = nn.Linear(2, 2)

    def half(self: Any) -> None:
        self.lin = nn.Linear(2, 2, dtype=torch.float16)

    dump_schema(define(make), tmp_path / "schema.json")

    checker = RecordChecker(load_schema(tmp_path / "schema.json"), define(half))

    assert checker.compatible
    assert "info  dtype changed from float32 to float16: lin.weight" in checker.report()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"record_schema": 9}', "[" * 10**5])
def test_what_is_no_schema_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "schema.json"
    file.write_text(text)

    with pytest.raises(RecordFormatError):
        load_schema(file)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_rewritten_at_the_newest_version(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    old = define(attention_v0)()
    old.save_record(file)
    newer = define(attention_v2, 2, RULES)

    was_older = upgrade_file(file, newer)

    assert was_older
    assert not upgrade_file(file, newer)
    with open_record(file) as record:
        assert record.metadata["burnish"]["version"] == 2
        assert torch.equal(record["head.weight"], old.fc1.weight)
        assert "fc1.weight" not in record
    assert torch.equal(newer.from_record(file).head.weight, old.fc1.weight)


def test_a_file_that_cannot_be_upgraded_stays(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    define(nest({"w": (4, 2)}))().save_record(file)
    before = file.read_bytes()
    rule = SplitTensor("w", ["a", "b", "c"])

    with pytest.raises(RecordError, match="cannot be cut"):
        upgrade_file(file, define(nest({"w": (4, 2)}), 1, {0: [rule]}))

    assert file.read_bytes() == before


def test_a_module_with_arguments_is_checked_with_its_hyperparameters(
    tmp_path: Path,
) -> None:
    class Wide(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.lin = nn.Linear(width, 1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.lin(x)
            return y

    cls: Any = module(Wide)

    dump_schema(cls, tmp_path / "schema.json", {"width": 5})

    assert load_schema(tmp_path / "schema.json").tensors["lin.weight"].shape == (1, 5)
    assert schema_of(lambda: cls(3)).tensors["lin.weight"].shape == (1, 3)
    with pytest.raises(HyperparameterError, match=r"width: .*Wide needs"):
        schema_of(cls)


class Shorter(RewriteRule):
    """A rule of a user's own: only the two methods of the contract."""

    def rename(self, path: str) -> str | None:
        return None if path.startswith("old.") else path.replace("fc1", "head")

    def apply(self, tree: Any) -> None:
        tree["width"] = tree.pop("size", 2)


def test_a_rule_of_ones_own_works_for_records_and_hyperparameters() -> None:
    class Before(nn.Module):
        def __init__(self, size: int = 2) -> None:
            super().__init__()
            self.fc1, self.old = nn.Linear(size, 2), nn.Linear(1, 1)

    class After(nn.Module):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.head = nn.Linear(width, 2)

    Before.__qualname__ = After.__qualname__ = "Shortened"
    old: Any = module(Before)(size=3)
    data = old.save_record()

    new: Any = module(version=1, upgrade_rules={0: [Shorter()]})(After)

    built = new.from_record(data)
    assert torch.equal(built.head.weight, old.fc1.weight)


@pytest.mark.parametrize("path", [7, ""])
def test_a_rule_that_names_no_path_is_told(path: Any) -> None:
    class Broken(RewriteRule):
        def rename(self, path: str) -> Any:
            return broken

    broken = path
    old = define(lambda self: setattr(self, "fc", nn.Linear(1, 1)))
    data = old().save_record()
    new = define(lambda self: setattr(self, "fc", nn.Linear(1, 1)), 1, {0: [Broken()]})

    with pytest.raises(RecordMismatchError, match=r"fc\.weight would be named"):
        new().load_record(data)


@pytest.mark.parametrize("rules", [{0: [RenameField]}, {0: [object()]}, {0: 3}])
def test_what_is_no_rule_is_refused_when_the_class_is_decorated(rules: Any) -> None:
    with pytest.raises(TypeError, match="upgrade_rules"):
        define(lambda self: None, 1, rules)


def of_arguments(init: Any, **options: Any) -> Any:
    """Return a decorated class with one layer and this constructor."""

    class Model(nn.Module):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)

    Model.__init__.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]  # what it takes
    return module(**options)(Model)


def takes_width(self: Any, width: int = 2, rate: float = 0.1) -> None: ...
def takes_dim(self: Any, dim: int = 2, rate: float = 0.1) -> None: ...
def takes_rate(self: Any, rate: float = 0.1) -> None: ...
def needs_depth(self: Any, depth: int, width: int = 2, rate: float = 0.1) -> None: ...
def takes_depth(self: Any, width: int = 2, rate: float = 0.1, n: int = 1) -> None: ...
def takes_lin(self: Any, lin: int = 2, rate: float = 0.1) -> None: ...
def takes_any(self: Any, **named: Any) -> None: ...


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (takes_width, takes_dim, "argument renamed to dim: width"),
        (takes_width, takes_rate, "argument removed: width"),
        (takes_width, needs_depth, "new argument without a default"),
        (takes_lin, takes_rate, "argument removed, and a part has its name: lin"),
        (takes_width, takes_depth, ""),
        (takes_width, takes_any, ""),
        (takes_width, takes_width, ""),
    ],
)
def test_arguments_that_a_class_no_longer_takes_or_newly_needs_are_found(
    old: Any, new: Any, line: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    dump_schema(of_arguments(old), file)

    checker = RecordChecker(load_schema(file), of_arguments(new))

    assert checker.compatible is not bool(line)
    assert line in checker.report()


def test_the_proposed_rules_for_arguments_let_older_records_load(
    tmp_path: Path,
) -> None:
    file = tmp_path / "schema.json"
    before = of_arguments(takes_width)
    dump_schema(before, file)
    data = before(width=3).save_record()
    rules = RecordChecker(load_schema(file), of_arguments(takes_dim)).proposed_rules

    after = of_arguments(takes_dim, version=1, upgrade_rules={0: rules})

    assert rules == [RenameField("width", "dim")]
    assert RecordChecker(load_schema(file), after).compatible
    assert after.from_record(data).hparams.dim == 3


def test_a_schema_without_arguments_says_nothing_of_them(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    dump_schema(of_arguments(takes_width), file)
    told = json.loads(file.read_text())
    del told["arguments"]
    file.write_text(json.dumps(told))

    assert RecordChecker(load_schema(file), of_arguments(takes_dim)).compatible
