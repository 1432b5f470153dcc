"""A state restored from its text and its records, each object when it is needed."""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ...config.classes.field_types import deserialized
from ...config.classes.fields import ClassField, fields_of, stored_fields
from ...config.encode import data_text
from ...config.process.user_warning import warn_user
from ...config.short_text import first_names
from ...config.spelling import did_you_mean
from ...records.errors import RecordMismatchError
from ...records.io.remote.url import Place
from ...records.io.save_handle import join_saves
from ...records.processes.messages import n_processes
from ..checkpoints.distributed import has_shares
from ..checkpoints.manifest import Ties
from ..checkpoints.part_kinds import modules_in, part_of
from ..checkpoints.rng import restored_generators
from ..checkpoints.shared_checkpoint import with_own_shares
from ..checkpoints.tied_parts import untied
from .blob_markers import LEGACY_SUFFIX, has_blobs
from .digests import check_digest
from .field_marks import PENDING, Lazy
from .lazy_fields import Deferred, Origin, View, value_in_state
from .legacy_objects import read_legacy_object
from .moved_objects import Files, MovedObjects
from .object_kind import KEY, Description, open_object
from .state_objects import restore_object, serializable_class
from .state_tree import StateTree, Waiting


@dataclass(slots=True, kw_only=True)
class Restoring(StateTree):
    """Makes the objects of one checkpoint, each once, after those that it needs."""

    origin: Origin
    config: Any
    text: str
    """The name of the file with the state."""
    initial_state: Callable[[], Any] | None
    """Makes a new state; None where no program is there to do it."""
    hyperparameters: Literal["compare", "ignore"] | None = None
    """Whether modules may have other hyperparameters than their records."""
    saved_files: Files | None = None
    """The file of each object by the path under which it was saved.

    None where paths have not changed, since no rule has moved an object.
    """
    view: Any = None
    """The argument of ``deserialize`` for the state."""
    n_loaded: int = 0
    """The number of objects that were read."""
    _active: list[str] = field(default_factory=lambda: [])
    _template: Any = None
    _takers: dict[int, str] = field(default_factory=lambda: {})
    """The path at which each object of the template was used, by its ``id``."""
    _ties: dict[str, Ties] = field(default_factory=dict[str, Ties])
    """What restored objects share with those that are not restored yet."""
    _moves: MovedObjects | None = None
    _is_filling: bool = False
    """Whether the objects of the template are filled, all of them by the end."""

    @property
    def folder(self) -> Place:
        """The location of the records, for errors."""
        return self.origin.files.folder

    @property
    def text_file(self) -> str:
        """The location of the text, for errors."""
        return str(self.folder / self.text)

    @property
    def has_program(self) -> bool:
        """Whether there is a program that makes objects when a run begins."""
        return self.initial_state is not None

    @property
    def files(self) -> dict[str, str]:
        """The file of each object by its path, once the state was asked for."""
        return {path: file for path, (file, _) in self._places.items()}

    def state(self, cls: Any, tree: Any) -> Any:
        """Return the state that ``tree`` describes, with upgraded versions."""
        if self.view is None:
            self.view = View(self.value, cls, tree)
        return StateTree.state(self, cls, tree)

    def places_are_known(self) -> None:
        """Note whether rules have moved objects, which others refer to by path."""
        if self.saved_files is not None:
            self._moves = MovedObjects(self.saved_files, self.files)
            self.origin.has_moved = bool(self._moves)

    def blob(self, path: str) -> Any:
        """Return the object at ``path``, made now unless it was before."""
        file, annotation = self._places[path]
        if file in self.origin.made:
            return self.origin.made[file]
        if path in self._active:
            circle = " -> ".join([*self._active[self._active.index(path) :], path])
            raise RecordMismatchError(
                str(self.folder),
                [f"these need each other in order to be restored: {circle}"],
            )
        self._active.append(path)
        try:
            # Constructors may draw random numbers that the run never drew.
            with restored_generators():
                obj = self._make(path, file, annotation)
        finally:
            self._active.pop()
        self.origin.made[file] = obj
        self.n_loaded += 1
        if self._ties and self.has_program and self.hyperparameters != "ignore":
            self._check_ties()
        return obj

    def _check_ties(self) -> None:
        """Raise RecordMismatchError where one stored tensor has become two."""
        by_file = self.origin.made
        objects = {p: by_file[f] for p, (f, _) in self._places.items() if f in by_file}
        for path in [p for p in self._ties if p in objects]:
            ties = self._ties[path]
            if any(other not in objects for other, _ in ties.values()):
                continue
            problem = untied(path, objects[path], ties, objects)
            if problem:
                raise RecordMismatchError(
                    str(self.folder),
                    [problem],
                    "The run was not resumed: let initial_state build the "
                    "objects so that they share it as they did when the "
                    'checkpoint was saved, or pass hyperparameters="ignore" '
                    "to fill each with the values.",
                )
            del self._ties[path]

    def _make(self, path: str, file: str, annotation: Any) -> Any:
        # A running save ends by moving what was not read yet.
        join_saves(self.folder.parent)
        if file.endswith(LEGACY_SUFFIX):
            data = read_legacy_object(self.origin.files, file, path)
            return self.deserialized(data, annotation, str(self.folder / file))
        record = open_object(self.origin.files, file, path, self.hyperparameters)
        facts = record.metadata.get(KEY)
        if self._moves and isinstance(facts, Mapping):
            record.metadata[KEY] = self._moves.carry(facts)
        ties = Description.read(record).ties
        if ties:
            self._ties[path] = ties
        in_shares = self._is_in_shares(path)
        if in_shares:
            target = self.initial_object(path)
            record = with_own_shares(
                part_of(path, target, self.initial_modules()), record
            )
        # A program that fills its own objects changes them one by one, so each is
        # complete and the one that was saved before it is passed on.
        record.load_all()
        check_digest(self.origin.files, file, self.origin.digests)
        try:
            return restore_object(record, path, annotation, self, in_shares=in_shares)
        except RecordMismatchError as error:
            if "_record" in error.cure:
                error.add_cure(
                    f"For {path}, file is {str(self.folder / file)!r}; start the "
                    "run from the loaded objects in another folder."
                )
            raise

    def deserialized(self, data: Any, annotation: Any, file: str) -> Any:
        """Return the result of the class in ``annotation`` for ``data``."""
        cls = serializable_class(annotation, file)
        try:
            return deserialized(
                cls, data, self.ctx, config=self.config, state=self.view
            )
        except Exception as error:  # user code
            names = ", ".join(map(repr, self.ctx)) or "nothing"
            error.add_note(
                f"in {cls.__qualname__}.deserialize, for {file}; ctx holds {names}"
            )
            raise

    def module_at(self, path: str) -> nn.Module:
        """Return the module at ``path``. KeyError if there is no object."""
        if path not in self._places:
            paths = ", ".join(self._places)
            hint = did_you_mean(path, self._places)
            raise KeyError(f"it updates {path!r}, but the state has {paths}.{hint}")
        # A module that is about to be filled exists already.
        target = self._in_template(path) if path in self._active else None
        module: nn.Module = self.blob(path) if target is None else target
        return module

    def initial_object(self, path: str) -> Any:
        """Return the object that the program makes at ``path`` when a run begins."""
        begin = self.initial_state
        if begin is None:
            problem = (
                f"{path}: this object must be built by your program before its "
                "record is loaded: call HyperState.load(Config, State, begin, "
                "path=folder). Classes with @burnish.module and Serializable "
                "ones are rebuilt without that"
            )
            raise RecordMismatchError(str(self.folder), [problem])
        self._begin_once(begin)
        if not self._is_filling:
            self._is_filling = True
            # The template binds its objects to each other, so all of them are filled.
            for object_path in self._places:
                if object_path not in self._active:
                    self.blob(object_path)
        target = self._in_template(path)
        if target is None:
            raise RecordMismatchError(
                str(self.folder),
                [
                    f"{path}: stored, but initial_state builds no object there to "
                    "load it into"
                ],
            )
        taker = self._takers.setdefault(id(target), path)
        if self._places[taker][0] != self._places[path][0]:
            # The second would silently overwrite the first.
            problem = (
                f"{path}: stored as a separate object from {taker}, but "
                "initial_state uses one object for both; let it build two, for "
                "example with copy.deepcopy"
            )
            raise RecordMismatchError(str(self.folder), [problem])
        return target

    def is_made_by_program(self, path: str) -> bool:
        """Return whether the program makes an object at ``path`` when a run begins."""
        begin = self.initial_state
        if begin is None:
            return False
        self._begin_once(begin)
        return self._in_template(path) is not None

    def _begin_once(self, begin: Callable[[], Any]) -> None:
        # A state may be falsy, such as an empty container.
        if self._template is None:
            self._template = begin()

    def _in_template(self, path: str) -> Any:
        """Return the program's object for ``path``, or for another of its paths."""
        file, _ = self._places[path]
        places = [path, *(p for p, (f, _) in self._places.items() if f == file)]
        objects = (value_in_state(self._template, place) for place in places)
        return next((obj for obj in objects if obj is not None), None)

    def initial_modules(self) -> dict[str, nn.Module]:
        """Return the modules that the program made, by path."""
        objects = {path: value_in_state(self._template, path) for path in self._places}
        return modules_in(objects)

    def _is_in_shares(self, path: str) -> bool:
        """Return whether the program makes an object there that processes share."""
        if self.initial_state is None or n_processes() == 1:
            return False
        self._begin_once(self.initial_state)
        return has_shares(value_in_state(self._template, path))

    def waits(self, cls: Any, item: Any) -> bool:
        """Return whether a lazy state defers the objects in ``item``."""
        return issubclass(cls, Lazy) and has_blobs(item)

    def instance(
        self,
        cls: Any,
        values: dict[str, Any],
        waiting: dict[str, Waiting],
        absent: list[ClassField],
    ) -> Any:
        """Return the ``cls`` of ``values``; reading ``waiting`` is deferred."""
        if waiting:
            deferred = {
                name: Deferred(load, item, self.origin)
                for name, (load, item) in waiting.items()
            }
            return _lazy(cls, values, deferred, absent)
        names = {part.attribute: part.name for part in fields_of(cls).values()}
        stored_values = _stored_copies(cls, values)
        # A constructor knows its defaults, including those derived from other fields.
        state = cls(**{names[key]: value for key, value in values.items()})
        _put_back(state, stored_values)
        return state


def _lazy(
    cls: Any,
    values: dict[str, Any],
    waiting: dict[str, Deferred],
    absent: Sequence[ClassField],
) -> Any:
    """Return an instance whose waiting fields are read on access."""
    state, stored_values = cls.__new__(cls), _stored_copies(cls, values)
    for part in absent:
        if part.factory_of_data is None:
            values[part.attribute] = part.make_default()
        else:
            loaded = {name: deferred.load() for name, deferred in waiting.items()}
            values[part.attribute] = part.factory_of_data(loaded | values)
    init_only = [
        values.pop(part.attribute)
        for part in fields_of(cls).values()
        if not part.is_stored
    ]
    for name, value in values.items():
        object.__setattr__(state, name, value)
    object.__setattr__(state, PENDING, waiting)
    # Its constructor does not run, since that would read everything.
    if dataclasses.is_dataclass(cls):
        _set_defaults(state)
        if hasattr(state, "__post_init__"):
            state.__post_init__(*init_only)
            _put_back(state, stored_values)
    return state


def _stored_copies(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` where no code of the class changes them in place."""
    has_code = not dataclasses.is_dataclass(cls) or hasattr(cls, "__post_init__")
    return {
        name: _copied(value) if has_code else value for name, value in values.items()
    }


def _copied(value: Any) -> Any:
    if type(value) is Tensor and value.layout is torch.strided:
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) is np.ndarray:
        return value.copy()
    if type(value) in (list, set, deque):
        copies = map(_copied, value)
        return (
            deque(copies, value.maxlen) if type(value) is deque else type(value)(copies)
        )
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return value


def _put_back(state: Any, stored_values: Mapping[str, Any]) -> None:
    """Set the stored values in ``state``, whatever its constructor derived from them.

    It derived the same from the first ones when the run began, and must not do so
    twice. Values that it only wraps, moves or converts stay as they are.
    """
    changed: list[str] = []
    for part in stored_fields(type(state)):
        name = part.attribute
        if name in stored_values and _is_other(
            getattr(state, name), stored_values[name]
        ):
            object.__setattr__(state, name, stored_values[name])
            changed.append(part.name)
    if changed:
        warn_user(
            f"the constructor of {type(state).__qualname__} changes "
            f"{first_names(changed, 4)}; the values of the checkpoint are used "
            "instead. Move such code to initial_state, and use rewrite rules to "
            "change what an older program stored",
            RuntimeWarning,
        )


def _is_other(actual: object, expected: object) -> bool:
    """Return whether two tensors, or plain data, have different values."""
    if actual is expected:
        return False
    if isinstance(actual, Tensor) and isinstance(expected, type(actual)):
        return not _are_equal(actual, expected)
    if isinstance(actual, np.ndarray) and isinstance(expected, np.ndarray):
        return actual.shape != expected.shape or not _are_same(actual, expected)
    texts = data_text(actual), data_text(expected)
    return None not in texts and texts[0] != texts[1]


def _set_defaults(state: Any) -> None:
    """Set the fields that a constructor sets without having them as arguments."""
    for part in dataclasses.fields(state):
        if part.init:
            continue
        if part.default_factory is not dataclasses.MISSING:
            object.__setattr__(state, part.name, part.default_factory())
        elif part.default is not dataclasses.MISSING:
            object.__setattr__(state, part.name, part.default)


def _are_equal(actual: Tensor, expected: Tensor) -> bool:
    """Return whether two tensors have the same values, wherever they are."""
    if actual.layout is not torch.strided or type(actual) not in (Tensor, nn.Parameter):
        return True  # a user-defined class, which alone knows what it wraps
    if actual.shape != expected.shape:
        return False
    return _are_same(actual.detach().to(expected), expected.detach())


def _are_same(a: Any, b: Any) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())
