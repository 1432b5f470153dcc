# pyright: reportPrivateUsage=false
# Torch makes subclasses by a private function, and ours have private parts.
"""Building without initialization: the unfilled tensors of one build."""

from collections.abc import Iterable
from typing import Any, ClassVar
from weakref import ref

import torch
from torch import Tensor, nn

from ....records.tensors.dtypes import can_require_grad
from ....records.tensors.memory import is_dense
from ....records.tensors.torch_internals import (
    make_subclass,
    n_tensors_on,
)
from .layer_copies import Call, LayerCopies
from .streams import Streams
from .tape import (
    BLANK_TENSOR,
    Step,
    Tape,
    is_ordinary,
    run,
    stands_alone,
)
from .tensor_functions import Function, succeeds
from .unfilled import Unfilled, UnfilledParameter, UnfilledView


class UnfilledBuild:
    """The unfilled tensors that one build has created."""

    n_temporary: ClassVar[int] = 0
    """The reference count of data that only its parameter will hold."""

    def __init__(self, *, is_for_whole: bool = False) -> None:
        """With ``is_for_whole``, a record is expected to supply every tensor."""
        self.is_over = self._is_finished = False
        self.has_left_out = False
        """Whether skipped initializers are needed unless every tensor is supplied."""
        self._may_leave_out, self._has_shown_values = is_for_whole, False
        self.waiting: list[Tape] = []
        """Tapes with at least one recorded call."""
        self.n_noted = 0
        self.layers = LayerCopies()
        self._tapes: list[Tape] = []
        self._drawn: list[Tape] = []
        self._owners: dict[int, Tape] = {}
        self._blanks: dict[torch.Size, Tensor] = {}
        self._start = self._streams = Streams()
        self._seed = torch.default_generator.initial_seed()
        self._aside: Tensor | None = None
        self._skips_draws = False
        self._has_foreign_draws = False

    def parameter(
        self, data: Tensor, requires_grad: bool, n_references: int
    ) -> nn.Parameter | None:
        """Return ``data`` as a parameter that records its initializers.

        None if other code uses its memory, or may. If other code holds the tensor
        ``data`` itself, it becomes a view of the parameter.
        """
        if not is_ordinary(data) or not stands_alone(data, 1):
            return None
        if requires_grad and not can_require_grad(data):
            return None
        tape = self._new_tape(data)
        # Code that holds `data` reads it without asking the parameter, so it becomes an
        # unfilled view; the tape keeps the memory in a tensor that no other code has.
        if n_references > self.n_temporary:
            tape.body = data.detach()
            self._cover(data, tape, UnfilledView)
        return self._shell(tape, tape.body, requires_grad)

    def parameter_like(
        self, form: Tensor, requires_grad: bool, calls: Iterable[Call]
    ) -> nn.Parameter:
        """Return a new parameter of the shape and dtype of ``form``, with its calls."""
        # A form of one element has unusual strides, which empty_like would keep.
        body = torch.empty_like(form, memory_format=torch.contiguous_format)
        tape = self._new_tape(body)
        for function, args, kwargs in calls:
            tape.note(function, body, args, kwargs)
        return self._shell(tape, body, requires_grad)

    def alias(self, data: object, requires_grad: bool) -> nn.Parameter | None:
        """Return an unfilled tensor as a further parameter on its memory and tape."""
        if not isinstance(data, Unfilled):
            return None
        body, tape = data._body, data._tape
        if requires_grad and not can_require_grad(body):
            tape.close()
            return None
        return self._shell(tape, body, requires_grad)

    def defer_draw(self, body: Tensor, function: Function) -> Tensor | None:
        """Return ``body`` as a tensor that waits for the draw of ``function``."""
        if not is_ordinary(body) or not succeeds(function, body, (), {}):
            return None
        tape = self._new_tape(body)
        self._drawn.append(tape)
        tape.note(function, body, (), {})
        return self.view(body, tape)

    def adopt(self, parameter: object, data: object) -> Any:
        """Let a parameter created by another library's patch record initializers."""
        # A patch may return a class of its own, whose behaviour must not be changed.
        if type(parameter) is not nn.Parameter:
            return parameter
        body = parameter.detach()
        is_alias = type(data) is Tensor and data.data_ptr() == body.data_ptr()
        if not is_ordinary(body) or not stands_alone(body, 2 + is_alias):
            return parameter
        tape = self._new_tape(body)
        self._cover(parameter, tape, UnfilledParameter)
        if is_alias:
            self._cover(data, tape, UnfilledView)
        return parameter

    def view(self, body: Tensor, tape: Tape) -> Tensor:
        """Return ``body``, in the memory of another tensor, as a tensor on its tape."""
        shell: UnfilledView = make_subclass(UnfilledView, self._blank(body), False)
        shell._body, shell._tape = body, tape
        tape.shells.append(shell)
        return shell

    def set_aside(self) -> None:
        """Move torch's generator to a state of no seed, until recorded draws are made.

        Where draws wait too, a seed that leads back to the start would go unnoticed.
        """
        self._aside = torch.default_generator.get_state()
        # A number of draws that a constructor is unlikely to make itself.
        torch.rand(7919)
        self._streams = Streams()

    def skip_draw(self) -> None:
        """Record that an initializer with random draws is not running now."""
        self._skips_draws = True
        if torch.default_generator.initial_seed() != self._seed:
            self._has_foreign_draws = True

    def leave_out(self) -> bool:
        """Record that initializers are skipped; return False if they must not be."""
        if self.is_over or not self._may_leave_out:
            return False
        self.has_left_out = True
        self.skip_draw()
        return True

    def show_values(self) -> None:
        """Record that values are needed now, without those that were skipped."""
        self._has_shown_values = self._has_shown_values or self.has_left_out

    def look_at_streams(self) -> None:
        """Detect draws and seeds from elsewhere than initializers."""
        if self._streams.have_moved():
            self._has_foreign_draws = True

    def look_at_return(self) -> None:
        """Record that a generator is about to be restored to an earlier state.

        Calls recorded meanwhile would have been undone; draws that wait do not show.
        """
        self.look_at_streams()
        if self._aside is not None:
            self._has_foreign_draws = True

    @property
    def is_out_of_step(self) -> bool:
        """Whether code has noticed that initializers did not run.

        It sees random numbers that they would have advanced, or values they would have
        set.
        """
        saw_draws = self._has_foreign_draws and self._skips_draws
        return saw_draws or self._has_shown_values

    def rewind(self) -> None:
        """Restore all generators to their states at the beginning of the build."""
        self._start.restore()

    def play(self) -> None:
        """Make all recorded calls, so that each draws its own numbers."""
        self.look_at_streams()
        tapes, self.waiting = self.waiting, []
        steps = [step for tape in tapes for step in tape.steps]
        for tape in tapes:
            tape.steps = []
        # Every draw gets the numbers that it would have got without a tape.
        steps.sort(key=_turn)
        outside, generator = self._aside, torch.default_generator
        elsewhere = generator.get_state()
        if outside is not None:
            generator.set_state(outside)
        run(steps)
        if outside is not None:
            self._aside = generator.get_state()
            generator.set_state(elsewhere)
        self._streams = Streams()

    def finish(self) -> None:
        """Turn all into plain parameters and tensors; values may still be missing.

        A second call does nothing.
        """
        if self._is_finished:
            return
        # From here on parameters are plain, also in tasks that outlive the build.
        self.is_over = True
        self.look_at_streams()
        if self._aside is not None:
            torch.default_generator.set_state(self._aside)
        owners = self._owners
        pending_draws = [
            (tape, _parameters(tape)) for tape in self._drawn if tape.steps
        ]
        for tape in self._tapes:
            for shell in tape.shells:
                owners[id(shell)] = tape
            tape.uncover()
        for tape, parameters in pending_draws:
            self._look_at_holders(tape, sum(ref() is not None for ref in parameters))
        self._tapes.clear()
        self.layers.clear()
        self._blanks.clear()
        self._is_finished = True

    def _look_at_holders(self, tape: Tape, n_parameters: int) -> None:
        """Record random draws that are not for a parameter, and whose order matters."""
        if n_tensors_on(tape.body) > n_parameters + tape.n_bodies():
            self._has_foreign_draws = True

    def supply(self, tensors: list[Tensor]) -> bool:
        """Drop the recorded calls for the memory of ``tensors``, since values come.

        Return whether only ``tensors`` use it, so that the memory may be given up.
        """
        tape = self._owners.pop(id(tensors[0]), None)
        if tape is None:
            return False
        n_bodies = tape.n_bodies() if tape.has_views else 1
        if n_tensors_on(tensors[0]) == len(tensors) + n_bodies:
            tape.steps = []
            del tape.body
            return True
        # If the values do not cover all of the memory, other tensors may show the
        # remainder, which must hold what the initializers write.
        n_bytes = tensors[0].untyped_storage().nbytes()
        if tensors[0].nbytes == n_bytes and is_dense(tensors[0]):
            tape.steps = []
        else:
            tape.play_alone()
        return False

    def fill(self) -> bool:
        """Make the calls for all memory that tensors still use.

        A parameter in a plain list is not among any module's parameters, and yet is
        read. Return whether there was any.
        """
        tapes, self.waiting = self.waiting, []
        self._owners.clear()
        has_played = False
        for tape in tapes:
            if not tape.steps:
                continue
            if n_tensors_on(tape.body) > tape.n_bodies():
                has_played = True
                tape.play_alone()
            tape.steps = []
        return has_played

    def _new_tape(self, body: Tensor) -> Tape:
        tape = Tape(self, body)
        self._tapes.append(tape)
        return tape

    def _shell(self, tape: Tape, body: Tensor, requires_grad: bool) -> nn.Parameter:
        shell: UnfilledParameter = make_subclass(
            UnfilledParameter, self._blank(body), requires_grad
        )
        shell._body, shell._tape = body, tape
        tape.shells.append(shell)
        return shell

    def _cover(self, shell: Any, tape: Tape, kind: type[Tensor]) -> None:
        """Turn a tensor that uses the memory of ``tape`` into an unfilled tensor."""
        # The data is set first, since an unfilled tensor would close its tape.
        shell.data = self._blank(tape.body)
        shell.__class__ = kind
        shell._body, shell._tape = tape.body, tape
        tape.shells.append(shell)

    def _blank(self, body: Tensor) -> Tensor:
        shape = body.shape
        # Blanks have memory for one element only, and layers share their shapes.
        blank = self._blanks.get(shape)
        if blank is None:
            blank = self._blanks[shape] = BLANK_TENSOR.expand(shape)
        return blank


def _parameters(tape: Tape) -> list[ref[Unfilled]]:
    shells = (shell for shell in tape.shells if isinstance(shell, Unfilled))
    return [ref(shell) for shell in shells if isinstance(shell, nn.Parameter)]


def _turn(step: Step) -> int:
    return step[0]
