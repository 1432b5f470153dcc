"""Models of transformers are made of their configuration."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from burnish import from_pretrained, module, open_record
from burnish.core.errors import UnknownClassError

from ..small_configs import small_bert_config


def hparams_in(net: Any) -> dict[str, Any]:
    """Return the hyperparameters that a file of ``net`` holds."""
    found: dict[str, Any] = open_record(net.save_record()).metadata["burnish"]
    return dict(found["hparams"])


def test_a_decorated_subclass_of_a_transformers_model_keeps_all_its_arguments() -> None:
    transformers = pytest.importorskip("transformers")
    config = small_bert_config()

    @module
    class Classifier(transformers.BertPreTrainedModel):  # type: ignore[misc, name-defined]  # of a library without types
        def __init__(self, settings: Any, n_classes: int = 2) -> None:
            super().__init__(settings)
            self.bert = transformers.BertModel(settings)
            self.head = nn.Linear(8, n_classes)

    net: Any = Classifier(config, 5)

    built: Any = Classifier.from_record(net.save_record())

    assert built.head.out_features == 5
    assert built.config.hidden_size == 8
    assert "__unstored__" not in hparams_in(net)


def test_arguments_that_are_passed_are_laid_over_those_of_a_transformers_model() -> (
    None
):
    """A configuration that was passed took the place of all stored arguments."""
    transformers = pytest.importorskip("transformers")
    config = small_bert_config()

    @module
    class Widened(transformers.BertPreTrainedModel):  # type: ignore[misc, name-defined]  # of a library without types
        def __init__(self, config: Any, n_classes: int = 2, p: float = 0.1) -> None:
            super().__init__(config)
            self.head = nn.Linear(config.hidden_size, n_classes)
            self.drop = nn.Dropout(p)

    data = Widened(config, 5).save_record()

    for arguments in ({"config": config}, {"p": 0.5}, {"config": config, "p": 0.5}):
        built: Any = Widened.from_record(data, **arguments)
        assert built.head.out_features == 5
        assert built.drop.p == arguments.get("p", 0.1)
    assert Widened.from_record(data, config).head.out_features == 5


def test_a_transformers_model_with_more_arguments_keeps_them_in_a_folder(
    tmp_path: Any,
) -> None:
    transformers = pytest.importorskip("transformers")
    config = small_bert_config()

    @module
    class Headed(transformers.BertPreTrainedModel):  # type: ignore[misc, name-defined]  # of a library without types
        def __init__(self, config: Any, n_classes: int = 2) -> None:
            super().__init__(config)
            self.head = nn.Linear(config.hidden_size, n_classes)

    from burnish import from_pretrained, save_pretrained

    save_pretrained(Headed(config, 5), tmp_path)

    assert from_pretrained(tmp_path, Headed).head.out_features == 5


def test_an_auto_class_is_told_which_class_to_pass(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel(small_bert_config())
    model.save_pretrained(tmp_path)

    with pytest.raises(
        UnknownClassError, match=r"from_pretrained\(folder, BertModel\)"
    ):
        from_pretrained(tmp_path, transformers.AutoModel)
