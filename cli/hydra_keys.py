"""Override keys that leave out the section that they belong to."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config.spelling import did_you_mean

_SECTIONS = ("model_config", "data_config", "data_config.loader", "run_config")
_PLACES = (*_SECTIONS, "run_config.trainer", "run_config.logger")
_ROOTS = ("model_config", "data_config", "run_config")
_SHORT = {"model": ("model_config",), "data": ("data_config", "data_config.loader")}
_CLASSES = ("model_config.module_name", "data_config.module_name")


def complete_keys(
    words: Sequence[str], *, folder: Path, name: str, more_groups: str | None = None
) -> list[str]:
    """Return ``words`` with the full keys of those that leave out their section.

    ``optimizer.kwargs.lr=1`` is ``model_config.optimizer.kwargs.lr=1``; a field that
    the file lacks, and the classes know, is added by ``++``. Choices of groups stay as
    they are. Raises ValueError for a key that several sections have, and for one that
    nothing knows, unless ``+`` adds it as one of the user's own: not below a name that
    is short for one of the sections, where nothing would read it.
    """
    from hydra import compose
    from omegaconf import OmegaConf

    with _hydra(folder, more_groups) as loader:
        # The existing keys depend on the groups and classes that are chosen.
        choices = [word for word in words if _is_choice(word, loader)]
        first_values = [_first_value(word, loader) for word in choices]
        config = compose(name, overrides=first_values, return_hydra_config=True)
    tree: Any = OmegaConf.to_container(config, resolve=False)
    complete = {*choices, *(w for w in words if _is_of_hydra(w, tree))}
    return [word if word in complete else _complete(word, tree) for word in words]


@contextmanager
def _hydra(folder: Path, more_groups: str | None) -> Generator[Any]:
    """Yield Hydra's loader of the configurations in ``folder`` until the block ends."""
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    # initialize_config_dir does the same, but accepts one folder only.
    GlobalHydra.instance().clear()
    places: Any = create_config_search_path(str(folder))
    if more_groups is not None:
        place = Path(more_groups).absolute()
        if not place.is_dir():
            raise ValueError(f"--config-dir {more_groups}: there is no such folder")
        # Hydra expects the schemas in the last folder.
        before = SearchPathQuery(provider="schema")
        places.prepend("command-line", f"file://{place}", before)
    try:
        yield Hydra.create_main_hydra2("complete_keys", places).config_loader
    finally:
        GlobalHydra.instance().clear()


def _split(word: str) -> tuple[str, str, str]:
    """Return the part before the key, the key, and the part after it."""
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~")
    return key[: len(key) - len(bare)], bare, equals + value


def _is_choice(word: str, loader: Any) -> bool:
    """Return whether ``word`` chooses from a group, or a class with keys of its own."""
    _, key, _ = _split(word)
    if "/" in key or key in _CLASSES:
        return True
    is_name = key.replace("_", "").replace("-", "").partition("@")[0].isalnum()
    return is_name and bool(loader.get_group_options(key.partition("@")[0]))


def _first_value(word: str, loader: Any) -> str:
    """Return ``word`` as the first run of a sweep has it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    # Hydra knows the groups that glob(*) chooses from only within a sweep.
    [override] = OverridesParser.create(config_loader=loader).parse_overrides([word])
    if not override.is_discrete_sweep():
        return word
    value = next(iter(override.sweep_string_iterator()), "")
    return f"{override.get_key_element()}={value}"


def _is_of_hydra(word: str, tree: dict[str, Any]) -> bool:
    """Return whether the key is one of Hydra's, a group, or no key at all."""
    _, key, value = _split(word)
    groups = tree["hydra"]["runtime"]["choices"]
    is_key = bool(value) or word.startswith("~")
    return not is_key or key.partition(".")[0] == "hydra" or key in groups


def _complete(word: str, tree: dict[str, Any]) -> str:
    from ..train.fit.fit_config import classes_of, known_path

    prefix, key, value = _split(word)
    if _is_in(tree, key):
        return word
    candidates = _candidates(key)
    in_file = [name for name in candidates if _is_in(tree, name)]
    if prefix == "~":
        known_names = in_file
    else:
        answers = {name: known_path(tree, name) for name in candidates}
        known_names = [n for n in candidates if n in in_file or answers[n]]
        # A dict accepts any name, so it is meant only if no field has this name.
        known_names = known_names or [n for n in candidates if answers[n] is None][:1]
    if len(known_names) > 1:
        raise ValueError(_ambiguous(word, known_names))
    if known_names:
        is_new = not prefix and known_names != in_file
        return f"{'++' if is_new else prefix}{known_names[0]}{value}"
    if prefix == "~":
        return word
    _refuse_in_known(key, word, tree)
    if prefix:
        return word
    # The keys of a class that cannot be imported are unknown; its import is the error.
    classes_of(tree)
    raise ValueError(_unknown(key, word, tree))


def _candidates(key: str) -> list[str]:
    head, _, tail = key.partition(".")
    short = [f"{place}.{tail}" for place in _SHORT.get(head, ()) if tail]
    return [key, *(f"{place}.{key}" for place in _PLACES), *short]


def _ambiguous(word: str, names: Sequence[str]) -> str:
    prefix, _, value = _split(word)
    meant = " or ".join(f"{prefix}{name}{value}" for name in names)
    return f"{word}: more than one section has this key. Write {meant}"


def _abbreviates(key: str, name: str) -> bool:
    """Return whether ``key`` is ``name`` with some names before the last left out."""
    parts = iter(name.split("."))
    item = name.rpartition(".")[2]
    return key.rpartition(".")[2] == item and all(p in parts for p in key.split("."))


def _unknown(key: str, word: str, tree: dict[str, Any]) -> str:
    shorter = _shorter_names(tree)
    groups = [g for g in tree["hydra"]["runtime"]["choices"] if g[:6] != "hydra/"]
    hint = did_you_mean(
        _whole_name(key, tree) or key, [*shorter.values(), *shorter, *groups]
    )
    return (
        f"unknown key {key!r}.{hint} +{word} adds a key of your own, and "
        "--help shows how keys are written"
    )


def _refuse_in_known(key: str, word: str, tree: dict[str, Any]) -> None:
    """Raise ValueError for a key below a name that abbreviates one of the sections."""
    from ..train.fit.fit_config import known_path

    above, _, item = key.rpartition(".")
    if not above or above in _ROOTS or _is_in(tree, above):
        return
    shorter = _shorter_names(tree) | {name: name for name in _ROOTS}
    short = _whole_name(above, tree)
    parent = shorter[short] if short else next(iter(_SHORT.get(above, ())), None)
    if parent is None:
        return
    # None means a dict that accepts any name, such as an optimizer's arguments.
    is_open = known_path(tree, f"{parent}.{item}") is None
    meant = f"{short}.{item}" if is_open else _whole_name(key, tree)
    siblings = [n.rpartition(".")[2] for n in shorter.values() if _is_item(n, parent)]
    hint = f" Did you mean {meant!r}?" if meant else did_you_mean(item, siblings)
    raise ValueError(
        f"{word}: {above!r} is short for {parent}, which has no {item!r}.{hint} Put "
        f"a key of your own below another name, as in +mine.{item}"
    )


def _is_item(name: str, parent: str) -> bool:
    return name.rpartition(".")[0] == parent


def _whole_name(key: str, tree: dict[str, Any]) -> str | None:
    """Return the full name that ``key`` abbreviates by leaving out names."""
    # A user who leaves out names means the key that exists, however deep it is.
    return next(
        (name for name in _shorter_names(tree) if _abbreviates(key, name)), None
    )


def _shorter_names(tree: dict[str, Any]) -> dict[str, str]:
    """Return each key of the classes or the file, by its name in its section."""
    return {name.partition(".")[2]: name for name in _names(tree)}


def _names(tree: dict[str, Any]) -> list[str]:
    """Return the path of each key known from the classes or the file."""
    from ..train.fit.fit_config import known_names

    return [*known_names(tree), *(p for s in _ROOTS for p in _paths(tree, s))]


def _paths(tree: Mapping[str, Any], section: str) -> Iterator[str]:
    """Yield the path of each value of the file under ``section``."""
    below = tree.get(section)
    if not isinstance(below, dict):
        return
    for name in below:
        yield f"{section}.{name}"
        yield from (f"{section}.{path}" for path in _paths(below, name))


def _is_in(tree: object, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True
