"""What the catalogue knows of a method, and what its drivers are told."""

from dataclasses import dataclass
from typing import Any

# what a method may consume; a card's needs are among these words
NEEDS = (
    "codes", "group", "lists", "pairs", "preference oracle", "proposal", "reference",
    "responses", "reward", "rollouts", "several reward models", "steps", "thumbs",
    "token distributions", "token rewards", "user ids", "value head", "whitening",
)  # fmt: skip

# functions beside ``loss`` that a method may offer; its card names those it has
HOOKS = {
    "implicit_reward": "(responses, cfg): the reward that the policy itself stands for",
    "optimum": "(cfg): β of the π*_β that is its minimiser, reward units per nat",
    "prepare": "(labels, world, reference, cfg, seed): own data, model or way to write",
    "build": "(vocab, cfg, seed): the reward model or critic that it trains",
    "reward": "(model, cfg): what a trained model says of responses, to be optimised",
    "margin": "(batch, cfg): by how much a reward model prefers the chosen response",
    "decode": "(model, reference, cfg): the policy that a trained critic steers",
    "advantages": "(rollouts, cfg): a value for each token of own responses",
    "returns": "(rollouts, cfg): what a critic is to predict",
    "opponent": "(logps, ref_logps, cfg): whom the policy plays against",
    "after_step": "(model, cfg): what moves after each step, as target networks do",
}


@dataclass(frozen=True)
class Card:
    """One method in a table row, and how it is joined to the rest.

    Attributes:
        key: short name, the module's name.
        title: full name.
        parents: keys of the methods it changes one thing of.
        needs: what it consumes, words of ``NEEDS``.
        paper: authors, year and identifier.
        check: the exact check, in one sentence.
        claim: what the paper says, in one sentence.
        notebook: number of the notebook that trains it.
        loop: the module of ``workbench.loops`` that trains it; None where nothing is
            trained: closed forms and ways to decode.
        scale: the field of its Config that holds β where its implicit reward is
            β·log π/π_ref, reward units per nat; None where it has another one (the hook
            ``implicit_reward``) or none.
        optimum: the field of its Config that holds β where its minimiser is π*_β of the
            reward that made the labels; None where it is another policy, or where the
            hook ``optimum`` computes β.
        hooks: the functions of ``HOOKS`` that its module has; a driver calls no other.
    """

    key: str
    title: str
    parents: tuple[str, ...]
    needs: tuple[str, ...]
    paper: str
    check: str
    claim: str
    notebook: str
    loop: Any = None
    scale: str | None = None
    optimum: str | None = None
    hooks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strange = sorted(set(self.hooks) - set(HOOKS))
        strange += sorted(set(self.needs) - set(NEEDS))
        if strange:
            named = ", ".join(strange)
            raise ValueError(f"{self.key}: no hook or need is called {named}")
