"""An old schema after upgrade rules: the changes that are already handled."""

import copy
from dataclasses import replace

from ..classes.declared_types import is_set, item_type, sequence_in
from ..classes.fields import fields_of, mapping_in, structs_in
from ..errors import ConfigVersionError, Problem
from ..rewriting import schema_types as t
from ..rewriting.rewrite_rule import RewriteRule
from ..versioned import is_versioned, upgrade_rules_of


def upgrade_schema(cls: type, old_schema: t.Struct) -> t.Struct:
    """Return ``old_schema`` after the rules of ``cls`` and of its nested classes.

    Raises ConfigVersionError for a schema that is newer than its class.
    """
    struct = copy.deepcopy(old_schema)
    if is_versioned(cls):
        current, version = cls.version(), struct.version or 0
        if version > current:
            message = (
                f"the schema has version {version}, but {cls.__name__} is at {current}"
            )
            raise ConfigVersionError("", [Problem("version", message)])
        rules = upgrade_rules_of(cls)
        for step in range(version, current):
            for rule in rules.get(step, ()):
                # Any object with `apply` and `rename` is a rule; the base class handles
                # it.
                change = getattr(
                    type(rule), "apply_to_schema", RewriteRule.apply_to_schema
                )
                change(rule, struct)
    # Nested classes have rules of their own, which apply after this one's.
    for field in fields_of(cls).values():
        old_field = struct.fields.get(field.name)
        if old_field is not None:
            below = _upgrade_type(field.annotation, old_field.type)
            struct.fields[field.name] = replace(old_field, type=below)
    return struct


def _upgrade_type(annotation: object, kind: t.Type) -> t.Type:
    """Return ``kind`` with the structs in it upgraded by their classes."""
    sequence, mapping = sequence_in(annotation), mapping_in(annotation)
    match kind:
        case t.Option(inner):
            return t.Option(_upgrade_type(annotation, inner))
        case t.Union(inner):
            return t.Union(tuple(_upgrade_type(annotation, member) for member in inner))
        case t.List(inner):
            item = _upgrade_type(item_type(sequence, 0), inner)
            # An older file does not distinguish sets: it is assumed to have been what
            # it is now.
            was_set = is_set(sequence) if kind.is_set is None else kind.is_set
            return t.List(item, was_set)
        case t.Tuple(items):
            kinds_of = [item_type(sequence, i) for i in range(len(items))]
            return t.Tuple(tuple(map(_upgrade_type, kinds_of, items)))
        case t.Dict(key, value):
            return t.Dict(key, _upgrade_type(item_type(mapping, ""), value))
        case t.Struct(name):
            structs = structs_in(annotation)
            namesakes = [m for m in structs if m.__name__ == name]
            candidates = namesakes or (structs if len(structs) == 1 else [])
            if candidates:
                return upgrade_schema(candidates[0], kind)
            fields = {
                name: replace(f, type=_upgrade_type(item_type(mapping, name), f.type))
                for name, f in kind.fields.items()
            }
            return replace(kind, fields=fields)
        case _:
            return kind
