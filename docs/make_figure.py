"""Draw the README's figure: overoptimisation of a learned reward, held against truth.

python docs/make_figure.py
"""

from pathlib import Path

import torch

from workbench import views
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import online, reward
from workbench.measure.exact import Tracker
from workbench.measure.overoptimisation import paths
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.methods.reward.pairwise import bt
from workbench.models import tiny
from workbench.models.heads import ScoreModel
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

CAPTION = (
    "Gold and proxy reward against √KL: the proxy, learned from 300 comparisons of "
    "which a quarter is flipped, rises on every path; the gold reward turns over below "
    "the exact frontier (dashed)."
)


def main() -> None:
    """Train the proxy, optimise it in three ways, draw gold and proxy."""
    torch.set_num_threads(1)
    world = Reviews(max_words=4)
    reference = tiny.reference(world)
    ref = reference.response_logps(world)
    pairs = sample_pairs(world, ref, 300, Annotator(flip=0.25), generator(2, "pairs"))
    model = ScoreModel.tiny(world.vocab, seed=2)
    reward.fit(model, pairs, bt, bt.Config(), steps=200, seed=2)
    proxy = model.score_all(world)
    proxy = proxy - solutions.expectation(ref, proxy)[:, None]
    run = online.fit(
        reference.copies(1), reference, world, online.TableReward(proxy), rloo,
        rloo.Config(beta=0.0), steps=140, every=7, seed=2,
        measures=[Tracker(world, ref, gold=world.gold, proxy=proxy)],
    )  # fmt: skip
    curves = paths(
        ref, proxy, world.gold,
        ns=[2**k for k in range(15)], betas=torch.logspace(1.3, -1.1, 40).tolist(),
        runs={"RLOO": run.metrics},
    )  # fmt: skip
    best = solutions.frontier(
        ref, world.gold, world.gold, torch.logspace(1.3, -1.3, 60)
    )
    figure = views.overoptimisation(curves, exact=best, caption=CAPTION)
    figure.save(Path(__file__).parent / "figure.png")


if __name__ == "__main__":
    main()
