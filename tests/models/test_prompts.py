"""How long a sequence a model takes, whatever its family calls that."""

from types import SimpleNamespace

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from workbench.models.prompts import positions

SMALL = {
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 12},
    "gpt_neo": {
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "attention_types": [[["global"], 1]],
        "max_position_embeddings": 12,
    },
    "opt": {
        "hidden_size": 16,
        "word_embed_proj_dim": 16,
        "ffn_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 12,
    },
    "roberta": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "is_decoder": True,
        "max_position_embeddings": 14,
    },
    "mpt": {"d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 12},
}


@pytest.mark.parametrize("family", SMALL)
def test_a_model_runs_on_as_many_tokens_as_it_has_positions_and_on_no_more(family):
    config = CONFIG_MAPPING[family](vocab_size=40, **SMALL[family])
    model = AutoModelForCausalLM.from_config(config).eval()
    most = positions(config)
    assert most == 12
    with torch.no_grad():
        model(input_ids=torch.full((1, most), 7), use_cache=False)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, most + 1), 7), use_cache=False)


@pytest.mark.parametrize("family", ["bloom", "mamba", "recurrent_gemma", "xlnet"])
def test_a_family_without_a_limit_has_none(family):
    assert positions(CONFIG_MAPPING[family]()) is None


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"max_position_embeddings": 2048}, 2048),
        ({"n_positions": 12}, 12),
        ({"n_ctx": 9}, 9),
        ({"max_position_embeddings": None, "n_ctx": 9}, 9),
        ({"max_position_embeddings": -1}, None),
        ({"max_position_embeddings": 0}, None),
        ({"max_position_embeddings": "512"}, None),
        ({"max_position_embeddings": True}, None),
        ({}, None),
    ],
)
def test_the_limit_is_the_first_whole_number_that_a_configuration_names(fields, most):
    assert positions(SimpleNamespace(**fields)) == most


def test_the_limit_of_a_model_of_several_parts_is_that_of_its_text():
    config = CONFIG_MAPPING["gemma3"](text_config={"max_position_embeddings": 77})
    assert positions(config) == 77
