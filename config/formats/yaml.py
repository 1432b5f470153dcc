"""YAML 1.2 as a tree, through ruamel.yaml (an extra): ``1e-3`` is a number.

Dates remain strings, and tags that would create objects are refused.
"""

import io
import itertools
import re
from typing import TYPE_CHECKING, Any

from ..encode import to_plain
from ..errors import ConfigSyntaxError
from ..tree import BeyondFloatError, check_bounds, finite

if TYPE_CHECKING:
    from ruamel.yaml import YAML


MAX_MERGED = 100_000
"""The number of values that the merge keys (``<<``) of a file may expand to."""

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_COMMENT = re.compile(r"#.*")

_MERGE = "tag:yaml.org,2002:merge"


def read(text: str) -> object:
    """Return the value of ``text``, an empty dict for an empty text."""
    yaml = _yaml()
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        raise _syntax_error(error) from None
    except YAMLError as error:
        raise ConfigSyntaxError(_first_line(error)) from None
    except RecursionError:
        raise ConfigSyntaxError("nested too deep") from None
    except ConfigSyntaxError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigSyntaxError(f"a value cannot be read: {error}") from None
    check_bounds(tree)
    return {} if tree is None else tree


def write(tree: object) -> str:
    """Return ``tree`` as text; tuples become lists."""
    text = io.StringIO()
    _yaml().dump(to_plain(tree), text)
    return text.getvalue()


def comment_lines(text: str) -> list[int]:
    """Return the lines, from 1, on which comments of a readable text begin."""
    marks = ((t.start_mark.index, t.end_mark.index) for t in _yaml().scan(text))
    # Only spaces and comments are outside of tokens; a string may contain a '#'.
    ends = [(0, 0), *marks, (len(text), len(text))]
    gaps = (
        (end, start) for (_, end), (start, _) in itertools.pairwise(ends) if end < start
    )
    starts = (
        end + match.start()
        for end, start in gaps
        for match in _COMMENT.finditer(text[end:start])
    )
    return [text.count("\n", 0, start) + 1 for start in starts]


def _yaml() -> "YAML":
    """Return a reader and writer, used for one text only."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.constructor import SafeConstructor
        from ruamel.yaml.representer import SafeRepresenter
    except ImportError as missing:
        hint = "reading YAML needs ruamel.yaml: pip install 'burnish[yaml]'"
        raise ImportError(hint) from missing

    class Constructor(SafeConstructor):
        n_merged = 0

        def flatten_mapping(self, node: Any) -> object:
            # Each level of merges multiplies the values below it, so a mapping is
            # counted after its own merges, and before it is constructed.
            for merged in _merge_sources(node):
                self.flatten_mapping(merged)
                self.n_merged += len(merged.value)
                if self.n_merged > MAX_MERGED:
                    message = f"merge keys expand to over {MAX_MERGED:,} values"
                    mark = node.start_mark
                    raise ConfigSyntaxError(message, mark.line + 1, mark.column + 1)
            return super().flatten_mapping(node)

    class Representer(SafeRepresenter):
        def ignore_aliases(self, data: object) -> bool:
            return True

    Representer.add_representer(str, _quoted_if_odd)
    # YAML 1.2 has texts where YAML 1.1 has dates, a default value and merged values.
    for tag in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", _MERGE):
        Constructor.add_constructor(tag, _as_text)
    Constructor.add_constructor("tag:yaml.org,2002:str", _with_pairs)
    Constructor.add_constructor("tag:yaml.org,2002:float", _finite)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    yaml.Representer = Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 2**20
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # untyped
    return yaml


def _merge_sources(node: Any) -> list[Any]:
    """Return the mappings that the merge keys of ``node`` name, with repetitions."""
    values = [value for key, value in node.value if key.tag == _MERGE]
    groups = [value.value if value.id == "sequence" else [value] for value in values]
    return [mapping for group in groups for mapping in group if mapping.id == "mapping"]


def _with_pairs(constructor: Any, node: Any) -> str:
    """Return a text in which surrogate pairs are replaced by their characters.

    JSON, which is YAML too, escapes an emoji as two surrogates.
    """
    text = str(constructor.construct_scalar(node))
    return _PAIR.sub(lambda match: _one_character(match[0]), text)


def _one_character(pair: str) -> str:
    return pair.encode("utf-16", "surrogatepass").decode("utf-16")


def _finite(constructor: Any, node: Any) -> float:
    value: float = constructor.construct_yaml_float(node)
    text = str(constructor.construct_scalar(node))
    if not any(map(str.isdigit, text)):
        return value
    try:
        return finite(text.replace("_", ""))
    except BeyondFloatError as error:
        raise error.at(node.start_mark.line + 1, node.start_mark.column + 1) from None


def _as_text(constructor: Any, node: object) -> str:
    return str(constructor.construct_scalar(node))


def _quoted_if_odd(representer: Any, text: str) -> object:
    # The writer would let U+0085 be folded to a space in single quotes.
    style = None if text.isprintable() else '"'
    if style is None and _is_value_in_older_yaml(text):
        style = "'"
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_value_in_older_yaml(text: str) -> bool:
    """Return whether YAML 1.1, read by Hydra and PyYAML, has another value for it.

    There ``no`` is false, and ``1:30`` is a sexagesimal number.
    """
    from ruamel.yaml.resolver import implicit_resolvers

    # The specification of YAML 1.1 reads y and n as booleans, but no such reader does.
    if len(text) > _MOST_OF_A_SCALAR or text in ("y", "Y", "n", "N"):
        return False
    rows = (row for row in implicit_resolvers if (1, 1) in row[0])
    return any(pattern.match(text) for _, _, pattern, _ in rows)


_MOST_OF_A_SCALAR = 1000
"""Length limit in characters; the patterns of dates and such numbers scan each."""


def _syntax_error(error: Any) -> ConfigSyntaxError:
    mark = error.problem_mark or error.context_mark
    message = error.problem or error.context or _first_line(error)
    if mark is None:
        return ConfigSyntaxError(message)
    return ConfigSyntaxError(message, mark.line + 1, mark.column + 1)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
