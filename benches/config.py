"""How long does a config take to load and to dump, beside plain pydantic and others?

The config has 200 fields in 20 nested classes; every file holds all of them. Each run
loads `REPEATS` times, so that one load is measured in tens of microseconds.
"""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pydantic
from harness import Row, race, scratch
from omegaconf import OmegaConf

from burnish.config import Hparams, dump, dumps, load, loads
from burnish.config.formats import config_format_named
from burnish.config.hparams import define_hparams

REPEATS = 50

_KINDS: list[tuple[type, Any]] = [(int, 3), (float, 0.5), (str, "text"), (bool, True)]
_LEAVES = {f"field_{i}": _KINDS[i % 4] for i in range(10)}
_GROUPS = [f"group_{i}" for i in range(20)]
_DATA = {
    group: {
        name: default * 2 if kind in (int, float) else default
        for name, (kind, default) in _LEAVES.items()
    }
    for group in _GROUPS
}


def run() -> list[Row]:
    with scratch() as folder:
        file = Path(folder, "config.json")
        file.write_text(json.dumps(_DATA, indent=2))
        return [*_from_files(file), *_from_dicts(), *_texts(), *_dumped(Path(folder))]


def _from_files(file: Path) -> list[Row]:
    ours, plain, structured = _hparams(), _model(), _structured()

    def with_pydantic() -> Any:
        return plain.model_validate(json.loads(file.read_text()))

    def with_pydantic_alone() -> Any:
        return plain.model_validate_json(file.read_bytes())

    def with_omegaconf() -> Any:
        return _merged(structured, OmegaConf.load(file))

    question = "load a JSON file of 200 fields"
    fast = {
        "burnish": _often(partial(load, ours, file)),
        "json": _often(with_pydantic),
        "pydantic": _often(with_pydantic_alone),
    }
    times = race(fast)
    slow = race({"burnish": partial(load, ours, file), "omegaconf": with_omegaconf})
    with_options = race(
        {
            "burnish": _often(partial(load, ours, file, ["group_3.field_1=0.25"])),
            "json": _often(with_pydantic),
        }
    )
    row = partial(Row.timed, question)
    return [
        row("/ json and pydantic", times["burnish"], times["json"], at_most=2),
        row("/ model_validate_json", times["burnish"], times["pydantic"]),
        row("/ OmegaConf structured", slow["burnish"], slow["omegaconf"], at_most=0.5),
        row(
            "with an override / json",
            with_options["burnish"],
            with_options["json"],
            at_most=2,
        ),
    ]


def _from_dicts() -> list[Row]:
    ours, structured = _hparams(), _structured()
    times = race(
        {
            "burnish": partial(load, ours, _DATA),
            "omegaconf": lambda: _merged(structured, OmegaConf.create(_DATA)),
        }
    )
    question = "load a dict of 200 fields"
    case, peer = "/ OmegaConf structured", times["omegaconf"]
    return [Row.timed(question, case, times["burnish"], peer, at_most=0.5)]


def _dumped(folder: Path) -> list[Row]:
    # Ours reads again what it writes; of the peers only the second does.
    config, plain = load(_hparams(), _DATA), _model().model_validate(_DATA)

    def with_json() -> str:
        return json.dumps(plain.model_dump(mode="json"), indent=2)

    def with_json_and_back() -> Any:
        return type(plain).model_validate(json.loads(with_json())) == plain

    def to_file() -> None:
        folder.joinpath("peer.json").write_text(with_json())

    times = race(
        {
            "burnish": _often(partial(dumps, config, "json")),
            "json": _often(with_json),
            "checked": _often(with_json_and_back),
        }
    )
    files = race({"burnish": partial(dump, config, folder / "c.json"), "json": to_file})
    row = partial(Row.timed, "dump 200 fields as JSON")
    return [
        row("/ json and pydantic", times["burnish"], times["json"]),
        row("/ the same, read back", times["burnish"], times["checked"]),
        row("to a file, fsync included / json", files["burnish"], files["json"]),
    ]


def _texts() -> list[Row]:
    config = load(_hparams(), _DATA)
    texts = {name: dumps(config, name) for name in ("json", "yaml", "ron")}
    reads = {
        name: partial(config_format_named(name).read, text)
        for name, text in texts.items()
    }
    reads["json"] = _often(reads["json"])
    times = race(reads)
    # One run of json is REPEATS reads: per read is what the ratio is about.
    for samples in (times["json"].cpu, times["json"].wall):
        samples[:] = [seconds / REPEATS for seconds in samples]
    question = "read the text of 200 fields"
    return [
        Row.timed(question, "RON / json", times["ron"], times["json"]),
        Row.timed(question, "YAML / json", times["yaml"], times["json"]),
        Row.timed(question, "RON / YAML", times["ron"], times["yaml"]),
        _loaded(texts["ron"], texts["json"]),
    ]


def _loaded(ron: str, text: str) -> Row:
    ours = _hparams()
    times = race(
        {
            "ron": partial(loads, ours, ron, "ron"),
            "json": partial(loads, ours, text, "json"),
        }
    )
    question = "load the text of 200 fields"
    return Row.timed(question, "RON / JSON", times["ron"], times["json"])


def _often(load_once: Any) -> Any:
    def repeat() -> Any:
        for _ in range(REPEATS - 1):
            load_once()
        return load_once()

    return repeat


def _hparams() -> type[Hparams]:
    groups = {group: (define_hparams(group.title(), _LEAVES), ...) for group in _GROUPS}
    return define_hparams("Config", groups)


def _model() -> type[pydantic.BaseModel]:
    leaves: dict[str, Any] = dict(_LEAVES)
    groups: dict[str, Any] = {
        group: (pydantic.create_model(group.title(), **leaves), ...)
        for group in _GROUPS
    }
    return pydantic.create_model("Config", **groups)


def _structured() -> Any:
    fields = [
        (name, kind, dataclasses.field(default=default))
        for name, (kind, default) in _LEAVES.items()
    ]
    groups: list[Any] = []
    for group in _GROUPS:
        cls = dataclasses.make_dataclass(group.title(), fields)
        groups.append((group, cls, dataclasses.field(default_factory=cls)))
    return OmegaConf.structured(dataclasses.make_dataclass("Config", groups))


def _merged(structured: Any, data: Any) -> Any:
    return OmegaConf.to_object(OmegaConf.merge(structured, data))
