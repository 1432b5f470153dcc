"""Functions of torch that ask us first: each is wrapped once, and stays wrapped."""

import functools
from collections.abc import Callable

from ....config.process.process_lock import ProcessLock
from .tensor_functions import Function

_lock = ProcessLock()


def patch_function(
    owner: object, name: str, around: Callable[[Function], Function]
) -> None:
    """Let ``around(what stands there)`` stand at ``owner.name``, if ours does not yet.

    What stood there is called by ours, so patches of other libraries keep their effect
    whether they come before or after; one that is taken down may take ours along, and
    then ours is put back here.
    """
    # Every build asks, so that the usual answer takes no lock.
    if getattr(getattr(owner, name), _MARK, False):
        return
    with _lock.here:
        # Asked again: another thread may have been the first.
        original = getattr(owner, name)
        if not getattr(original, _MARK, False):
            ours = functools.wraps(original)(around(original))
            setattr(ours, _MARK, True)
            setattr(owner, name, ours)


_MARK = "_burnish_asks"
