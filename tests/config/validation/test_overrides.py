import enum
import json
import math
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Optional, TypeVar

import pytest

from burnish.config import ConfigError, Hparam, Hparams, dumps, load, loads
from burnish.config.schedule import at


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Opt:
    lr: float = 0.003
    bs: int = 512


@dataclass
class Inner:
    x: int = 1


@dataclass
class Ppo:
    inner: Inner
    y: int = 2


@dataclass
class Cfg:
    opt: Opt
    name: str = "n"
    flag: bool = False
    n: int = 0
    f: float = 0.0
    xs: list[int] = field(default_factory=list)
    d: dict[str, int] = field(default_factory=dict)
    on: int | None = None
    os: str | None = None
    ob: Optional[bool] = None  # noqa: UP045  # the older spelling is a type too
    tup: tuple[float, float] = (0.0, 0.0)
    lit: Literal["x", "y", 5] = "x"
    col: Color = Color.RED
    ppo: Ppo | None = None
    layers: list[Opt] = field(default_factory=lambda: [Opt(), Opt(bs=7)])
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Required:
    a: int
    opt: Opt


@dataclass
class Outer:
    inner: Required


def over(*overrides: str) -> Cfg:
    return load(Cfg, None, overrides)


@pytest.mark.parametrize(
    ("override", "attribute", "expected"),
    [
        ("opt.lr=0.1", "opt", Opt(lr=0.1)),
        ("n=3.0", "n", 3),
        ("opt.bs=1e3", "opt", Opt(bs=1000)),
        ("f=3", "f", 3.0),
        ("layers.1.lr=1", "layers", [Opt(), Opt(lr=1.0, bs=7)]),
        ("layers[0].bs=1", "layers", [Opt(bs=1), Opt(bs=7)]),
        ("extra.a=1e-3", "extra", {"a": 0.001}),
        ('extra["a.b=c"]=true', "extra", {"a.b=c": True}),
    ],
)
def test_numbers_are_typed_by_the_field(
    override: str, attribute: str, expected: object
) -> None:
    value = getattr(over(override), attribute)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("text", ["3.5", "abc"])
def test_what_is_no_int_is_an_error_with_the_path(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"n: .*integer.*{text}"):
        over(f"n={text}")


@pytest.mark.parametrize("text", ["hello world", "a=b", "", '"quoted"', "5", "(x"])
def test_text_is_taken_verbatim(text: str) -> None:
    assert over(f"name={text}").name == text


@pytest.mark.parametrize("text", ["true", "True", "1", "t", "T"])
def test_words_for_true(text: str) -> None:
    assert over(f"flag={text}").flag is True


@pytest.mark.parametrize("text", ["false", "False", "0", "f", "F"])
def test_words_for_false(text: str) -> None:
    assert over("flag=true", f"flag={text}").flag is False


def test_another_word_is_refused_with_the_words_allowed() -> None:
    with pytest.raises(ConfigError, match=r"flag: expected true, t, 1, .*found 'yes'"):
        over("flag=yes")


@pytest.mark.parametrize(
    ("override", "attribute", "expected"),
    [
        ("xs=[1,2,3]", "xs", [1, 2, 3]),
        ('d={"a":1}', "d", {"a": 1}),
        ("d.a=1", "d", {"a": 1}),
        ("tup=(0.5,0.6)", "tup", (0.5, 0.6)),
        ("tup=[0.5,0.6]", "tup", (0.5, 0.6)),
        ("opt=(lr:0.5)", "opt", Opt(lr=0.5, bs=512)),
        ("on=5", "on", 5),
        ("on=None", "on", None),
        ("on=Some(5)", "on", 5),
        ("ob=True", "ob", True),
        ("os=hello", "os", "hello"),
        ("os=hello world", "os", "hello world"),
        ("os=5", "os", "5"),
        ("os=None", "os", None),
        ('os="None"', "os", "None"),
    ],
)
def test_containers_and_optionals(
    override: str, attribute: str, expected: object
) -> None:
    assert getattr(over(override), attribute) == expected


@pytest.mark.parametrize(("text", "value"), [("y", "y"), ('"y"', "y"), ("5", 5)])
def test_literals_with_and_without_quotes(text: str, value: object) -> None:
    assert over(f"lit={text}").lit == value


def test_another_literal_is_refused_with_those_allowed() -> None:
    with pytest.raises(ConfigError, match=r"lit: .*'x'.*'y'.*5.*found 'z'"):
        over("lit=z")


@pytest.mark.parametrize("text", ["RED", "red", '"red"'])
def test_enums_by_name_and_by_value(text: str) -> None:
    assert over("col=BLUE", f"col={text}").col is Color.RED
    assert loads(Cfg, f"(col: {text})").col is Color.RED


def test_an_item_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ConfigError, match=r"xs\[1\]: .*'a'"):
        over('xs=[1,"a"]')


def test_an_absent_optional_struct_is_made() -> None:
    assert over("ppo.inner.x=10").ppo == Ppo(Inner(10), 2)


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"opt\.lrx: .*Did you mean 'lr'"):
        over("opt.lrx=1")


def test_all_bad_overrides_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        over("opt.nope=1", "zz=2", "n=abc", "flag=yes")

    assert [p.path for p in told.value.problems] == ["opt.nope", "zz", "flag", "n"]


def test_an_override_without_a_value_says_the_form() -> None:
    with pytest.raises(ConfigError, match=r"'opt\.lr'.*field\.name=value"):
        over("opt.lr")


@pytest.mark.parametrize("override", ["=1", "a..b=1", ".a=1", "a.=1", "a[x]=1"])
def test_a_malformed_path_is_quoted(override: str) -> None:
    with pytest.raises(ConfigError, match="path"):
        over(override)


@pytest.mark.parametrize(
    ("override", "path"),
    [("layers.5.lr=1", r"layers\[5\]"), ("xs.a=1", r"xs\.a"), ("n.a=1", r"n\.a")],
)
def test_a_path_to_nowhere_is_named(override: str, path: str) -> None:
    with pytest.raises(ConfigError, match=path):
        over(override)


def test_a_missing_leaf_is_named_with_its_whole_path() -> None:
    with pytest.raises(ConfigError, match=r"inner\.a: missing"):
        loads(Outer, "()")


def test_a_nested_struct_without_default_is_built_from_its_own() -> None:
    assert loads(Outer, "(inner: (a: 1))") == Outer(Required(1, Opt()))


def test_unknown_fields_are_refused_or_ignored_at_any_depth() -> None:
    text = "(zz: 1, inner: (a: 1, opt: (lr: 1, q: 2)))"

    with pytest.raises(ConfigError) as told:
        loads(Outer, text)
    ignoring = loads(Outer, text, ignore_extra=True)

    assert [p.path for p in told.value.problems] == ["zz", "inner.opt.q"]
    assert ignoring == Outer(Required(1, Opt(lr=1.0)))


@pytest.mark.parametrize(
    "text", ["Cfg(n: 4)", "Other(n: 4)", "(n: 4,)", "// c\n(n: 4)"]
)
def test_names_of_structs_and_comments_do_not_matter(text: str) -> None:
    assert loads(Cfg, text).n == 4


@pytest.mark.parametrize("text", ["(opt: ())", "(opt: Opt)", "(opt: Opt())", "()", ""])
def test_an_empty_struct_is_all_defaults(text: str) -> None:
    assert loads(Cfg, text).opt == Opt()


FULL = Cfg(
    opt=Opt(lr=-0.0, bs=2**63),
    name="ü\u2028\x00\x1b\t\"\\'\n",
    flag=True,
    n=-1,
    f=math.inf,
    xs=[],
    d={"": 1, "a b": 2},
    on=0,
    os="None",
    ob=False,
    tup=(1e-300, -math.inf),
    lit=5,
    col=Color.BLUE,
    ppo=Ppo(Inner(3)),
    layers=[],
    extra={"deep": [{"a": None}, [], {}], "x": 1.5},
)


@pytest.mark.parametrize("format", ["json", "yaml", "ron"])
@pytest.mark.parametrize("elide", [True, False])
def test_loading_what_was_dumped_is_the_identity(format: str, elide: bool) -> None:
    again = loads(Cfg, dumps(FULL, format, elide_defaults=elide), format)

    assert again == FULL
    assert math.copysign(1, again.opt.lr) == -1


@pytest.mark.parametrize("format", ["json", "yaml", "ron"])
def test_nan_and_a_tuple_of_one_survive(format: str) -> None:
    @dataclass
    class One:
        t: tuple[float]
        u: tuple[int, ...] = (1,)

    again = loads(One, dumps(One((math.nan,)), format), format)

    assert math.isnan(again.t[0])
    assert again.u == (1,)


def test_defaults_are_left_out_on_demand() -> None:
    assert dumps(Cfg(Opt()), elide_defaults=True) == "Cfg()"
    text = dumps(Cfg(Opt(bs=1)), elide_defaults=True)
    assert text == "Cfg(\n    opt: Opt(\n        bs: 1,\n    ),\n)"


def test_postponed_annotations_and_new_spellings_work(tmp_path: Path) -> None:
    file = tmp_path / "postponed.py"
    file.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass, field\n"
        "@dataclass\nclass Inner:\n    x: int | None = None\n"
        "@dataclass\nclass Late:\n"
        "    inner: Inner\n    xs: list[int] = field(default_factory=list)\n"
    )
    from burnish.cli.target import find_target

    late = find_target(f"{file}:Late")

    assert load(late, None, ["inner.x=3", "xs=[1]"]).inner.x == 3


def test_a_type_that_no_file_can_hold_is_an_error() -> None:
    class Handle:
        pass

    @dataclass
    class Bad:
        handle: Handle

    with pytest.raises(TypeError, match=r"Bad cannot be a configuration.*Handle"):
        loads(Bad, "(handle: 1)")


def test_an_override_changes_what_the_default_says_and_nothing_else() -> None:
    @dataclass
    class WithDefault:
        opt: Opt = field(default_factory=lambda: Opt(lr=9.0, bs=9))

    assert load(WithDefault, None, ["opt.lr=1"]).opt == Opt(lr=1.0, bs=9)


def test_overrides_come_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.ron"
    file.write_text("(n: 1, f: 2.5)")

    cfg = load(Cfg, file, ["n=2"])

    assert (cfg.n, cfg.f) == (2, 2.5)


def test_unions_are_told_apart_by_name_and_by_fields() -> None:
    class Sgd(Hparams):
        lr: float = 0.1

    class Adam(Hparams):
        lr: float = 0.1
        beta: float = 0.9

    class Train(Hparams):
        optim: Sgd | Adam = Sgd()

    assert loads(Train, "(optim: Adam(lr: 1))").optim == Adam(lr=1)
    assert loads(Train, '{"optim": {"beta": 0.5}}', "json").optim == Adam(beta=0.5)
    assert load(Train, None, ["optim=Adam(lr: 2)"]).optim == Adam(lr=2)
    with pytest.raises(ConfigError, match=r"optim\.bta"):
        loads(Train, "(optim: Adam(bta: 1))")


def test_a_list_of_overrides_is_expected_not_one_text() -> None:
    with pytest.raises(TypeError, match="list of strings"):
        load(Cfg, None, "n=1")


@pytest.mark.parametrize("name", ["²", "x", "٣", "1" * 30])
def test_what_is_no_number_of_an_item_is_told(name: str) -> None:
    @dataclass
    class WithItems:
        l: list[int] = field(default_factory=lambda: [1])  # noqa: E741  # as reported

    with pytest.raises(ConfigError, match="expected the index of an item"):
        load(WithItems, None, [f"l.{name}=1"])


def test_a_quoted_key_may_end_in_a_backslash_and_hold_equals_signs() -> None:
    key = 'a="b\\'

    tree = load(dict[str, int], {key: 1}, [f"[{json.dumps(key)}]=2"])

    assert tree == {key: 2}


@pytest.mark.parametrize("overrides", ["lr=0.1", {"lr": 0.1}, 3, [("lr", 0.1)]])
def test_overrides_that_are_no_list_of_texts_are_one_error(overrides: Any) -> None:
    with pytest.raises(TypeError, match=r"a list of strings, as in \['a.b=1', 'c=2'\]"):
        load(Opt, None, overrides)


class Sgd(Hparams):
    lr: float = 0.1


class Lion(Hparams):
    lr: float = 0.3
    beta: float = 0.9


class Training(Hparams):
    optim: Sgd | Lion = Sgd()
    only: Sgd = Sgd()
    both: list[Sgd | Lion] = Hparam(default_factory=list)


def test_a_class_of_a_union_that_is_named_alone_is_that_class() -> None:
    assert load(Training, None, ["optim=Lion"]).optim == Lion()
    assert loads(Training, "(optim: Lion, both: [Sgd, Lion])").both == [Sgd(), Lion()]
    assert load(Training, None, ["optim=Lion", "optim.lr=1"]).optim == Lion(lr=1)


@pytest.mark.parametrize("word", ["Lion", "sgd", "Sgdd"])
def test_a_word_that_is_not_the_name_of_the_class_is_not_its_defaults(
    word: str,
) -> None:
    with pytest.raises(ConfigError, match=f"only: .*found '{word}'"):
        load(Training, None, [f"only={word}"])
    with pytest.raises(ConfigError, match=f"only: .*found '{word}'"):
        loads(Training, f"(only: {word})")


def test_a_path_into_a_number_is_one_problem() -> None:
    with pytest.raises(ConfigError) as error:
        load(Training, {"only": {}}, ["only.lr.x=1"])

    assert [p.path for p in error.value.problems] == ["only.lr.x"]


Item = TypeVar("Item")


@dataclass
class Box(Generic[Item]):
    item: Item
    rest: "list[Box[Item]]" = field(default_factory=list)


@dataclass
class Boxes:
    box: Box[Opt]
    number: Box[float] | None = None


def test_a_dataclass_with_parameters_is_a_struct_as_any_other() -> None:
    tree: dict[str, Any] = {"box": {"item": {}}}
    overrides = ["box.rest.0.item.bs=3", "number.item=step: 1@0 lin 3@2"]

    boxes = load(Boxes, tree, overrides)

    assert boxes.box == Box(Opt(), [Box(Opt(bs=3))])
    assert boxes.number is not None
    assert at(boxes, {"step": 2}).number == Box(3.0)
    assert loads(Boxes, dumps(boxes, "json"), "json") == boxes
    assert load(Box[Opt], {"item": {"lr": 1}}) == Box(Opt(lr=1.0))


@pytest.mark.parametrize(
    ("text", "path"),
    [("(box: (item: (), resst: []))", "box.resst"), ("(box: (item: (l: 1)))", "l")],
)
def test_a_dataclass_with_parameters_refuses_unknown_fields(
    text: str, path: str
) -> None:
    with pytest.raises(ConfigError, match=path):
        loads(Boxes, text)


def test_a_dataclass_whose_base_leaves_a_type_open_is_told_how_to_say_it() -> None:
    @dataclass
    class OptBox(Box[Opt]):
        pass

    with pytest.raises(TypeError, match=r"OptBox\.item: .*Annotate the field again"):
        load(OptBox, {"item": {}})


class Big(Hparams):
    kind: Literal["big"] = "big"
    width: int = 4


class Small(Hparams):
    kind: Literal["small"] = "small"
    width: int = 2


class Tagged(Hparams):
    net: Big | Small = Big()


def test_a_tag_of_another_class_says_how_to_have_that_class() -> None:
    with pytest.raises(
        ConfigError, match=r"net\.kind: 'small' belongs to Small.*net=Small"
    ):
        load(Tagged, None, ["net.kind=small"])
    assert load(Tagged, None, ["net=Small", "net.kind=small"]).net == Small()
    assert load(Tagged, {"net": {}}, ["net.kind=small"]).net == Small()


@pytest.mark.parametrize("word", ["items=3,4", "items= 3, 4"])
def test_a_list_without_its_brackets_is_told_of_them(word: str) -> None:
    @dataclass
    class Listed:
        items: list[int]
        number: int = 0

    with pytest.raises(ConfigError, match=r"Write a list in brackets: \[ ?3, ?4\]$"):
        load(Listed, None, [word])
    with pytest.raises(ConfigError) as caught:
        load(Listed, None, ["items=[1]", "number=3,4"])

    assert "brackets" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rms", r"found 'rms', expected Adam or SGD \(its name or its fields\)$"),
        ("sgd", r"\(its name or its fields\)\. Did you mean 'SGD'\?"),
    ],
)
def test_a_word_that_names_no_class_of_its_place_is_told_of_those_there_are(
    word: str, message: str
) -> None:
    class Adam(Hparams):
        lr: float = 0.1

    @dataclass
    class SGD:
        lr: float = 0.2

    class Config(Hparams):
        optimizer: Adam | SGD = Adam()

    with pytest.raises(ConfigError, match=rf"^optimizer: .*{message}"):
        load(Config, None, [f"optimizer={word}"])


class Digits(enum.Enum):
    ONE = "1"
    YES = "true"
    NOTHING = None
    ON = True
    HALF = 0.5


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("1", Digits.ONE),
        ("true", Digits.YES),
        ("None", Digits.NOTHING),
        ("True", Digits.ON),
        ("0.5", Digits.HALF),
        ("HALF", Digits.HALF),
    ],
)
def test_a_member_is_set_by_its_value_whatever_that_looks_like(
    text: str, member: Digits
) -> None:
    cls = make_dataclass("Config", [("x", Digits), ("y", Digits | int)])

    config: Any = load(cls, None, [f"x={text}", f"y={text}"])

    assert config.x is member
    assert config.y is member


@pytest.mark.parametrize("override", ["opt.lrr=1", "opt.lr=x", "opt.lr", "opt={x: 1}"])
def test_a_mistake_in_an_override_is_not_looked_for_in_the_file(
    override: str, tmp_path: Path
) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"opt": {}}')

    with pytest.raises(ConfigError) as raised:
        load(Cfg, file, [override])

    assert "c.json" not in str(raised.value)


def test_a_mistake_in_the_file_names_the_file_whatever_the_overrides_are(
    tmp_path: Path,
) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"opt": {"lr": "x"}}')

    for overrides in ([], ["opt.bs=3"], ["opt.bss=3"]):
        with pytest.raises(ConfigError, match=r"(?s)c\.json: .*lr"):
            load(Cfg, file, overrides)
