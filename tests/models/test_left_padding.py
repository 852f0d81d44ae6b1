"""Prompts of different lengths are padded on the left: nothing may notice."""

import pytest
import torch
from torch.testing import assert_close
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from workbench.core.seeds import generator
from workbench.models.network import Network
from workbench.models.policy import Policy
from workbench.models.sampling import sample

SMALL = {
    # absolute positions, from a table; OPT counts them from the attention mask
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 12},
    "opt": {
        "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 12,
    },
    # rotary positions: only distances count, but padding must not be seen
    "llama": {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("family", SMALL)
def test_a_padded_prompt_is_continued_as_if_it_stood_alone(family):
    """At every step the logits are those of the same tokens without padding."""
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = CONFIG_MAPPING[family](vocab_size=20, **special, **SMALL[family])
    model = AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    policy, seen = Policy(Network(model)), []
    ids = torch.tensor([[0, 0, 0, 5, 6], [7, 8, 9, 10, 11]])

    def spy(logits, written):
        seen.append((logits.clone(), written.clone()))
        return logits

    sample(policy, ids, 4, generator(0), attention=ids > 0, adjust=spy)
    assert len(seen) >= 2
    for logits, written in seen:
        for row, padding in ((0, 3), (1, 0)):
            with torch.no_grad():
                alone = policy.logits(written[row : row + 1, padding:])[0, -1]
            if 1 not in written[row]:  # not ended yet
                assert_close(logits[row], alone, atol=1e-4, rtol=1e-4)
