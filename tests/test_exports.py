"""What the package exports is sorted, complete, documented and lazy."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = [
    "burnish",
    "burnish.config",
    "burnish.records",
    "burnish.core",
    "burnish.core.blueprint",
    "burnish.config.schema",
    "burnish.optim",
    "burnish.optim.schedulers",
    "burnish.train",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_sorted_and_every_name_is_there(name: str) -> None:
    package = importlib.import_module(name)

    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for exported in package.__all__:
        assert getattr(package, exported) is not None, exported


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_class_and_function_is_documented(name: str) -> None:
    package = importlib.import_module(name)

    for exported in package.__all__:
        value = getattr(package, exported)
        if callable(value) and getattr(value, "__module__", "").startswith("burnish"):
            assert value.__doc__, f"{name}.{exported}"


def test_importing_burnish_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import burnish; "
        "print(sorted(set(sys.modules) - before))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "['burnish']", done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    package = importlib.import_module("burnish")

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("save", "burnish.save_record"),
        ("unfreeze", "burnish.thaw"),
        ("HyperState", "burnish.train.HyperState"),
        ("AdamW", "burnish.optim.AdamW"),
    ],
)
def test_names_that_are_elsewhere_are_told(name: str, home: str) -> None:
    with pytest.raises(AttributeError, match=home):
        getattr(importlib.import_module("burnish"), name)


def test_the_public_surface_is_the_one_that_was_written_down() -> None:
    from tools.public_surface import FILE, surface

    assert surface() == FILE.read_text(), "python tools/public_surface.py renews it"
