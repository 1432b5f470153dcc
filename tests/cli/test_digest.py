"""The sum of a file is that of other programs."""

import hashlib
from pathlib import Path

from burnish.cli.digest import sha256_of


def test_the_sum_is_the_sha_256_of_all_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 100_000)

    expected = hashlib.sha256(b"abc" * 100_000).hexdigest()

    assert sha256_of(str(tmp_path / "file")) == expected
