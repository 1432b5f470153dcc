"""`Blueprint`: a module that is not built yet."""

import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, cast

from torch import nn

from ...config.short_text import with_article
from ..evolution.upgrading import rules_of_whole
from ..hyperparameters.hparams_node import BLUEPRINT
from ..hyperparameters.module_plan import passed_values
from ..modules.registry import allow_classes
from .construction.construct import construct
from .construction.construction_run import ConstructionRuns, current_runs
from .construction.draft import Draft
from .edits.edits import CallMethod, Definition, Edit, Moment, Unbuilt
from .parts import Parts
from .selection import Selection, Session
from .stored.carried_edits import are_outdated, carried, check_is_met
from .stored.part_versions import stored_versions
from .stored.provenance import note_provenance
from .stored.serialization import (
    another_class,
    batches,
    check_class,
    decode_definition,
    resolve_method,
    to_dict,
)
from .tree.arguments import (
    Arguments,
    bind,
    check_configurable,
    check_name,
    merge_arguments,
)
from .tree.construction_node import ConstructionNode
from .tree.module_values import frozen_value

if TYPE_CHECKING:
    from .render import Diagram, Explanation

M = TypeVar("M", bound=nn.Module)


class Blueprint(Selection, Unbuilt, Generic[M]):
    """A module of class ``cls`` that is not built yet: configure it, then build it.

    Its constructors have run once, on unfilled parameters, so that every part is known
    by path. Changes are checked immediately and take effect when the parts are
    constructed: the constructors around a part see the changed one.
    """

    _module: M | None
    _runs: "weakref.ref[ConstructionRuns] | None"
    """The runs of constructors in which it was created, if there were any."""

    def __init__(self, cls: type[M], /, *args: Any, **kwargs: Any) -> None:
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(_no_class(cls))
        check_configurable(cls)
        self._set_up(Draft(cls, _bound(cls, args, kwargs)))

    @classmethod
    def of_arguments(
        cls, module_class: type[M], arguments: Arguments
    ) -> "Blueprint[M]":
        """Return the blueprint of a class and its arguments by name."""
        check_configurable(module_class)
        blueprint: Blueprint[M] = cls.__new__(cls)
        blueprint._set_up(
            Draft(module_class, merge_arguments(module_class, {}, arguments))
        )
        return blueprint

    def build(self, *example: object, **named: object) -> M:
        """Return the module, built in place: afterwards this blueprint cannot change.

        Inputs given as an ``example`` determine the sizes that were left as None. A
        second call returns the same module. Raises the errors of `create`.
        """
        module = self._module
        if module is None:
            self._module = module = self.create(*example, **named)
            self._session.is_closed = True
        return module

    def create(self, *example: object, **named: object) -> M:
        """Return a new module, and leave the blueprint unchanged.

        The same seed gives the same weights, in whatever order it was configured.
        Raises `ConstructionError` with the path where a constructor raises, and
        `NotRepeatedError` if constructors build something else than before.
        """
        draft = build_draft = self._session.draft
        calls = _calls(draft.edits, "before_build")
        if calls:
            build_draft = draft.copy()
            session = self._copied(build_draft)._session
            for call in calls:
                session.run(call)
        construction = construct(build_draft, example, named)
        note_provenance(
            construction, draft, build_draft, Blueprint._definition_and_tree
        )
        return cast(M, construction.module)

    def new(self) -> Self:
        """Return an independent copy of the blueprint.

        The log is replayed: calls of methods marked ``stateful`` run again.
        """
        draft = self._session.draft
        if not _calls(draft.edits, "stateful"):
            return self._copied(draft.copy())
        copy = self._copied(Draft(draft.tree.original_cls, draft.arguments))
        copy._session.replay([edit for edit in draft.edits if edit.is_logged])
        return copy

    def explain(self, path: str = "") -> "Explanation":
        """Return what determines a part, or an argument: ``"layers.0.bias"``.

        The first of the sources is in effect; without it the next one would be.
        """
        from .render import explain

        self._session.draft.refresh()
        return explain(self._session.draft, path)

    def diagram(self) -> "Diagram":
        """Return the tree with its settings and their sources, to print or as SVG."""
        from .render import Diagram

        self._session.draft.refresh()
        return Diagram(self._session.draft)

    def to_dict(self) -> dict[str, Any]:
        """Return the blueprint as JSON-ready data: class, arguments and edits.

        Raises TypeError that names a value that is not plain data.
        """
        draft = self._session.draft
        return to_dict(draft.definition, draft.classes_of_parts(), draft.class_at)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], module_class: type[M] | None = None
    ) -> "Blueprint[M]":
        """Return the blueprint in ``data``, which `to_dict` returned.

        Classes are found among the known ones; nothing is imported. If ``module_class``
        is given, it is trusted, and data of another class is refused.
        """
        if module_class is None:
            return cast("Blueprint[M]", cls._read(data, None, 0))
        check_class(module_class)
        with allow_classes(module_class):
            return cast("Blueprint[M]", cls._read(data, module_class, 0))

    def __repr__(self) -> str:
        from .render import tree_text

        return tree_text(self._session.draft, "")

    __str__ = __repr__

    def __bool__(self) -> bool:
        return True

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise TypeError: a module that is not built yet computes nothing.

        This shows that a constructor called by hand has left a blueprint in a module,
        which only a blueprint around it would have built.
        """
        name = self._session.draft.tree.original_cls.__qualname__
        raise TypeError(
            f"this {name} is a blueprint that has not been built: build() or "
            "create() returns the module. If its parent takes blueprints as "
            "arguments, the parent must be a blueprint too: Blueprint(Net, "
            "...).build() also builds the parts, while calling Net(...) does "
            "not."
        )

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self.new()

    def __copy__(self) -> Self:
        return self.new()

    def __reduce__(self) -> tuple[object, ...]:
        return (_from_pickle, (self._definition().cls, self.to_dict()))

    @classmethod
    def _read(
        cls, data: object, module_class: type[nn.Module] | None, depth: int
    ) -> "Blueprint[Any]":
        """Return the blueprint in ``data``; all of it is read before anything runs."""
        definition = decode_definition(
            data, module_class, lambda nested: cls._read(nested, None, depth + 1), depth
        )
        blueprint: Blueprint[Any] = Blueprint.__new__(Blueprint)
        draft = Draft(definition.cls, dict(definition.arguments))
        blueprint._set_up(draft)
        stored_data = cast("Mapping[str, Any]", data)
        versions = stored_versions(stored_data)
        rules = rules_of_whole(definition.cls, stored_data)
        edits = definition.edits
        if versions is not None and are_outdated(draft, edits, versions, rules):
            for i, edit in enumerate(edits):
                known_edit = carried(draft, edit, versions, rules)
                if known_edit is not None:
                    check_is_met(draft, known_edit, edits[i + 1 :])
                    blueprint._session.replay([resolve_method(draft, known_edit)])
        else:
            for batch in batches(edits):
                # A method is looked up once the earlier edits have chosen its class.
                blueprint._session.replay([resolve_method(draft, e) for e in batch])
        if module_class not in (None, definition.cls, draft.tree.cls):
            raise another_class(data, module_class)
        return blueprint

    @staticmethod
    def _definition_and_tree(
        module_class: type[nn.Module], data: Mapping[str, Any]
    ) -> tuple[Definition, ConstructionNode]:
        draft = Blueprint.from_dict(data, module_class)._session.draft
        return draft.definition, draft.tree

    def _set_up(self, draft: Draft) -> None:
        self._module = None
        runs = current_runs()
        self._runs = None if runs is None else weakref.ref(runs)
        session = Session(draft, Blueprint.of_arguments)
        Selection.__init__(self, session, Parts(draft, "", is_single=True))
        session.root = self

    def _copied(self, draft: Draft) -> Self:
        copy = type(self).__new__(type(self))
        copy._set_up(draft)
        return copy

    def _definition(self) -> Definition:
        return self._session.draft.definition

    def _build_inside(self) -> nn.Module:
        return self.create()

    def _build_child(self, runs: object) -> nn.Module:
        is_made_here = self._runs is not None and self._runs() is runs
        return self.build() if is_made_here else self.create()


def build_stored(cls: type[nn.Module], node: Mapping[str, Any]) -> nn.Module:
    """Return the module built by the blueprint in the hyperparameters ``node``.

    Arguments of the call that reads them replace those of the whole.
    """
    blueprint = Blueprint.from_dict(node[BLUEPRINT], cls)
    arguments = passed_values(node)
    return (blueprint.configure(**arguments) if arguments else blueprint).build()


def _bound(
    cls: type[nn.Module], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Arguments:
    for name in kwargs:
        check_name(cls, name, "")
    return {
        n: frozen_value(value, Blueprint.of_arguments)
        for n, value in bind(cls, args, kwargs).items()
    }


def _calls(edits: Sequence[Edit], moment: Moment) -> list[CallMethod]:
    calls = (edit for edit in edits if isinstance(edit, CallMethod))
    return [call for call in calls if call.moment == moment]


def _from_pickle(cls: type[M], data: Mapping[str, Any]) -> "Blueprint[M]":
    return Blueprint.from_dict(data, cls)


def _no_class(value: object) -> str:
    if isinstance(value, nn.Module):
        name = type(value).__name__
        return (
            f"a blueprint needs a module class, got {with_article(name)} that is "
            f"already built: pass its class and arguments, Blueprint({name}, ...)"
        )
    return f"a blueprint needs a module class, got {value!r:.80}"
