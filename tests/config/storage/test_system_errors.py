"""What a handler of a signal raises is no error of the system, and is not ignored."""

import errno

import pytest

from burnish.config.storage.system_errors import IgnoredSystemErrors


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EXDEV])
def test_what_the_system_reports_is_ignored(number: int) -> None:
    with IgnoredSystemErrors():
        raise OSError(number, "of the system")


@pytest.mark.parametrize("error", [TimeoutError("limit"), OSError(), ValueError()])
def test_all_else_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)), IgnoredSystemErrors():
        raise error
