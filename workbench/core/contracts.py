"""What the parts of the workbench promise each other, as protocols.

Nothing inherits from these: a class, or a module, that has the members is one. The type
checker holds the library to them; a test of your own part can ask ``isinstance``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from workbench.core.card import Card
from workbench.core.tokens import Tokens


@runtime_checkable
class World(Protocol):
    """Where prompts come from, and how good a response is."""

    name: str
    max_words: int

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        ...

    @property
    def prompt_tokens(self) -> Tensor:
        """Token ids of each prompt, [prompt, time]."""
        ...

    def gold_reward(self, tokens: Tokens) -> Tensor:
        """Gold reward of each response, [batch], reward units."""
        ...

    def response_index(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The number of each response where all are known, −1 elsewhere, [batch]."""
        ...


@runtime_checkable
class ExactWorld(World, Protocol):
    """A world whose responses are all known: every expectation is a sum."""

    tree: Any
    gold: Tensor

    @property
    def n_responses(self) -> int:
        """Number of responses to each prompt."""
        ...

    @property
    def action_ids(self) -> Tensor:
        """Token ids of the tree's actions, [action]."""
        ...

    def tokens(self, prompt: Tensor, response: Tensor) -> Tokens:
        """Responses by number as token sequences."""
        ...

    def draw_for(
        self, logps: Tensor, prompt: Tensor, generator: torch.Generator
    ) -> Tokens:
        """One response to each prompt from a distribution [prompt, response]."""
        ...


@runtime_checkable
class Policy(Protocol):
    """A language model, or several seeds of it side by side (rows member-major)."""

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        ...

    def token_logps(self, tokens: Tokens) -> Tensor:
        """log π(token | before), nats, [batch, time]; 0 outside the responses."""
        ...

    def response_logps(self, world: Any) -> Tensor:
        """log π(y|x) of every response of an exact world, nats per sequence."""
        ...

    def sample(
        self,
        world: Any,
        prompt: Tensor,
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Tokens:
        """One response to each prompt, by number."""
        ...


@runtime_checkable
class RewardModel(Protocol):
    """What says how good a response is: a trained model, an ensemble, a judge.

    Attributes:
        members: seeds side by side, whose rows are member-major; an ensemble that
            answers with one voice is one member.
    """

    @property
    def members(self) -> int:
        """Seeds side by side."""
        ...

    def scores(self, tokens: Tokens) -> Tensor:
        """Reward of each response, [batch], reward units."""
        ...

    def score_all(self, world: Any) -> Tensor:
        """Reward of every response of an exact world, [prompt, response]."""
        ...


@runtime_checkable
class Critic(Protocol):
    """What predicts the reward to come from each prefix of a response."""

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        ...

    def values(self, tokens: Tokens) -> Tensor:
        """V(s_t) before each response token, 0 elsewhere, [batch, time]."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """A torch module that a loop can train: one model, or several seeds of it."""

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the optimiser moves."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Every tensor by its name, as a run folder keeps them."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> Any:
        """Take tensors back."""
        ...


@runtime_checkable
class Stackable(Trainable, Protocol):
    """A model that can be copied into a stack of seeds."""

    def copies(self, members: int) -> Trainable:
        """A stack of trainable copies, one for each seed."""
        ...


@runtime_checkable
class TrainedPolicy(Policy, Trainable, Protocol):
    """A policy that a loop has write and train."""


@runtime_checkable
class TrainedCritic(Critic, Trainable, Protocol):
    """A critic that a loop trains beside a policy."""


@runtime_checkable
class Method(Protocol):
    """A module of ``workbench.methods``, or any object with a card and a loss.

    A loop asks for more by hooks: functions that the card names (``core.card.HOOKS``).
    """

    @property
    def card(self) -> Card:
        """What the method is called and how it is joined to the rest."""
        ...

    def loss(self, batch: Any, cfg: Any) -> Tensor:
        """One value per example; ``batch`` is annotated with the class it reads."""
        ...


@runtime_checkable
class Loop(Protocol):
    """A module of ``workbench.loops`` that a card can name.

    Attributes:
        NAME: how run.json and sentences call it.
        TRAINS: "policy", "reward model" or "critic".
        ASKS: what a problem must give (``reward``, ``preference``, ``tree``), beside
            the labels that the method's kind of feedback needs.
        HOOKS: hooks of ``core.card.HOOKS`` that it calls if the method has them, and
            whether it cannot do without.
        STEPS: optimiser steps of a run unless the user says otherwise.
    """

    NAME: str
    TRAINS: str
    ASKS: tuple[str, ...]
    HOOKS: dict[str, bool]
    STEPS: int

    def drive(self, problem: Any, method: Any, cfg: Any, schedule: Any) -> Any:
        """Train a method on a problem, and return the run."""
        ...
