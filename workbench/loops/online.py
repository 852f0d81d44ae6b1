"""Learning from responses that the policy writes itself."""

from dataclasses import replace

import torch

from workbench.core.batches import Rollouts, Tokens
from workbench.loops import order
from workbench.loops.run import Run, describe
from workbench.loops.session import Session


class TableReward:
    """A reward given for every response: a gold or learned table of an exact world.

    Args:
        table: reward units, [prompt, response]; [member, prompt, response] gives each
            member of a stack its own reward.
    """

    def __init__(self, table: torch.Tensor):
        self.table = table

    def __call__(self, tokens: Tokens) -> torch.Tensor:
        """Reward of each row; rows are member-major."""
        if self.table.dim() == 2:
            return self.table[tokens.prompt, tokens.response]
        member = torch.arange(len(tokens)) // (len(tokens) // len(self.table))
        return self.table[member, tokens.prompt, tokens.response]


def fit(policy, reference, world, reward, method, cfg, *, steps, prompts=8, group=4,
        critic=None, epochs=1, minibatches=1, lr=1e-3, seed=0, measures=(), every=10,
        out=None, resume=False, decay=False) -> Run:  # fmt: skip
    """Sample, score, estimate advantages, update; again.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, frozen.
        world: where prompts come from.
        reward: ``tokens -> [batch]`` reward units.
        method: a module with ``advantages(rollouts, cfg)`` and ``loss(rollouts, cfg)``;
            with a critic also ``returns(rollouts, cfg)``.
        cfg: the method's Config.
        steps: batches of rollouts.
        prompts: prompts a batch and member, taken in turn.
        group: responses a prompt.
        critic: a ValueModel trained beside the policy.
        epochs: passes over each batch of rollouts.
        minibatches: optimiser steps a pass.
        lr: Adam's step size.
        seed: of sampling and order.
        measures: called on the policy on a schedule.
        every: steps between measures.
        out: run folder.
        resume: continue the run in ``out``.
        decay: shrink the step size linearly to 0.

    Returns:
        the run.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
    """
    session = Session(
        policy, critic, steps=steps, lr=lr, seed=seed, measures=measures, every=every,
        out=out, resume=resume, decay=decay,
        config=describe(method, cfg)
        | {"loop": "online", "prompts": prompts, "group": group, "epochs": epochs,
           "minibatches": minibatches},
    )  # fmt: skip
    for step in session:
        asked = torch.arange(step * prompts, (step + 1) * prompts) % world.n_prompts
        asked = asked.repeat_interleave(group)
        tokens = policy.sample(world, asked, session.generator(step))
        rollouts = collect(policy, reference, critic, tokens, reward, group)
        rollouts = judge(rollouts, method, cfg, policy.members)
        for epoch in range(epochs):
            stream = session.generator(step, f"order {epoch}")
            for rows in order.minibatches(
                len(tokens), policy.members, group, minibatches, stream
            ):
                part = tokens[rows]
                now = replace(rollouts[rows], policy=policy.token_logps(part))
                if critic is not None:
                    now = replace(now, values=critic.values(part))
                session.step(method.loss(now, cfg))
    return session.finish()


@torch.no_grad()
def collect(policy, reference, critic, tokens: Tokens, reward, group: int) -> Rollouts:
    """What is known of the responses when they are sampled."""
    old = policy.token_logps(tokens)
    return Rollouts(
        policy=old,
        old=old,
        ref=reference.token_logps(tokens).to(old.dtype),
        mask=tokens.mask,
        scores=reward(tokens).to(old.dtype),
        group=group,
        old_values=None if critic is None else critic.values(tokens),
    )


def judge(rollouts: Rollouts, method, cfg, members: int) -> Rollouts:
    """Advantages (and the critic's targets), each member of a stack on its own."""
    parts = [
        rollouts[rows]
        for rows in torch.arange(len(rollouts.scores)).unflatten(0, (members, -1))
    ]
    judged = replace(
        rollouts, advantages=torch.cat([method.advantages(p, cfg) for p in parts])
    )
    if rollouts.old_values is None:
        return judged
    return replace(judged, returns=torch.cat([method.returns(p, cfg) for p in parts]))
