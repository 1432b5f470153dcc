"""Configurations of small models of other libraries."""

from typing import Any

import pytest


def small_bert_config() -> Any:
    """Return the configuration of a BERT of one layer; skip without transformers."""
    transformers = pytest.importorskip("transformers")
    return transformers.BertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=10,
    )
