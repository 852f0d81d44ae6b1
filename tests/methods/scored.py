"""Scored responses for tests: four written by hand, and all of a small world."""

import torch

from tests.methods.enumerated import F64, TREE, token_logps
from workbench.feedback.kinds.scored import ScoredLogps

PROMPT, PADDING = -9.0, -4.0  # numbers that a loss must not read

POLICY = [[0.5, 0.3], [0.05], [0.9], [0.6, 0.5, 0.5]]
REF = [[0.25, 0.4], [0.5], [0.3], [0.5, 0.5, 0.5]]


def hand(scores=(2.0, 1.0, -0.5, 3.0), baseline=(0.5, 0.6, 0.5, 1.0)) -> ScoredLogps:
    """Four responses with the token probabilities of ``POLICY`` and ``REF``.

    Ratios π/π_ref: 2 · 3/4 = 3/2, 1/10, 3 and 6/5. Advantages: 1.5, 0.4, 0 (dropped,
    r − V = −1) and 2. A prompt column stands in front and padding behind.
    """
    time = 5

    def rows(probabilities, lead):
        table = torch.full((4, time), PADDING, dtype=F64)
        table[:, 0] = lead
        for row, tokens in zip(table, probabilities, strict=True):
            row[1 : 1 + len(tokens)] = torch.tensor(tokens, dtype=F64).log()
        return table

    lengths = torch.tensor([len(tokens) for tokens in POLICY])[:, None]
    at = torch.arange(time)[None]
    return ScoredLogps(
        policy=rows(POLICY, PROMPT),
        ref=rows(REF, PROMPT / 2),
        mask=(at >= 1) & (at <= lengths),
        scores=torch.tensor(scores, dtype=F64),
        baseline=torch.tensor(baseline, dtype=F64),
    )


def per_token(rows) -> torch.Tensor:
    """Numbers of the tokens of ``hand()``, 0 at the prompt and the padding."""
    table = torch.zeros(4, 5, dtype=F64)
    for row, tokens in zip(table, rows, strict=True):
        row[1 : 1 + len(tokens)] = torch.tensor(tokens, dtype=F64)
    return table


def pulls(loss, batch: ScoredLogps, cfg) -> torch.Tensor:
    """−dL/d log π of every token."""
    policy = batch.policy.detach().requires_grad_()
    moved = ScoredLogps(policy, batch.ref, batch.mask, batch.scores, batch.baseline)
    return -torch.autograd.grad(loss(moved, cfg).sum(), policy)[0]


def constants_gradient(loss, batch: ScoredLogps, cfg, names) -> float:
    """The largest gradient that flows into what must be constant."""
    values = {n: v.detach() for n, v in vars(batch).items()}
    leaves = {n: values[n].requires_grad_() for n in ("policy", *names)}
    total = loss(ScoredLogps(**values), cfg).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)[1:]
    return max(0.0 if g is None else g.abs().max().item() for g in found)


def every_response(policy, ref, scores, baseline=None, tree=TREE) -> ScoredLogps:
    """Every response of a tree, from two distributions over the responses."""
    tokens, mask = token_logps(tree, policy)
    ref_tokens, _ = token_logps(tree, ref)
    baseline = torch.zeros_like(scores) if baseline is None else baseline
    return ScoredLogps(tokens, ref_tokens, mask, scores, baseline)


def population_gradient(loss, cfg, at, mu, ref, scores, baseline=None, tree=TREE):
    """Gradient of E_μ[L] in the logits of a tabular policy.

    Args:
        loss: of scored responses and a config, one value per response.
        cfg: its config.
        at: logits of the policy, one per response.
        mu: log-probs of the distribution that the data come from.
        ref: log π_ref.
        scores: reward of every response.
        baseline: V, the same for all; 0 if None.
        tree: the prefix tree of the responses.
    """
    logits = at.clone().requires_grad_()
    batch = every_response(logits.log_softmax(-1), ref, scores, baseline, tree)
    return torch.autograd.grad(mu.exp() @ loss(batch, cfg), logits)[0]


def clipped_tilt(ref, value, clip):
    """π with π/π_ref = (1 ∓ ε) v/C where v lies below or above C, along the last axis.

    Σ π falls in C, which is found by bisection; the response at v = C takes what is
    left. Values are positive.
    """

    def tilt(level):
        return ref.exp() * (1 + clip * (value - level).sign()) * value / level

    low, high = (0 * value[..., :1] + 1e-9, 2 * value.amax(-1, keepdim=True))
    for _ in range(100):
        middle = (low + high) / 2
        heavy = tilt(middle).sum(-1, keepdim=True) > 1
        low, high = torch.where(heavy, middle, low), torch.where(heavy, high, middle)
    probs, at_edge = tilt(high), (value - high).abs() < 1e-9
    others = torch.where(at_edge, 0.0, probs).sum(-1, keepdim=True)
    return torch.where(at_edge, 1 - others, probs).log()
