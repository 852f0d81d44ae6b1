"""Train the reference policies that ship in data/reference.

One tiny decoder for each size of the exact world, by maximum likelihood on reviews of
the hidden author. The same command on the same versions writes the same weights.

    python data/make_reference.py
"""

import torch

from workbench.core.seeds import generator
from workbench.feedback.responses import Responses
from workbench.loops import offline
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.worlds import exact
from workbench.worlds.reviews import Reviews

CORPUS = 20_000
STEPS = 1_200


def main() -> None:
    """Train and write one reference for each max_words, and print how close it is."""
    torch.set_num_threads(1)
    for max_words in (2, 3, 4, 5):
        world = Reviews(max_words)
        corpus = Responses.of(world.corpus(CORPUS, generator(0, "corpus")))
        policy = tiny.decoder(world.vocab, seed=0)
        offline.fit(
            policy, None, corpus, sft, sft.Config(),
            steps=STEPS, batch_size=128, lr=3e-3, seed=0, decay=True,
        )  # fmt: skip
        policy.save(tiny.DATA / "reference" / f"{world.name}-{max_words}")
        with torch.no_grad():
            logps = policy.response_logps(world)
        gap = exact.kl(world.author, logps).mean().item()
        gold = exact.expectation(logps, world.gold).mean().item()
        print(f"{world.name}-{max_words}: KL(author||ref) {gap:.4f}, gold {gold:.3f}")


if __name__ == "__main__":
    main()
