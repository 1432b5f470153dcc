"""Numbers that Hydra reads differently from the rest of the library.

Hydra's files are YAML 1.1, where ``012`` is ten and ``1:30`` is ninety, and numbers out
of the range of floats become infinite or 0. Such numbers are refused before Hydra reads
the file, since the values that it hands over no longer show what was written.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..config.tree import BeyondFloatError, Rounded, finite

_FLOAT = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d[\d_]*)?")
_QUOTED = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1""")
_BETWEEN_VALUES = re.compile(r"[=,:()\[\]{}]")

_OCTAL = re.compile(r"[-+]?0[0-7_]{1,60}")
_SIXTIES = re.compile(r"[-+]?[1-9][\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?")


def check_words(words: Sequence[str]) -> None:
    """Raise ValueError for a number in an override that no float can hold."""
    for word in words:
        for value in _BETWEEN_VALUES.split(_QUOTED.sub('""', word)):
            bare = value.strip()
            problem = _problem_of_float(bare) if _FLOAT.fullmatch(bare) else ""
            if problem:
                raise ValueError(f"{word}: {problem}")


def check_file(file: Path) -> None:
    """Raise ValueError for a number, or a key, that Hydra reads as a different one."""
    from yaml import SafeLoader

    loader = SafeLoader(file.read_text(encoding="utf-8"))
    try:
        for node in _nodes(loader.get_single_node()):
            problem = _problem(loader, node)
            if problem:
                mark = node.start_mark
                place = f"{file}, line {mark.line + 1}, column {mark.column + 1}"
                raise ValueError(f"{place}: {problem}")
    finally:
        loader.dispose()


def composed_files(name: str) -> list[Path]:
    """Return the files that the configuration of the current job is composed of."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    loader: Any = GlobalHydra.instance().config_loader()
    overrides = HydraConfig.get().overrides
    words = [*overrides.hydra, *overrides.task]
    defaults = loader.compute_defaults_list(name, words, RunMode.RUN).defaults
    places = [
        e.path.removeprefix("file://") for e in loader.get_search_path().get_path()
    ]
    # The user cannot edit configurations inside packages (pkg://).
    folders = [Path(place) for place in places if "://" not in place]
    options = [f"{default.config_path}.yaml" for default in defaults]
    files = [
        [f / option for f in folders if (f / option).is_file()] for option in options
    ]
    return [file for file, *_ in filter(None, files)]


def _nodes(root: Any) -> Iterator[Any]:
    """Yield each node below ``root`` once, however many aliases refer to it."""
    waiting, ids = [root], set[int]()
    for node in waiting:
        if node is None or id(node) in ids:
            continue
        ids.add(id(node))
        yield node
        if node.id == "mapping":
            waiting += [part for pair in node.value for part in pair]
        elif node.id == "sequence":
            waiting += node.value


def _problem(loader: Any, node: Any) -> str:
    if node.id == "mapping":
        return _problem_of_keys(loader, node)
    # Quoted and block scalars are strings for every reader.
    return (
        _problem_of_scalar(node.value) if node.id == "scalar" and not node.style else ""
    )


def _problem_of_keys(loader: Any, mapping: Any) -> str:
    keys_by_value: dict[object, str] = {}
    for key, _ in mapping.value:
        if key.tag not in _TAGS_OF_KEYS:
            continue
        value = loader.construct_object(key)
        if value in keys_by_value:
            return f"key {key.value} is {keys_by_value[value]} written differently"
        keys_by_value[value] = key.value
    return ""


_TAGS_OF_KEYS = [
    f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "str")
]


def _problem_of_scalar(text: str) -> str:
    if _SIXTIES.fullmatch(text):
        return (
            f"{text} is a base-60 number to Hydra, as in YAML 1.1, and a string to "
            f"others. Write '{text}' in quotes, or the number without colons"
        )
    if _OCTAL.fullmatch(text):
        octal, decimal = (int(text.replace("_", ""), base) for base in (8, 10))
        return (
            ""
            if octal == decimal
            else (
                f"{text} is the octal number {octal} to Hydra, as in YAML 1.1, and "
                f"{decimal} to others. Write the number that is meant without the "
                f"leading 0, or the string '{text}' in quotes"
            )
        )
    return _problem_of_float(text) if _FLOAT.fullmatch(text) else ""


def _problem_of_float(text: str) -> str:
    try:
        number = finite(text.replace("_", ""))
        if isinstance(number, Rounded):
            number.nearest()
    except BeyondFloatError as error:
        return error.message
    return ""
