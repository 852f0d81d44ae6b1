"""Rankings drawn from a Plackett–Luce law: every ordered triple of a small world."""

import itertools
from dataclasses import replace

import torch

from tests.methods.enumerated import F64, TREE, random
from tests.methods.listwise import lists_of

TRIPLES = torch.tensor(list(itertools.permutations(range(TREE.n_responses), 3)))


def chance(reward, weight):
    """w(set) · P(order | set) of every triple, the first being the best.

    Args:
        reward: r, one per response; the best is picked with e^r/Σe^r, then the next.
        weight: u, one per response; a set is drawn in proportion to the product of its
            u.
    """
    r = reward[TRIPLES]
    first = r.log_softmax(-1)[:, 0]
    second = r[:, 1:].log_softmax(-1)[:, 0]
    return (first + second).exp() * weight[TRIPLES].prod(-1)


def population_gradient(loss, cfg, at, ref, reward, seed=3):
    """Gradient of Σ chance · L over all 1716 triples in the logits of a tabular policy.

    The best response of a list stands last and the middle one first; scores say so.
    """
    members = TRIPLES[:, [1, 2, 0]]
    logits = at.detach().clone().requires_grad_()
    batch = lists_of(logits.log_softmax(-1), ref, reward, members)
    scores = torch.tensor([0.5, -1.0, 0.7], dtype=F64).expand(len(members), 3)
    each = loss(replace(batch, scores=scores), cfg)
    total = chance(reward, random(seed, TREE.n_responses).exp()) @ each
    return torch.autograd.grad(total, logits)[0]
