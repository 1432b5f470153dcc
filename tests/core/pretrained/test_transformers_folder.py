"""Folders of transformers are read, and it reads ours."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.core import (
    from_pretrained,
    get_hparams,
    register_class,
    save_pretrained,
)
from burnish.core.errors import UnknownClassError
from burnish.records import RecordFormatError, RecordMismatchError, open_record

from ..small_configs import small_bert_config


@pytest.fixture
def gpt2() -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2,
        n_embd=32,
        n_head=2,
        vocab_size=60,
        n_positions=16,
        bos_token_id=0,
        eos_token_id=0,
    )
    register_class(transformers.GPT2LMHeadModel)
    return transformers.GPT2LMHeadModel(config).eval()


IDS = torch.arange(5)[None]


@pytest.mark.parametrize("size", ["5GB", "20KB"])
def test_a_folder_of_transformers_is_read(tmp_path: Path, gpt2: Any, size: str) -> None:
    gpt2.save_pretrained(tmp_path, max_shard_size=size)

    for cls in (None, type(gpt2)):
        again: Any = from_pretrained(tmp_path, cls)
        assert torch.equal(again(IDS).logits, gpt2(IDS).logits)
        assert again.lm_head.weight is again.transformer.wte.weight
        assert not again.training


def test_buffers_that_no_file_has_are_of_the_dtype_of_the_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.Swinv2Config(
        image_size=16,
        patch_size=4,
        embed_dim=8,
        depths=[1],
        num_heads=[2],
        window_size=2,
    )
    swin = transformers.Swinv2Model(config).to(torch.bfloat16)
    swin.save_pretrained(tmp_path)
    image = torch.ones(1, 3, 16, 16, dtype=torch.bfloat16)

    theirs = type(swin).from_pretrained(tmp_path)
    ours: Any = from_pretrained(tmp_path, type(swin))
    wide: Any = from_pretrained(tmp_path, type(swin), dtype=torch.float32)

    dtypes = [[b.dtype for b in model.buffers()] for model in (ours, theirs)]
    assert dtypes[0] == dtypes[1]
    assert torch.equal(ours(image).pooler_output, theirs(image).pooler_output)
    assert wide(image.float()).pooler_output.dtype is torch.float32
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("size", ["5GB", "20KB"])
def test_transformers_reads_ours(tmp_path: Path, gpt2: Any, size: str) -> None:
    save_pretrained(gpt2, tmp_path, max_shard_size=size)

    theirs = type(gpt2).from_pretrained(tmp_path)
    ours: Any = from_pretrained(tmp_path)

    assert torch.equal(theirs(IDS).logits, gpt2(IDS).logits)
    assert torch.equal(ours(IDS).logits, gpt2(IDS).logits)


def test_a_head_is_filled_from_a_bare_model_and_back(tmp_path: Path, gpt2: Any) -> None:
    bare = gpt2.transformer
    bare.save_pretrained(tmp_path / "bare")
    gpt2.save_pretrained(tmp_path / "head")

    head = from_pretrained(tmp_path / "bare", type(gpt2))
    back = from_pretrained(tmp_path / "head", type(bare))

    assert torch.equal(head.transformer.wpe.weight, bare.wpe.weight)
    assert torch.equal(back.wpe.weight, bare.wpe.weight)


def test_how_a_model_of_transformers_generates_is_kept_in_its_folder(
    tmp_path: Path, gpt2: Any
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    gpt2.generation_config.max_new_tokens = 7
    gpt2.generation_config.do_sample = True
    gpt2.save_pretrained(theirs)

    read: Any = from_pretrained(theirs, type(gpt2))
    read.generation_config.max_new_tokens += 1
    save_pretrained(read, ours)
    save_pretrained(read, theirs)

    for folder in (ours, theirs):
        for load in (from_pretrained, lambda f, cls: cls.from_pretrained(f)):
            again: Any = load(folder, type(gpt2))
            found = again.generation_config
            assert (found.max_new_tokens, found.do_sample) == (8, True)


def test_a_damaged_file_of_how_to_generate_is_named(tmp_path: Path, gpt2: Any) -> None:
    save_pretrained(gpt2, tmp_path)
    (tmp_path / "generation_config.json").write_text("{")

    with pytest.raises(RecordFormatError, match=r"generation_config\.json: .*no JSON"):
        from_pretrained(tmp_path, type(gpt2))


def test_half_precision_of_transformers_is_kept(tmp_path: Path, gpt2: Any) -> None:
    gpt2.half().save_pretrained(tmp_path)

    assert from_pretrained(tmp_path, type(gpt2)).dtype is torch.float16


def test_a_model_that_is_not_registered_is_named(tmp_path: Path, gpt2: Any) -> None:
    gpt2.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("GPT2LMHead", "GPT9LMHead"))

    with pytest.raises(UnknownClassError, match=r"GPT9LMHeadModel.*register_class"):
        from_pretrained(tmp_path)


def test_a_model_is_its_config(gpt2: Any) -> None:
    hparams = get_hparams(gpt2)

    assert hparams["__name__"] == "GPT2LMHeadModel"
    assert hparams["config"]["n_layer"] == 2
    assert json.loads(json.dumps(hparams)) == hparams


def test_infinity_in_a_config_of_transformers_is_a_number(
    tmp_path: Path, gpt2: Any
) -> None:
    gpt2.config.limits = [0.0, float("inf"), {"least": float("-inf")}]
    gpt2.save_pretrained(tmp_path)

    again: Any = from_pretrained(tmp_path)

    assert again.config.limits == gpt2.config.limits


def test_a_file_with_other_names_says_who_reads_it(tmp_path: Path, gpt2: Any) -> None:
    gpt2.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    open_record(file, rename={"transformer.h": "transformer.layers"}).save(file)

    with pytest.raises(RecordMismatchError) as raised:
        from_pretrained(tmp_path)

    assert "GPT2LMHeadModel.from_pretrained(folder)" in str(raised.value)


def test_a_hand_edit_of_a_transformers_config_is_honoured(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = small_bert_config()
    save_pretrained(transformers.BertModel(config), tmp_path)
    file = tmp_path / "config.json"
    text = file.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"')
    file.write_text(text)

    model: Any = from_pretrained(tmp_path, transformers.BertModel)

    assert model.config.hidden_act == "relu"
