"""Sampled answers: gold, drift and length of the same texts, by hand."""

import pytest
import torch

from tests.models import families
from workbench.measure import answers
from workbench.models import checkpoint, prompts


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = families.save("chatml", tmp_path_factory.mktemp("c"))
    return (*checkpoint.load(folder), checkpoint.load(folder)[0])


def tracker(policy, coder, gold, **more):
    asked = [coder("Name a colour.").input_ids, coder("Say one thing.").input_ids]
    return answers.AnswerTracker(policy, asked, coder, gold, max_new=6, **more)


def test_the_reference_has_not_moved_and_each_answer_is_rated_once(loaded):
    """Prompt 0 is worth 1 and prompt 1 is worth 3, so the mean is 2."""
    policy, coder, reference = loaded
    seen = []

    def gold(prompt: int, text: str) -> float:
        seen.append((prompt, text))
        return 1.0 + 2 * prompt

    measure = tracker(reference, coder, gold, each=3)
    row = measure(policy).iloc[0]
    assert [prompt for prompt, _ in seen] == [0, 0, 0, 1, 1, 1]
    assert row.kl == pytest.approx(0, abs=1e-9) and row.gold == 2
    # two clusters whose means are 1 apart from 2: standard error 1, t(1) = 12.706
    assert row.gold_high - row.gold == pytest.approx(12.706, abs=1e-3)
    tokens, texts = measure.written(policy)
    assert texts == [text for _, text in seen] == measure.texts[0]
    assert row.length == tokens.lengths.double().mean().item()
    ended = prompts.has_ended(policy, tokens).double().mean().item()
    assert row.cut == pytest.approx(1 - ended)


def test_the_drift_is_the_mean_of_the_samples_log_ratio(loaded):
    """Against a policy with one logit moved: k1 of many samples, and the same mean."""
    policy, coder, reference = loaded
    with torch.no_grad():
        head = policy.network.model.get_output_embeddings()
        before = head.weight.clone()
        head.weight[40] += 2.0
    measure = tracker(reference, coder, lambda i, text: 0.0, each=200)
    row = measure(policy).iloc[0]
    tokens, _ = measure.written(policy)
    with torch.no_grad():
        gap = policy.token_logps(tokens) - reference.token_logps(tokens)
        head.weight.copy_(before)
    logratio = torch.where(tokens.mask, gap, 0.0).sum(-1)
    error = logratio.std().item() / 400**0.5
    assert row.kl > 5 * error
    assert row.kl == pytest.approx(logratio.mean().item(), abs=4 * error)


def test_the_same_policy_answers_the_same_twice(loaded):
    policy, coder, reference = loaded
    measure = tracker(reference, coder, lambda i, text: 0.0)
    assert measure.written(policy)[1] == measure.written(policy)[1]
