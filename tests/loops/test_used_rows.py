"""The reference reads the rows that a run will use, those of similar length together.

Readings are planned where they take long; here every one is made to.
"""

import pandas as pd
import pytest
import torch

from workbench.catalogue import methods
from workbench.core import memory, progress
from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.experiment import problem
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.responses import Responses
from workbench.loops import offline
from workbench.loops.order import batch, used
from workbench.measure.pair_values import logratios, pair_values
from workbench.models.policy import Policy

METHODS = methods()
REVIEWS = problem.of_reviews((0,), max_words=2, n_pairs=24)
SHORT, LONG = 4, 40  # tokens of a sequence
PLAN = {"steps": 2, "batch_size": 4, "seed": 5}


class Counting(Policy):
    """A policy that notes which rows it reads, and how many columns of them it runs."""

    def __init__(self, policy: Policy):
        super().__init__(policy.network)
        self.rows: list[int] = []
        self.positions = 0

    def token_logps(self, tokens: Tokens):
        """As ever."""
        self.rows += tokens.response.tolist()
        self.positions += len(tokens) * int(tokens.attention.any(0).sum())
        return super().token_logps(tokens)


def tokens_of(lengths: list[int]) -> Tokens:
    """Sequences of so many tokens, two of them the prompt; ``response`` is the row."""
    length = torch.tensor(lengths)[:, None]
    at = torch.arange(LONG).expand(len(lengths), -1)
    allowed = (REVIEWS.reference.ban == 0).nonzero()[:, 0]
    shape, stream = (len(lengths), LONG), generator(0, "ids")
    ids = allowed[torch.randint(len(allowed), shape, generator=stream)]
    inside = at < length
    row = torch.arange(len(lengths))
    return Tokens(ids, inside & (at >= 2), inside, torch.zeros_like(row), row)


def pairs_of(lengths: list[int]) -> Pairs:
    return Pairs(
        tokens_of(lengths), tokens_of(lengths), torch.ones(len(lengths)).double()
    )


@pytest.fixture
def planned(monkeypatch):
    """Every reading is long enough to be planned."""
    monkeypatch.setattr(memory, "LONG", 0)


@pytest.mark.parametrize(
    ("members", "steps", "total", "size"),
    [(1, 3, 20, 4), (1, 5, 20, 4), (1, 7, 20, 6), (2, 4, 24, 5), (1, 2, 3, 8)],
)
def test_used_rows_are_those_of_all_batches(members, steps, total, size):
    drawn = [batch(7, members, step, total, size) for step in range(steps)]
    assert used(7, members, steps, total, size).tolist() == sorted(
        set(torch.cat(drawn).tolist())
    )


def test_a_run_reads_its_own_rows_and_no_others(planned):
    reference = Counting(REVIEWS.reference)
    data = pairs_of([SHORT] * 50)
    dpo = METHODS["dpo"]
    offline.fit(REVIEWS.start(), reference, data, dpo, dpo.Config(), **PLAN)
    drawn = torch.cat([batch(5, 1, step, 50, 4) for step in (0, 1)])
    assert sorted(reference.rows) == sorted(2 * drawn.tolist())  # two sides of a pair
    assert len(drawn.unique()) == 8


def test_a_short_reading_is_of_everything():
    """As it ever was: it costs a moment, and keeps the numbers of the lessons."""
    reference = Counting(REVIEWS.reference)
    dpo = METHODS["dpo"]
    offline.fit(
        REVIEWS.start(), reference, pairs_of([SHORT] * 50), dpo, dpo.Config(), **PLAN
    )
    assert sorted(reference.rows) == sorted(2 * [*range(50)])


def test_no_padding_is_run_between_long_and_short_rows(planned, monkeypatch):
    """Forty sequences of 4 tokens and four of 40, whose logits fit 160 positions."""
    vocab = REVIEWS.reference.network.config.vocab_size
    monkeypatch.setattr(memory, "_LOGITS", 160 * vocab)
    lengths = [LONG if row % 11 == 0 else SHORT for row in range(44)]
    reference = Counting(REVIEWS.reference)
    alone = Responses.of(tokens_of(lengths)).reference_logps(reference)
    assert reference.positions == 40 * SHORT + 4 * LONG
    assert reference.rows[:4] == [0, 11, 22, 33]  # the longest first
    monkeypatch.setattr(memory, "LONG", float("inf"))
    whole = Responses.of(tokens_of(lengths)).reference_logps(reference)
    torch.testing.assert_close(alone, whole)
    assert reference.positions > 2 * (40 * SHORT + 4 * LONG)


def test_a_measure_groups_pairs_as_the_reference_did(planned, monkeypatch):
    """Log-ratios of the reference itself are 0 to the last bit."""
    vocab = REVIEWS.reference.network.config.vocab_size
    monkeypatch.setattr(memory, "_LOGITS", 160 * vocab)
    pairs = pairs_of([LONG if row % 5 == 0 else SHORT + row % 7 for row in range(30)])
    policy = Counting(REVIEWS.reference)
    ref = pairs.reference_logps(policy)
    before = policy.rows.copy(), policy.positions
    rows, values = pair_values(policy, pairs, ref, logratios)
    assert rows.tolist() == [[*range(30)]]
    assert torch.equal(values, torch.zeros(2, 1, 30).double())
    assert policy.rows == 2 * before[0] and policy.positions == 2 * before[1]


def test_measured_values_stand_in_the_order_of_the_pairs(planned):
    pairs = pairs_of([SHORT + 5 * (row % 3) for row in range(9)])
    ref = pairs.reference_logps(REVIEWS.reference)
    _, values = pair_values(
        REVIEWS.reference, pairs, ref, lambda one: one.chosen_mask.sum(-1)[None]
    )
    assert values.flatten().tolist() == [2.0, 7.0, 12.0] * 3


def test_a_row_that_was_not_read_is_no_number(planned):
    pairs = pairs_of([SHORT] * 6)
    ref = pairs.reference_logps(REVIEWS.reference, torch.tensor([4, 1]))
    assert ref[0].shape == (6, LONG)
    pairs.batch(REVIEWS.reference, torch.tensor([1, 4]), ref)
    with pytest.raises(BadCall, match="not read row 3"):
        pairs.batch(REVIEWS.reference, torch.tensor([1, 3]), ref)


@pytest.mark.parametrize(
    "key", ["dpo", "kto", "sft", "lipo", "tdpo1", "a_lol", "c3po", "bt"]
)
def test_every_kind_of_data_has_the_losses_of_a_whole_reading(key, monkeypatch):
    """Rows of lists, of mismatched responses, of scores … are counted in their way."""
    method, losses = METHODS[key], []
    for limit in (0, float("inf")):
        monkeypatch.setattr(memory, "LONG", limit)
        where = problem.of_reviews((0,), max_words=2, n_pairs=24)
        run = method.card.loop.drive(where, method, method.Config(), PLAN)
        losses.append(run.last["loss"].item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_problem_reads_once_for_all_methods(planned, monkeypatch):
    counted = Counting(REVIEWS.reference)
    where = problem.Problem("here", counted, REVIEWS.vocab, world=REVIEWS.world,
                            n_pairs=20)  # fmt: skip
    data = where.data(METHODS["dpo"])
    some, counted.rows = torch.tensor([3, 7]), []
    first, again = (data.reference_logps(counted, some) for _ in range(2))
    assert first is again and len(counted.rows) == 4
    data.reference_logps(counted)  # all of them: whoever asks for some gets these
    read = len(counted.rows)
    assert data.reference_logps(counted, some)[0].shape[0] == 20
    assert data.reference_logps(counted, torch.tensor([1]))[0].shape[0] == 20
    assert len(counted.rows) == read


def test_a_resumed_run_reads_the_same_rows_in_the_same_parts(planned, tmp_path):
    dpo, lengths = METHODS["dpo"], [SHORT + row % 30 for row in range(40)]

    def fit(out, stop=None, resume=False):
        def measure(policy):
            if seen.append(0) or len(seen) == stop:
                raise InterruptedError
            return pd.DataFrame({"seed": [0]})

        seen: list[int] = []
        reference = Counting(REVIEWS.reference)
        plan = {"steps": 6, "batch_size": 4, "every": 2, "measures": [measure]}
        run = offline.fit(REVIEWS.start(), reference, pairs_of(lengths), dpo,
                          dpo.Config(), out=out, resume=resume, **plan)  # fmt: skip
        return run.policy.state_dict(), reference.rows

    weights, rows = fit(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        fit(tmp_path / "halves", stop=3)
    again, rows_again = fit(tmp_path / "halves", resume=True)
    assert rows == rows_again
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_long_reading_says_how_far_it_is(planned, monkeypatch):
    said: list[tuple[int, int, str]] = []
    update = progress.Bar.update

    def told(bar, steps=1):
        update(bar, steps)
        said.append((bar.done, bar.total, bar.label))

    monkeypatch.setattr(progress.Bar, "update", told)
    Responses.of(tokens_of([SHORT] * 6)).reference_logps(
        REVIEWS.reference, torch.tensor([0, 2, 5])
    )
    assert said[-1] == (3, 3, "rows read by the reference")
