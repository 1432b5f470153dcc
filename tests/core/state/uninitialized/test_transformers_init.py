from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core.state.uninitialized.uninitialized import build_unfilled

transformers = pytest.importorskip("transformers")
MODEL = transformers.GPT2LMHeadModel
STD = 0.02


def config(n_layer: int = 1) -> Any:
    sizes = {"n_embd": 64, "n_head": 2, "n_positions": 16, "vocab_size": 64}
    tokens = {"bos_token_id": 1, "eos_token_id": 2}
    return transformers.GPT2Config(n_layer=n_layer, **sizes, **tokens)


def gpt2(n_layer: int = 1) -> Any:
    return MODEL(config(n_layer))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("records") / "net.mpk"
    burnish.save_record(gpt2(), file)
    return file


def test_a_build_for_a_whole_record_leaves_the_librarys_initializers_out() -> None:
    model, build = build_unfilled(gpt2, None, is_for_whole=True)

    assert build is not None
    assert build.has_left_out
    assert all(vars(m)["_is_hf_initialized"] for m in model.modules())


def test_any_other_build_notes_them() -> None:
    _, build = build_unfilled(gpt2, None)

    assert build is not None
    assert not build.has_left_out


def test_a_model_from_its_record_is_as_it_was_saved(stored: Path) -> None:
    net = burnish.from_record(gpt2, stored)

    record = burnish.open_record(stored)
    assert all(torch.equal(p, record[name]) for name, p in net.named_parameters())
    assert net.lm_head.weight is net.transformer.wte.weight


def test_what_a_record_lacks_is_initialized_by_the_library(stored: Path) -> None:
    record = burnish.open_record(stored, hyperparameters="ignore")

    net = burnish.from_record(lambda: gpt2(n_layer=2), record, strict=False)

    layer = net.transformer.h[1].attn.c_attn
    assert layer.weight.std().item() == pytest.approx(STD, rel=0.2)
    assert not layer.bias.any()


def test_a_factory_that_reads_values_sees_initialized_ones(stored: Path) -> None:
    stds: list[float] = []

    def factory() -> Any:
        model = gpt2()
        stds.append(model.transformer.wte.weight.std().item())
        return model

    burnish.from_record(factory, stored)

    assert stds[-1] == pytest.approx(STD, rel=0.2)


def test_a_parameter_beside_the_module_is_initialized(stored: Path) -> None:
    kept: list[nn.Parameter] = []

    def factory() -> Any:
        model = gpt2()
        kept.append(model.transformer.wpe.weight)
        model.transformer.wpe = transformers.GPT2Model(config()).wpe
        return model

    burnish.from_record(factory, stored)

    assert kept[-1].std().item() == pytest.approx(STD, rel=0.2)


def test_the_initializers_of_a_users_class_run(stored: Path) -> None:
    class Marked(MODEL):  # type: ignore[misc, valid-type]
        def _init_weights(self, module: nn.Module) -> None:
            super()._init_weights(module)
            self.n_initialized = getattr(self, "n_initialized", 0) + 1

    record = burnish.open_record(stored, hyperparameters="ignore")

    net = burnish.from_record(lambda: Marked(config()), record)

    assert net.n_initialized > 0


def test_a_model_that_is_built_outside_a_load_is_initialized() -> None:
    build_unfilled(gpt2, None, is_for_whole=True)

    assert gpt2().transformer.wte.weight.std().item() == pytest.approx(STD, rel=0.2)
