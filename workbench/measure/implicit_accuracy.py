"""How accurate and how well calibrated the policy's own score is.

A policy scores responses, β·log(π/π_ref) by default; σ(difference of two scores) is its
stated probability that the first is preferred. Accuracy asks for the sign, calibration
for the size, the slope for the unit: differences of scores against differences of gold,
1 at the optimum of DPO. The RANKING of a policy, log π(y_1) > log π(y_2), is another
question: a policy can have every implicit reward right and rank hardly any pair right,
as π_ref outweighs the reward.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.divergences import Divergence
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.measure import calibration
from workbench.measure.exact import response_logps
from workbench.methods.direct.links import orpo

Logps = Float[Tensor, "*member prompt response"]
Score = Callable[[Logps, Float[Tensor, "prompt response"]], Logps]


def logratio_score(beta: float) -> Score:
    """β·log(π/π_ref), the score of DPO and of every loss of its margin, reward units.

    Args:
        beta: reward units per nat.
    """
    return lambda logps, ref: beta * (logps - ref)


def divergence_score(beta: float, divergence: Divergence) -> Score:
    """β f′(π/π_ref), the score of f-DPO and χPO, reward units.

    Args:
        beta: reward units per unit of the divergence.
        divergence: the generator f.
    """
    return lambda logps, ref: beta * divergence.slope(logps - ref)


def per_token_score(beta: float, world, *, reference: bool = False) -> Score:
    """β/|y|·log π, SimPO's score; with the reference, length-normalised DPO's.

    Args:
        beta: reward units per token and nat.
        world: an enumerable world, which knows |y|, the end token included.
        reference: divide π by π_ref.
    """
    tokens = _tokens(world)

    def score(logps: Logps, ref: Tensor) -> Logps:
        return beta * (logps - ref if reference else logps) / tokens

    return score


def log_odds_score(world) -> Score:
    """Log odds of the geometric-mean token probability, ORPO's score, in nats.

    Args:
        world: an enumerable world, which knows |y|, the end token included.
    """
    tokens = _tokens(world)

    def score(logps: Logps, ref: Tensor) -> Logps:
        mean = logps / tokens
        return orpo.log_odds(mean.flatten()).view_as(mean)

    return score


def _tokens(world) -> Int[Tensor, " response"]:
    """Tokens of each response; the longest ones end by themselves."""
    return (world.n_words + 1).clamp(max=world.max_words)


@dataclass(frozen=True)
class Questions:
    """Pairs to be judged; a pair counts in both orders, whichever stands first.

    Attributes:
        prompt: number of each pair's prompt.
        first, second: numbers of its responses.
        odds: true log-odds that the first is preferred: gold difference/temperature.
        label: 1 where the first was called better; or the probability of it.
        weight: how much each pair counts.
    """

    prompt: Int[Tensor, " pair"]
    first: Int[Tensor, " pair"]
    second: Int[Tensor, " pair"]
    odds: Float[Tensor, " pair"]
    label: Float[Tensor, " pair"]
    weight: Float[Tensor, " pair"]

    def __len__(self) -> int:
        return len(self.prompt)


def _odds(reward: Tensor, prompt: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return (reward[prompt, first] - reward[prompt, second]).double()


def population(
    ref_logps: Float[Tensor, "prompt response"],
    reward: Float[Tensor, "prompt response"],
    temperature: float = 1.0,
) -> Questions:
    """All unordered pairs of different responses, drawn from π_ref: no sampling.

    The label is the true probability, so accuracy is its expectation over labels.

    Args:
        ref_logps: log of the distribution that both responses are drawn from.
        reward: what the annotator perceives, reward units.
        temperature: of the Bradley–Terry annotator, reward units.

    Returns:
        prompts × n(n − 1)/2 pairs: 683,280 for four prompts at three words; at four
        words (44 million) use ``sampled``.
    """
    ref = ref_logps.detach().double()
    prompts, n = ref.shape
    one, other = torch.triu_indices(n, n, offset=1).unbind(0)
    prompt = torch.arange(prompts).repeat_interleave(len(one))
    first, second = one.repeat(prompts), other.repeat(prompts)
    weight = (ref[prompt, first] + ref[prompt, second]).exp()
    shares = weight.view(prompts, -1)
    weight = (shares / shares.sum(-1, keepdim=True)).flatten()
    odds = _odds(reward, prompt, first, second) / temperature
    return Questions(prompt, first, second, odds, odds.sigmoid(), weight)


def sampled(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    reward: Float[Tensor, "prompt response"],
    n: int,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
) -> Questions:
    """``population`` by ``n`` drawn pairs, prompts in equal shares, labels still exact.

    Args:
        world: an enumerable world.
        ref_logps: log of the distribution that both responses are drawn from; a pair of
            twice the same response is drawn again.
        reward: what the annotator perceives, reward units.
        n: number of pairs.
        generator: source of randomness.
        temperature: of the Bradley–Terry annotator, reward units.
    """
    drawn = sample_pairs(world, ref_logps, n, Annotator(), generator, reward)
    q = held_out(drawn, reward, temperature)
    return replace(q, label=q.odds.sigmoid())


def held_out(
    pairs: Pairs, reward: Float[Tensor, "prompt response"], temperature: float = 1.0
) -> Questions:
    """Labelled pairs of an enumerable world; the chosen response stands first.

    Args:
        pairs: not those that were trained on.
        reward: what the annotator perceives, reward units.
        temperature: of the Bradley–Terry annotator, reward units.
    """
    prompt, first, second = (
        pairs.chosen.prompt,
        pairs.chosen.response,
        pairs.rejected.response,
    )
    odds = _odds(reward, prompt, first, second) / temperature
    weight = pairs.weight.double()
    return Questions(prompt, first, second, odds, torch.ones_like(odds), weight)


def judge(
    margins: Float[Tensor, " pair"],
    odds: Float[Tensor, " pair"],
    label: Float[Tensor, " pair"],
    weight: Float[Tensor, " pair"],
) -> dict[str, float]:
    """Accuracy and calibration of stated log-odds.

    Args:
        margins: score of the first minus score of the second, reward units.
        odds: the true log-odds.
        label: 1 where the first was called better; or the probability of it.
        weight: how much each pair counts.

    Returns:
        accuracy: how often the higher score is the one called better (ties one half);
        ceiling: the accuracy of the true odds with these labels;
        ece: expected calibration error, ten bins, both orders of each pair;
        brier: mean squared error of σ(margin);
        nll: mean −log-likelihood of the labels, nats per pair;
        label_kl: E KL(truth‖σ(margin)), nats per pair; never the drift of a policy;
        slope: margins on the true odds, least squares through 0.
    """
    d, truth, y, w = (v.double() for v in (margins, odds, label, weight))
    w = w / w.sum()
    log = torch.nn.functional.logsigmoid
    p, stated = truth.sigmoid(), d.sigmoid()

    gap = p * (log(truth) - log(d)) + (1 - p) * (log(-truth) - log(-d))
    values = {
        "accuracy": _hits(d, y),
        "ceiling": _hits(truth, y),
        "brier": stated**2 - 2 * stated * y + y,
        "nll": -y * log(d) - (1 - y) * log(-d),
        "label_kl": gap,
    }
    means = {name: (w * value).sum().item() for name, value in values.items()}
    means["ece"] = calibration.ece(stated, y, weight=w)
    means["slope"] = ((w * d * truth).sum() / (w * truth**2).sum()).item()
    return means


COLUMNS = ("accuracy", "ceiling", "ranking", "ece", "brier", "nll", "label_kl", "slope")


def of_policy(
    policy,
    world,
    ref_logps: Float[Tensor, "prompt response"],
    questions: Questions,
    score: Score,
):
    """``judge`` of a policy's own score, and how often the policy ranks pairs right.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
        ref_logps: log π_ref.
        questions: ``population``, ``sampled`` or ``held_out``.
        score: ``logratio_score(beta)``, or the method's own.

    Returns:
        DataFrame[seed, accuracy, ceiling, ranking, ece, brier, nll, label_kl, slope],
        one row per seed; ranking is the accuracy of log π itself.
    """
    import pandas as pd

    q, ref = questions, ref_logps.detach().double()
    logps = response_logps(policy, world)

    def margins(values: Tensor) -> Tensor:
        return values[q.prompt, q.first] - values[q.prompt, q.second]

    rows = []
    for seed, values in enumerate(score(logps, ref)):
        row = judge(margins(values), q.odds, q.label, q.weight)
        hits = q.weight * _hits(margins(logps[seed]), q.label)
        row["ranking"] = (hits.sum() / q.weight.sum()).item()
        rows.append({"seed": seed} | {name: row[name] for name in COLUMNS})
    return pd.DataFrame(rows)


def _hits(margins: Tensor, label: Tensor) -> Tensor:
    """Chance that each pair is called as its label says; a tie counts one half."""
    called = 0.5 + 0.5 * margins.sign()
    return called * label + (1 - called) * (1 - label)


class ScoreTracker:
    """``of_policy`` with everything but the policy filled in, for ``measures``.

    Args: those of ``of_policy``; ``prefix`` tells several trackers of a run apart.
    """

    def __init__(
        self,
        world,
        ref_logps: Float[Tensor, "prompt response"],
        questions: Questions,
        score: Score,
        *,
        prefix: str = "",
    ):
        self.world, self.ref, self.prefix = world, ref_logps.detach(), prefix
        self.questions, self.score = questions, score

    def __call__(self, policy):
        """Rows of ``of_policy`` for this policy."""
        frame = of_policy(policy, self.world, self.ref, self.questions, self.score)
        names = {name: self.prefix + name for name in COLUMNS}
        return frame.rename(columns=names)


def reliability(
    policy,
    world,
    ref_logps: Float[Tensor, "prompt response"],
    questions: Questions,
    score: Score,
    bins: int = 10,
):
    """``calibration.reliability`` of each seed, for the view of the same name.

    Returns:
        DataFrame[seed, bin, low, high, predicted, observed, share].
    """
    import pandas as pd

    q, parts = questions, []
    values = score(response_logps(policy, world), ref_logps.detach().double())
    for seed, table in enumerate(values):
        margins = table[q.prompt, q.first] - table[q.prompt, q.second]
        rows = calibration.reliability(
            margins.sigmoid(), q.label, bins, weight=q.weight
        )
        rows.insert(0, "seed", seed)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)
