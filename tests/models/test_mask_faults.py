"""Wrong masks by hand: which tokens count under each fault."""

import torch

from tests.models import families
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.records import Message, PreferenceRecord
from workbench.models import encoding, mask_faults

END = 9


def tokens() -> Tokens:
    """Two prompt tokens, an answer with its end and a line end; then a shorter one."""
    ids = torch.tensor([[1, 2, 3, 4, END, 5], [1, 2, 3, END, 0, 0]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0]]).bool()
    attention = torch.tensor([[1] * 6, [1, 1, 1, 1, 0, 0]]).bool()
    none = torch.full((2,), -1)
    return Tokens(ids, mask, attention, none, none)


def test_the_prompt_counts_but_for_its_first_token():
    found = mask_faults.prompt_counted(tokens()).mask.int().tolist()
    assert found == [[0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0]]


def test_neither_the_end_counts_nor_what_stands_behind_it():
    found = mask_faults.end_left_out(tokens(), [END]).mask.int().tolist()
    assert found == [[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0]]


def test_an_end_in_the_prompt_is_none_of_the_answer():
    found = mask_faults.end_left_out(tokens(), [1]).mask
    assert found.equal(tokens().mask)


def test_a_doubled_start_is_read_and_does_not_count():
    found = mask_faults.start_doubled(tokens(), 1)
    assert found.ids[0].tolist() == [1, 1, 2, 3, 4, END, 5]
    assert found.mask.int()[1].tolist() == [0, 0, 0, 1, 1, 0, 0]
    assert found.attention.sum(-1).tolist() == [7, 5]


def test_both_sides_of_pairs_get_it_and_the_prompt_cancels():
    """Policy and reference differ; the sums move by the same number on both sides."""
    coder = families.coder("chatml")
    record = PreferenceRecord("Name a colour.", "green", "tea, a lot")
    right = encoding.encode(coder, [record]).pairs
    wrong = mask_faults.of_pairs(right, mask_faults.prompt_counted)
    models = [families.model("chatml", coder) for _ in range(2)]
    with torch.no_grad():
        for weights in models[1].parameters():
            weights.add_(
                0.05 * torch.sin(torch.arange(weights.numel()).reshape(weights.shape))
            )

    def margins(pairs: Pairs) -> list[float]:
        sums = []
        for side in (pairs.chosen, pairs.rejected):
            logps = [_logps(model, side) for model in models]
            gap = logps[0] - logps[1]
            sums.append(torch.where(side.mask, gap, 0.0).sum().item())
        return sums

    one, two = margins(right), margins(wrong)
    assert abs(one[0] - two[0]) > 1e-3
    assert abs((one[0] - one[1]) - (two[0] - two[1])) < 1e-5


@torch.no_grad()
def _logps(model, side):
    """log p of each token after those before it, by transformers' own model."""
    every = model(input_ids=side.ids, attention_mask=side.attention.long())
    logps = every.logits[:, :-1].log_softmax(-1)
    picked = logps.gather(-1, side.ids[:, 1:, None])[..., 0]
    return torch.nn.functional.pad(picked, (1, 0))


def test_without_a_template_the_last_question_is_plain_text():
    talk = (Message("system", "Be brief."), Message("user", "Name a colour."))
    answers = [(Message("assistant", text),) for text in ("green", "tea")]
    found = mask_faults.without_template(PreferenceRecord(talk, *answers))
    assert (found.prompt, found.chosen, found.rejected) == (
        "Name a colour.", "green", "tea",
    )  # fmt: skip
