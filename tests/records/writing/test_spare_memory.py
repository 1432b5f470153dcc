"""Memory for copies serves again from save to save, and is given back when asked."""

from typing import Any

from burnish.records.writing.spare_memory import SpareMemory


def test_memory_serves_again_where_it_is_large_enough() -> None:
    spare = SpareMemory(1000)
    first = spare.take(500)
    assert first is not None
    assert first.size == 500
    assert first.take(500) is not None
    assert first.take(1) is None
    spare.give_back(first)

    assert spare.take(400) is first
    assert first.take(400) is not None
    spare.give_back(first)
    larger = spare.take(5000)
    assert larger is not None
    assert larger.size == 1000


def test_memory_is_prepared_and_freed() -> None:
    spare = SpareMemory(1000)

    spare.prepare(100)
    memory: Any = spare.take(100)
    assert memory.size == 100
    spare.give_back(memory)
    spare.free()

    assert spare.take(100) is not memory
    spare.prepare(0)
