"""A config file at the newest version: what it says, and what of it cannot stay."""

from dataclasses import dataclass
from pathlib import Path

from ..encode import encode
from ..files import check_text, load, read_text, read_tree
from ..formats import config_format_of
from ..tree import is_dict, is_items
from ..validation.readback import check_read_back
from ..versioned import written_part


@dataclass(frozen=True, slots=True)
class UpgradedFile:
    """The text that a file becomes, and what it was before."""

    before: str
    after: str
    comment_lines: list[int]
    """The lines of comments that are not in ``after``."""

    @property
    def is_changed(self) -> bool:
        """Whether the file is to be written at all."""
        return self.after != self.before


def upgraded_file(cls: type, file: Path, *, include_defaults: bool) -> UpgradedFile:
    """Return what ``file`` becomes at the newest version of ``cls``.

    What somebody wrote stays, whether or not it is at its default.  A file that says
    all that already stays as it is, to the letter.  Raises ConfigError.
    """
    config: object = load(cls, file)
    tree, form = read_tree(file)
    before = read_text(file)
    # A value that the config does not keep is told, however it is written then.
    after = form.write(
        encode(config, elide_defaults=True, source_tree=written_part(cls, tree))
    )
    check_read_back(config, form.read(after))
    if include_defaults:
        after = check_text(config, form, elide_defaults=False)
    if _is_same(tree, form.read(after)):
        return UpgradedFile(before, before, [])
    comment_lines = list(config_format_of(file).comment_lines(before))
    return UpgradedFile(before, after, comment_lines)


def _is_same(a: object, b: object) -> bool:
    """Return whether two trees say the same, in whatever order of fields."""
    if is_dict(a) and is_dict(b):
        return a.keys() == b.keys() and all(_is_same(a[key], b[key]) for key in a)
    if is_items(a) and is_items(b):
        return len(a) == len(b) and all(map(_is_same, a, b))
    # A bare word of RON is a text, and digits that no float has are the nearest float.
    is_one_kind = type(a) is type(b) or any(
        isinstance(a, kind) and isinstance(b, kind) for kind in (str, float)
    )
    return is_one_kind and (a == b or repr(a) == repr(b))
