"""Files name classes; what is known decides, and nothing is imported."""

import sys
import threading

import pytest
from torch import nn

from burnish.core import Module, allow_classes, module, register_class
from burnish.core.errors import UnknownClassError
from burnish.core.modules.registry import class_named, names_of


class Plain(nn.Module):
    pass


def node(cls: type[nn.Module]) -> dict[str, str]:
    return {"__module__": cls.__module__, "__name__": cls.__qualname__}


def test_layers_of_torch_are_known_by_both_of_their_places() -> None:
    assert class_named({"__module__": "torch.nn", "__name__": "Linear"}) is nn.Linear
    assert class_named(node(nn.Linear)) is nn.Linear


def test_a_class_of_the_program_is_unknown_until_it_is_registered() -> None:
    class Late(nn.Module):
        pass

    with pytest.raises(UnknownClassError, match=r"Late.*register_class"):
        class_named(node(Late))

    register_class(Late)

    assert class_named(node(Late)) is Late


def test_registering_is_a_decorator_with_or_without_a_name() -> None:
    @register_class
    class Bare(nn.Module):
        pass

    @register_class(name="tests/named")
    class Named(nn.Module):
        pass

    assert class_named(node(Bare)) is Bare
    assert class_named({"__registered__": "tests/named"}) is Named
    assert names_of(Named) == {**node(Named), "__registered__": "tests/named"}


def test_a_name_outlives_moving_and_renaming_the_class() -> None:
    @module(name="tests/moved")
    class After(nn.Module):
        pass

    old = {
        "__module__": "__main__",
        "__name__": "Before",
        "__registered__": "tests/moved",
    }

    assert class_named(old) is After


def test_registering_a_name_again_replaces_the_class() -> None:
    def define() -> type[nn.Module]:
        @module(name="tests/again")
        class Again(nn.Module):
            pass

        return Again

    define()
    second = define()

    assert class_named(node(second)) is second
    assert class_named({"__registered__": "tests/again"}) is second


def test_subclasses_of_known_classes_are_known() -> None:
    class Base(Module):
        pass

    class Middle(Base):
        pass

    class Last(Middle):
        pass

    assert class_named(node(Last)) is Last


def test_classes_are_allowed_inside_a_block_alone() -> None:
    class Allowed(nn.Module):
        pass

    with allow_classes(Plain, Allowed):
        inside = class_named(node(Allowed))

    assert inside is Allowed
    with pytest.raises(UnknownClassError):
        class_named(node(Allowed))


def test_a_block_ends_also_when_it_raises_and_is_of_its_thread() -> None:
    seen: list[str] = []

    def other() -> None:
        try:
            class_named(node(Plain))
        except UnknownClassError as error:
            seen.append(str(error))

    def block() -> None:
        with allow_classes(Plain):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            raise KeyError

    with pytest.raises(KeyError):
        block()

    assert len(seen) == 1
    with pytest.raises(UnknownClassError):
        class_named(node(Plain))


@pytest.mark.parametrize("wrong", [int, "torch.nn.Linear", nn.Linear(1, 1), None])
def test_only_classes_of_modules_can_be_allowed(wrong: object) -> None:
    with pytest.raises(TypeError, match="a module class"), allow_classes(wrong):  # type: ignore[arg-type]  # that is refused
        pass


def test_a_name_is_a_text_that_says_something() -> None:
    with pytest.raises(TypeError, match="must be a non-empty str, got '  '"):
        register_class(Plain, name="  ")


def test_the_refusal_says_what_to_import() -> None:
    name = "a_package_that_is_not_imported"

    with pytest.raises(UnknownClassError, match="first import the module"):
        class_named({"__module__": name, "__name__": "Net"})

    assert name not in sys.modules


def test_the_refusal_says_what_to_do_with_a_script() -> None:
    with pytest.raises(
        UnknownClassError, match=r"a script.*register_class\(NoSuchNet\)"
    ):
        class_named({"__module__": "__main__", "__name__": "NoSuchNet"})


def test_the_refusal_proposes_the_nearest_name() -> None:
    with pytest.raises(UnknownClassError, match="mean 'Conv2d'"):
        class_named({"__module__": "torch.nn", "__name__": "Conv2D"})
