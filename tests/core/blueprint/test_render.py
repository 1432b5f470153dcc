from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint, before_build

from .models import Grand, Net


def test_the_text_shows_what_was_given_and_equal_parts_once() -> None:
    blueprint = Blueprint(Net, depth=3).configure("blocks.2.1", nn.Tanh)

    assert str(blueprint).splitlines() == [
        "Net(depth=3)",
        "  (blocks): Sequential",
        "    (0-1): 2 x Sequential",
        "      (0): Linear(in_features=4, out_features=4)",
        "      (1): ReLU()",
        "    (2): Sequential",
        "      (0): Linear(in_features=4, out_features=4)",
        "      (1): Tanh()",
        "  (head): Linear(in_features=4, out_features=2)",
    ]


def test_explain_lists_the_sources_in_the_order_of_who_wins() -> None:
    blueprint = Blueprint(Grand).configure("parent", b=8)
    blueprint.configure("parent.child", b=5)

    sources = blueprint.explain("parent.child.b")

    assert [(s.who, s.value) for s in sources] == [
        ("user", 5),
        ("parent.Parent.__init__", 8),
        ("default", 2),
    ]
    assert sources.value == 5
    assert "-> user" in str(sources)
    assert [s.who for s in blueprint.explain("parent.b")] == [
        "user",
        "Grand.__init__",
        "default",
    ]


def test_explain_of_a_part_tells_who_chose_its_class() -> None:
    blueprint = Blueprint(Net).configure("**.1", nn.GELU, allow_empty=True)

    found = blueprint.explain("blocks.0.1")

    assert [s.value for s in found] == [nn.GELU, nn.ReLU]
    assert found[0].how == "**.1: GELU"


@pytest.mark.parametrize("path", ["nothing", "head.nothing", "head.bias.x"])
def test_explain_of_what_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match=path.split(".")[0]):
        Blueprint(Net).explain(path)


class WithKeywords(nn.Module):
    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(size, kwargs.get("out", 2))


def test_explain_knows_the_arguments_that_keywords_take() -> None:
    blueprint = Blueprint(WithKeywords, 3)

    assert [(s.who, s.value) for s in blueprint.explain("out")] == [("not set", None)]
    blueprint.configure(out=5)

    assert [(s.who, s.value) for s in blueprint.explain("out")] == [("user", 5)]
    assert [s.who for s in blueprint.explain("kwargs")] == ["not set"]
    with pytest.raises(ValueError, match=r"takes no argument 'other'.*only out of"):
        blueprint.explain("other")


def test_the_diagram_draws_what_was_configured_and_by_whom(tmp_path: Any) -> None:
    blueprint = Blueprint(Net).configure("head", bias=False)
    diagram = blueprint.diagram()

    lines = str(diagram).splitlines()
    assert any(
        "head: Linear" in line and "<- user: bias=False" in line for line in lines
    )
    drawn = diagram.svg(tmp_path / "net.svg")
    assert drawn.startswith("<svg")
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == drawn


class Follower(nn.Module):
    """A module that derives sizes, a class and a number of parts of its first part."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(*[nn.Linear(3, 3) for _ in range(depth)])
        last: Any = self.body[-1]
        self.head = nn.Linear(last.out_features, 2)
        self.act = nn.Identity() if last.bias is None else nn.ReLU()
        self.more = nn.ModuleList(nn.Dropout() for _ in range(last.out_features))

    @before_build
    def widen(self) -> None:
        blueprint: Any = self
        blueprint.configure("body.1", out_features=7)


def test_the_text_shows_what_is_derived_as_it_would_be_built() -> None:
    blueprint = Blueprint(Follower)
    every = blueprint["**"]
    more, names = blueprint.more, blueprint["**.more.*"]
    blueprint.configure("body.1", out_features=2, bias=False)
    fresh = Blueprint.from_dict(blueprint.to_dict(), Follower)

    texts = (str(blueprint), str(every), str(more))

    assert texts == (str(fresh), str(fresh["**"]), str(fresh.more))
    assert "(head): Linear(in_features=2, out_features=2)" in texts[0]
    assert "(act): Identity()" in texts[0]
    assert names.list_names() == ["more.0", "more.1"]
    assert str(blueprint.diagram()).count("Dropout") == 2
    assert len(blueprint.new().create().more) == 2


@pytest.mark.parametrize("show", [str, lambda b: b.more[-1].list_names()])
def test_what_is_shown_of_a_stale_blueprint_does_not_depend_on_who_looked_before(
    show: Any,
) -> None:
    looked, unlooked = Blueprint(Follower), Blueprint(Follower)
    for blueprint in (looked, unlooked):
        blueprint.configure("body.1", out_features=5)
    looked.explain("head")

    assert show(unlooked) == show(looked)


def test_the_text_of_what_cannot_be_built_says_so_and_raises_nothing() -> None:
    class Even(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(2, 2)
            if self.body.out_features % 2:
                raise ValueError("odd")

    blueprint = Blueprint(Even).configure("body", out_features=3)

    assert str(blueprint).endswith(
        "(cannot be built: the constructor of "
        f"{Even.__qualname__} raised ValueError: odd. It has raised since body was "
        "configured (out_features=3): configure or replace that part again)"
    )


def test_the_text_names_the_calls_that_wait_for_a_build() -> None:
    blueprint: Any = Blueprint(Follower)
    blueprint.widen()

    assert str(blueprint).splitlines()[-1] == "(before build: widen())"
