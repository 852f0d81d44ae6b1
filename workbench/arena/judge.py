"""What is measured of a policy on a ground: exactly, or from samples."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs
from workbench.measure import calibration, exact
from workbench.models.policy import Policy


class Judge:
    """Measures policies that were trained on one ground.

    Args:
        ground: an ``arena.Ground``: world, reference, labels.
    """

    def __init__(self, ground):
        self.ground = ground

    @cached_property
    def _truth(self) -> exact.Tracker | None:
        """Exact measures, where all responses are known."""
        if not self.ground.is_exact:
            return None
        with torch.no_grad():
            ref = self.ground.reference.response_logps(self.ground.world)
        return exact.Tracker(
            self.ground.world, ref, gold=self.ground.world.gold, beta=self.ground.beta
        )

    @cached_property
    def _shown(self) -> Pairs:
        """The first training pairs of each seed."""
        rows = torch.arange(len(self.ground.pairs)).unflatten(
            0, (len(self.ground.seeds), -1)
        )
        return self.ground.pairs[rows[:, : self.ground.held].flatten()]

    @cached_property
    def _ref(self) -> tuple[Tensor, Tensor]:
        return self._shown.reference_logps(self.ground.reference)

    @cached_property
    def _held_ref(self) -> tuple[Tensor, Tensor]:
        return self.ground.held_out.reference_logps(self.ground.reference)

    def __call__(self, policy: Policy, score: Callable) -> "pandas.DataFrame":
        """What a policy has become.

        Args:
            policy: a stack, one member a seed.
            score: ``ResponseLogps -> [batch]``, the method's own implicit reward.

        Returns:
            DataFrame, a row a seed: gold (reward units), kl = KL(π‖π_ref) (nats a
            sequence), length; in an exact world frontier_gap, kl_to_optimum and
            regret = β·KL(π‖π*_β); elsewhere the standard errors of gold and kl;
            chosen, rejected: mean log-ratio of the training pairs, nats; accuracy and
            ece of the implicit reward on held-out pairs.
        """
        frame = self._exact(policy) if self._truth else self._sampled(policy)
        frame = frame.assign(seed=list(self.ground.seeds))
        for name, values in self._of_pairs(policy, score).items():
            frame[name] = values
        return frame

    @torch.no_grad()
    def of_law(self, law: Tensor, place: int, beta: float) -> "pandas.DataFrame":
        """The same of one seed's law over all responses, [prompt, response].

        Args:
            law: log π(y|x), in an exact world.
            place: which seed.
            beta: reward units per nat of its implicit reward.
        """
        moved = law - self.ground.reference.response_logps(self.ground.world)

        def of(tokens: Tokens) -> Tensor:
            return moved[tokens.prompt, tokens.response]

        rows = slice(place * self._shown_each, (place + 1) * self._shown_each)
        seen, new = self._shown[rows], self.ground.held_out
        margin = beta * (of(new.chosen) - of(new.rejected))
        frame = self._exact(law).assign(seed=[self.ground.seeds[place]])
        return frame.assign(
            chosen=of(seen.chosen).mean().item(),
            rejected=of(seen.rejected).mean().item(),
            accuracy=(0.5 + 0.5 * margin.sign()).mean().item(),
            ece=calibration.ece(margin.sigmoid(), torch.ones(len(margin))),
        )

    @property
    def _shown_each(self) -> int:
        return len(self._shown) // len(self.ground.seeds)

    def _exact(self, policy: Policy | Tensor):
        frame = self._truth(policy)
        frame["regret"] = self.ground.beta * frame["kl_to_optimum"]
        names = "gold kl length frontier_gap kl_to_optimum regret"
        return frame[names.split()]

    def _sampled(self, policy: Policy):
        import pandas as pd

        prompt = torch.arange(self.ground.samples) % self.ground.world.n_prompts
        tokens = policy.sample(
            self.ground.world, prompt, generator(0, "arena", "measure")
        )
        gold = self.ground.world.gold_reward(tokens)
        # log π − log π_ref of the policy's own samples: unbiased for the KL
        with torch.no_grad():
            gap = policy.token_logps(tokens) - self.ground.reference.token_logps(tokens)
        kl = torch.where(tokens.mask, gap.double(), 0.0).sum(-1)
        values = {"gold": gold, "kl": kl}
        columns = {k: v.unflatten(0, (policy.members, -1)) for k, v in values.items()}
        lengths = tokens.lengths.double().unflatten(0, (policy.members, -1))
        held = {"length": lengths.mean(-1).tolist()}
        for name, value in columns.items():
            held[name] = value.mean(-1).tolist()
            held[f"{name}_stderr"] = (value.std(-1) / self.ground.samples**0.5).tolist()
        return pd.DataFrame(held)

    @torch.no_grad()
    def _of_pairs(self, policy: Policy, score: Callable) -> dict[str, list[float]]:
        members, n = policy.members, len(self._shown)
        seen = self._shown.batch(policy, torch.arange(n), self._ref)
        moved = {
            name: side.logratio().double().unflatten(0, (members, -1)).mean(-1).tolist()
            for name, side in (("chosen", seen.chosen), ("rejected", seen.rejected))
        }
        rows = torch.arange(len(self.ground.held_out)).repeat(members)
        new = self.ground.held_out.batch(policy, rows, self._held_ref)
        margin = (score(new.chosen) - score(new.rejected)).double()
        margin = margin.unflatten(0, (members, -1))
        right = 0.5 + 0.5 * margin.sign()
        won = torch.ones(margin.shape[1])
        errors = [calibration.ece(each.sigmoid(), won) for each in margin]
        return moved | {"accuracy": right.mean(-1).tolist(), "ece": errors}
