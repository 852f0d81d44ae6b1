"""Lists for tests of listwise losses: one written by hand, and those of a small world.

The scores of a list come in no order; a loss must not read the first as the best.
"""

from dataclasses import replace

import torch

from tests.methods.enumerated import F64, TREE, random, token_logps
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import PairLogps

PROMPT, PADDING = -9.0, -4.0  # numbers that a loss must not read

COUNTS = 1 + torch.arange(TREE.n_responses) % 4
COUNTED = (COUNTS / COUNTS.sum()).to(F64).log()  # a reference of rational numbers


def population():
    """One list in which each response stands as often as ``COUNTED`` draws it.

    A list of infinitely many independent draws, exactly.
    """
    return torch.arange(TREE.n_responses).repeat_interleave(COUNTS)[None]


def one_list(policy, ref, scores, proposal=None) -> ListLogps:
    """One list from the token log-probs of its responses, in nats.

    Args:
        policy: a list of token log-probs for each response, of any lengths.
        ref: the same tokens under the reference.
        scores: one per response.
        proposal: one per response; the reference's sum if None.

    A prompt column stands in front and padding behind; both hold other numbers.
    """
    time = 2 + max(len(tokens) for tokens in policy)

    def block(rows, prompt, padding):
        filled = [[prompt, *r, *[padding] * (time - 1 - len(r))] for r in rows]
        return torch.tensor([filled], dtype=F64)

    at = torch.arange(time)
    lengths = torch.tensor([len(tokens) for tokens in policy])
    drawn = [sum(tokens) for tokens in ref] if proposal is None else proposal
    return ListLogps(
        policy=block(policy, PROMPT, PADDING),
        ref=block(ref, PROMPT + 0.5, PADDING + 0.25),
        mask=((at >= 1) & (at <= lengths[:, None]))[None],
        scores=torch.as_tensor(scores, dtype=F64)[None],
        proposal=torch.as_tensor(drawn, dtype=F64)[None],
    )


def with_logratios(logratios, scores, proposal=None) -> ListLogps:
    """One list of three responses of 2, 1 and 3 tokens with these log-ratios d, nats.

    The log-ratio of a response is spread unevenly over its tokens.
    """
    ref = [[-6.0, -4.5], [-5.0], [-3.5, -6.5, -4.0]]
    share = [[0.75, 0.25], [1.0], [0.5, 0.3, 0.2]]
    policy = [
        [base + float(d) * part for base, part in zip(*tokens, strict=True)]
        for d, *tokens in zip(logratios, ref, share, strict=True)
    ]
    return one_list(policy, ref, scores, proposal)


def hand_list(beta: float, alpha: float) -> ListLogps:
    """e^{βd} = (1, 2, 4) and e^{r/α} = (1, 3, 2): q = (1, 2, 4)/7, p = (1, 3, 2)/6."""
    d = torch.tensor([1.0, 2, 4], dtype=F64).log() / beta
    return with_logratios(d, alpha * torch.tensor([1.0, 3, 2], dtype=F64).log())


def single_tokens(logratio, scores, ref=-20.0, proposal=None) -> ListLogps:
    """Lists of one-token responses with these log-ratios; gradients flow into them.

    Args:
        logratio: [batch, group], nats.
        scores: [batch, group].
        ref: log-prob of every response under the reference.
        proposal: [batch, group]; the reference's if None.
    """
    base = torch.full_like(logratio.detach(), ref)
    drawn = base if proposal is None else proposal
    mask = torch.ones_like(base, dtype=torch.bool)[..., None]
    return ListLogps((base + logratio)[..., None], base[..., None], mask, scores, drawn)


def lists_of(policy, ref, rewards, members, proposal=None, tree=TREE) -> ListLogps:
    """Lists of responses of a tree, from distributions over all of them.

    Args:
        policy: log π, one per response; gradients flow into it.
        ref: log π_ref.
        rewards: one per response.
        members: [batch, group], which responses are in each list.
        proposal: log q′, one per response; the reference if None.
        tree: the prefix tree of the responses.
    """
    tokens, mask = token_logps(tree, policy)
    ref_tokens, _ = token_logps(tree, ref)
    drawn = ref if proposal is None else proposal
    return ListLogps(
        tokens[members],
        ref_tokens[members],
        mask[members],
        rewards[members],
        drawn.detach()[members],
    )


def some_members(seed: int, batch=20, group=3, n=TREE.n_responses):
    """Lists of different responses, drawn without replacement."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(n, generator=generator)[:group] for _ in range(batch)]
    return torch.stack(drawn)


def every_pair_as_list(n=TREE.n_responses):
    """All ordered pairs, also of a response with itself: two independent draws."""
    return torch.cartesian_prod(torch.arange(n), torch.arange(n))


def as_pairs(batch: ListLogps, first=0, second=1) -> PairLogps:
    """Two places of each list as a pair: ``first`` is chosen, ``second`` rejected."""
    return PairLogps(
        batch.policy[:, first],
        batch.policy[:, second],
        batch.ref[:, first],
        batch.ref[:, second],
        batch.mask[:, first],
        batch.mask[:, second],
    )


def shifted(batch: ListLogps, by: float) -> ListLogps:
    """The same lists with ``by`` added to log π of every response, on its first token.

    No policy does this to all responses; a loss of differences does not see it.
    """
    first = batch.mask & (batch.mask.cumsum(-1) == 1)
    return replace(batch, policy=batch.policy + by * first)


def pulls(loss, batch: ListLogps, cfg):
    """−dL/d log π of every token."""
    policy = batch.policy.detach().requires_grad_()
    value = loss(replace(batch, policy=policy), cfg).sum()
    return -torch.autograd.grad(value, policy)[0]


def constant_gradient(loss, batch: ListLogps, cfg) -> float:
    """The largest gradient into reference, scores and proposal: 0 for a right loss."""
    names = ("ref", "scores", "proposal")
    leaves = {n: getattr(batch, n).detach().requires_grad_() for n in names}
    moved = replace(batch, policy=batch.policy.detach().requires_grad_(), **leaves)
    value = loss(moved, cfg).sum()
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return max(0.0 if g is None else g.abs().max().item() for g in found)


def logit_gradients(loss, cfg, at, ref, rewards, members, proposal=None):
    """Gradient of each list's loss in the logits of a tabular policy, [list, logit]."""

    def values(logits):
        policy = logits.log_softmax(-1)
        return loss(lists_of(policy, ref, rewards, members, proposal), cfg)

    logits = at.detach().clone().requires_grad_()
    rows = values(logits)
    seed = torch.eye(len(rows), dtype=F64)
    (found,) = torch.autograd.grad(rows, logits, seed, is_grads_batched=True)
    return found


def off(log_probs, seed=99, scale=1.0):
    """Another distribution nearby, to show that a fixed point is not just anywhere."""
    return (log_probs + scale * random(seed, *log_probs.shape)).log_softmax(-1)
