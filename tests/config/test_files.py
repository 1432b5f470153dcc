import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import pytest
from omegaconf import OmegaConf

from burnish.config import (
    ConfigError,
    ConfigSyntaxError,
    Hparam,
    Hparams,
    describe,
    dump,
    dumps,
    load,
    loads,
)
from burnish.config.formats import config_format_named
from burnish.config.schema import schema_of


@dataclass
class Part:
    lr: float = 0.1


@dataclass
class Config:
    part: Part = field(default_factory=Part)
    n: int = 1
    name: str = "x"
    data: Any = None


@pytest.mark.parametrize(
    "text",
    ["no", "on", "Yes", "y", "1:30", "12:00:00:00", "1:30.5", "012", "=", "2001-01-01"],
)
def test_a_text_in_yaml_is_one_to_readers_of_yaml_1_1_too(text: str) -> None:
    import yaml

    written = dump({"text": text}, format="yaml")

    assert yaml.safe_load(written) == {"text": text}
    assert loads(dict, written, "yaml") == {"text": text}


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml", "ron", "JSON"])
def test_the_suffix_tells_the_format(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"c.{suffix}"
    config = Config(Part(0.5), 3, "ü")

    dump(config, file)

    assert load(Config, file) == config
    assert load(Config, str(file)) == config


@pytest.mark.parametrize("name", ["c.toml", "c", "c.tar.gz"])
def test_another_suffix_is_refused_with_those_known(tmp_path: Path, name: str) -> None:
    for act in (lambda: dump(Config(), tmp_path / name), lambda: load(Config, name)):
        with pytest.raises(ValueError, match=r"expected one of \.json, \.yaml"):
            act()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named_with_what_may_have_been_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file of a config.*nowhere\.ron"):
        load(Config, "nowhere.ron")

    (tmp_path / "base.yml").write_text("a: 1")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'base\.yml'\?"):
        load(Config, "base.yaml")


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'jason'.*Did you mean 'json'"):
        loads(Config, "{}", "jason")


def test_no_file_gives_the_defaults_and_empty_files_do_too(tmp_path: Path) -> None:
    for name in ("c.yaml", "c.ron"):
        (tmp_path / name).write_text("")
        assert load(Config, tmp_path / name) == load(Config) == Config()


@pytest.mark.parametrize(
    ("name", "text", "line", "column"),
    [
        ("c.json", '{\n  "n": }', 2, 8),
        ("c.json", '{"n": 1,\n "n": 2}', 2, 2),
        ("c.json", "", 1, 1),
        ("c.yaml", "n: [1\nname: x", 2, 5),
        ("c.yaml", "n: 1\nn: 2", 2, 1),
        ("c.yaml", "n: !!python/name:os.system x", 1, 4),
        ("c.ron", "(\n  n: @)", 2, 6),
    ],
)
def test_a_syntax_error_names_file_line_and_column(
    tmp_path: Path, name: str, text: str, line: int, column: int
) -> None:
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(ConfigSyntaxError) as told:
        load(Config, file)

    assert str(told.value).startswith(f"{file}, line {line}, column {column}: ")


@pytest.mark.parametrize(
    "text",
    [
        '{"lr": 1, "lr": 2}',
        '{"lr" : 1, "name": ":", "lr" : 2}',
        r'{"lr": 1, "lr": 2, "name": "\":"}',
        r'{"lr": 1, "l\u0072": 2}',
        '[{"a": {"lr": 1, "lr": 2}}]',
    ],
)
def test_a_json_key_that_is_written_twice_is_refused_however_it_is(text: str) -> None:
    with pytest.raises(ConfigError, match="key 'lr' is written twice"):
        config_format_named("json").read(text)


@pytest.mark.parametrize(
    "number",
    ["0", "-0.0", "123456789012345.0", "0.1234567890123", "1e3", "1E-320", "NaN"],
)
@pytest.mark.parametrize("more", ["", ', "device": "cuda:0"'])
def test_a_json_number_is_the_same_whatever_else_the_text_says(
    number: str, more: str
) -> None:
    tree: Any = config_format_named("json").read(f'{{"lr": {number}{more}}}')

    assert repr(tree["lr"]) == repr(json.loads(number))


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(b'{"name":\n "\xff"}')

    with pytest.raises(ConfigSyntaxError, match=r"line 2, column 3: byte 0xff"):
        load(Config, file)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    for name, text in (("c.json", '{"n": 5}'), ("c.yaml", "n: 5"), ("c.ron", "(n: 5)")):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert load(Config, tmp_path / name).n == 5


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("json", '{"data": ' + "[" * 300 + "]" * 300 + "}"),
        ("json", "[" * 100_000),
        ("json", '{"n": ' + "9" * 5000 + "}"),
        ("yaml", "data: " + "[" * 300 + "]" * 300),
        ("yaml", "data: &a [*a]"),
        (
            "yaml",
            "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
            ),
        ),
        ("ron", "(data: " + "[" * 300),
    ],
)
def test_depth_and_size_are_bounded(format: str, text: str) -> None:
    with pytest.raises(ConfigSyntaxError):
        loads(Config, text, format)


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"nn": 1, "n": "abc", "part": {"lr": [], "x": 1}}')

    with pytest.raises(ConfigError) as told:
        load(Config, file)

    assert {p.path for p in told.value.problems} == {"nn", "n", "part.lr", "part.x"}
    assert str(file) in str(told.value)


@pytest.mark.parametrize("text", ["[1]", "3", '"x"', "null"])
def test_a_file_that_holds_no_struct_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        loads(Config, text, "json")


def test_a_failed_dump_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    dump(Config(n=5), file)

    with pytest.raises(ConfigError, match=r"data\.f"):
        dump(Config(data={"f": lambda: None}), file)

    assert load(Config, file).n == 5
    assert [f.name for f in tmp_path.iterdir()] == ["c.json"]


def test_dumping_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    file, link = tmp_path / "c.json", tmp_path / "link.json"
    dump(Config(), file)
    link.symlink_to(file)

    dump(Config(n=9), link)

    assert link.is_symlink()
    assert load(Config, file).n == 9


def test_a_circle_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle

    with pytest.raises(ConfigError, match="128 levels"):
        dumps(Config(data=circle))


def test_dates_and_words_stay_text_in_yaml() -> None:
    for text in ("2024-01-01", "yes", "off", "12:30:45", "1.2.3", "=", "<<"):
        assert loads(Config, f"name: {text}", "yaml").name == text
    for text in (
        "2024-01-01",
        "true",
        "1e3",
        "null",
        "~",
        "",
        " x",
        "a: b",
        "#",
        "\t",
        "=",
    ):
        assert loads(Config, dumps(Config(name=text), "yaml"), "yaml").name == text


def test_omegaconf_is_a_source_too() -> None:
    source = OmegaConf.create({"n": 3, "part": {"lr": "${rate}"}, "rate": 0.25})

    config = load(Config, source, ignore_extra=True)

    assert (config.n, config.part.lr) == (3, 0.25)


def test_values_that_pydantic_knows_have_a_text() -> None:
    from datetime import timedelta

    class Paths(Hparams):
        folder: Path = Path("a/b")
        every: timedelta = timedelta(hours=1)
        tags: set[str] = Hparam(default_factory=lambda: {"b", "a"})

    for format in ("json", "yaml", "ron"):
        paths = Paths(folder=Path("x y"), tags={"q"})
        assert loads(Paths, dumps(paths, format), format) == paths
    assert load(Paths, None, ["folder=5", "tags=[z]"]).folder == Path("5")


def test_errors_survive_pickling() -> None:
    for text in ("(n: abc, q: 1)", "(n: "):
        with pytest.raises(ConfigError) as told:
            loads(Config, text)
        twin = pickle.loads(pickle.dumps(told.value))
        assert type(twin) is type(told.value)
        assert str(twin) == str(told.value)


def test_a_file_where_the_class_is_expected_is_answered_with_the_right_order() -> None:
    swapped: Any = load
    texts: Any = loads

    with pytest.raises(
        TypeError, match=r"is 'c.json', expected .*load\(Config, file\)"
    ):
        swapped("c.json", Config)
    with pytest.raises(TypeError, match=r"is Config\(.*expected a config class"):
        swapped(Config(), "c.json")
    with pytest.raises(TypeError, match=r"loads\(Config, text\)"):
        texts("(n: 1)", Config)
    with pytest.raises(TypeError, match=r"is Config\(.*expected a file: dump\(config"):
        dump("c.json", Config())  # type: ignore[call-overload]  # swapped


@pytest.mark.parametrize("source", [["n=3"], 3, io.StringIO("n: 3")])
def test_what_is_neither_a_file_nor_a_mapping_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a file, a dict or None, and then"):
        load(Config, source)


def test_the_method_load_takes_overrides_where_the_function_does(
    tmp_path: Path,
) -> None:
    class Rate(Hparams):
        lr: float = 0.1

    Rate().dump(tmp_path / "c.json")

    assert Rate.load(tmp_path / "c.json", ["lr=0.5"]).lr == 0.5


def test_a_character_that_json_escapes_as_two_is_one_in_yaml_too() -> None:
    text = json.dumps({"name": "\U0001f600 \ud83d"})

    read = loads(dict[str, Any], text, "yaml")

    assert read == json.loads(text)


@pytest.mark.parametrize("format", ["ron", "json", "yaml"])
@pytest.mark.parametrize("elide_defaults", [False, True])
def test_dump_without_a_file_returns_the_text(
    format: str, elide_defaults: bool, tmp_path: Path
) -> None:
    config = Config(n=5)
    file = tmp_path / f"config.{format}"

    text = dump(config, format=format, elide_defaults=elide_defaults)
    dump(config, file, format=format, elide_defaults=elide_defaults)

    assert text == dumps(config, format, elide_defaults=elide_defaults)
    assert file.read_text() == f"{text}\n"
    assert loads(Config, text, format) == config


def test_dump_returns_ron_unless_told_otherwise() -> None:
    assert dump(Part()) == dumps(Part())
    assert dump(Part(), None) == dumps(Part())


def test_the_method_dump_returns_the_text_too(tmp_path: Path) -> None:
    class Settings(Hparams):
        steps: int = 3

    assert Settings().dump() == "Settings(\n    steps: 3,\n)"
    assert Settings().dump(format="json") == '{\n  "steps": 3\n}'
    assert Settings().dump(tmp_path / "a.ron") is None


def test_a_format_that_is_not_that_of_the_suffix_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"

    with pytest.raises(ValueError, match=r"read as yaml, but format='json'"):
        dump(Part(), file, format="json")
    assert not file.exists()


@pydantic.dataclasses.dataclass
class OfPydantic:
    rate: float = Hparam(default=0.5, gt=0, description="Step size.")
    sizes: list[int] = Hparam(default_factory=lambda: [1])
    total: int = Hparam(default_factory=lambda data: 2 * len(data["sizes"]))
    name: str = "a"


def test_a_dataclass_of_pydantic_has_the_defaults_that_its_fields_declare() -> None:
    loaded = load(OfPydantic, None, ["rate=1", "sizes.0=5"])

    assert loaded == OfPydantic(rate=1.0, sizes=[5], total=2)
    assert dumps(OfPydantic(name="b"), elide_defaults=True) == (
        'OfPydantic(\n    total: 2,\n    name: "b",\n)'
    )
    assert "rate: float = 0.5" in describe(OfPydantic)
    assert "Step size." in describe(OfPydantic)
    with pytest.raises(ConfigError, match=r"rate: .* greater than 0"):
        load(OfPydantic, None, ["rate=-1"])


def test_an_interpolation_in_a_file_is_warned_of_once(tmp_path: Path) -> None:
    """A string of Hydra's files was taken as it is, and named a folder '${name}'."""
    file = tmp_path / "config.yaml"
    file.write_text("name: ${oc.env:HOME}/x\nother: ${name}\n")

    with pytest.warns(
        UserWarning, match=r"config\.yaml: name: .*OmegaConf\.load"
    ) as ws:
        assert load(dict, file)["other"] == "${name}"

    assert len(ws) == 1


@pytest.mark.parametrize("text", [r"\${name}", "$name", "${}", "cost: ${"])
def test_a_dollar_that_is_no_interpolation_is_read_in_silence(
    text: str, tmp_path: Path
) -> None:
    dump({"name": text}, tmp_path / "config.yaml")

    assert load(dict, tmp_path / "config.yaml") == {"name": text}


@pytest.mark.parametrize(
    ("key", "cure"),
    [("defaults", "compose the file"), ("_target_", "cannot import a class")],
)
def test_a_key_of_hydra_is_told_what_to_do_instead(key: str, cure: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: unknown field for Config.*{cure}"):
        load(Config, {key: "x"})


def test_bytes_are_no_text_and_no_format_is_none() -> None:
    encoded: Any = b"{}"
    nothing: Any = None
    with pytest.raises(TypeError, match=r"loads: the text is b.*, expected a str"):
        loads(Config, encoded, "json")
    with pytest.raises(ValueError, match="unknown format None; expected one of json"):
        dumps(Config(), nothing)


@pytest.mark.parametrize("cls", [None, int, 3])
def test_what_is_no_config_class_has_no_fields_to_describe(cls: Any) -> None:
    with pytest.raises(TypeError, match="has no fields; expected a dataclass"):
        describe(cls)
    with pytest.raises(TypeError, match="has no fields; expected a dataclass"):
        schema_of(cls)


def test_a_text_that_says_no_is_no_flag() -> None:
    no: Any = "no"
    with pytest.raises(TypeError, match="ignore_extra must be True or False, got 'no'"):
        load(Config, {"more": 1}, ignore_extra=no)
    with pytest.raises(TypeError, match="ignore_extra must be True or False, got 'no'"):
        loads(Config, "(more: 1)", ignore_extra=no)
    with pytest.raises(TypeError, match="elide_defaults must be True or False"):
        dumps(Config(), elide_defaults=no)
    with pytest.raises(TypeError, match="editable must be True or False, got 'no'"):
        Hparam(1, editable=no)


class Settings(pydantic.BaseModel):
    width: int = 3


@pytest.mark.parametrize(
    "source", [[("width", 4)], {"width": 4}.items(), Settings(width=4)]
)
def test_what_dict_takes_is_a_source(source: Any) -> None:
    assert load(Settings, source) == Settings(width=4)
