"""Changes of a module's tensors by a refactoring, and the rules for them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ...config.path import parts
from ...config.patterns import wildcard_values
from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.rules import DeleteField, RenameField
from ...config.schema.change import Severity
from ...config.spelling import similarity
from .record_schema import TensorForm
from .tensor_rules import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)

Forms = Mapping[str, TensorForm]


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One difference; many paths with the same change are merged, with ``*``."""

    path: str
    said: str
    severity: Severity
    rule: RewriteRule | None = None

    def __str__(self) -> str:
        return f"{self.severity.name.lower():<5} {self.said}: {self.path}"


def compare_forms(old_forms: Forms, new_forms: Forms) -> list[RecordChange]:
    """Return the differences, with the rules for them where they are known."""
    differences: list[RecordChange] = []
    # A tied tensor is stored once, and has a value at each of its paths.
    old_with_ties, new_with_ties = _with_ties(old_forms), _with_ties(new_forms)
    removed_forms = {
        path: form for path, form in old_forms.items() if path not in new_with_ties
    }
    added_forms = {
        path: form
        for path, form in new_forms.items()
        if old_with_ties.keys().isdisjoint([path, *form.ties])
    }
    # Renames come first: a tensor that one explains is not a piece of another.
    for find in (_renames, _merges, _splits, _stacks, _unstacks):
        for change, removed_paths, added_paths in find(removed_forms, added_forms):
            differences.append(change)
            removed_forms = {
                p: f for p, f in removed_forms.items() if p not in removed_paths
            }
            added_forms = {p: f for p, f in added_forms.items() if p not in added_paths}
    differences += _compare_common(old_with_ties, new_forms)
    differences += _compare_ties(old_forms, new_forms)
    differences += [
        RecordChange(path, "tensor removed", Severity.WARN, DeleteField(path))
        for path in _families(removed_forms)
    ]
    message = "new tensor, which older records lack (load with allow_missing)"
    differences += [
        RecordChange(path, message, Severity.ERROR) for path in _families(added_forms)
    ]
    return differences


def _with_ties(forms: Forms) -> dict[str, TensorForm]:
    """Return the forms by all paths, those of ties included."""
    return {**{tie: form for form in forms.values() for tie in form.ties}, **forms}


def _owners(forms: Forms) -> dict[str, str]:
    """Return the path under which each tensor is stored, by all its paths."""
    return {p: path for path, form in forms.items() for p in (path, *form.ties)}


def _compare_ties(old_forms: Forms, new_forms: Forms) -> Iterator[RecordChange]:
    old_owners, new_owners = _owners(old_forms), _owners(new_forms)
    for path in sorted(old_owners.keys() & new_owners.keys()):
        old_owner, new_owner = old_owners[path], new_owners[path]
        if new_owners.get(old_owner, new_owner) != new_owner:
            message = f"is no longer tied to {old_owner}, and gets the same values"
            yield RecordChange(path, message, Severity.INFO)
        elif path == old_owner != old_owners.get(new_owner, path):
            message = f"is now tied to {new_owner}, and has its values"
            yield RecordChange(path, message, Severity.WARN, DeleteField(path))


Match = tuple[RecordChange, set[str], set[str]]


def _renames(removed_forms: Forms, added_forms: Forms) -> Iterator[Match]:
    """Yield the fewest renames that explain the most, the likeliest first."""
    removed_forms, added_forms = dict(removed_forms), dict(added_forms)
    while True:
        scored = [
            (_score(rule, removed_forms, added_forms), rule)
            for rule in _heads(removed_forms, added_forms)
        ]
        best = max(scored, default=None, key=lambda pair: pair[0])
        if best is None or best[0] <= (0, 0.0, 0):
            return
        rule = best[1]
        renames = _apply_rename(rule, removed_forms, added_forms)
        old_name, new_name = ".".join(rule.old_field), ".".join(rule.new_field)
        change = RecordChange(old_name, f"renamed to {new_name}", Severity.WARN, rule)
        yield change, set(renames), set(renames.values())
        removed_forms = {p: f for p, f in removed_forms.items() if p not in renames}
        added_forms = {
            p: f for p, f in added_forms.items() if p not in renames.values()
        }


def _heads(removed_forms: Forms, added_forms: Forms) -> list[RenameField]:
    """Return the renames suggested by pairs of tensors of the same form."""
    rules: dict[tuple[str, ...], RenameField] = {}
    by_form: dict[tuple[object, ...], list[str]] = {}
    for path, form in added_forms.items():
        by_form.setdefault((form.kind, form.shape), []).append(path)
    for path, form in removed_forms.items():
        # Each rule is scored over all tensors in each round: all pairs of a thousand
        # equal layers would take minutes, and a few of them suggest the same renames.
        for added_path in by_form.get((form.kind, form.shape), ())[:50]:
            old_parts, new_parts = _without_common_end(
                path.split("."), added_path.split(".")
            )
            old_parts, new_parts = _generalize(old_parts, new_parts)
            key = (".".join(old_parts), ".".join(new_parts))
            if key not in rules:
                rules[key] = RenameField(old_parts, new_parts)
    return list(rules.values())[:2000]


def _without_common_end(
    old_parts: list[str], new_parts: list[str]
) -> tuple[list[str], list[str]]:
    while len(old_parts) > 1 and len(new_parts) > 1 and old_parts[-1] == new_parts[-1]:
        old_parts, new_parts = old_parts[:-1], new_parts[:-1]
    return old_parts, new_parts


def _generalize(
    old_parts: list[str], new_parts: list[str]
) -> tuple[list[str], list[str]]:
    """Replace layer numbers by wildcards, if both paths have the same ones."""
    numbers = [part for part in old_parts if part.isdecimal()]
    if numbers != [part for part in new_parts if part.isdecimal()]:
        return old_parts, new_parts
    return _with_wildcards(old_parts), _with_wildcards(new_parts)


def _with_wildcards(names: Iterable[str]) -> list[str]:
    return ["*" if name.isdecimal() else name for name in names]


def _apply_rename(
    rule: RenameField, removed_forms: Forms, added_forms: Forms
) -> dict[str, str]:
    """Return what ``rule`` renames; an empty dict if anything would not fit."""
    renames: dict[str, str] = {}
    for path, form in removed_forms.items():
        new_path = rule.rename(path)
        if new_path is None or new_path == path:
            continue
        after = added_forms.get(new_path)
        if after is None or (after.shape, after.kind) != (form.shape, form.kind):
            return {}
        renames[path] = new_path
    return renames


def _score(
    rule: RenameField, removed_forms: Forms, added_forms: Forms
) -> tuple[int, float, int]:
    renames = _apply_rename(rule, removed_forms, added_forms)
    alike = similarity(rule.old_field[-1], rule.new_field[-1])
    # Of two that move equally many, the rule with the shorter path is closer to the
    # cause.
    return len(renames), alike, -len(rule.old_field)


def _merges(removed_forms: Forms, added_forms: Forms) -> Iterator[Match]:
    for path, form in _one_of_each_family(added_forms):
        for names, dim in _pieces(path, form, removed_forms):
            rule = MergeTensors([_star(n) for n in names], _star(path), dim)
            part_paths = _paths_of(rule.fields, removed_forms)
            merged_paths = _paths_of([rule.into], added_forms)
            message = f"fused into {rule.into}"
            yield (
                RecordChange(", ".join(rule.fields), message, Severity.WARN, rule),
                part_paths,
                merged_paths,
            )
            break


def _splits(removed_forms: Forms, added_forms: Forms) -> Iterator[Match]:
    for path, form in _one_of_each_family(removed_forms):
        for names, dim in _pieces(path, form, added_forms):
            sizes = [added_forms[name].shape[dim] for name in names]
            stated_sizes = None if len(set(sizes)) == 1 else sizes
            rule = SplitTensor(
                _star(path), [_star(n) for n in names], dim, stated_sizes
            )
            split_paths = _paths_of([rule.field], removed_forms)
            part_paths = _paths_of(rule.into, added_forms)
            message = f"split into {', '.join(rule.into)}"
            yield (
                RecordChange(rule.field, message, Severity.WARN, rule),
                split_paths,
                part_paths,
            )
            break


def _pieces(
    path: str, fused_form: TensorForm, forms: Forms
) -> Iterator[tuple[list[str], int]]:
    """Yield the tensors beside ``path`` that are fused along one dimension."""
    *_, leaf = names = path.split(".")
    family = [
        candidate
        for candidate, form in forms.items()
        if len(candidate.split(".")) == len(names)
        and candidate.split(".")[:-2] == names[:-2]
        and (candidate.split(".")[-1] == leaf or len(names) == 1)
        and len(form.shape) == len(fused_form.shape)
    ]
    for dim in range(len(fused_form.shape)):
        fitting = [name for name in family if _fits(forms[name], fused_form, dim)]
        total = sum(forms[name].shape[dim] for name in fitting)
        if len(fitting) > 1 and total == fused_form.shape[dim]:
            yield fitting, dim


def _fits(piece: TensorForm, fused_form: TensorForm, dim: int) -> bool:
    shapes = zip(piece.shape, fused_form.shape, strict=True)
    return all(a == b or i == dim for i, (a, b) in enumerate(shapes))


def _stacks(removed_forms: Forms, added_forms: Forms) -> Iterator[Match]:
    for path, form in added_forms.items():
        for numbered, members in _numbered_families(removed_forms):
            member_shapes = {removed_forms[name].shape for name in members}
            if member_shapes == {form.shape[1:]} and form.shape[:1] == (len(members),):
                rule = StackTensors(numbered, path)
                change = RecordChange(
                    numbered, f"stacked into {path}", Severity.WARN, rule
                )
                yield change, set(members), {path}
                removed_forms = {
                    p: f for p, f in removed_forms.items() if p not in members
                }
                break


def _unstacks(removed_forms: Forms, added_forms: Forms) -> Iterator[Match]:
    for path, form in removed_forms.items():
        for numbered, members in _numbered_families(added_forms):
            member_shapes = {added_forms[name].shape for name in members}
            if member_shapes == {form.shape[1:]} and form.shape[:1] == (len(members),):
                rule = UnstackTensor(path, numbered)
                change = RecordChange(
                    path, f"split into {numbered}", Severity.WARN, rule
                )
                yield change, {path}, set(members)
                added_forms = {p: f for p, f in added_forms.items() if p not in members}
                break


def _numbered_families(forms: Forms) -> list[tuple[str, list[str]]]:
    """Return the families of paths that differ in one number, replaced by ``*``."""
    families: dict[str, list[str]] = {}
    for path in forms:
        names = path.split(".")
        if sum(name.isdecimal() for name in names) == 1:
            families.setdefault(".".join(_with_wildcards(names)), []).append(path)
    return [(name, members) for name, members in families.items() if len(members) > 1]


def _compare_common(old_forms: Forms, new_forms: Forms) -> Iterator[RecordChange]:
    reshaped: dict[str, list[tuple[TensorForm, TensorForm]]] = {}
    for path in old_forms.keys() & new_forms.keys():
        if old_forms[path].shape != new_forms[path].shape:
            reshaped.setdefault(_star(path), []).append(
                (old_forms[path], new_forms[path])
            )
        elif old_forms[path].dtype != new_forms[path].dtype:
            yield _dtype_change(path, old_forms[path].dtype, new_forms[path].dtype)
    for path, pairs in sorted(reshaped.items()):
        before, after = pairs[0]
        message = f"shape changed from {before.shape} to {after.shape}"
        if all(a.shape == b.shape[::-1] and len(a.shape) == 2 for a, b in pairs):
            yield RecordChange(path, message, Severity.WARN, TransposeTensor(path))
        else:
            yield RecordChange(path, message, Severity.ERROR)


def _dtype_change(path: str, before: str, after: str) -> RecordChange:
    floats = ("float", "bfloat", "f", "bf")
    converts = before.startswith(floats) and after.startswith(floats)
    severity = Severity.INFO if converts else Severity.ERROR
    return RecordChange(path, f"dtype changed from {before} to {after}", severity)


def _families(forms: Forms) -> list[str]:
    """Return the paths, with those that differ only in numbers merged."""
    return list(dict.fromkeys(map(_star, forms)))


def _star(path: str) -> str:
    return ".".join(_with_wildcards(path.split(".")))


def _one_of_each_family(forms: Forms) -> list[tuple[str, TensorForm]]:
    """Return one of each family of paths that differ only in numbers."""
    first_paths: dict[str, str] = {}
    for path in forms:
        first_paths.setdefault(_star(path), path)
    return [(path, forms[path]) for path in first_paths.values()]


def _paths_of(patterns: Iterable[str], forms: Forms) -> set[str]:
    return {
        path
        for path in forms
        for pattern in patterns
        if wildcard_values(parts(pattern), path.split(".")) is not None
    }
