"""The measures of a trained policy: its implicit reward, gold reward and KL.

``workbench train`` measures along the way and ``workbench compare`` at the end, with
the same functions. Where all responses are known the measures are sums over them;
elsewhere they are estimated from samples, with standard errors.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.contracts import Method, RewardModel
from workbench.core.statistics import cluster_interval
from workbench.core.tokens import Tokens
from workbench.experiment.problem import Problem
from workbench.feedback.kind import DataSet, reads
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.feedback.kinds.thumbs import Thumbs
from workbench.loops.checks import hook
from workbench.measure import calibration, drift, exact
from workbench.measure.pair_values import pair_values
from workbench.models import prompts
from workbench.worlds.stories import estimate


def implicit_reward(method: Method, cfg: Any) -> Callable[[ResponseLogps], Tensor]:
    """A function that gives the implicit reward of each response under a method.

    It is the method's own function where its card names one, and β·log π/π_ref where
    the card names the field of its settings that holds β; otherwise it is the
    log-ratio itself, in nats.
    """
    own = hook(method, "implicit_reward")
    if own is not None:
        return lambda responses: own(responses, cfg)
    scale = 1.0 if method.card.scale is None else getattr(cfg, method.card.scale)
    return lambda responses: scale * responses.logratio()


def has_reward(method: Method) -> bool:
    """Whether a method gives its policy an implicit reward of its own."""
    return method.card.scale is not None or "implicit_reward" in method.card.hooks


def optimum(method: Method, cfg: Any) -> float | None:
    """β of the π*_β that a method aims at, reward units per nat; None without one."""
    own = hook(method, "optimum")
    if own is not None:
        return own(cfg)
    return None if method.card.optimum is None else getattr(cfg, method.card.optimum)


class Evaluation:
    """Measures policies that a method has trained on a problem.

    Args:
        problem: world or file, reference, labels.
        method: whose implicit reward is read.
        cfg: its settings.
        beta: reward units per nat; asks for the distance to π*_β of the gold reward.

    Called with a policy (a stack has one member per seed) it returns a DataFrame,
    one row per seed: gold (reward units), kl = KL(π‖π_ref) (nats per sequence), length;
    in an exact world frontier_gap, and with ``beta`` kl_to_optimum and regret =
    β·KL(π‖π*_β); elsewhere standard errors and 95 % intervals of gold and kl, of a file
    clustered by prompt, and the share of samples that were cut. Of the
    pairs held out: chosen, rejected, margin (implicit reward), accuracy, ece (NaN for a
    method without a reward). Of the training pairs: train_margin, train_accuracy, and
    chosen_logratio, rejected_logratio (nats).
    """

    def __init__(
        self, problem: Problem, method: Method, cfg: Any, beta: float | None = None
    ):
        self.problem, self.beta = problem, beta
        self.reward, self.rated = implicit_reward(method, cfg), has_reward(method)

    def __call__(self, policy):
        """Measure a policy, or a stack of them."""
        known = self._exact(policy) if self.problem.is_exact else self._sampled(policy)
        return known.assign(seed=list(self.problem.seeds), **self._of_labels(policy))

    @torch.no_grad()
    def of_distribution(self, logps: Float[Tensor, "prompt response"]):
        """The same of log π(y|x) over all responses of the exact world, one seed."""
        ref = self._ref_logps
        frame = self._exact(logps).assign(seed=list(self.problem.seeds))

        def read(pairs: Pairs) -> tuple[Tensor, Tensor]:
            sides = []
            for tokens in (pairs.chosen, pairs.rejected):
                values = [
                    table[tokens.prompt, tokens.response] for table in (logps, ref)
                ]
                sequence = [value[:, None].double() for value in values]
                one = torch.ones_like(sequence[0], dtype=torch.bool)
                sides.append(ResponseLogps(sequence[0], sequence[1], one))
            gaps = torch.stack([side.logratio() for side in sides])
            rewards = torch.stack([self.reward(side).double() for side in sides])
            return gaps[:, None], rewards[:, None]

        return frame.assign(
            **self._told(read(self.problem.held_out.pairs), read(self._seen))
        )

    # ---- gold and drift -----------------------------------------------------------

    @cached_property
    def _ref_logps(self) -> Tensor:
        with torch.no_grad():
            return self.problem.reference.response_logps(self.problem.world)

    @cached_property
    def _tracker(self) -> exact.Tracker:
        world = self.problem.world
        return exact.Tracker(world, self._ref_logps, gold=world.gold, beta=self.beta)

    def _exact(self, policy):
        frame = self._tracker(policy)
        names = ["gold", "kl", "length", "frontier_gap"]
        if self.beta is not None:
            frame["regret"] = self.beta * frame["kl_to_optimum"]
            names += ["kl_to_optimum", "regret"]
        return frame[names]

    def _sampled(self, policy):
        """Estimates from fresh samples; the whole-vocabulary KL at every prefix has
        the same mean as the log-ratio and less noise."""
        import pandas as pd

        problem, members = self.problem, policy.members
        tokens = problem.sample(policy)
        two = (policy, problem.reference)
        drifted = drift.in_parts(*two, tokens, drift.prefix_values)
        values = {"kl": drifted["rao-blackwell"]}
        if problem.world is not None:
            values["gold"] = problem.reward(tokens).unflatten(0, (members, -1))
        lengths = tokens.lengths.double().unflatten(0, (members, -1)).mean(-1)
        rows = []
        for member in range(members):
            row = {}
            for name, each in values.items():
                mean, stderr, low, high = self._interval(each[member])
                row |= {name: mean, f"{name}_stderr": stderr}
                row |= {f"{name}_low": low, f"{name}_high": high}
            rows.append(row | {"length": lengths[member].item()})
        frame = pd.DataFrame(rows)
        if problem.world is not None:
            return frame
        return frame.assign(cut=self._cut(tokens, members))

    def _interval(self, values: Tensor) -> tuple[float, float, float, float]:
        """Mean, standard error and 95 % interval of one value per sample."""
        if self.problem.world is not None:
            return estimate(values)[:4]
        mean, stderr, low, high = cluster_interval(values, self.problem.clusters)
        return mean, stderr, max(0.0, low), high  # a KL is none below 0

    def _cut(self, tokens: Tokens, members: int) -> list[float]:
        """Share of samples without an end: what comes after is not counted."""
        ended = prompts.has_ended(self.problem.reference, tokens)
        return (1 - ended.double().unflatten(0, (members, -1)).mean(-1)).tolist()

    # ---- implicit rewards ---------------------------------------------------------

    @cached_property
    def _seen(self) -> Pairs:
        """The first training pairs of each seed, member-major."""
        pairs, seeds = self.problem.pairs, len(self.problem.seeds)
        rows = torch.arange(len(pairs)).unflatten(0, (seeds, -1))
        return pairs[rows[:, : self.problem.held_out_pairs].flatten()]

    @cached_property
    def _refs(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Reference log-probs of held-out and training pairs, read once."""
        held_out, reference = self.problem.held_out.pairs, self.problem.reference
        seen = self._seen.reference_logps(reference)
        return held_out.reference_logps(reference), seen

    def _of_labels(self, policy) -> dict[str, list[float]]:
        if self.problem.held_out.pairs is None:
            return self._of_thumbs(policy, self.problem.held_out.thumbs)

        def read(pairs: Pairs, ref, shared: bool) -> tuple[Tensor, Tensor]:
            def both(batch) -> Tensor:
                sides = (batch.chosen, batch.rejected)
                gaps = [side.logratio().double() for side in sides]
                return torch.stack(
                    gaps + [self.reward(side).double() for side in sides]
                )

            _, values = pair_values(policy, pairs, ref, both, shared=shared)
            return values[:2], values[2:]

        held_out = read(self.problem.held_out.pairs, self._refs[0], shared=True)
        return self._told(held_out, read(self._seen, self._refs[1], shared=False))

    def _told(self, held_out, seen) -> dict[str, list[float]]:
        """Columns from (log-ratios, rewards) of held-out and of training pairs."""
        margins = {
            "": held_out[1][0] - held_out[1][1],
            "train_": seen[1][0] - seen[1][1],
        }
        columns = {"chosen": held_out[1][0], "rejected": held_out[1][1]}
        for name, margin in margins.items():
            columns[f"{name}margin"] = margin
            columns[f"{name}accuracy"] = 0.5 + 0.5 * margin.sign()
        columns |= {"chosen_logratio": seen[0][0], "rejected_logratio": seen[0][1]}
        told = {name: values.mean(-1).tolist() for name, values in columns.items()}
        won = torch.ones(margins[""].shape[1])
        told["ece"] = [
            calibration.ece(each.sigmoid(), won) if self.rated else float("nan")
            for each in margins[""]
        ]
        return told

    @cached_property
    def _thumb_refs(self) -> tuple[Any, Any]:
        """Reference log-probs of held-out responses with thumbs, read once."""
        thumbs = self.problem.held_out.thumbs
        return thumbs.reference_logps(self.problem.reference)

    @torch.no_grad()
    def _of_thumbs(self, policy, thumbs: Thumbs) -> dict[str, list[float]]:
        """Implicit rewards of responses with a thumb up and with one down.

        Accuracy is how often a response with a thumb up has the higher reward, over
        all such pairs of two held-out responses.
        """
        rows = torch.arange(len(thumbs))
        batch = thumbs.batch(policy, rows, self._thumb_refs)
        rewards = self.reward(batch).double()
        up, down = rewards[thumbs.up], rewards[~thumbs.up]
        wins = 0.5 + 0.5 * (up[:, None] - down[None]).sign()
        return {
            "chosen": [up.mean().item()],
            "rejected": [down.mean().item()],
            "margin": [(up.mean() - down.mean()).item()],
            "accuracy": [wins.mean().item()],
        }


def of_policy(
    problem: Problem, method: Method, cfg: Any, beta: float | None
) -> Callable[[Any], Any]:
    """The measure of what a method trains, whichever way it writes.

    A method that prepares a model of its own says how that gives a distribution over
    all responses; any other policy is measured as it is. Arguments: see ``Evaluation``.
    """
    evaluation = Evaluation(problem, method, cfg, beta)
    own = hook(method, "prepare") is not None
    known = problem.prepared(method, cfg).response_logps if own else None
    if known is None:
        return evaluation

    @torch.no_grad()
    def measure(policy):
        return evaluation.of_distribution(known(policy))

    return measure


class RewardEvaluation:
    """How well a reward model orders pairs; against gold where it is known.

    Args:
        problem: world or file, labels of one seed.
        method: its hook ``margin`` reads a batch, its hook ``reward`` says what its
            model answers; a plain reward model needs neither.
        cfg: its settings.
    """

    def __init__(self, problem: Problem, method: Method, cfg: Any):
        (self.seed,) = problem.seeds
        self.problem, self.method, self.cfg = problem, method, cfg
        n, wanted = problem.held_out_pairs, reads(method)
        some = replace(problem.labels[0], pairs=problem.pairs[slice(0, n)])
        self.seen, self.held_out = some.data(wanted), problem.held_out.data(wanted)

    def __call__(self, model):
        """DataFrame[seed, accuracy, margin, nll, train_accuracy(, …)], one row."""
        import pandas as pd

        margin = self.margins(model, self.held_out)
        seen = self.margins(model, self.seen)
        row = {
            "seed": self.seed,
            "accuracy": (0.5 + 0.5 * margin.sign()).mean().item(),
            "margin": margin.mean().item(),
            "nll": -torch.nn.functional.logsigmoid(margin).mean().item(),
            "train_accuracy": (0.5 + 0.5 * seen.sign()).mean().item(),
        }
        judge = self.judge(model)
        if self.problem.is_exact and isinstance(judge, RewardModel):
            with torch.no_grad():
                scores = judge.score_all(self.problem.world)
            row["gold_correlation"] = correlation(scores, self.problem.world.gold)
        return pd.DataFrame([row])

    def judge(self, model) -> Any:
        """What the trained model says of responses, as the method means it."""
        own = hook(self.method, "reward")
        return model if own is None else own(model, self.cfg)

    @torch.no_grad()
    def margins(self, model, data: DataSet, chunk: int = 64) -> Float[Tensor, " pair"]:
        """How much the model prefers the chosen response of each pair, reward units."""
        model.eval()
        own, parts = hook(self.method, "margin"), []
        for rows in torch.arange(len(data)).split(chunk):
            batch = data.batch(model, rows, None)
            gap = batch.margin() if own is None else own(batch, self.cfg)
            parts.append(gap.double())
        return torch.cat(parts)


def correlation(
    scores: Float[Tensor, "prompt response"], gold: Float[Tensor, "prompt response"]
) -> float:
    """Pearson's correlation over all responses, mean over prompts."""
    a, b = (t - t.mean(-1, keepdim=True) for t in (scores, gold))
    each = (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1)).sqrt()
    return each.mean().item()
