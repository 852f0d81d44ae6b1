"""A reward learned from one person's answers: the plain functions behind the annotator.

The reward is linear in what a review says: how often each word, each two words beside
each other, and silence. The weights have a normal prior, so that the reward after each
answer has a mean and a standard deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.worlds import solutions
from workbench.worlds.enumerated import Enumerated

PAIRS = 20
SHORT = 3  # words at most in a review of a pair: quick to read
WORD_SD, NEIGHBOURS_SD, SILENCE_SD = 1.0, 0.7, 1.0  # of the prior, reward units
ROUNDS = 30  # of Newton's method; five are enough
REST = 1e-12  # of a weight, reward units


@dataclass(frozen=True)
class Task:
    """What an annotator is asked, all about one prompt.

    Attributes:
        world: an enumerable world.
        prompt: number of the prompt.
        ref: log π_ref of its responses, nats.
        first, second: numbers of the two responses of each pair.
        machine: what an annotator who knows gold answers, 1 for the first, −1.
        features: of each response times their prior's standard deviation, with mean 0
            under π_ref: comparisons know a reward up to a constant.
    """

    world: Enumerated
    prompt: int
    ref: Float[Tensor, " response"]
    first: tuple[int, ...]
    second: tuple[int, ...]
    machine: tuple[int, ...]
    features: Float[Tensor, "response feature"]

    @property
    def gold(self) -> Float[Tensor, " response"]:
        """The gold reward, with mean 0 under π_ref."""
        gold = self.world.gold[self.prompt]
        return gold - solutions.expectation(self.ref, gold)


@dataclass(frozen=True)
class Judged:
    """What some answers say.

    Attributes:
        weights: of the features, posterior mode, standard deviations of the prior.
        precision: curvature of −log posterior there, the inverse of their covariance
            in Laplace's approximation.
        reward: the reward at the mode, with mean 0 under π_ref, reward units.
        policy: log π* of this reward, nats.
        kl: KL(π*‖π_ref), nats per sequence.
        gold: the mean gold reward of π*, reward units.
    """

    weights: Float[Tensor, " feature"]
    precision: Float[Tensor, "feature feature"]
    reward: Float[Tensor, " response"]
    policy: Float[Tensor, " response"]
    kl: float
    gold: float


def annotation_task(
    world, ref_logps: Float[Tensor, "prompt response"], prompt: int = 0
) -> Task:
    """Twenty different pairs of short reviews that the reference writes.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        prompt: number of the prompt.
    """
    ref, draws = ref_logps[prompt].double(), generator(0, "annotate")
    met: dict[frozenset, tuple[int, int]] = {}
    shares = ref.exp() * ((world.n_words > 0) & (world.n_words <= SHORT))
    while len(met) < PAIRS:
        both = torch.multinomial(shares, 2, generator=draws).tolist()
        met.setdefault(frozenset(both), tuple(both))
    first, second = zip(*met.values(), strict=True)
    gold = world.gold[prompt]
    wins = Annotator().prefers_first(gold[list(first)], gold[list(second)], draws)
    machine = tuple(1 if win else -1 for win in wins.tolist())
    columns = review_features(world)
    mean = ref.exp() @ columns
    return Task(world, prompt, ref, first, second, machine, columns - mean)


def review_features(world) -> Float[Tensor, "response feature"]:
    """Counts of words, of neighbours and of silence, times their prior's deviation."""
    n, longest = len(world.words), world.max_words
    _, actions = world.tree.paths(torch.arange(world.n_responses))
    words = torch.where((actions < 0) | (actions >= n), n, actions)[:, :longest]
    single = torch.nn.functional.one_hot(words, n + 1)[..., :n].double()
    beside = torch.einsum("yti,ytj->yij", single[:, :-1], single[:, 1:]).flatten(1)
    silent = (world.n_words == 0).double()[:, None]
    parts = WORD_SD * single.sum(1), NEIGHBOURS_SD * beside, SILENCE_SD * silent
    return torch.cat(parts, dim=1)


def annotated(task: Task, answers: Sequence[int], beta: float) -> Judged:
    """The reward that these answers teach, and the policy that is best for it.

    The weights maximise Σ log σ(answer · lead) − |weights|²/2: Bradley and Terry's
    likelihood times the prior.

    Args:
        task: the pairs.
        answers: to the first of them, 1 where the first review is better, else −1.
        beta: price of drift, reward units per nat.
    """
    asked = len(answers)
    leads = task.features[list(task.first[:asked])]
    leads = leads - task.features[list(task.second[:asked])]
    signed = leads * torch.tensor(answers, dtype=torch.float64)[:, None]
    weights, precision = _mode(signed)
    reward = task.features @ weights
    policy = solutions.optimal_policy(task.ref, reward, beta)
    return Judged(
        weights=weights,
        precision=precision,
        reward=reward,
        policy=policy,
        kl=max(solutions.kl(policy, task.ref).item(), 0.0),
        gold=solutions.expectation(policy, task.world.gold[task.prompt]).item(),
    )


def doubt(task: Task, judged: Judged, at: Sequence[int]) -> Float[Tensor, " response"]:
    """Standard deviation of some rewards, by Laplace's approximation, reward units.

    Args:
        task: the pairs.
        judged: what the answers say.
        at: numbers of responses.
    """
    chosen = task.features[list(at)].T
    return (chosen * torch.linalg.solve(judged.precision, chosen)).sum(0).sqrt()


def _mode(signed: Float[Tensor, "answer feature"]) -> tuple[Tensor, Tensor]:
    """Where the posterior is highest, by Newton's method, and its curvature there."""
    one = torch.eye(signed.shape[1], dtype=torch.float64)
    weights = torch.zeros_like(one[0])
    for _ in range(ROUNDS):
        surprise = (-(signed @ weights)).sigmoid()
        slope = signed.T @ surprise - weights
        precision = one + (signed.T * (surprise * (1 - surprise))) @ signed
        step = torch.linalg.solve(precision, slope)
        weights = weights + step
        if step.abs().max() < REST:
            break
    return weights, precision


def agreement(one: Sequence[int], other: Sequence[int]) -> float:
    """Share of the pairs that both have answered which they answered alike.

    Returns:
        NaN if there is no such pair.
    """
    both = list(zip(one, other, strict=False))
    return sum(a == b for a, b in both) / len(both) if both else float("nan")
