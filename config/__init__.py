"""Hyperparameters as typed values: their files, versions and schedules."""

from typing import TYPE_CHECKING

from .lazy_exports import lazily

if TYPE_CHECKING:
    from .classes.editable import Editable
    from .classes.field_types import Serializable, register_field_type
    from .command_line import Program, command
    from .errors import ConfigError, ConfigSyntaxError, ConfigVersionError, Problem
    from .files import dump, dumps, load, loads
    from .help_text import describe
    from .hparams import Hparam, Hparams
    from .rewriting.rewrite_rule import RewriteRule
    from .rules import (
        AddDefault,
        ChangeDefault,
        CheckValue,
        DeleteField,
        MapFieldValue,
        RejectValues,
        RenameField,
    )
    from .schedule import Schedule
    from .schema.commands import schema_evolution_cli
    from .versioned import Versioned

__all__ = [
    "AddDefault",
    "ChangeDefault",
    "CheckValue",
    "ConfigError",
    "ConfigSyntaxError",
    "ConfigVersionError",
    "DeleteField",
    "Editable",
    "Hparam",
    "Hparams",
    "MapFieldValue",
    "Problem",
    "Program",
    "RejectValues",
    "RenameField",
    "RewriteRule",
    "Schedule",
    "Serializable",
    "Versioned",
    "command",
    "describe",
    "dump",
    "dumps",
    "load",
    "loads",
    "register_field_type",
    "schema_evolution_cli",
]

_MODULES = {
    "classes.editable": ["Editable"],
    "classes.field_types": ["Serializable", "register_field_type"],
    "help_text": ["describe"],
    "errors": ["ConfigError", "ConfigSyntaxError", "ConfigVersionError", "Problem"],
    "files": ["dump", "dumps", "load", "loads"],
    "hparams": ["Hparam", "Hparams"],
    "command_line": ["Program", "command"],
    "rewriting.rewrite_rule": ["RewriteRule"],
    "rules": [
        "AddDefault",
        "ChangeDefault",
        "CheckValue",
        "DeleteField",
        "MapFieldValue",
        "RejectValues",
        "RenameField",
    ],
    "schedule": ["Schedule"],
    "schema.commands": ["schema_evolution_cli"],
    "versioned": ["Versioned"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


__getattr__, __dir__ = lazily(__name__, _HOME, ("schedule", "schema"))
