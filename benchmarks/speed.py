"""Speed as ratios measured in one run; a table, never a test.

    python benchmarks/speed.py            # all but TRL
    python benchmarks/speed.py --trl      # also TRL's DPOTrainer (extra "oracle")

Contestants take turns, so that a busy machine slows both alike; medians are compared.
"""

import argparse
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import tiny
from workbench.worlds.reviews import Reviews

BATCH, STEPS, ROUNDS = 32, 40, 7


def seconds(work) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(ours, theirs, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Median seconds of both, taking turns, and the median of their ratios."""
    ours(), theirs()  # warm up
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, other, statistics.median(a / b for a, b in pairs)


def dpo_step(world: Reviews) -> tuple[float, float, float]:
    """A step of ``offline.fit`` against the same arithmetic without any library."""
    ref = tiny.reference(world)
    pairs = sample_pairs(world, world.author, 1024, Annotator(), generator(0))
    model = tiny.decoder(world.vocab, seed=0)
    bare = tiny.decoder(world.vocab, seed=0).network.model
    ref_chosen, ref_rejected = pairs.reference_logps(ref)
    ref_margin = ref_chosen.sum(1) - ref_rejected.sum(1)
    optimizer = torch.optim.Adam(bare.parameters(), lr=1e-3)
    ban = model.ban

    def ours():
        offline.fit(
            model, ref, pairs, dpo, dpo.Config(), steps=STEPS, batch_size=BATCH,
            every=10**9,
        )  # fmt: skip

    def theirs():
        pairs.reference_logps(ref)  # ours reads the reference once, too
        for step in range(STEPS):
            rows = torch.arange(step * BATCH, (step + 1) * BATCH) % len(pairs)
            ids = torch.cat([pairs.chosen.ids[rows], pairs.rejected.ids[rows]])
            mask = torch.cat([pairs.chosen.mask[rows], pairs.rejected.mask[rows]])
            logits = bare(input_ids=ids, use_cache=False).logits + ban
            logps = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
            logps = torch.where(mask[:, 1:], logps, 0.0).sum(1)
            margin = logps[:BATCH] - logps[BATCH:] - ref_margin[rows]
            loss = -torch.nn.functional.logsigmoid(0.1 * margin).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return compare(ours, theirs)


def sampling(world: Reviews) -> tuple[float, float, float]:
    """``Policy.sample`` against a bare loop over the same cached model."""
    from transformers import DynamicCache

    policy = tiny.reference(world)
    asked = torch.arange(256) % world.n_prompts
    stream = generator(0)

    @torch.no_grad()
    def bare():
        model, cache = policy.network.model, DynamicCache()
        step = world.prompt_tokens[asked]
        alive = torch.ones(len(asked), dtype=torch.bool)
        for _ in range(world.max_words):
            output = model(input_ids=step, past_key_values=cache, use_cache=True)
            chance = (output.logits[:, -1] + policy.ban).softmax(-1)
            step = torch.multinomial(chance, 1, generator=stream)
            step = torch.where(alive[:, None], step, 0)
            alive &= step[:, 0] != world.vocab.eos

    return compare(lambda: policy.sample(world, asked, stream), bare, rounds=25)


SEEDS = 5


def _labels(world: Reviews, seed: int):
    return sample_pairs(world, world.author, 512, Annotator(), generator(seed))


def _one_seed(seed: int) -> None:
    torch.set_num_threads(1)
    world = Reviews(3)
    ref, pairs = tiny.reference(world), _labels(world, seed)
    offline.fit(
        tiny.reference(world).requires_grad_(True), ref, pairs, dpo, dpo.Config(),
        steps=STEPS, batch_size=BATCH, seed=seed, every=10**9,
    )  # fmt: skip


def five_seeds(world: Reviews) -> tuple[float, float, float]:
    """Five seeds of DPO as one batched model against one after the other."""
    ref = tiny.reference(world)

    def ours():
        offline.fit(
            ref, ref, [_labels(world, seed) for seed in range(SEEDS)], dpo,
            dpo.Config(), steps=STEPS, batch_size=BATCH, seeds=SEEDS, every=10**9,
        )  # fmt: skip

    def theirs():
        for seed in range(SEEDS):
            _one_seed(seed)

    return compare(ours, theirs, rounds=3)


def five_seeds_in_processes(world: Reviews) -> tuple[float, float, float]:
    """The same on two processes that wait for work, against one after the other."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:

        def ours():
            list(pool.map(_one_seed, range(SEEDS)))

        def theirs():
            for seed in range(SEEDS):
                _one_seed(seed)

        return compare(ours, theirs, rounds=3)


def exact_evaluation() -> float:
    """Seconds per prompt for all 37,449 responses, on two threads."""
    torch.set_num_threads(2)
    world = Reviews(5)
    policy = tiny.reference(world)
    with torch.no_grad():
        policy.response_logps(world)
        times = [seconds(lambda: policy.response_logps(world)) for _ in range(5)]
    torch.set_num_threads(1)
    return statistics.median(times) / world.n_prompts


def exact_memory() -> float:
    """Peak GiB of a process that evaluates all 37,449 responses of every prompt."""
    code = (
        "import resource; from workbench.models import tiny;"
        "from workbench.worlds.reviews import Reviews; world = Reviews(5);"
        "tiny.reference(world).response_logps(world);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(told.stdout) / 2**20  # Linux counts in KiB


def import_time() -> float:
    """Seconds of ``import workbench``, beyond starting Python."""

    def start(code: str) -> float:
        command = [sys.executable, "-c", code]
        return statistics.median(
            seconds(lambda: subprocess.run(command, check=True)) for _ in range(5)
        )

    return start("import workbench") - start("pass")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl", action="store_true", help="also time TRL's DPOTrainer")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    world = Reviews(3)
    print(f"{'what':38}{'ours':>10}{'other':>10}{'ratio':>8}  goal")
    rows = [
        (f"{STEPS} DPO steps against bare torch", *dpo_step(world), "≤ 1.15"),
        ("256 samples against a bare loop", *sampling(world), "≤ 1.2"),
        ("5 seeds stacked, against in turn", *five_seeds(world), "< 1"),
        ("5 seeds, 2 processes, against in turn", *five_seeds_in_processes(world), ""),
    ]
    if wanted.trl:
        from against_trl import dpo_training

        rows.append(("DPO training against TRL", *dpo_training(world), "< 1"))
    for what, mine, other, ratio, goal in rows:
        print(f"{what:38}{mine:9.3f}s{other:9.3f}s{ratio:8.3f}  {goal}")
    print(
        f"{'exact evaluation, 5 words, a prompt':38}{exact_evaluation():9.3f}s  ≤ 0.3 s"
    )
    print(f"{'  its peak memory':38}{exact_memory():7.2f}GiB  ≤ 1 GiB")
    print(f"{'import workbench':38}{import_time():9.3f}s  ≤ 1 s")


if __name__ == "__main__":
    main()
