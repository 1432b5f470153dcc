"""A config file upgraded to the newest version, and the comments it loses."""

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
    """The new text of a file, and its old text."""

    before: str
    after: str
    comment_lines: list[int]
    """The lines of comments that are missing in ``after``."""

    @property
    def is_changed(self) -> bool:
        """Whether the file has to be written."""
        return self.after != self.before


def upgraded_file(cls: type, file: Path, *, include_defaults: bool) -> UpgradedFile:
    """Return the text of ``file`` at the newest version of ``cls``.

    Values in the file are kept, whether or not they equal their defaults. A file that
    is already up to date is not changed at all. Raises ConfigError.
    """
    config: object = load(cls, file)
    tree, form = read_tree(file)
    before = read_text(file)
    # A value that the config does not keep is reported, however it would be written.
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
    """Return whether two trees are equal up to the order of fields."""
    if is_dict(a) and is_dict(b):
        return a.keys() == b.keys() and all(_is_same(a[key], b[key]) for key in a)
    if is_items(a) and is_items(b):
        return len(a) == len(b) and all(map(_is_same, a, b))
    # A bare word of RON is a string, and digits beyond a float's are the nearest float.
    is_one_kind = type(a) is type(b) or any(
        isinstance(a, kind) and isinstance(b, kind) for kind in (str, float)
    )
    return is_one_kind and (a == b or repr(a) == repr(b))
