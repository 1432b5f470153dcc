"""The table of docs/scale.md is what its script computes."""

from tools.scale_model import (
    MODELS,
    PAGE,
    Checkpoint,
    first_to_break,
    renewed,
    table,
    table_in,
)


def test_the_page_has_the_table_of_the_script() -> None:
    page = PAGE.read_text()

    assert table_in(page) == table(), "python tools/scale_model.py renews it"
    assert renewed(page) == page


def test_no_upload_has_more_parts_than_the_storage_takes() -> None:
    for n_processes in (1, 8, 1024):
        saved = Checkpoint(MODELS[1], n_processes)

        assert saved.n_requests / n_processes <= 9_001


def test_what_breaks_first_is_what_takes_longest() -> None:
    few, many = (
        Checkpoint(MODELS[0], 8).seconds(),
        Checkpoint(MODELS[1], 1024).seconds(),
    )

    assert first_to_break(few, "CPU", "the disk", "DCP's plan") == "the disk"
    assert first_to_break(many, "CPU", "the disk", "DCP's plan") == "DCP's plan"


def test_the_index_grows_with_tensors_and_files_and_not_with_their_product() -> None:
    few, many = Checkpoint(MODELS[1], 8), Checkpoint(MODELS[1], 1024)

    assert many.index < 100 * MODELS[1].n_tensors + 80 * 1024
    assert many.index < 2 * few.index
