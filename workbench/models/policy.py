"""Policies: what a method trains and a measure reads.

``Policy`` is a transformer, ``TabularPolicy`` a table of float64 logits over all
responses. Both answer the same questions.
"""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core.tokens import Tokens
from workbench.models.network import Network, Stacked
from workbench.models.sampling import sample


class Policy(nn.Module):
    """A causal language model, or several seeds of it stacked.

    Args:
        network: logits of every position; ``config.forbidden_token_ids`` are never
            written (padding, prompt words) and get no probability.
    """

    ban: Tensor

    def __init__(self, network: Network | Stacked):
        super().__init__()
        self.network = network
        forbidden = getattr(network.config, "forbidden_token_ids", None) or []
        ban = torch.zeros(network.config.vocab_size)
        ban[forbidden] = -torch.inf
        self.register_buffer("ban", ban, persistent=False)

    @property
    def members(self) -> int:
        """Seeds that train side by side."""
        return self.network.members

    def logits(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time vocab"]:
        """Next-token logits after each token, −inf at forbidden tokens.

        A subclass with logits of its own has ``token_logps`` of its own.
        """
        return self.network(ids) + self.ban

    def token_logps(self, tokens: Tokens) -> Float[Tensor, "batch time"]:
        """log π(token | before) in nats on response tokens, 0 elsewhere.

        The model may live on a GPU; tokens, log-probs and losses stay on the CPU.
        Columns that are padding in every row are not run.
        """
        width = int(tokens.attention.any(0).sum())
        ids = tokens.ids[:, :width].to(self.ban.device)
        mask = tokens.mask[:, :width].to(self.ban.device)
        logps = self.network.token_logps(ids, mask, self.ban).cpu()
        return nn.functional.pad(logps, (0, tokens.ids.shape[1] - width))

    def next_token_logps(self, tokens: Tokens) -> Float[Tensor, "batch time vocab"]:
        """Log-probs of all tokens at each token's place; column 0 has none.

        Forbidden tokens have −inf. Columns outside the mask hold distributions too.
        """
        logits = self.logits(tokens.ids.to(self.ban.device))
        log_probs = logits[:, :-1].log_softmax(-1).cpu()
        return nn.functional.pad(log_probs, (0, 0, 1, 0))

    @staticmethod
    def pick(log_probs: Float[Tensor, "batch time vocab"], tokens: Tokens) -> Tensor:
        """The log-probs of the tokens themselves out of ``next_token_logps``."""
        return log_probs.gather(-1, tokens.ids[..., None])[..., 0]

    def conditionals(self, world) -> Float[Tensor, "*lead node action"]:
        """Next-token log-probabilities at every prefix, float64.

        Only prefixes of ``max_words − 1`` words are run: each of them passes through
        all the shorter ones.

        Returns:
            [prompt, node, action], with a leading member axis for a stack.
        """
        tree = world.tree
        words = world.action_ids[tree.words(tree.depth - 1)]
        rows = []
        for prompt in world.prompt_tokens:
            ids = torch.cat([prompt.expand(len(words), -1), words], dim=1)
            ids = ids.to(self.ban.device)
            logits = self.logits(ids.repeat(self.members, 1))
            logps = logits[..., world.action_ids].double().log_softmax(-1).cpu()
            logps = logps[:, len(prompt) - 1 :].unflatten(0, (self.members, -1))
            rows.append(tree.at_nodes(logps))
        stacked = torch.stack(rows, dim=1)
        return stacked if self.members > 1 else stacked[0]

    def response_logps(self, world) -> Float[Tensor, "*lead response"]:
        """log π(y|x) of every response, float64, [prompt, response] (or stacked)."""
        return world.tree.response_logps(self.conditionals(world))

    @torch.no_grad()
    def sample(
        self,
        world,
        prompt: Int[Tensor, " batch"],
        generator: torch.Generator,
        temperature: float = 1.0,
    ) -> Tokens:
        """One response to each prompt, by number; a stack samples member-major.

        A stack draws from the enumerated distribution of an exact world, and member by
        member elsewhere; a single policy writes token by token with a key-value cache.
        """
        if isinstance(self.network, Stacked):
            if hasattr(world, "tree"):
                return sample_enumerated(self, world, prompt, generator, temperature)
            parts = [self.member(m) for m in range(self.members)]
            parts = [p.sample(world, prompt, generator, temperature) for p in parts]
            return Tokens.cat(parts)
        ids, mask = sample(
            self, world.prompt_tokens[prompt], world.max_words, generator, temperature
        )
        response = world.response_index(ids, mask)
        return Tokens(ids, mask, mask | _lead(mask), prompt, response)

    def member(self, index: int) -> "Policy":
        """A copy of one member of a stack; a single policy is its own member 0."""
        return Policy(self.network.member(index))

    def copies(self, members: int) -> "Policy":
        """A stack of trainable copies of this policy, one per seed."""
        stack = Policy.stack([self] * members)
        return stack.requires_grad_(True)

    @staticmethod
    def stack(policies: "list[Policy]") -> "Policy":
        """Several policies of one shape as one batched model."""
        return Policy(Stacked([policy.network for policy in policies]))

    def save(self, folder: str | Path) -> None:
        """Write Hugging Face format; a stack's members as ``member-0``, …"""
        self.network.save(folder)

    @staticmethod
    def load(folder: str | Path) -> "Policy":
        """Read a causal language model from a local folder, safetensors only.

        Raises:
            OSError: the folder holds no such model; nothing is ever downloaded.
        """
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar for 300 kB, on stderr
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager",
        )
        return Policy(Network(model))


def _lead(mask: Tensor) -> Tensor:
    """True before the first response token: the prompt."""
    return mask.cumsum(-1) == 0


def sample_enumerated(
    policy, world, prompt: Tensor, generator: torch.Generator, temperature: float
) -> Tokens:
    """Responses from the distribution over all of them, ``prompt`` for every member."""
    if temperature != 1.0:
        conditionals = (policy.conditionals(world) / temperature).log_softmax(-1)
        logps = world.tree.response_logps(conditionals)
    else:
        logps = policy.response_logps(world)
    logps = logps.reshape(-1, world.n_prompts, world.n_responses)
    return Tokens.cat([world.draw_for(member, prompt, generator) for member in logps])


class TabularPolicy(nn.Module):
    """Float64 logits over all responses of an exact world.

    Args:
        world: an enumerable world.
        logps: log π(y|x) to start from, [prompt, response]; uniform if none.
    """

    members = 1

    def __init__(self, world, logps: Float[Tensor, "prompt response"] | None = None):
        super().__init__()
        start = torch.zeros(world.n_prompts, world.n_responses, dtype=torch.float64)
        self.world = world
        self.table = nn.Parameter(start if logps is None else logps.detach().clone())

    def response_logps(self, world=None) -> Float[Tensor, "prompt response"]:
        """log π(y|x) of every response."""
        return self.table.log_softmax(-1)

    def conditionals(self, world=None) -> Float[Tensor, "prompt node action"]:
        """Next-token log-probabilities at every prefix."""
        return self.world.tree.conditionals(self.response_logps())

    def token_logps(self, tokens: Tokens) -> Float[Tensor, "batch time"]:
        """log π(token | before) in nats on response tokens, 0 elsewhere."""
        nodes, actions = self.world.tree.paths(tokens.response)
        table = self.conditionals()[tokens.prompt[:, None], nodes.clamp(min=0)]
        picked = table.gather(-1, actions.clamp(min=0)[..., None])[..., 0]
        picked = torch.where(actions >= 0, picked, torch.zeros_like(picked))
        return nn.functional.pad(picked, (1, 0))

    def next_token_logps(self, tokens: Tokens) -> Float[Tensor, "batch time action"]:
        """Log-probs of all tokens at each token's place; column 0 has none.

        Its axis counts the actions of the tree, not token ids.
        """
        nodes, _ = self.world.tree.paths(tokens.response)
        log_probs = self.conditionals()[tokens.prompt[:, None], nodes.clamp(min=0)]
        return nn.functional.pad(log_probs, (0, 0, 1, 0))

    def pick(
        self, log_probs: Float[Tensor, "batch time action"], tokens: Tokens
    ) -> Tensor:
        """The log-probs of the tokens themselves out of ``next_token_logps``."""
        _, actions = self.world.tree.paths(tokens.response)
        taken = nn.functional.pad(actions.clamp(min=0), (1, 0))
        return log_probs.gather(-1, taken[..., None])[..., 0]

    @torch.no_grad()
    def sample(self, world, prompt, generator, temperature: float = 1.0) -> Tokens:
        """One response to each prompt, drawn from the table."""
        return sample_enumerated(self, world, prompt, generator, temperature)

    def save(self, folder: str | Path) -> None:
        """Write the table of logits (safetensors); there is no transformer to save."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        table = self.table.detach().contiguous()
        save_file({"table": table}, Path(folder) / "table.safetensors")
