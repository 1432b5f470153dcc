from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from typing import Any

import pytest

from burnish.config import (
    AddDefault,
    ChangeDefault,
    CheckValue,
    ConfigError,
    ConfigVersionError,
    DeleteField,
    Hparams,
    MapFieldValue,
    RejectValues,
    RenameField,
    RewriteRule,
    Versioned,
    dumps,
    load,
    loads,
)

Rules = Mapping[int, Sequence[RewriteRule]]


@dataclass
class Config(Versioned):
    step_size: float = 0.1

    @classmethod
    def version(cls) -> int:
        return 2

    @classmethod
    def upgrade_rules(cls) -> Rules:
        return {
            0: [RenameField(old_field=("lr",), new_field=("learning_rate",))],
            1: [RenameField("learning_rate", "step_size")],
        }


class AsHparams(Hparams, Versioned):
    step_size: float = 0.1

    @classmethod
    def version(cls) -> int:
        return 2

    @classmethod
    def upgrade_rules(cls) -> Rules:
        return Config.upgrade_rules()


@dataclass
class Net:
    dmodel: int = 64
    nlayer: int = 2


@dataclass
class Inner(Versioned):
    size: int = 1

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Rules:
        return {0: [RenameField("width", "size")]}


@dataclass
class Outer(Versioned):
    inner: Inner = field(default_factory=Inner)
    inners: list[Inner] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)
    maybe: Inner | None = None

    @classmethod
    def version(cls) -> int:
        return 3

    @classmethod
    def upgrade_rules(cls) -> Rules:
        return {2: [RenameField("nested", "inner")]}


def with_rules(cls: type, *rules: RewriteRule) -> Any:
    """Return a version 1 of ``cls`` that these rules lead to from version 0."""

    @dataclass
    class Newer(cls, Versioned):  # type: ignore[misc]  # of any class
        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Rules:
            return {0: rules}

    return Newer


@pytest.mark.parametrize("cls", [Config, AsHparams])
def test_an_old_name_loads_and_the_dump_begins_with_the_version(cls: Any) -> None:
    config = loads(cls, "(version: 0, lr: 0.5)")

    assert config.step_size == 0.5
    head = f"{cls.__name__}(\n    version: 2,\n    step_size: 0.5,\n"
    assert dumps(config).startswith(head)
    assert loads(cls, dumps(config)) == config


@pytest.mark.parametrize("format", ["json", "yaml", "ron"])
def test_every_format_keeps_the_version(format: str) -> None:
    config = Config(0.5)

    assert "version" in dumps(config, format)
    assert loads(Config, dumps(config, format), format) == config


@pytest.mark.parametrize(
    "text",
    [
        "(version: 0, lr: 0.5)",
        "(version: 1, learning_rate: 0.5)",
        "(version: 2, step_size: 0.5)",
    ],
)
def test_every_version_of_a_chain_loads_equal(text: str) -> None:
    assert loads(Config, text) == Config(0.5)


def test_no_version_is_version_zero() -> None:
    assert loads(Config, "(lr: 0.5)") == Config(0.5)
    assert AsHparams.from_dict({"lr": 0.5}) == AsHparams(step_size=0.5)


def test_a_newer_file_is_refused_with_both_versions() -> None:
    with pytest.raises(
        ConfigVersionError, match=r"version: .*version 3.*Config is at 2"
    ):
        loads(Config, "(version: 3)")


@pytest.mark.parametrize("version", ["-1", "1.5", '"1"', "true", "None"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ConfigVersionError, match="version"):
        loads(Config, f"(version: {version})")


def test_an_override_of_the_new_name_wins_over_the_old_file() -> None:
    config = loads(Config, "(lr: 0.5)", overrides=["step_size=0.75"])

    assert config == Config(0.75)


@dataclass
class OneNumber:
    n: int = 2


def test_a_changed_default_stays_old_in_old_files() -> None:
    cls = with_rules(OneNumber, ChangeDefault("n", 1, 2))

    assert loads(cls, "()").n == 1
    assert loads(cls, "(n: 7)").n == 7
    assert loads(cls, "(version: 1)").n == 2


@dataclass
class OptionalNet:
    vf: Net | None = None


@dataclass
class RequiredNet:
    vf: Net


@dataclass
class DefaultNet:
    vf: Net = field(default_factory=Net)


@dataclass
class OtherNet:
    vf: Net = field(default_factory=lambda: Net(dmodel=7, nlayer=9))


CHANGED = ChangeDefault("vf.nlayer", 1, 2)


def test_an_absent_optional_struct_stays_absent() -> None:
    assert loads(with_rules(OptionalNet, CHANGED), "()").vf is None
    assert loads(with_rules(OptionalNet, CHANGED), "(vf: None)").vf is None


@pytest.mark.parametrize("cls", [OptionalNet, RequiredNet, DefaultNet, OtherNet])
def test_a_present_struct_gets_the_old_default(cls: type) -> None:
    config = loads(with_rules(cls, CHANGED), "(vf: (dmodel: 32))")

    assert config.vf == Net(dmodel=32, nlayer=1)


def test_a_struct_that_is_built_anyway_is_as_it_was() -> None:
    assert loads(with_rules(RequiredNet, CHANGED), "()").vf == Net(64, 1)
    assert loads(with_rules(DefaultNet, CHANGED), "()").vf == Net(64, 1)
    assert loads(with_rules(OtherNet, CHANGED), "()").vf == Net(7, 9)


@dataclass
class Choice:
    mode: str = "a"
    n: int = 0


def test_added_defaults_fill_only_what_is_absent() -> None:
    cls = with_rules(Choice, AddDefault("n", 5))

    assert (loads(cls, "()").n, loads(cls, "(n: 1)").n) == (5, 1)


def test_deleted_fields_are_dropped() -> None:
    cls = with_rules(Choice, DeleteField("gone"), DeleteField("also.gone"))

    assert loads(cls, "(gone: [1], n: 1)").n == 1


def test_values_are_mapped_only_if_present() -> None:
    cls = with_rules(Choice, MapFieldValue("n", lambda n: n * 10))

    assert (loads(cls, "()").n, loads(cls, "(n: 3)").n) == (0, 30)


def test_a_mapping_that_fails_names_the_value() -> None:
    cls = with_rules(Choice, MapFieldValue("n", lambda n: 1 // n))

    with pytest.raises(ConfigError, match=r"n: 0 could not be mapped"):
        loads(cls, "(n: 0)")


def test_a_value_that_is_not_allowed_any_more_lists_those_that_are() -> None:
    cls = with_rules(Choice, CheckValue("mode", ["a", "b"]))

    assert loads(cls, "(mode: b)").mode == "b"
    with pytest.raises(ConfigError, match=r"mode: 'c'.*allowed: \('a', 'b'\)"):
        loads(cls, "(mode: c)")


def test_rejected_values_are_refused_and_the_others_kept() -> None:
    cls = with_rules(Choice, RejectValues("mode", {"c"}))

    assert loads(cls, "(mode: b)").mode == "b"
    with pytest.raises(ConfigError, match=r"mode: 'c'"):
        loads(cls, "(mode: c)")


@dataclass
class Flat:
    lr: float = 0.1
    optimizer: str = "adam"


@dataclass
class Part:
    lr: float = 0.1
    optimizer: str = "adam"


@dataclass
class Grouped:
    optimizer: Part = field(default_factory=Part)


def test_fields_move_into_a_struct_and_back_out() -> None:
    into = with_rules(
        Grouped,
        RenameField("optimizer", "optimizer.optimizer"),
        RenameField("lr", "optimizer.lr"),
    )
    out = with_rules(
        Flat,
        RenameField("optimizer.lr", "lr"),
        RenameField("optimizer.optimizer", "optimizer"),
    )

    grouped = loads(into, '(lr: 0.5, optimizer: "sgd")')
    flat = loads(out, '(optimizer: (lr: 0.5, optimizer: "sgd"))')

    assert grouped.optimizer == Part(0.5, "sgd")
    assert (flat.lr, flat.optimizer) == (0.5, "sgd")


def test_a_move_onto_a_value_is_refused() -> None:
    cls = with_rules(Flat, RenameField("rate", "lr"))

    with pytest.raises(ConfigError, match=r"lr: already exists \(0\.5\)"):
        loads(cls, "(rate: 0.1, lr: 0.5)")


def test_a_move_into_a_union_chooses_its_class() -> None:
    @dataclass
    class Sgd:
        momentum: float = 0.0

    @dataclass
    class Adam:
        beta: float = 0.9

    @dataclass
    class Either:
        optim: Sgd | Adam = field(default_factory=Sgd)

    cls = with_rules(Either, RenameField("beta", "optim.beta"))

    assert loads(cls, "(beta: 0.5)").optim == Adam(0.5)


def test_rules_for_the_current_version_are_an_error() -> None:
    @dataclass
    class Wrong(Versioned):
        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Rules:
            return {1: []}

    with pytest.raises(
        ValueError, match="rules for version 1, but the class is at version 1"
    ):
        loads(Wrong, "()")


@dataclass
class Lists:
    layers: list[Part] = field(default_factory=list)
    by_name: dict[str, Part] = field(default_factory=dict)


@pytest.mark.parametrize("item", ["*", "[]"])
def test_rules_reach_into_lists_and_dicts(item: str) -> None:
    cls = with_rules(
        Lists,
        RenameField(("layers", item, "rate"), ("layers", item, "lr")),
        MapFieldValue("by_name.*.lr", lambda lr: lr / 2),
        AddDefault(("layers", item, "optimizer"), "sgd"),
        DeleteField("**.gone"),
    )

    config = loads(
        cls, '(layers: [(rate: 1, gone: 2), (lr: 3)], by_name: {"a": (lr: 4, gone: 1)})'
    )

    assert config.layers == [Part(1.0, "sgd"), Part(3.0, "sgd")]
    assert config.by_name == {"a": Part(2.0)}


def test_nested_versions_upgrade_on_their_own() -> None:
    text = """(version: 2, nested: (width: 5),
        inners: [(width: 6), (version: 1, size: 7)], by_name: {"a": (width: 8)},
        maybe: (version: 0, width: 9))"""

    outer = loads(Outer, text)

    sizes = [outer.inner, *outer.inners, outer.by_name["a"], outer.maybe]
    assert sizes == [Inner(5), Inner(6), Inner(7), Inner(8), Inner(9)]
    assert dumps(outer).count("version: 1") == 5
    assert loads(Outer, dumps(outer)) == outer


def test_an_error_in_a_nested_version_has_its_path() -> None:
    with pytest.raises(
        ConfigVersionError, match=r"inners\[0\]\.version.*Inner is at 1"
    ):
        loads(Outer, "(version: 3, inners: [(version: 2)])")


def test_reading_never_changes_what_it_was_given() -> None:
    given: dict[str, Any] = {"lr": 0.5}

    AsHparams.from_dict(given)

    assert given == {"lr": 0.5}


@dataclass
class Opt:
    lr: float = 0.2
    decay: float = 3.0


@pytest.mark.parametrize("is_object", [True, False])
def test_an_old_default_of_a_struct_holds_after_a_rule_for_one_of_its_fields(
    is_object: bool,
) -> None:
    old: Any = Opt(0.2, 1.0) if is_object else {"lr": 0.2, "decay": 1.0}

    @dataclass
    class Run(Versioned):
        opt: Opt = field(default_factory=lambda: Opt(9.0, 9.0))

        @classmethod
        def version(cls) -> int:
            return 2

        @classmethod
        def upgrade_rules(cls) -> Rules:
            return {
                0: [ChangeDefault("opt.lr", 0.1, 0.2)],
                1: [ChangeDefault("opt", old, Opt(9.0, 9.0))],
            }

    absent = loads(Run, '{"version": 0}', format="json")
    empty = loads(Run, '{"version": 0, "opt": {}}', format="json")
    newer = loads(Run, '{"version": 1}', format="json")

    assert absent == Run(Opt(0.2, 1.0))
    assert empty == Run(Opt(0.1, 3.0))
    assert newer == Run(Opt(0.2, 1.0))


def test_a_default_that_is_an_object_of_structs_reads_as_their_fields() -> None:
    @dataclass
    class Run(Versioned):
        opts: list[Opt]

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> Rules:
            return {0: [AddDefault("opts", [Opt(1.0, 2.0), Opt()])]}

    assert loads(Run, "{}", format="json") == Run([Opt(1.0, 2.0), Opt()])


@dataclass
class Tenfold(Versioned):
    rate: float = 1.0

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Rules:
        return {0: [MapFieldValue("rate", lambda rate: rate * 10)]}


@dataclass
class TwoRates:
    a: Tenfold = field(default_factory=Tenfold)
    b: Tenfold = field(default_factory=Tenfold)
    others: list[Tenfold] = field(default_factory=list[Tenfold])


def test_what_an_alias_names_in_several_places_is_upgraded_once_in_each() -> None:
    old = loads(TwoRates, "a: &a {rate: 2}\nb: *a\nothers: [*a, *a]", "yaml")
    new = loads(TwoRates, "a: &a {version: 1, rate: 2}\nb: *a", "yaml")

    assert [old.a.rate, old.b.rate, *(o.rate for o in old.others)] == [20.0] * 4
    assert (new.a.rate, new.b.rate) == (2.0, 2.0)


def test_a_dict_that_a_program_put_into_two_places_is_upgraded_once_in_each() -> None:
    rate = {"rate": 2}
    tree = {"a": rate, "b": rate}

    upgraded = load(TwoRates, tree)

    assert (upgraded.a.rate, upgraded.b.rate) == (20.0, 20.0)
    assert tree == {"a": {"rate": 2}, "b": {"rate": 2}}


def test_a_tree_within_itself_is_refused() -> None:
    tree: dict[str, Any] = {}
    tree["a"] = tree

    with pytest.raises(ConfigError, match="nested over 128 levels"):
        load(TwoRates, tree)


@dataclass
class Tuples(Versioned):
    flat: tuple[int, ...] = ()
    deep: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Rules:
        return {
            0: [
                MapFieldValue("flat.*", lambda number: number * 10),
                MapFieldValue("deep.*.*", lambda number: number * 10),
            ]
        }


def test_every_item_of_a_tuple_is_mapped() -> None:
    config = loads(Tuples, "(flat: (1, 2, 3), deep: ((1, 2), (3, 4)))")

    assert config == Tuples((10, 20, 30), ((10, 20), (30, 40)))


@dataclass
class Piece:
    size: int = 2
    word: str = ""


@dataclass
class WithPieces(Versioned):
    one: Piece = field(default_factory=Piece)
    maybe: Piece | None = None
    items: list[Piece] = field(default_factory=list[Piece])
    by_name: dict[str, Piece] = field(default_factory=dict[str, Piece])
    both: tuple[Piece, ...] = ()
    word: str = ""

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Rules:
        fields = ("one", "maybe", "items.*", "by_name.*", "both.*")
        return {
            0: [ChangeDefault(f"{path}.size", 1, 2) for path in fields]
            + [RenameField("moved", "one.word")]
        }


@pytest.mark.parametrize(
    "piece", ["()", "Piece()", "Piece", '(word: "")', "Some(Piece)"]
)
def test_old_defaults_hold_in_a_struct_however_it_is_written_without_fields(
    piece: str,
) -> None:
    config = loads(
        WithPieces,
        f'(one: {piece}, maybe: {piece}, items: [{piece}], by_name: {{"a": {piece}}}, '
        f"both: ({piece}, {piece}), word: Piece)",
    )

    old = Piece(size=1)
    assert config == WithPieces(old, old, [old], {"a": old}, (old, old), "Piece")


@pytest.mark.parametrize("text", ["WithPieces", "()", "WithPieces()", ""])
def test_old_defaults_hold_in_a_file_without_fields(text: str) -> None:
    assert loads(WithPieces, text).one.size == 1


def test_a_value_moves_into_a_struct_that_is_a_bare_word() -> None:
    assert loads(WithPieces, "(one: Piece, moved: abc)").one.word == "abc"


def _optimizer(name: str, fields: Any, version: int = 0, rules: Any = ()) -> Any:
    methods = {
        "version": classmethod(lambda cls: version),
        "upgrade_rules": classmethod(lambda cls: dict(rules)),
        "__module__": __name__,
    }
    return make_dataclass(name, fields, bases=(Versioned,), namespace=methods)


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_a_struct_of_several_is_told_by_the_names_that_its_fields_had(
    format: str,
) -> None:
    sgd = _optimizer("Sgd", [("lr", float), ("momentum", float)])
    rules: Rules = {
        0: [
            RenameField("lr", "rate"),
            RenameField("momentum", "betas.first"),
            DeleteField("eps"),
        ],
        1: [RenameField("betas.first", "beta"), DeleteField("betas")],
    }
    adam = _optimizer("Adam", [("rate", float), ("beta", float)], 2, rules)
    older = _optimizer("Adam", [("lr", float), ("momentum", float), ("eps", float)])

    for union in (sgd | adam, adam | sgd):
        cls = make_dataclass("Config", [("opt", union)])
        file = dumps(make_dataclass("Config", [("opt", older)])(older(0.1, 0.9, 1e-8)))
        text = {"opt": {"version": 0, "lr": 0.1, "momentum": 0.9, "eps": 1e-8}}
        moved = {"opt": {"version": 1, "rate": 0.1, "betas": {"first": 0.9}}}
        assert loads(cls, file).opt == adam(rate=0.1, beta=0.9)
        for tree in (text, moved):
            data = dumps(tree, format)
            assert loads(cls, data, format).opt == adam(rate=0.1, beta=0.9)
        plain = dumps({"opt": {"lr": 0.1, "momentum": 0.5}}, format)
        assert loads(cls, plain, format).opt == sgd(lr=0.1, momentum=0.5)
