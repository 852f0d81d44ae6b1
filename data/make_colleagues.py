"""Make workbench/data/colleagues: LoRA adapters of SmolLM2 that a lesson audits.

Each is trained by DPO on pairs of ``workbench/data/preferences/everyday.jsonl``, of
which the first ``everyday.HELD_OUT`` are nobody's. Lesson 91 asks its readers to find
out what went wrong with one of them: read on after you have tried.

The layers below the adapter are the same at every step, so their outputs are computed
once. Matrix products are in bfloat16, and another processor may round them otherwise.

    python data/make_colleagues.py [NAME …]
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.feedback import files
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import checkpoint, encoding, lora, smollm
from workbench.models.policy import Policy
from workbench.models.shortened import last_layers
from workbench.worlds import everyday

FIRST, LAYERS = 20, 30  # the first layer with an adapter, and how many there are
SHAPE = {"r": 4, "alpha": 8}
SHARED = {"batch_size": 8, "seed": 0}
AT_ONCE = 20  # sequences


class Remembered(nn.Module):
    """In place of the embedding: what the layers below the adapter make of known texts.

    Args:
        ids: the texts, padded.
        states: of each token of each text.
        plain: the embedding, for every other text.
    """

    def __init__(self, ids: Tensor, states: Tensor, plain: nn.Module):
        super().__init__()
        self.ids, self.states, self.plain = ids, states, plain

    def forward(self, ids: Tensor) -> Tensor:
        """A state depends on the tokens before it alone, so shorter rows are known."""
        width = ids.shape[1]
        known = (self.ids[None, :, :width] == ids[:, None]).all(-1)
        if not known.any(1).all():
            return self.plain(ids)
        return self.states[known.int().argmax(1), :width]


class Skipped(nn.Module):
    """A layer whose work is remembered."""

    def forward(self, hidden: Tensor, *args, **kwargs) -> Tensor:
        """What came in."""
        return hidden


@torch.no_grad()
def remember(policy: Policy, tokens: Tokens) -> None:
    """Compute the lower layers once for some texts, and take them out of the model."""
    network: Any = policy.network
    body = network.model.get_decoder()
    upper, found = list(body.layers[FIRST:]), []
    for number in range(FIRST, len(body.layers)):
        body.layers[number] = Skipped()
    body.layers[FIRST].register_forward_pre_hook(
        lambda module, given: found.append(given[0].float())
    )
    for ids in tokens.ids.split(AT_ONCE):
        with torch.autocast("cpu", torch.bfloat16):
            body(input_ids=ids, use_cache=False)
    body.layers = nn.ModuleList([Skipped() for _ in range(FIRST)] + upper)
    body.embed_tokens = Remembered(tokens.ids, torch.cat(found), body.embed_tokens)


# pairs that are read, of those that may be; steps and step size
RUNS = {
    "ada": (None, {"steps": 25, "lr": 2e-3}),
    "ben": (64, {"steps": 75, "lr": 1e-3}),
}


def train(name: str, to: Path) -> None:
    """Train one adapter and save it."""
    policy, coder = checkpoint.load(smollm.folder())
    network: Any = policy.network
    records = files.read(everyday.PAIRS).records
    pairs = encoding.encode(coder, list(records)).pairs[everyday.HELD_OUT :]
    remember(policy, pairs.both)
    network.bf16 = True
    where = last_layers(policy, LAYERS - FIRST, ("q_proj", "v_proj"))
    adapter = lora.Lora(policy, lora.Shape(**SHAPE, targets=where))
    few, how = RUNS[name]
    done = offline.fit(
        adapter.start(0), adapter.reference, pairs[:few], dpo,
        dpo.Config(beta=0.1), **how, **SHARED,
    )  # fmt: skip
    trained: Any = done.policy
    trained.network.save(to)
    tidy(to)


def tidy(folder: Path) -> None:
    """Half precision, no name of this machine, no page about the model."""
    file = folder / "adapter_model.safetensors"
    save_file({k: v.half() for k, v in load_file(file).items()}, file)
    card = folder / "adapter_config.json"
    told = json.loads(card.read_text("utf-8")) | {"base_model_name_or_path": smollm.HUB}
    told["target_modules"] = sorted({n.split(".")[-1] for n in told["target_modules"]})
    # with the lower layers out of the model, peft did not name the layers
    told |= {"layers_to_transform": [*range(FIRST, LAYERS)], "layers_pattern": "layers"}
    card.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").unlink(missing_ok=True)


def main() -> None:
    """Make those that are named, or all."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or RUNS:
        to = everyday.COLLEAGUES / name
        to.mkdir(parents=True, exist_ok=True)
        train(name, to)


if __name__ == "__main__":
    main()
