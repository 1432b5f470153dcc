"""Fields of a schema, found by pattern, moved, changed and dropped."""

from dataclasses import replace

from burnish.config.rewriting import schema_edit
from burnish.config.rewriting import schema_types as t


def schema() -> t.Struct:
    item = t.Struct("Layer", {"width": t.Field("width", t.Primitive("int"))})
    opt = t.Struct("Opt", {"lr": t.Field("lr", t.Primitive("float"))})
    fields = {
        "layers": t.Field("layers", t.List(item)),
        "sizes": t.Field("sizes", t.List(t.Primitive("int"))),
        "opt": t.Field("opt", opt),
    }
    return t.Struct("Config", fields)


def test_a_star_finds_fields_in_the_items_of_a_list() -> None:
    matches = schema_edit.find_fields(schema(), ("layers", "*", "width"))

    assert [(owner.name, name, bound) for owner, name, bound in matches] == [
        ("Layer", "width", ("*",))
    ]


def test_an_item_of_plain_values_is_changed_in_the_type_of_its_list() -> None:
    config = schema()

    schema_edit.change(
        config, ("sizes", "*"), lambda f: replace(f, type=t.Primitive("str"))
    )

    assert config.fields["sizes"].type == t.List(t.Primitive("str"))


def test_a_struct_that_is_emptied_is_dropped_and_another_stays() -> None:
    config = schema()
    [(owner, name, _)] = schema_edit.find_fields(config, ("opt", "lr"))

    schema_edit.move(config, owner, name, ("lr",))
    schema_edit.drop_empty(config, ("opt", "lr"))

    assert list(config.fields) == ["layers", "sizes", "lr"]


def test_a_supplied_field_is_in_every_file() -> None:
    config = schema()

    schema_edit.supply_field(config, ("layers", "*", "depth"))

    [(owner, name, _)] = schema_edit.find_fields(config, ("layers", "*", "depth"))
    assert owner.fields[name].type == schema_edit.SUPPLIED
    assert not owner.fields[name].has_default
