"""Several reward models that learn at once, and one reward made of their scores."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.models.heads import ScoreModel
from workbench.models.network import Network, Stacked

Combine = Literal["mean", "worst", "uncertainty"]


def combined(
    scores: Float[Tensor, "*lead model"], how: Combine, weight: float = 0.0
) -> Float[Tensor, "*lead"]:
    """One reward made of the scores of several models, reward units.

    Args:
        scores: of each model, reward units.
        how: their mean, the worst of them, or the mean minus ``weight`` times their
            variance (divisor n, the number of models).
        weight: λ, per reward unit; read for "uncertainty" alone.
    """
    if how == "mean":
        return scores.mean(-1)
    if how == "worst":
        return scores.amin(-1)
    return scores.mean(-1) - weight * scores.var(-1, correction=0)


class RewardEnsemble(nn.Module):
    """Reward models that share nothing but the pairs they learn from.

    A loop sees one model to be trained, with as many members as seeds; the models of
    an ensemble are an axis of its scores.

    Args:
        models: all of them as one stack; those of a seed lie side by side.
        members: seeds that train side by side, each with an ensemble of its own.
    """

    def __init__(self, models: ScoreModel, members: int = 1):
        super().__init__()
        self.models, self.members = models, members

    @classmethod
    def tiny(cls, vocab, size: int = 5, width: int = 64, layers: int = 2, seed=0):
        """Fresh reward models, each from a seed of its own.

        Args:
            vocab: the world's vocabulary.
            size: number of models.
            width: hidden size of each.
            layers: decoder blocks of each.
            seed: model m starts from seed ``size·seed + m``, so that no two ensembles
                share a model.
        """
        seeds = range(size * seed, size * (seed + 1))
        made = [ScoreModel.tiny(vocab, width, layers, one) for one in seeds]
        # a stack even where it holds one model: every ensemble has the same parts
        return cls(ScoreModel.stack(made))

    @property
    def network(self) -> Network | Stacked:
        """The networks of all models."""
        return self.models.network

    @property
    def size(self) -> int:
        """Models of each ensemble."""
        return self.models.members // self.members

    def member_scores(self, tokens: Tokens) -> Float[Tensor, "batch model"]:
        """Reward of each response by each model, reward units.

        Args:
            tokens: responses; those of each seed lie side by side.
        """
        rows = torch.arange(len(tokens)).unflatten(0, (self.members, 1, -1))
        every = rows.expand(-1, self.size, -1).flatten()
        scores = self.models.scores(tokens[every])
        parts = scores.unflatten(0, (self.members, self.size, -1))
        return parts.transpose(1, 2).flatten(0, 1)

    def uncertainty(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """Variance of the models' scores (divisor n), reward units squared."""
        return self.member_scores(tokens).var(-1, correction=0)

    def member_score_all(self, world) -> Float[Tensor, "member prompt response model"]:
        """Reward of every response of an exact world by each model, float64."""
        table = self.models.score_all(world)
        table = table.reshape(self.members, self.size, *table.shape[-2:])
        return table.movedim(1, -1)

    def combined(self, how: Combine, weight: float) -> "CombinedReward":
        """One reward made of all models; it follows their weights."""
        return CombinedReward(self, how, weight)

    def member(self, index: int) -> "RewardEnsemble":
        """A copy of the ensemble of one seed."""
        some = range(index * self.size, (index + 1) * self.size)
        networks = [self.network.member(one) for one in some]
        return RewardEnsemble(ScoreModel(Stacked(networks)))

    @staticmethod
    def stack(ensembles: "list[RewardEnsemble]") -> "RewardEnsemble":
        """The ensembles of several seeds as one batched model."""
        networks = [
            one.network.member(index) for one in ensembles for index in range(one.size)
        ]
        return RewardEnsemble(ScoreModel(Stacked(networks)), len(ensembles))

    def save(self, folder: str | Path) -> None:
        """Write each model in Hugging Face format, as ``member-0``, …

        Several seeds have a folder ``seed-0``, … each.
        """
        if self.members == 1:
            return self.models.save(folder)
        for index in range(self.members):
            self.member(index).save(Path(folder) / f"seed-{index}")


@dataclass(frozen=True)
class CombinedReward:
    """The one reward of an ensemble, as a policy is to maximise it.

    Attributes:
        ensemble: the models.
        how: see ``combined``.
        weight: λ, per reward unit.
        shift: subtracted from the scores of each model; nothing if None.
        scale: what the scores of each model are divided by; 1 if None.
    """

    ensemble: RewardEnsemble
    how: Combine
    weight: float
    shift: Float[Tensor, "member model"] | None = None
    scale: Float[Tensor, "member model"] | None = None

    @property
    def members(self) -> int:
        """Seeds that train side by side, each with an ensemble of its own."""
        return self.ensemble.members

    def __call__(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """Combined reward of each response, reward units."""
        scores = self.ensemble.member_scores(tokens)
        return self._combined(scores.unflatten(0, (self.members, -1))).flatten()

    def scores(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """The same, as the protocol of reward models calls it."""
        return self(tokens)

    def score_all(self, world) -> Float[Tensor, "*lead prompt response"]:
        """Combined reward of every response of an exact world, float64."""
        table = self.ensemble.member_score_all(world)
        whole = self._combined(table.flatten(1, 2)).unflatten(1, table.shape[1:3])
        return whole if self.members > 1 else whole[0]

    @torch.no_grad()
    def normalised(self, tokens: Tokens) -> "CombinedReward":
        """The same with each model's scores at mean 0 and deviation 1 on responses.

        Comparisons tell nothing of the level of a model. Without a common level the
        lowest model would always be the worst, and the others would not count. As in
        the paper there is one level for all prompts; a level per prompt stays as it is.

        Args:
            tokens: two responses or more, of the reference say.
        """
        many = Tokens.cat([tokens] * self.members)
        scores = self.ensemble.member_scores(many).unflatten(0, (self.members, -1))
        return replace(self, shift=scores.mean(1), scale=scores.std(1))

    def _combined(
        self, scores: Float[Tensor, "member row model"]
    ) -> Float[Tensor, "member row"]:
        if self.shift is not None:
            scores = scores - self.shift[:, None]
        if self.scale is not None:
            scores = scores / self.scale[:, None]
        return combined(scores, self.how, self.weight)
