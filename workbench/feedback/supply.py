"""One labelling, every form of data: what a loss reads decides what it is given.

An annotator feels a noisy utility for each response once. Pairs tell which of two is
greater, thumbs go up for the greater, lists and scores hand the utilities over. Methods
with different needs so learn from the same responses and the same noise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import batches
from workbench.core.batches import Tokens
from workbench.core.errors import MissingInput
from workbench.feedback.annotator import Annotator
from workbench.feedback.lists import Lists
from workbench.feedback.pairs import Pairs
from workbench.feedback.responses import Responses
from workbench.feedback.scored import ValuedResponses
from workbench.feedback.thumbs import Thumbs
from workbench.feedback.tokenwise import (
    LawPairs,
    ScopedPairs,
    StepPairs,
    TokenRewardPairs,
)


@dataclass(frozen=True)
class Supply:
    """Labelled responses, to be had in every form.

    Attributes:
        pairs: what the annotator called better and worse.
        utilities: of the chosen and of the rejected responses, reward units; None
            where nothing but the comparison is known.
        proposal: log-probs of the chosen and of the rejected responses under the law
            they were drawn from, nats a sequence.
        own: responses of the reference, two a pair, that nobody judged.
        token_reward: ``Tokens -> [batch, time]``, a reward for each token.
    """

    pairs: Pairs
    utilities: tuple[Tensor, Tensor] | None = None
    proposal: tuple[Tensor, Tensor] | None = None
    own: Tokens | None = None
    token_reward: Callable[[Tokens], Tensor] | None = None

    def data(self, batch_class: type):
        """The data set whose batches are of this class.

        Raises:
            MissingInput: the labelling lacks what such a data set holds.
        """
        return _form(batch_class)[1](self)

    def _need(self, name: str):
        value = getattr(self, name)
        if value is None:
            raise MissingInput(f"these data have no {name.replace('_', ' ')}")
        return value


def lists(supply: Supply, group: int = 4) -> Lists:
    """Pairs of one prompt joined to lists; pairs left over are left out.

    Args:
        supply: with utilities.
        group: responses a list, an even number.

    Raises:
        MissingInput: no prompt has so many responses.
    """
    utilities = torch.stack(supply._need("utilities"), dim=1)
    proposal = torch.stack(supply._need("proposal"), dim=1)
    prompt, per = supply.pairs.chosen.prompt, group // 2
    chosen = []
    for each in prompt.unique().tolist():
        rows = (prompt == each).nonzero().flatten()
        chosen.append(rows[: len(rows) // per * per].unflatten(0, (-1, per)))
    rows = torch.cat(chosen)
    if not len(rows):
        raise MissingInput(f"no prompt has the {group} responses of a list")
    n = len(supply.pairs)
    # a list holds both responses of each of its pairs
    responses = torch.stack([rows, rows + n], dim=-1).flatten()
    return Lists(
        tokens=supply.pairs.both[responses],
        scores=utilities[rows].flatten(1),
        proposal=proposal[rows].flatten(1),
        weight=torch.ones(len(rows), dtype=torch.float64),
    )


def _valued(supply: Supply) -> ValuedResponses:
    """Every response with its utility; the baseline is its prompt's mean utility."""
    tokens, scores = supply.pairs.both, torch.cat(supply._need("utilities"))
    baseline = torch.zeros_like(scores)
    for each in tokens.prompt.unique().tolist():
        rows = tokens.prompt == each
        baseline[rows] = scores[rows].mean()
    return ValuedResponses(tokens, scores, baseline)


def _token_rewards(supply: Supply) -> TokenRewardPairs:
    reward, pairs = supply._need("token_reward"), supply.pairs
    return TokenRewardPairs(pairs, reward(pairs.chosen), reward(pairs.rejected))


def _scoped(supply: Supply) -> ScopedPairs:
    """Outside and near the scope stand the reference's own responses."""
    own, n = supply._need("own"), len(supply.pairs)
    return ScopedPairs(supply.pairs, own[slice(0, n)], own[slice(n, 2 * n)])


_FORMS: dict[type, tuple[str, Callable[[Supply], object]]] = {
    batches.PairLogps: ("pairs", lambda supply: supply.pairs),
    batches.ResponseLogps: (
        "responses",
        lambda supply: Responses.of(supply.pairs.chosen),
    ),
    batches.ThumbLogps: ("thumbs", lambda supply: Thumbs.of_pairs(supply.pairs)),
    batches.ListLogps: ("lists", lists),
    batches.ScoredLogps: ("scores", _valued),
    batches.PairLaws: ("tokens", lambda supply: LawPairs(supply.pairs)),
    batches.PairTokenRewards: ("tokens", _token_rewards),
    batches.PairSteps: (
        "tokens",
        lambda supply: StepPairs.of_first_difference(supply.pairs),
    ),
    batches.ScopedPairLogps: ("pairs", _scoped),
}


def kind(batch_class: type) -> str:
    """What a loss learns from, in a word: pairs, thumbs, lists, scores, tokens …

    Raises:
        MissingInput: no data set makes such batches.
    """
    return _form(batch_class)[0]


def _form(batch_class: type) -> tuple[str, Callable[[Supply], object]]:
    if batch_class not in _FORMS:
        known = ", ".join(sorted(each.__name__ for each in _FORMS))
        name = getattr(batch_class, "__name__", str(batch_class))
        raise MissingInput(f"no data set makes {name}; there are {known}")
    return _FORMS[batch_class]


@torch.no_grad()
def sample_supply(
    world,
    policy,
    n: int,
    annotator: Annotator,
    generator: torch.Generator,
    reward: Callable[[Tokens], Float[Tensor, " batch"]] | None = None,
) -> Supply:
    """Have a policy write two responses to each prompt, and an annotator judge them.

    Args:
        world: where prompts come from; it need not be enumerable.
        policy: who writes, usually the reference; its log-probs become the proposal.
        n: pairs, prompts in equal shares; two equal responses are drawn again.
        annotator: who judges; its flips exchange the two utilities of a pair.
        generator: source of randomness.
        reward: what the annotator perceives; gold if None.
    """
    prompt = torch.arange(n) % world.n_prompts
    first = policy.sample(world, prompt, generator)
    second = policy.sample(world, prompt, generator)
    for _ in range(100):
        first, second = (t.padded(_width(first, second)) for t in (first, second))
        same = ((first.ids == second.ids) | ~first.attention).all(-1)
        same = (same & (first.attention == second.attention).all(-1)).nonzero()[:, 0]
        if not len(same):
            break
        second = _replaced(second, same, policy.sample(world, prompt[same], generator))
    own = Tokens.cat([policy.sample(world, prompt, generator) for _ in range(2)])
    reward = world.gold_reward if reward is None else reward
    heard = [annotator.utilities(reward(t), generator) for t in (first, second)]
    lies = torch.rand(n, generator=generator, dtype=torch.float64) < annotator.flip
    heard = [torch.where(lies, heard[1 - i], heard[i]) for i in range(2)]
    wins, row = heard[0] > heard[1], torch.arange(n)
    both, felt = Tokens.cat([first, second]), torch.cat(heard)
    said = torch.cat([policy.token_logps(t).double().sum(-1) for t in (first, second)])
    sides = torch.where(wins, row, row + n), torch.where(wins, row + n, row)
    weight = torch.ones(n, dtype=torch.float64)
    return Supply(
        pairs=Pairs(both[sides[0]], both[sides[1]], weight),
        utilities=(felt[sides[0]], felt[sides[1]]),
        proposal=(said[sides[0]], said[sides[1]]),
        own=own,
    )


def _width(*tokens: Tokens) -> int:
    return max(each.ids.shape[1] for each in tokens)


def _replaced(tokens: Tokens, rows: Tensor, by: Tokens) -> Tokens:
    """The same tokens with some rows taken from another batch."""
    both = Tokens.cat([tokens, by])
    index = torch.arange(len(tokens))
    index[rows] = len(tokens) + torch.arange(len(rows))
    return both[index]
