"""Types of one's own as fields of configs, told by a pair of functions or by a base."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import create_model
from pydantic.errors import PydanticSchemaGenerationError

from burnish.config import (
    ConfigError,
    Hparam,
    Hparams,
    MapFieldValue,
    Serializable,
    Versioned,
    describe,
    dump,
    dumps,
    load,
    loads,
    register_field_type,
)
from burnish.config.classes.editable import Editable
from burnish.config.live.changes import apply_changes, changes_between
from burnish.config.schema import assert_compatible, dump_schema


class Side(Enum):
    LEFT = "left"


class Color:
    """Of another library: no base, no ``==``."""

    def __init__(self, red: int, green: int, blue: int) -> None:
        self.parts = (red, green, blue)


def color_of(text: Any) -> Color:
    if not isinstance(text, str) or len(text) != 7:
        raise ValueError("expected #rrggbb")
    return Color(*(int(text[i : i + 2], 16) for i in (1, 3, 5)))


def text_of(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color.parts)


class Release:
    """A number with points, which RON would read as a float."""

    def __init__(self, text: str) -> None:
        self.text = str(text)


class Stranger:
    """Nobody told of it."""


@dataclass
class Size:
    """A dataclass whose data is not a struct."""

    width: int
    height: int


class Share(NamedTuple):
    """A tuple whose data is a dict."""

    over: int
    under: int = 1


register_field_type(Color, encode=text_of, decode=color_of)
register_field_type(Release, encode=lambda r: r.text, decode=Release)
register_field_type(
    Size, encode=lambda s: (s.width, s.height), decode=lambda pair: Size(*pair)
)
register_field_type(
    Share,
    encode=lambda share: {"over": share.over, "under": share.under},
    decode=lambda data: Share(data["over"], data["under"]),
)


class Steps(Serializable):
    """Says itself how it is written."""

    def __init__(self, every: list[int], unit: str = "") -> None:
        self.every, self.unit = every, unit

    def serialize(self) -> Any:
        return {"every": self.every}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Steps":
        return cls(data["every"], ctx.get("unit", ""))


@dataclass
class Plain:
    color: Color = field(default_factory=lambda: Color(0, 0, 0))
    size: Size | None = None
    shares: list[Share] = field(default_factory=list)
    by_name: dict[str, Color] = field(default_factory=dict)
    steps: Steps = field(default_factory=lambda: Steps([1]))
    either: Size | int | str = 0
    release: Release = field(default_factory=lambda: Release("1.0"))


class Model(Hparams):
    color: Color = Color(0, 0, 0)
    size: Size | None = None
    shares: list[Share] = Hparam(default_factory=list)
    by_name: dict[str, Color] = Hparam(default_factory=dict)
    steps: Steps = Steps([1])
    either: Size | int | str = 0
    release: Release = Release("1.0")


@dataclass
class Outer:
    inner: Plain
    models: list[Model] = field(default_factory=list)


CLASSES: list[Any] = [Plain, Model]


def filled(cls: Any) -> Any:
    return cls(
        color=Color(255, 0, 1),
        size=Size(3, 4),
        shares=[Share(1, 3), Share(2)],
        by_name={"a b": Color(1, 2, 3)},
        steps=Steps([10, 20]),
        either=Size(1, 2),
        release=Release("1.10"),
    )


def facts(config: Any) -> dict[str, Any]:
    return {
        "color": config.color.parts,
        "size": config.size,
        "shares": config.shares,
        "by_name": {k: c.parts for k, c in config.by_name.items()},
        "steps": config.steps.every,
        "either": config.either,
        "release": config.release.text,
    }


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("suffix", ["ron", "json", "yaml"])
def test_values_come_back_from_every_language(
    cls: Any, suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"config.{suffix}"
    config = filled(cls)

    dump(config, file)

    assert facts(load(cls, file)) == facts(config)
    assert facts(loads(cls, dumps(config, suffix), suffix)) == facts(config)


def test_a_file_holds_the_data_alone() -> None:
    text = dumps(filled(Plain), elide_defaults=True)

    assert text.startswith('Plain(\n    color: "#ff0001",\n    size: (3, 4),\n')
    assert '    release: "1.10",\n' in text


def test_types_of_ones_own_stand_in_nested_configs() -> None:
    outer = Outer(filled(Plain), [filled(Model)])

    again = loads(Outer, dumps(outer))

    assert facts(again.inner) == facts(outer.inner)
    assert facts(again.models[0]) == facts(outer.models[0])


@pytest.mark.parametrize("cls", CLASSES)
def test_defaults_of_ones_own_type_are_left_out(cls: Any) -> None:
    assert dumps(cls(), elide_defaults=True) == f"{cls.__name__}()"


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("color=#010203", "color", (1, 2, 3)),
        ('color="#010203"', "color", (1, 2, 3)),
        ("size=(5, 6)", "size", Size(5, 6)),
        ("size=None", "size", None),
        ('shares=[{"over": 1, "under": 2}]', "shares", [Share(1, 2)]),
        ("shares.0={over: 1, under: 2}", "shares", [Share(1, 2)]),
        ("by_name.x=#010203", "by_name", {"x": (1, 2, 3)}),
        ('steps={"every": [7]}', "steps", [7]),
        ("either=[1, 2]", "either", Size(1, 2)),
        ("either=12", "either", 12),
        ("either=text", "either", "text"),
        ("release=1.10", "release", "1.10"),
    ],
)
def test_overrides_are_read_as_data_or_as_text(
    cls: Any, override: str, name: str, value: object
) -> None:
    if name == "shares" and "over:" in override:
        override = override.replace("over", '"over"').replace("under", '"under"')

    assert facts(load(cls, None, [override]))[name] == value


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '(color: "red")',
            r"color: 'red' is not a Color: ValueError: expected #rrggbb",
        ),
        ("(color: 5)", r"color: 5 is not a Color: ValueError: expected #rrggbb"),
        ("(color: None)", r"color: None is not a Color"),
        ("(size: (1,2,3))", r"size: \(1, 2, 3\) is not a Size: TypeError"),
        ('(shares: [{"over": 1}])', r"shares\[0\]: .* is not a Share: KeyError"),
        ('(by_name: {"x": "y"})', r"by_name\.x: 'y' is not a Color"),
        ("(steps: [1])", r"steps: \[1\] is not a Steps: TypeError"),
        ("(either: [1])", r"either: "),
    ],
)
def test_data_that_a_class_refuses_is_told_with_its_path(
    cls: Any, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        loads(cls, text)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        loads(Plain, '(color: "red", size: 3, release: "1", nothing: 1)')

    assert [p.path for p in caught.value.problems] == ["color", "size", "nothing"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("(1, 2)", Size(1, 2)), ("[1, 2]", Size(1, 2)), ('"12"', "12"), ("12", 12)],
)
def test_among_other_types_a_class_takes_what_it_writes(
    text: str, value: object
) -> None:
    assert loads(Plain, f"(either: {text})").either == value


@pytest.mark.parametrize("override", ["color=red", "size.width=3", "color.x=1"])
def test_overrides_that_do_not_fit_are_told_with_their_path(override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load(Plain, None, [override])


def test_objects_in_a_mapping_are_taken_as_they_are() -> None:
    color = Color(1, 2, 3)

    assert load(Plain, {"color": color}).color is color


def test_reading_changes_nothing_of_the_mapping() -> None:
    class Greedy(Serializable):
        def serialize(self) -> Any:
            return {"a": 1}

        @classmethod
        def deserialize(cls, data: Any, ctx: Any) -> "Greedy":
            data.pop("a")
            return cls()

    @dataclass
    class Holder:
        greedy: Greedy

    tree = {"greedy": {"a": 1}}
    load(Holder, tree)

    assert tree == {"greedy": {"a": 1}}


class Context(Serializable):
    """Needs what only the caller has."""

    def __init__(self, scale: int, table: Any) -> None:
        self.scale, self.table = scale, table

    def serialize(self) -> Any:
        return self.scale

    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Context":
        assert config is None
        assert state is None
        return cls(data, ctx["table"])


class Needy(Hparams):
    context: Context | None = None


def test_ctx_reaches_the_class(tmp_path: Path) -> None:
    table = object()
    config = Needy(context=Context(3, table))
    ctx = {"table": table}

    config.dump(tmp_path / "c.json", ctx=ctx)
    again = load(Needy, tmp_path / "c.json", ctx=ctx)

    assert again.context is not None
    assert (again.context.scale, again.context.table) == (3, table)
    assert Needy.loads(config.dumps(ctx=ctx), ctx=ctx).context is not None
    with pytest.raises(
        ConfigError, match=r"context: 3 is not a Context: KeyError: 'tabl"
    ):
        Needy.load(tmp_path / "c.json")


@pytest.mark.parametrize("name", ["release", "color"])
def test_what_a_class_writes_and_does_not_read_is_refused(name: str) -> None:
    class Lossy(Serializable):
        def __init__(self, number: float) -> None:
            self.number = number

        def serialize(self) -> Any:
            return self.number

        @classmethod
        def deserialize(cls, data: Any, ctx: Any) -> "Lossy":
            return cls(round(data))

    @dataclass
    class Holder:
        lossy: Lossy

    assert dumps(Holder(Lossy(1.0))) == "Holder(\n    lossy: 1.0,\n)"
    refusal = (
        r"lossy: the float 1.5 would be read as the int 2, in the data of a .*Lossy"
    )
    with pytest.raises(ConfigError, match=refusal):
        dumps(Holder(Lossy(1.5)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (object(), r"moody\.a: .*, in the data of a Moody"),
        (
            {1, 2},
            r"moody\.a: the set \{1, 2\} would be read as the list \[1, 2\], in th",
        ),
        (3 + 4j, r"moody\.a: the complex \(3\+4j\) would be read as the str .*rebuild"),
        (b"x", r"moody\.a: the bytes b'x' would be read as the str"),
        (Path("x"), r"moody\.a: the PosixPath .* would be read as the str"),
        ({Side.LEFT: 1}, r"moody\.a: the key Side .* would be read as the str"),
        ([Color(1, 2, 3)], r"moody\.a\[0\]: the Color .* would be read as the str"),
        ({"b": {"x": 1.5, "y": [None, True, ["z"]]}}, None),
        (ValueError("no"), r"moody: a Moody cannot be written: ValueError: no"),
    ],
)
def test_data_that_is_no_data_is_refused_with_its_path(
    data: Any, problem: str | None
) -> None:
    @dataclass
    class Holder:
        moody: Moody

    for form in ("ron", "yaml", "json"):
        if problem is None:
            text = dumps(Holder(Moody(data)), form)
            assert loads(Holder, text, form).moody.data == data
            continue
        with pytest.raises(ConfigError, match=problem):
            dumps(Holder(Moody(data)), form)


class Sets(Serializable):
    """Makes again what text has no form for."""

    def __init__(self, items: set[int], factor: complex, colors: list[Color]) -> None:
        self.items, self.factor, self.colors = items, factor, colors

    def serialize(self) -> Any:
        return {"items": self.items, "factor": self.factor, "colors": self.colors}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Sets":
        colors = [*map(color_of, data["colors"])]
        return cls(set(data["items"]), complex(data["factor"]), colors)


@pytest.mark.parametrize("format", ["ron", "yaml", "json"])
def test_data_without_a_form_as_text_is_written_where_the_class_makes_it_again(
    format: str,
) -> None:
    @dataclass
    class Holder:
        sets: Sets

    text = dumps(Holder(Sets({2, 1}, 3 + 4j, [Color(1, 2, 3)])), format)

    again = loads(Holder, text, format).sets
    assert (again.items, again.factor) == ({1, 2}, 3 + 4j)
    assert again.colors[0].parts == (1, 2, 3)


class Moody(Serializable):
    """Serializes as a test says."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def serialize(self) -> Any:
        if isinstance(self.data, Exception):
            raise self.data
        return {"a": self.data}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Moody":
        return cls(data["a"])


def test_a_class_that_returns_another_one_is_told() -> None:
    class Wrong(Serializable):
        def serialize(self) -> Any:
            return 1

        @classmethod
        def deserialize(cls, data: Any, ctx: Any) -> Any:
            return data

    @dataclass
    class Holder:
        wrong: Wrong

    with pytest.raises(ConfigError, match=r"wrong: .*deserialize returned an int"):
        loads(Holder, "(wrong: 1)")


def test_a_class_that_nobody_told_of_is_an_error_that_says_what_to_do() -> None:
    @dataclass
    class Holder:
        stranger: Stranger
        color: Color

    with pytest.raises(TypeError, match=r"Stranger.*register_field_type"):
        loads(Holder, '(stranger: 1, color: "#010203")')
    with pytest.raises(PydanticSchemaGenerationError, match=r"register_field_type"):

        class Model(Hparams):  # pyright: ignore[reportUnusedClass]  # it is refused
            stranger: Stranger
            color: Color


def test_texts_as_annotations_are_looked_up() -> None:
    class Model(Hparams):
        color: "Color | None" = None
        shares: "Annotated[list[Share], 'marks'] | None" = None

    text = '(color: "#010203", shares: [{"over": 1, "under": 2}])'
    model = loads(Model, text)

    assert model.color is not None
    assert model.color.parts == (1, 2, 3)
    assert model.shares == [Share(1, 2)]


def test_python_takes_objects_alone() -> None:
    assert Model(color=Color(1, 2, 3)).color.parts == (1, 2, 3)
    with pytest.raises(ValueError, match="color"):
        Model(color="#010203")  # type: ignore[arg-type]
    model = Model()
    with pytest.raises(ValueError, match="color"):
        model.color = "#010203"  # type: ignore[assignment]


def test_a_page_of_help_shows_the_data_of_defaults() -> None:
    assert "color: Color = '#000000'" in describe(Plain)


class Named(Hparams, Versioned):
    color: Color = Color(0, 0, 0)

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Any:
        return {0: [MapFieldValue("color", lambda word: f"#{word}")]}


def test_rules_change_the_data_of_older_files() -> None:
    assert loads(Named, '(color: "010203")').color.parts == (1, 2, 3)
    assert loads(Named, '(version: 1, color: "#010203")').color.parts == (1, 2, 3)


def test_schemas_name_the_class_and_hold_the_data_of_defaults(tmp_path: Path) -> None:
    file = tmp_path / "schema.ron"
    dump_schema(Plain, file)

    assert_compatible(file, Plain)
    assert 'Primitive(\n                type: "Color",' in file.read_text()
    assert '"#000000"' in file.read_text()


def test_another_default_of_ones_own_type_is_noticed(tmp_path: Path) -> None:
    def with_default(default: Color) -> type:
        @dataclass
        class Config:
            color: Color = field(default_factory=lambda: default)

        return Config

    dump_schema(with_default(Color(0, 0, 0)), tmp_path / "schema.ron")

    with pytest.raises(AssertionError, match="default"):
        assert_compatible(tmp_path / "schema.ron", with_default(Color(1, 1, 1)))


@dataclass
class Live:
    color: Editable[Color] = field(default_factory=lambda: Color(0, 0, 0))
    lr: float = 0.1


def test_edits_of_a_run_compare_the_data() -> None:
    assert changes_between(Live(), Live()) == []

    changes = changes_between(Live(), Live(Color(1, 2, 3)))

    assert [str(change) for change in changes] == ['color: "#000000" -> "#010203"']
    assert apply_changes(Live(), changes).color.parts == (1, 2, 3)


@pytest.mark.parametrize("cls", [int, dict, list, type(None), str])
def test_types_that_files_hold_anyway_are_refused(cls: Any) -> None:
    with pytest.raises(TypeError, match="needs no rule: files can already store it"):
        register_field_type(cls, encode=str, decode=cls)


def test_a_class_of_hyperparameters_tells_how_a_class_of_ones_own_is_declared() -> None:
    class Opaque:
        pass

    with pytest.raises(PydanticSchemaGenerationError) as caught:
        create_model("Config", __base__=Hparams, item=list[Opaque])

    assert "there is no rule for storing a" in str(caught.value)
    assert "register_field_type" in str(caught.value)
    assert "arbitrary_types_allowed" not in str(caught.value)
