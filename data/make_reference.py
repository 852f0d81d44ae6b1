"""Train the reference policies that ship in workbench/data/reference.

One tiny decoder for each size of the exact world and one for stories, by maximum
likelihood on texts of the hidden author. The same command on the same versions writes
the same weights.

    python data/make_reference.py
"""

import torch

from workbench.core.seeds import generator
from workbench.feedback.kinds.responses import Responses
from workbench.loops import offline
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews
from workbench.worlds.stories import Stories

CORPUS = 20_000
STEPS = 1_200


def learn(world, steps: int, batch_size: int):
    """A tiny decoder of the world's corpus, written to workbench/data/reference."""
    corpus = Responses.of(world.corpus(CORPUS, generator(0, "corpus")))
    policy = tiny.decoder(world.vocab, seed=0)
    offline.fit(
        policy, None, corpus, sft, sft.Config(),
        steps=steps, batch_size=batch_size, lr=3e-3, seed=0, decay=True,
    )  # fmt: skip
    policy.save(tiny.REFERENCES / f"{world.name}-{world.max_words}")
    return policy


def main() -> None:
    """Train and write every reference, and print how good it is."""
    torch.set_num_threads(1)
    stories = Stories()
    policy = learn(stories, 900, 64)
    asked = torch.arange(960) % stories.n_prompts
    written = policy.sample(stories, asked, generator(0, "look"))
    gold = stories.gold_reward(written).mean().item()
    print(f"{stories.name}-{stories.max_words}: gold {gold:.3f}")
    for max_words in (2, 3, 4, 5):
        world = Reviews(max_words)
        policy = learn(world, STEPS, 128)
        with torch.no_grad():
            logps = policy.response_logps(world)
        gap = solutions.kl(world.author, logps).mean().item()
        gold = solutions.expectation(logps, world.gold).mean().item()
        print(f"{world.name}-{max_words}: KL(author||ref) {gap:.4f}, gold {gold:.3f}")


if __name__ == "__main__":
    main()
