"""Functions of torch that call ours first: each is wrapped once, and stays wrapped."""

import functools
from collections.abc import Callable

from ....config.process.process_lock import ProcessLock
from .tensor_functions import Function

_lock = ProcessLock()


def patch_function(
    owner: object, name: str, around: Callable[[Function], Function]
) -> None:
    """Replace ``owner.name`` by ``around(its value)``, unless that was done before.

    Our wrapper calls the previous function, so that patches of other libraries keep
    their effect, whether they come before or after. If removing one of them removes
    ours too, it is restored here.
    """
    # Every build checks this, so that the usual case takes no lock.
    if getattr(getattr(owner, name), _MARK, False):
        return
    with _lock.here:
        # Checked again: another thread may have been first.
        original = getattr(owner, name)
        if not getattr(original, _MARK, False):
            ours = functools.wraps(original)(around(original))
            setattr(ours, _MARK, True)
            setattr(owner, name, ours)


_MARK = "_burnish_asks"
