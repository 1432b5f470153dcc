"""What a refactor did to the tensors of a module, and the rules that bridge it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ...config.path import parts
from ...config.patterns import bind
from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.rules import DeleteField, RenameField
from ...config.schema.change import Severity
from ...config.spelling import similarity
from .record_schema import Stored
from .tensor_rules import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)

Forms = Mapping[str, Stored]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; many paths that changed alike are one, with ``*``."""

    path: str
    said: str
    severity: Severity
    rule: RewriteRule | None = None

    def __str__(self) -> str:
        return f"{self.severity.name.lower():<5} {self.said}: {self.path}"


def changes(old: Forms, new: Forms) -> list[Change]:
    """Return what differs from ``old`` to ``new``, with rules where they are known."""
    found: list[Change] = []
    gone = {path: form for path, form in old.items() if path not in new}
    added = {path: form for path, form in new.items() if path not in old}
    for find in (_renames, _merges, _splits, _stacks, _unstacks):
        for change, used_old, used_new in find(gone, added):
            found.append(change)
            gone = {p: f for p, f in gone.items() if p not in used_old}
            added = {p: f for p, f in added.items() if p not in used_new}
    found += _changed(old, new)
    found += [
        Change(path, "tensor removed", Severity.WARN, DeleteField(path))
        for path in _families(gone)
    ]
    said = "new tensor, which older records lack (load with allow_missing)"
    found += [Change(path, said, Severity.ERROR) for path in _families(added)]
    return found


Found = tuple[Change, set[str], set[str]]


def _renames(gone: Forms, added: Forms) -> Iterator[Found]:
    """Yield the fewest renames of parts that explain the most, the likeliest first."""
    gone, added = dict(gone), dict(added)
    while True:
        scored = [(_score(rule, gone, added), rule) for rule in _heads(gone, added)]
        best = max(scored, default=None, key=lambda pair: pair[0])
        if best is None or best[0] <= (0, 0.0, 0):
            return
        rule = best[1]
        moved = _moved(rule, gone, added)
        old, new = ".".join(rule.old_field), ".".join(rule.new_field)
        change = Change(old, f"renamed to {new}", Severity.WARN, rule)
        yield change, set(moved), set(moved.values())
        gone = {p: f for p, f in gone.items() if p not in moved}
        added = {p: f for p, f in added.items() if p not in moved.values()}


def _heads(gone: Forms, added: Forms) -> list[RenameField]:
    """Return the renames that any pair of tensors of one form suggests."""
    rules: dict[tuple[str, ...], RenameField] = {}
    by_form: dict[tuple[object, ...], list[str]] = {}
    for path, form in added.items():
        by_form.setdefault((form.kind, form.shape), []).append(path)
    for path, form in gone.items():
        for other in by_form.get((form.kind, form.shape), ())[:50]:
            old, new = _without_common_end(path.split("."), other.split("."))
            old, new = _generalized(old, new)
            key = (".".join(old), ".".join(new))
            if key not in rules:
                rules[key] = RenameField(old, new)
    return list(rules.values())[:2000]


def _without_common_end(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return old, new


def _generalized(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """Replace the numbers of layers, if both have the same ones, by wildcards."""
    numbers = [part for part in old if part.isdecimal()]
    if numbers != [part for part in new if part.isdecimal()]:
        return old, new
    return _wild(old), _wild(new)


def _wild(names: Iterable[str]) -> list[str]:
    return ["*" if name.isdecimal() else name for name in names]


def _moved(rule: RenameField, gone: Forms, added: Forms) -> dict[str, str]:
    """Return what ``rule`` renames; empty if anything would not fit."""
    moved: dict[str, str] = {}
    for path, form in gone.items():
        new = rule.rename(path)
        if new is None or new == path:
            continue
        after = added.get(new)
        if after is None or (after.shape, after.kind) != (form.shape, form.kind):
            return {}
        moved[path] = new
    return moved


def _score(rule: RenameField, gone: Forms, added: Forms) -> tuple[int, float, int]:
    moved = _moved(rule, gone, added)
    alike = similarity(rule.old_field[-1], rule.new_field[-1])
    return len(moved), alike, -len(rule.old_field)


def _merges(gone: Forms, added: Forms) -> Iterator[Found]:
    for path, form in _once(added):
        for names, dim in _pieces(path, form, gone):
            rule = MergeTensors([_star(n) for n in names], _star(path), dim)
            used = _expanded(rule.fields, gone)
            made = _expanded([rule.into], added)
            said = f"fused into {rule.into}"
            yield Change(", ".join(rule.fields), said, Severity.WARN, rule), used, made
            break


def _splits(gone: Forms, added: Forms) -> Iterator[Found]:
    for path, form in _once(gone):
        for names, dim in _pieces(path, form, added):
            sizes = [added[name].shape[dim] for name in names]
            told = None if len(set(sizes)) == 1 else sizes
            rule = SplitTensor(_star(path), [_star(n) for n in names], dim, told)
            used = _expanded([rule.field], gone)
            made = _expanded(rule.into, added)
            said = f"split into {', '.join(rule.into)}"
            yield Change(rule.field, said, Severity.WARN, rule), used, made
            break


def _pieces(path: str, whole: Stored, forms: Forms) -> Iterator[tuple[list[str], int]]:
    """Yield the tensors beside ``path`` that make ``whole`` along one dimension."""
    *_, leaf = names = path.split(".")
    family = [
        other
        for other, form in forms.items()
        if len(other.split(".")) == len(names)
        and other.split(".")[:-2] == names[:-2]
        and (other.split(".")[-1] == leaf or len(names) == 1)
        and len(form.shape) == len(whole.shape)
    ]
    for dim in range(len(whole.shape)):
        fitting = [name for name in family if _fits(forms[name], whole, dim)]
        total = sum(forms[name].shape[dim] for name in fitting)
        if len(fitting) > 1 and total == whole.shape[dim]:
            yield fitting, dim


def _fits(piece: Stored, whole: Stored, dim: int) -> bool:
    shapes = zip(piece.shape, whole.shape, strict=True)
    return all(a == b or i == dim for i, (a, b) in enumerate(shapes))


def _stacks(gone: Forms, added: Forms) -> Iterator[Found]:
    for path, form in added.items():
        for numbered, members in _numbered(gone):
            inner = {gone[name].shape for name in members}
            if inner == {form.shape[1:]} and form.shape[:1] == (len(members),):
                rule = StackTensors(numbered, path)
                change = Change(numbered, f"stacked into {path}", Severity.WARN, rule)
                yield change, set(members), {path}
                gone = {p: f for p, f in gone.items() if p not in members}
                break


def _unstacks(gone: Forms, added: Forms) -> Iterator[Found]:
    for path, form in gone.items():
        for numbered, members in _numbered(added):
            inner = {added[name].shape for name in members}
            if inner == {form.shape[1:]} and form.shape[:1] == (len(members),):
                rule = UnstackTensor(path, numbered)
                change = Change(
                    path, f"taken apart into {numbered}", Severity.WARN, rule
                )
                yield change, {path}, set(members)
                added = {p: f for p, f in added.items() if p not in members}
                break


def _numbered(forms: Forms) -> list[tuple[str, list[str]]]:
    """Return the families of paths that differ in one number, with one ``*`` for it."""
    families: dict[str, list[str]] = {}
    for path in forms:
        names = path.split(".")
        if sum(name.isdecimal() for name in names) == 1:
            families.setdefault(".".join(_wild(names)), []).append(path)
    return [(name, members) for name, members in families.items() if len(members) > 1]


def _changed(old: Forms, new: Forms) -> Iterator[Change]:
    reshaped: dict[str, list[tuple[Stored, Stored]]] = {}
    for path in old.keys() & new.keys():
        if old[path].shape != new[path].shape:
            reshaped.setdefault(_star(path), []).append((old[path], new[path]))
        elif old[path].dtype != new[path].dtype:
            yield _retyped(path, old[path].dtype, new[path].dtype)
    for path, pairs in sorted(reshaped.items()):
        before, after = pairs[0]
        said = f"shape changed from {before.shape} to {after.shape}"
        if all(a.shape == b.shape[::-1] and len(a.shape) == 2 for a, b in pairs):
            yield Change(path, said, Severity.WARN, TransposeTensor(path))
        else:
            yield Change(path, said, Severity.ERROR)


def _retyped(path: str, before: str, after: str) -> Change:
    floats = ("float", "bfloat", "f", "bf")
    converts = before.startswith(floats) and after.startswith(floats)
    severity = Severity.INFO if converts else Severity.ERROR
    return Change(path, f"dtype changed from {before} to {after}", severity)


def _families(forms: Forms) -> list[str]:
    """Return the paths, those that differ in numbers alone as one."""
    return list(dict.fromkeys(map(_star, forms)))


def _star(path: str) -> str:
    return ".".join(_wild(path.split(".")))


def _once(forms: Forms) -> list[tuple[str, Stored]]:
    """Return one of each family of paths that differ in numbers alone."""
    first: dict[str, str] = {}
    for path in forms:
        first.setdefault(_star(path), path)
    return [(path, forms[path]) for path in first.values()]


def _expanded(patterns: Iterable[str], forms: Forms) -> set[str]:
    return {
        path
        for path in forms
        for pattern in patterns
        if bind(parts(pattern), path.split(".")) is not None
    }
