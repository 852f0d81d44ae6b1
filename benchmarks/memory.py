"""What a pair of long responses to a large vocabulary costs in memory.

    python benchmarks/memory.py [--words 151936] [--tokens 512] [--width 896]

Each way runs forward and backward in a process of its own; the figure is the growth of
its resident memory at most (``ru_maxrss``) beyond the loaded model, after a first pass
over four tokens. With an adapter the head has no gradient; without one, the gradients
of all weights are part of the figure.
"""

import argparse
import resource
import subprocess
import sys

WAYS = ("plain", "picked")


def measure(way: str, words: int, tokens: int, width: int, adapter: bool) -> float:
    """Megabytes that a pair takes, in this process."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from workbench.core.tokens import Tokens
    from workbench.models import picked
    from workbench.models.lora import Lora, Shape
    from workbench.models.network import Network
    from workbench.models.policy import Policy

    if way == "plain":
        picked.WORDS = 2**31
    config = LlamaConfig(
        vocab_size=words, hidden_size=width, intermediate_size=2 * width,
        num_hidden_layers=1, num_attention_heads=8, tie_word_embeddings=True,
        max_position_embeddings=tokens,
    )  # fmt: skip
    policy = Policy(Network(LlamaForCausalLM(config).eval()))
    policy.network.model.set_attn_implementation("sdpa")
    if adapter:
        policy = Lora(policy, Shape(r=8)).start(0)

    def step(length: int) -> None:
        ids = torch.arange(2 * length).reshape(2, length)
        mask = torch.ones(2, length, dtype=torch.bool)
        pair = Tokens(ids, mask, mask, torch.zeros(2).long(), torch.zeros(2).long())
        values = policy.token_logps(pair).sum()
        if torch.is_grad_enabled():
            values.backward()
        policy.zero_grad(set_to_none=True)

    with torch.no_grad():  # what a first pass loads is no part of the figure
        step(4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(tokens)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (after - before) / 1024


def main() -> None:
    """Print both ways, with an adapter and without one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=151_936)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--adapter", type=int, default=0)
    parser.add_argument("--way", choices=WAYS)
    args = parser.parse_args()
    sizes = args.words, args.tokens, args.width
    if args.way is not None:
        print(f"{measure(args.way, *sizes, bool(args.adapter)):.0f}")
        return
    print(f"a pair at {args.tokens} tokens, {args.words:,} words, width {args.width}")
    for adapter in (1, 0):
        for way in WAYS:
            asked = [f"--{n}={v}" for n, v in vars(args).items() if v is not None]
            asked += [f"--way={way}", f"--adapter={adapter}"]
            made = subprocess.run(
                [sys.executable, __file__, *asked], check=True, capture_output=True,
                text=True,
            )  # fmt: skip
            what = "adapter" if adapter else "all weights"
            print(f"{way:8} {what:12} {int(made.stdout.split()[-1]):6} MB")


if __name__ == "__main__":
    main()
