"""Learning against an opponent, from preferences that no reward may explain."""

import torch

from workbench.core.batches import GameRollouts
from workbench.loops.run import Run, describe
from workbench.loops.session import Session


def fit(policy, reference, world, preference, method, cfg, *, steps, batch_size=64,
        lr=1e-3, seed=0, measures=(), every=10, out=None, resume=False,
        decay=False) -> Run:  # fmt: skip
    """Sample a response and an opponent's, ask who wins, update; again.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, frozen.
        world: an enumerable world: the opponent's law is a mixture of whole sequences.
        preference: ``(prompt, response, opponent) -> [batch]``, p(y ≻ y′).
        method: a module with ``opponent(logps, ref_logps, cfg)`` and ``loss``.
        cfg: the method's Config.
        steps: optimiser steps.
        batch_size: games a step and member.
        lr: Adam's step size.
        seed: of sampling.
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
        policy, steps=steps, lr=lr, seed=seed, measures=measures, every=every, out=out,
        resume=resume, decay=decay,
        config=describe(method, cfg) | {"loop": "games", "batch_size": batch_size},
    )  # fmt: skip
    with torch.no_grad():
        ref_logps = reference.response_logps(world)
    prompt = torch.arange(batch_size) % world.n_prompts
    for step in session:
        with torch.no_grad():
            tokens = policy.sample(world, prompt, session.generator(step))
            logps = policy.response_logps(world)
            law = method.opponent(logps, ref_logps.expand_as(logps), cfg)
            law = law.reshape(-1, world.n_prompts, world.n_responses)
            stream = session.generator(step, "opponent")
            rivals = torch.cat(
                [world.draw_for(one, prompt, stream).response for one in law]
            )
            wins = preference(tokens.prompt, tokens.response, rivals)
            ref = reference.token_logps(tokens)
        logps = policy.token_logps(tokens)
        batch = GameRollouts(
            logps, ref.to(logps.dtype), tokens.mask, wins.to(logps.dtype)
        )
        session.step(method.loss(batch, cfg))
    return session.finish()
