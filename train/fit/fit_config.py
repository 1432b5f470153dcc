"""The config of ``burnish fit``: the sections of its file, and the defaults."""

from inspect import signature
from typing import Any, Literal

from pydantic import ConfigDict

from ...config.classes.declared_types import members
from ...config.classes.fields import fields_of, is_mapping, is_struct
from ...config.classes.pydantic_internals import extra_values
from ...config.errors import ConfigError, Problem
from ...config.hparams import Hparam, Hparams, define_hparams
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ..class_lookup import optimizer_named, scheduler_named, user_class
from ..hparams import OptimizerHparams
from .argument_names import (
    are_numbers,
    argument_problems,
    configurable_arguments,
    is_number,
)

MODEL, DATA, RUN = "model_config", "data_config", "run_config"
SECTIONS = (MODEL, DATA, RUN)

KWARGS = f"{MODEL}.optimizer.kwargs"
"""The path of the optimizer's arguments."""


class TrainerHparams(Hparams):
    """Lightning's Trainer, with defaults for a first run."""

    accelerator: str = "auto"
    devices: int | list[int] | str = 1
    num_nodes: int = Hparam(default=1, ge=1)
    precision: int | str = 32
    max_epochs: int | None = Hparam(default=10, editable=True)
    min_epochs: int | None = None
    max_steps: int = Hparam(default=-1, editable=True)
    min_steps: int | None = None
    max_time: str | dict[str, int] | None = Hparam(
        default=None, description="as in 00:12:00:00, or hours: 2"
    )
    accumulate_grad_batches: int = Hparam(default=1, ge=1)
    gradient_clip_val: float | None = Hparam(default=None, editable=True)
    gradient_clip_algorithm: str | None = None
    check_val_every_n_epoch: int | None = 1
    val_check_interval: int | float | str | dict[str, int] | None = None
    log_every_n_steps: int = Hparam(default=10, ge=1, editable=True)
    num_sanity_val_steps: int = 0
    limit_train_batches: int | float = 1.0
    limit_val_batches: int | float = 1.0
    limit_test_batches: int | float = 1.0
    limit_predict_batches: int | float = 1.0
    overfit_batches: int | float = 0.0
    fast_dev_run: bool | int = False
    enable_progress_bar: bool = True
    enable_model_summary: bool = True
    benchmark: bool | None = None
    deterministic: bool | Literal["warn"] | None = None
    detect_anomaly: bool = False
    inference_mode: bool = True
    strategy: str = "auto"
    sync_batchnorm: bool = False
    use_distributed_sampler: bool = True
    reload_dataloaders_every_n_epochs: int = Hparam(default=0, ge=0)
    profiler: str | None = None
    barebones: bool = False
    model_registry: str | None = None
    enable_autolog_hparams: bool = True

    def options(self) -> dict[str, Any]:
        """Return the arguments of the Trainer of the installed Lightning.

        Arguments unknown to an older version are omitted as long as they are defaults.
        """
        from lightning.pytorch import Trainer

        known_names = signature(Trainer.__init__).parameters
        defaults = TrainerHparams()
        return {
            name: value
            for name, value in {**self}.items()
            if name in known_names or value != getattr(defaults, name)
            # Lightning logs a line for each limit of 1.0, which means none; an integer
            # 1 is one batch.
            if not (name.startswith("limit_") and value == 1 and type(value) is float)
        }


class LoggerHparams(Hparams):
    """Where metrics are logged; nothing needs an account or a network."""

    kind: Literal["csv", "tensorboard", "wandb", "none"] = "csv"
    name: str = ""
    version: str | None = None
    project: str | None = Hparam(default=None, description="of Weights & Biases")
    offline: bool = Hparam(
        default=True, description="Weights & Biases without the network"
    )
    save_dir: str | None = Hparam(default=None, description="null: the run's folder")
    log_model: bool | Literal["all"] = Hparam(
        default=False, description="whether Weights & Biases gets checkpoints"
    )
    anonymous: bool | None = Hparam(
        default=None, description="Weights & Biases without an account"
    )


class RunHparams(Hparams):
    """The settings of a run."""

    trainer: TrainerHparams = Hparam(default_factory=TrainerHparams)
    logger: LoggerHparams = Hparam(default_factory=LoggerHparams)
    resume_from_checkpoint: str | None = Hparam(
        default=None,
        description="a checkpoint, a run's folder, or auto: this run's last, if any",
    )
    seed: int | None = Hparam(
        default=0, description="of all random generators; null: do not seed"
    )


class _OpenHparams(Hparams):
    """Has the keys that a user added besides the sections."""

    model_config = ConfigDict(extra="allow")


def file_tree(file: Hparams) -> dict[str, Any]:
    """Return the tree of `FitConfig.file` in a form that can be loaded again."""
    sections = {name: file[name].to_dict() for name in SECTIONS}
    return {**sections, **extra_values(file)}


class FitConfig:
    """The validated configuration of one run, with the classes that it names."""

    def __init__(self, tree: dict[str, Any], source: str) -> None:
        _check_sections(tree, source)
        self.model_class, self.data_class = classes_of(tree)
        self.run = _section(RunHparams, tree, RUN, source)
        self.model = _section(self.model_class.hparams_schema, tree, MODEL, source)
        self.data = _section(self.data_class.hparams_schema, tree, DATA, source)
        _check_names(self.model, source, self._is_made_by_us())
        extra = {key: value for key, value in tree.items() if key not in SECTIONS}
        self.extra: dict[str, Any] = extra
        """Keys that a user added for other purposes."""

    def file(self) -> Hparams:
        """Return all of it as one set of hyperparameters, which has its sections.

        The numeric defaults of an optimizer are among its arguments there.
        """
        kinds: dict[str, tuple[Any, Any]] = {
            MODEL: (self.model_class.hparams_schema, ...),
            DATA: (self.data_class.hparams_schema, ...),
            RUN: (RunHparams, ...),
        }
        cls = define_hparams("FitFile", kinds, base=_OpenHparams)
        optimizer = self.model.optimizer
        numbers = default_numbers(optimizer) if self._is_made_by_us() else {}
        kwargs = {**numbers, **optimizer.kwargs}
        complete = optimizer.model_copy(update={"kwargs": kwargs})
        model = self.model.model_copy(update={"optimizer": complete})
        return cls(**{MODEL: model, DATA: self.data, RUN: self.run, **self.extra})

    def _is_made_by_us(self) -> bool:
        """Return whether the optimizer is created from the config, not by the model."""
        from ..lightning.model import Model

        ours: bool = self.model_class.configure_optimizers is Model.configure_optimizers
        return ours


def default_numbers(optimizer: OptimizerHparams) -> dict[str, Any]:
    """Return the numeric defaults of the arguments of an optimizer's class.

    They have the form of files, in which a tuple is a list.
    """
    from ..lightning.model import default_rate

    cls = optimizer_named(optimizer.module_name, may_import=True)
    defaults = {n: p.default for n, p in signature(cls).parameters.items()}
    values: dict[str, Any] = {**default_rate(cls), **defaults}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if is_number(value) or are_numbers(value)
    }


def _check_names(model: Any, source: str, is_made_of_it: bool) -> None:
    """Look up the classes that the model names, before any data are read.

    If the optimizer is created from the config, its arguments are checked too.
    """
    chosen = [("optimizer", model.optimizer, optimizer_named)]
    if model.scheduler is not None and model.scheduler.module_name is not None:
        chosen.append(("scheduler", model.scheduler, scheduler_named))
    for role, hparams, find in chosen:
        path = f"{MODEL}.{role}"
        try:
            cls = find(hparams.module_name, may_import=True)
        except (ValueError, TypeError) as error:
            problem = Problem(f"{path}.module_name", str(error))
            raise ConfigError(source, [problem]) from error
        problems = argument_problems(cls, hparams.kwargs) if is_made_of_it else []
        if problems:
            places = [Problem(f"{path}.kwargs.{p.path}", p.message) for p in problems]
            raise ConfigError(source, places)


def classes_of(tree: dict[str, Any]) -> tuple[Any, Any]:
    """Return the classes of model and data that ``tree`` names, imported."""
    from ..lightning.data_module import DataModule
    from ..lightning.model import Model

    classes: list[Any] = []
    for section, kind, role in (
        (MODEL, Model, "a model"),
        (DATA, DataModule, "a data module"),
    ):
        part: object = tree.get(section)
        name = part.get("module_name") if isinstance(part, dict) else None
        path = f"{section}.module_name"
        if not isinstance(name, str):
            message = f"missing: the class of {role}, as in my_package.module.Class"
            raise ConfigError("", [Problem(path, message)])
        try:
            cls: Any = user_class(name, kind, role)
        except (ValueError, TypeError) as error:
            raise ConfigError("", [Problem(path, str(error))]) from error
        if cls.hparams_schema is None:
            message = f"{name} does not declare its hyperparameters: {kind.__name__}[H]"
            raise ConfigError("", [Problem(path, message)])
        classes.append(cls)
    return classes[0], classes[1]


def known_path(tree: Any, path: str) -> bool | None:
    """Return whether the classes have ``path``; None if a dict accepts any name."""
    section, _, field_path = path.partition(".")
    if section not in SECTIONS or not field_path:
        return False
    cls = _class_of_section(tree, section)
    return False if cls is None else _knows(cls, field_path.split("."))


def known_names(tree: Any) -> list[str]:
    """Return the paths of all fields and arguments, for suggestions."""
    names: list[str] = []
    for section in SECTIONS:
        cls = _class_of_section(tree, section)
        if cls is None:
            continue
        names += [f"{section}.{name}" for name in _names(cls)]
        if section == MODEL:
            names += [f"{KWARGS}.{name}" for name in _optimizer_arguments(tree, cls)]
    return names


def _class_of_section(tree: Any, section: str) -> object:
    """Return the class of a section's fields, None where ``tree`` names none."""
    if section == RUN:
        return RunHparams
    try:
        model_class, data_class = classes_of(tree)
    except ConfigError:
        return None
    return (model_class if section == MODEL else data_class).hparams_schema


def _optimizer_arguments(tree: dict[str, Any], schema: object) -> list[str]:
    """Return the arguments of the optimizer that ``tree`` chooses, if it names one."""
    try:
        model = _section(schema, tree, MODEL, "")
        cls = optimizer_named(model.optimizer.module_name, may_import=True)
    except (ConfigError, ValueError, TypeError):
        return []
    return configurable_arguments(cls)


def _knows(cls: object, parts: list[str]) -> bool | None:
    fields = fields_of(cls)
    if parts[0] not in fields:
        return False
    kinds = members(fields[parts[0]].annotation)
    if len(parts) == 1:
        return True
    if any(is_mapping(kind) or kind is Any for kind in kinds):
        return None
    answers = [_knows(kind, parts[1:]) for kind in kinds if is_struct(kind)]
    return next((answer for answer in answers if answer is not False), False)


def _names(cls: object) -> list[str]:
    names: list[str] = []
    for field in fields_of(cls).values():
        names.append(field.name)
        for kind in members(field.annotation):
            if is_struct(kind):
                names += [f"{field.name}.{name}" for name in _names(kind)]
    return names


def _section(cls: Any, tree: dict[str, Any], name: str, source: str) -> Any:
    from ...config.files import load

    try:
        return load(cls, tree.get(name) or {})
    except ConfigError as error:
        problems = [Problem(f"{name}.{p.path}", p.message) for p in error.problems]
        raise ConfigError(source, problems) from None


def _what_is_missing(tree: dict[str, Any], section: str) -> str:
    if section in tree:
        return f"the section is empty ({short_repr(tree[section])}), but required"
    hint = did_you_mean(section, tree) or f" Found: {', '.join(tree)}."
    return (
        "the section is missing, but required, with what it builds as in "
        f"'module_name: file.Class'.{hint}"
    )


def _check_sections(tree: dict[str, Any], source: str) -> None:
    problems = [
        Problem(section, _what_is_missing(tree, section))
        for section in (MODEL, DATA)
        if not tree.get(section)
    ]
    near = [
        Problem(key, f"unknown section.{hint}")
        for key in tree
        if key not in SECTIONS and (hint := did_you_mean(key, SECTIONS))
    ]
    if problems or near:
        raise ConfigError(source, [*near, *problems])
