"""`Blueprint`: a module that is not yet built."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from torch import nn

from .construction.construct import construct
from .construction.draft import Draft
from .edits.edits import Call, Edit, Entry, Moment
from .errors import AlreadyBuiltError, SettingError
from .selection import Selection
from .stored.provenance import sign
from .tree.arguments import Arguments, bind, check_configurable, merged, names_of, takes
from .tree.module_values import kept

if TYPE_CHECKING:
    from .render import Diagram, Explanation

M = TypeVar("M", bound=nn.Module)


class Blueprint(Selection, Generic[M]):
    """A module of class ``cls`` that is not yet built: configure it, then build it.

    Its constructors have run once, on parameters that nothing fills, so that every
    part is known by path. Changes are checked at once and come into force when the
    parts are constructed: what their maker does next sees the changed part.
    """

    _module: M | None

    def __init__(self, cls: type[M], /, *args: Any, **kwargs: Any) -> None:
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(f"a blueprint is one of a module class, got {cls!r:.80}")
        check_configurable(cls)
        self._set_up(Draft(cls, _bound(cls, args, kwargs)))

    @classmethod
    def of_arguments(
        cls, module_class: type[M], arguments: Arguments
    ) -> "Blueprint[M]":
        """Return the blueprint of a class and its arguments by name."""
        check_configurable(module_class)
        made: Blueprint[M] = cls.__new__(cls)
        made._set_up(Draft(module_class, merged(module_class, {}, arguments)))
        return made

    def build(self, *example: Any, **named: Any) -> M:
        """Return the module, in place: afterwards this blueprint cannot change.

        Inputs as an ``example`` complete the sizes that were left as None. A second
        call returns the same module. Raises what `create` raises.
        """
        module = self._module
        if module is None:
            self._module = module = self.create(*example, **named)
        return module

    def create(self, *example: Any, **named: Any) -> M:
        """Return a new module, and leave the blueprint as it is.

        The same seed gives the same weights, whatever was configured in which order.
        Raises `ConstructionError` with the path where a constructor raises, and
        `NotRepeatedError` where constructors make something else than before.
        """
        source = self
        calls = _calls(self._draft.entries, "before_build")
        if calls:
            source = self._copied(self._draft.copy())
            for call in calls:
                source._run(call)
        module, sizes = construct(source._draft, example, named)
        sign(module, self._draft, sizes, source._draft)
        return cast(M, module)

    def new(self) -> Self:
        """Return a blueprint of the same that changes by itself.

        The tape is replayed: calls of methods marked ``stateful`` run again.
        """
        draft = self._draft
        if not _calls(draft.entries, "stateful"):
            return self._copied(draft.copy())
        new = self._copied(Draft(draft.tree.asked, draft.given))
        new._replay([entry for entry in draft.entries if entry.on_tape])
        return new

    def explain(self, path: str = "") -> "Explanation":
        """Return who says what a part is, or an argument: ``"layers.0.bias"``.

        The first of the sources wins, then the next would.
        """
        from .render import explained

        self._draft.refresh()
        return explained(self._draft, path)

    def diagram(self) -> "Diagram":
        """Return the tree with what was configured, and by whom, to print or as SVG."""
        from .render import Diagram

        self._draft.refresh()
        return Diagram(self._draft)

    def to_dict(self) -> dict[str, Any]:
        """Return the blueprint as JSON-ready data: class, arguments and tape.

        Raises TypeError that names what is no plain data.
        """
        from .stored.serialization import to_dict

        draft = self._draft
        return to_dict(draft.tree.asked, draft.given, draft.entries)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], module_class: type[M] | None = None
    ) -> "Blueprint[M]":
        """Return the blueprint that `to_dict` made ``data`` of.

        Classes are found among those that are known; nothing is imported. Given
        ``module_class``, that one is trusted, and data of another is refused.
        """
        from .stored.serialization import from_dict

        return cast("Blueprint[M]", from_dict(data, module_class))

    def __repr__(self) -> str:
        from .render import shown

        return shown(self._draft, "")

    __str__ = __repr__

    def __bool__(self) -> bool:
        return True

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.new()

    def __copy__(self) -> Self:
        return self.new()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_pickle, (self._draft.tree.asked, self.to_dict()))

    def _set_up(self, draft: Draft) -> None:
        self._module = None
        self._drafted = draft
        Selection.__init__(self, self, "")
        self._callers: list[str] = []

    @property
    def _draft(self) -> Draft:
        return self._drafted

    def _copied(self, draft: Draft) -> Self:
        copy = type(self).__new__(type(self))
        copy._set_up(draft)
        return copy

    def _take(self, entries: list[Entry], *, allow_empty: bool = False) -> None:
        """Put ``entries`` on the tape, all or none."""
        self._check_unbuilt()
        if self._callers:
            by = self._callers[-1]
            entries = [replace(e, by=by, on_tape=False) for e in entries]
        self._draft.add_all(entries, allow_empty=allow_empty)

    def _record(self, call: Call) -> None:
        """Put ``call`` on the tape, and run it if its moment is now."""
        self._check_unbuilt()
        before = self._draft.copy()
        try:
            self._take([call])
            if call.moment == "stateful":
                self._run(call)
        except BaseException:
            self._draft.become(before)
            raise

    def _replay(self, tape: Sequence[Entry]) -> None:
        """Take in a tape; its calls that run at once run again."""
        waiting: list[Entry] = []
        for entry in tape:
            if isinstance(entry, Call) and entry.moment == "stateful":
                self._draft.replay(waiting)
                waiting = []
                self._record(entry)
                continue
            if isinstance(entry, Edit) and any(
                not e.on_tape for e in self._draft.entries
            ):
                # What calls have asked for is called as it was when they ran.
                self._draft.replay(waiting)
                waiting = []
            waiting.append(entry)
        self._draft.replay(waiting)

    def _run(self, call: Call) -> None:
        """Run ``call`` on the blueprint, or on its parts that are meant."""
        with self._called_by(str(call)):
            if call.target == "":
                call.function(self, *call.args, **call.kwargs)
                return
            matched = self._draft.matched(call.target)
            for part in [Selection(self, made.path) for made in matched]:
                if part:  # One before it may have taken it out.
                    call.function(part, *call.args, **call.kwargs)

    @contextmanager
    def _called_by(self, who: str) -> Generator[None]:
        self._callers.append(who)
        try:
            yield
        finally:
            self._callers.pop()

    def _check_unbuilt(self) -> None:
        if self._module is not None:
            raise AlreadyBuiltError(
                "this blueprint was built in place and cannot change any more: "
                "configure blueprint.new(), or use create() instead of build()."
            )

    def _built_inside(self) -> nn.Module:
        """Return a module as a part of what is being constructed around it."""
        return self.create()


def _bound(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Arguments:
    unknown = next((n for n in kwargs if not takes(cls, n)), None)
    if unknown is not None:
        from ...config.path import did_you_mean

        names = names_of(cls)
        raise SettingError(
            "",
            f"{cls.__qualname__} takes no argument {unknown!r}."
            f"{did_you_mean(unknown, names)} "
            f"It takes: {', '.join(names) or 'nothing'}.",
        )
    return {n: kept(value) for n, value in bind(cls, args, kwargs).items()}


def _calls(entries: Sequence[Entry], moment: Moment) -> list[Call]:
    calls = (entry for entry in entries if isinstance(entry, Call))
    return [call for call in calls if call.moment == moment]


def _from_pickle(cls: type[M], data: Mapping[str, Any]) -> "Blueprint[M]":
    return Blueprint.from_dict(data, cls)
