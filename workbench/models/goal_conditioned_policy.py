"""A reference that reads goals and does not heed them yet."""

import copy

import torch
from torch import nn

from workbench.core.errors import BadCall
from workbench.models.network import Stacked
from workbench.models.policy import Policy
from workbench.worlds.enumerated import Enumerated
from workbench.worlds.goal_conditioned_world import Goals


@torch.no_grad()
def conditioned(reference: Policy, world: Enumerated, goals: Goals) -> Policy:
    """A copy of a transformer with an embedding for each (prompt, goal).

    Each starts as the embedding of the prompt alone, so π_ref(y|x, g) = π_ref(y|x), and
    training can tell the goals apart.

    Args:
        reference: a policy of one member on the base world.
        world: the base world.
        goals: the same world with goals.

    Raises:
        BadCall: the reference is a stack.
    """
    network = copy.deepcopy(reference.network)
    if isinstance(network, Stacked):
        raise BadCall("goals are given to a single reference, not to a stack")
    lead = torch.tensor([world.vocab.pad, world.vocab.eos])
    words = world.action_ids[:-1]
    prompts = world.prompt_tokens[goals.base_prompt, 0]
    source = torch.cat([lead, prompts, words])  # the old id of each new token
    model = network.model
    weight = model.get_input_embeddings().weight
    needs_gradient, source = weight.requires_grad, source.to(weight.device)
    read = nn.Embedding.from_pretrained(weight[source], padding_idx=goals.vocab.pad)
    write = nn.Linear(weight.shape[1], len(source), bias=False, device=weight.device)
    write.weight.copy_(model.get_output_embeddings().weight[source])
    model.set_input_embeddings(read.requires_grad_(needs_gradient))
    model.set_output_embeddings(write.requires_grad_(needs_gradient))
    model.config.vocab_size = len(source)
    model.config.forbidden_token_ids = list(goals.vocab.forbidden)
    return Policy(network).to(weight.device).train(reference.training)
