"""Reward models made of checkpoints: a causal model's body with a head of one number.

They are saved as transformers saves a sequence classifier with one label, and an
adapter as peft saves one; TRL and others read the same folders.
"""

import copy
import math
from typing import Any

import torch
from torch import nn

from workbench.core.errors import BadOption
from workbench.core.seeds import generator
from workbench.models.heads import ScoreModel
from workbench.models.lora import Adapted, Shape, fresh_adapter
from workbench.models.network import Network
from workbench.models.policy import Policy


class Scores(Network):
    """A sequence classifier with one label, as the head's value at every position."""

    def forward(self, ids):
        """The head's value after each token, [batch, time, 1]."""
        with self._mode(ids):
            hidden = self.model.base_model(input_ids=ids, use_cache=False)[0]
            return self.model.score(hidden).float()


class AdaptedScores(Adapted, Scores):
    """The same with an adapter; the adapter and the head are trained and saved."""


def of_policy(policy: Policy, seed: int, shape: Shape | None = None) -> ScoreModel:
    """A reward model on a copy of a policy's body.

    Args:
        policy: one member, loaded from a checkpoint; it stays as it is.
        seed: of the head, whose weights are drawn as InstructGPT's, 1/√(width + 1), and
            of an adapter.
        shape: of an adapter to train beside the head; None trains all weights.

    Raises:
        BadOption: the family has no such classifier, or no layers of these names.
    """
    base: Any = policy.network
    model = _classifier(base)
    model.base_model.load_state_dict(base.model.base_model.state_dict())
    weights = model.score.weight
    stream = generator(seed, "head")
    with torch.no_grad():
        spread = 1 / math.sqrt(weights.shape[1] + 1)
        weights.copy_(torch.randn(weights.shape, generator=stream) * spread)
    model = model.to(next(base.parameters()).device)
    network = Scores(model.eval(), base.bf16, base.signs, base.dtype)
    if base.replays:
        network.save_memory()
    if shape is None:
        return ScoreModel(network.requires_grad_(True))
    wrapped = fresh_adapter(model, shape, "SEQ_CLS", seed)
    return ScoreModel(AdaptedScores(wrapped, network))


def check(policy: Policy) -> None:
    """Refuse a family that no reward model can be made of, before anything is trained.

    Raises:
        BadOption: transformers has no classifier with a head ``score`` for it.
    """
    with torch.device("meta"):
        _classifier(policy.network)


def _classifier(base: Any) -> Any:
    """An untrained classifier of one label, of a network's family and shape."""
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(base.config)
    config.num_labels = 1
    family = config.model_type
    try:
        made = AutoModelForSequenceClassification.from_config(config)
    except (ValueError, ImportError) as error:
        told = f"transformers has no sequence classifier for {family}"
        raise BadOption(f"--model: {told}, which a reward model is") from error
    if not isinstance(getattr(made, "score", None), nn.Linear):
        raise BadOption(f"--model: the classifier of {family} has no head named score")
    return made
