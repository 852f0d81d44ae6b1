"""Likelihood displacement: the chosen response loses probability while the loss falls.

A pair pushes log π(y_c) up and log π(y_r) down, through parameters that the two share.
What the first gradient step on ONE pair does to y_c has the sign of

    ⟨∇log π(y_c), ∇log π(y_c) − ∇log π(y_r)⟩,

which is positive for every table (own logits for each response or each prefix), so it
takes shared parameters to displace a single pair. CHES (Razin et al. 2024, 2410.08847)
is a cheap substitute computed from hidden states alone; HIGH scores predict
displacement.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.memory import rows_at_once
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs
from workbench.measure.exact import response_logps
from workbench.measure.pair_values import logratios, pair_values
from workbench.models.policy import Policy


def change(
    policy, pairs: Pairs, before: tuple[Tensor, Tensor], *, shared: bool = False
):
    """How log π of both responses of each pair has changed.

    Args:
        policy: a policy, or a stack of them.
        pairs: for a stack, the pairs of each member lie side by side (member-major).
        before: ``pairs.reference_logps(policy_before)``, one policy.
        shared: every member of a stack is read on all the pairs.

    Returns:
        DataFrame[seed, pair, chosen, rejected, margin], one row per pair, in nats
        per response; chosen < 0 is displacement.
    """
    import pandas as pd

    _, gaps = pair_values(policy, pairs, before, logratios, shared=shared)
    chosen, rejected = gaps
    members, n = chosen.shape
    return pd.DataFrame(
        {
            "seed": torch.arange(members).repeat_interleave(n).tolist(),
            "pair": torch.arange(n).repeat(members).tolist(),
            "chosen": chosen.flatten().tolist(),
            "rejected": rejected.flatten().tolist(),
            "margin": (chosen - rejected).flatten().tolist(),
        }
    )


def gains(policy, world, before: Float[Tensor, "prompt response"], most: int = 5):
    """Where the mass went: the responses whose probability grew most.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
        before: log π of every response before training.
        most: rows per seed and prompt.

    Returns:
        DataFrame[seed, prompt, response, text, gain, before, after, gold], largest
        gain first; probabilities and reward units.
    """
    import pandas as pd

    was, rows = before.detach().double().exp(), []
    for seed, now in enumerate(response_logps(policy, world).exp()):
        top = (now - was).topk(most, dim=-1)
        for prompt in range(world.n_prompts):
            best = top.values[prompt].tolist(), top.indices[prompt].tolist()
            for gain, y in zip(*best, strict=True):
                shares = was[prompt, y].item(), now[prompt, y].item()
                row = (seed, world.prompts[prompt], y, world.text(y), gain, *shares)
                rows.append((*row, world.gold[prompt, y].item()))
    names = ["seed", "prompt", "response", "text", "gain", "before", "after", "gold"]
    return pd.DataFrame(rows, columns=names)


def reading_mask(tokens: Tokens) -> Bool[Tensor, "batch time"]:
    """Positions whose hidden state predicts a response token.

    They run from the last prompt token to the last but one response token of EACH row.
    """
    return torch.nn.functional.pad(tokens.mask[:, 1:], (0, 1))


@torch.no_grad()
def hidden_sums(policy: Policy, tokens: Tokens) -> Float[Tensor, "batch hidden"]:
    """Σ_k h(x, y_<k) of each response: what the unembedding reads, added up, float64.

    Args:
        policy: one transformer, no stack.
        tokens: the responses.

    Raises:
        ValueError: a stack; read its members one by one, ``policy.member(k)``.
    """
    if policy.members > 1:
        raise ValueError("one policy at a time: policy.member(k)")
    model, device = policy.network.model, policy.ban.device
    size = rows_at_once(policy, tokens.ids.shape[1])
    parts = []
    for rows in torch.arange(len(tokens)).split(min(256, size)):
        ids = tokens.ids[rows].to(device)
        states = model(input_ids=ids, use_cache=False, output_hidden_states=True)
        last = states.hidden_states[-1].double().cpu()
        kept = reading_mask(tokens[rows])[..., None]
        parts.append(torch.where(kept, last, 0.0).sum(1))
    return torch.cat(parts)


def ches(policy: Policy, pairs: Pairs):
    """Centered hidden embedding similarity of each pair.

    CHES = ⟨Σ_k h(y_c,<k), Σ_k h(y_r,<k)⟩ − ‖Σ_k h(y_c,<k)‖². It is not symmetric: with
    chosen and rejected swapped it is another number. Each response has its own mask:
    dropping the last COLUMN of a padded batch (as the published code does) drops the
    last token of the longest response only.

    Args:
        policy: one transformer, no stack; the one before training.
        pairs: the pairs.

    Returns:
        DataFrame[pair, ches, ches_mean]; ches_mean divides each sum by its number of
        tokens first.
    """
    import pandas as pd

    chosen, rejected = (hidden_sums(policy, t) for t in (pairs.chosen, pairs.rejected))
    means = [
        total / tokens.lengths.clamp(min=1)[:, None]
        for total, tokens in ((chosen, pairs.chosen), (rejected, pairs.rejected))
    ]

    def score(first: Tensor, second: Tensor) -> list[float]:
        return (first * (second - first)).sum(-1).tolist()

    table = {"ches": score(chosen, rejected), "ches_mean": score(*means)}
    return pd.DataFrame({"pair": range(len(pairs)), **table})


def _gradients(policy, tokens: Tokens) -> Float[Tensor, "batch parameter"]:
    """∇log π(y) of each response with respect to all trainable parameters, float64."""
    parameters = [p for p in policy.parameters() if p.requires_grad]
    rows = []
    for row in range(len(tokens)):
        one = tokens[row : row + 1]
        total = torch.where(one.mask, policy.token_logps(one), 0.0).sum()
        parts = torch.autograd.grad(total, parameters, allow_unused=True)
        flat = [
            torch.zeros(p.numel()) if g is None else g.detach().cpu().flatten()
            for p, g in zip(parameters, parts, strict=True)
        ]
        rows.append(torch.cat([g.double() for g in flat]))
    return torch.stack(rows)


def influence(
    policy, pairs: Pairs
) -> tuple[Float[Tensor, "pair trained"], Float[Tensor, "pair trained"]]:
    """What a gradient step on one pair does to every pair, to first order.

    Entry [i, j] of the first table is ⟨∇log π(y_c of i), ∇log π(y_c of j) − ∇log π(y_r
    of j)⟩, of the second the same with y_r of i. A step θ ← θ − η∇L on pair j, whose
    loss is ℓ(D), changes log π(y_c of i) by −η ℓ′(D) times it; −ℓ′ is the ``weight`` of
    the method, β σ(−βD) for DPO. Adam takes other steps: there only signs carry over.

    Args:
        policy: one policy with trainable parameters; memory is 3 × pairs × parameters
            float64 numbers, so a few dozen pairs of a small decoder.
        pairs: the pairs.
    """
    if policy.members > 1:
        raise ValueError("one policy at a time: policy.member(k)")
    chosen = _gradients(policy, pairs.chosen)
    rejected = _gradients(policy, pairs.rejected)
    push = (chosen - rejected).T
    return chosen @ push, rejected @ push


def first_order(policy, pairs: Pairs):
    """What one gradient step does to the two responses of each pair.

    Args: those of ``influence``.

    Returns:
        DataFrame[pair, chosen, rejected, chosen_batch, rejected_batch], nats for each
        unit of step size times −ℓ′(D): a step on this pair alone (the diagonal of
        ``influence``) and on the mean over all pairs with equal −ℓ′(D), as at D = 0
        (the mean of its row). Negative chosen: the first step displaces this pair.
    """
    import pandas as pd

    tables = dict(zip(("chosen", "rejected"), influence(policy, pairs), strict=True))
    alone = {name: table.diagonal().tolist() for name, table in tables.items()}
    batch = {f"{name}_batch": t.mean(-1).tolist() for name, t in tables.items()}
    return pd.DataFrame({"pair": range(len(pairs)), **alone, **batch})


def edit_distance(first: Tokens, second: Tokens) -> list[int]:
    """Edit distance in tokens between the two responses: compare it with CHES."""
    out = []
    for a, b, ma, mb in zip(
        first.ids, second.ids, first.mask, second.mask, strict=True
    ):
        one, other = a[ma].tolist(), b[mb].tolist()
        row = list(range(len(other) + 1))
        for i, x in enumerate(one, 1):
            last, row[0] = row[0], i
            for j, y in enumerate(other, 1):
                last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
        out.append(row[-1])
    return out
