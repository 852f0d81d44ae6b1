"""Groups of scored or ranked responses: what is read, and what is refused by line."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import BadRecord, MissingInput
from workbench.core.seeds import generator
from workbench.experiment import needs
from workbench.feedback import files
from workbench.feedback.files import GroupRecord, Message
from workbench.feedback.kind import alike
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.feedback.labels import Labels
from workbench.methods.direct.lists import brain
from workbench.models import encoding, rendering, tiny, tokenizer

TEXTS = ["good fun", "dull", "very good"]
SCORED = {"prompt": "film", "responses": TEXTS, "scores": [2.0, -1.5, 3.0]}
RANKED = {"prompt": "film", "responses": TEXTS, "ranks": [2, 3, 1]}


def objects(text: str, score: str, values: list) -> list[dict]:
    """Each response in an object with its score."""
    both = zip(TEXTS, values, strict=True)
    return [{text: each, score: value, "model": "m"} for each, value in both]


COMPLETIONS = objects("response", "overall_score", SCORED["scores"])


def lines(path: Path, *rows: dict) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("form", "row", "scores"),
    [
        ("scored", SCORED, (2, -1.5, 3)),
        ("scored", {"prompt": "film", "completions": TEXTS, "rewards": [1, 0, 2]},
         (1, 0, 2)),
        ("scored", {"prompt": "film", "outputs": TEXTS, "ratings": [1, 0, 2]},
         (1, 0, 2)),
        ("scored", {"prompt": "film", "scores": [1, 0, 2],
                    "completions": [{"response": text} for text in TEXTS]}, (1, 0, 2)),
        ("completions", {"instruction": "film", "completions": COMPLETIONS},
         (2, -1.5, 3)),
        ("completions", {"prompt": "film", "completions": objects(
            "text", "score", [1, 0, 2])}, (1, 0, 2)),
        ("ranked", RANKED, (1, 0, 2)),
        ("ranked", {"prompt": "film", "candidates": TEXTS, "ranking": [2, 2, 1]},
         (0, 0, 2)),
        ("ranked", {"prompt": "film", "answers": objects(
            "answer", "rank", [2.0, 3.0, 1.0])}, (1, 0, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_every_form_of_a_group_is_read_with_its_numbers(
    tmp_path, form, row, scores, suffix
):
    path = tmp_path / f"groups.{suffix}"
    if suffix == "jsonl":
        lines(path, row | {"source": "x"})
    else:
        pq.write_table(pa.Table.from_pylist([row | {"source": "x"}]), path)
    read = files.read(path)
    assert read.form == form
    floats = tuple(map(float, scores))
    assert read.records == (GroupRecord("film", tuple(TEXTS), floats, {"source": "x"}),)
    assert ("rank 1 is the best" in read.summary()) == (form == "ranked")


def test_conversations_are_read_and_text_answers_one(tmp_path):
    asked = [{"role": "user", "content": "film"}]
    said = [[{"role": "assistant", "content": text}] for text in TEXTS]
    row = SCORED | {"prompt": asked, "responses": said}
    plain = {"responses": TEXTS, "scores": [3, 1, 2]}
    path = lines(tmp_path / "a.jsonl", row, row | plain)
    first, second = files.read(path).records
    assert first.prompt == (Message("user", "film"),)
    assert first.responses == tuple((Message("assistant", text),) for text in TEXTS)
    assert second.responses == first.responses


@pytest.mark.parametrize(
    ("ranks", "scores"),
    [([0, 1, 2], (2, 1, 0)), ([1, 0, 2], (1, 2, 0)), ([0, 0, 1], (1, 1, 0))],
)
def test_ranks_from_zero_are_read_where_they_mean_one_thing(tmp_path, ranks, scores):
    path = lines(tmp_path / "a.jsonl", RANKED | {"ranks": None, "ranking": ranks})
    assert files.read(path).records[0].scores == scores


def test_ranks_by_that_name_belong_to_the_responses_from_zero_too(tmp_path):
    path = lines(tmp_path / "a.jsonl", RANKED | {"ranks": [1, 2, 0]})
    assert files.read(path).records[0].scores == (1, 0, 2)


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("lengths differ: 3 responses and 2 scores", SCORED | {"scores": [1, 2]}),
        (r"scores\[1\] is a string, not a number", SCORED | {"scores": [1, "2", 3]}),
        (r"scores\[0\] is true/false", SCORED | {"scores": [True, 2, 3]}),
        (r"scores\[2\] is null", SCORED | {"scores": [1, 2, None]}),
        (r"not finite: scores\[0\] is nan", SCORED | {"scores": [float("nan"), 2, 3]}),
        (r"scores\[0\] is inf", SCORED | {"scores": [10**400, 2, 3]}),
        ("equal scores: all 3 are 4", SCORED | {"scores": [4, 4, 4.0]}),
        ("one response", SCORED | {"responses": ["good"], "scores": [1]}),
        ("scores is a number, not a list", SCORED | {"scores": 3}),
        (r"responses\[1\] has no text", SCORED | {"responses": ["a", " ", "b"]}),
        ("equal responses", SCORED | {"responses": ["a", "a ", "a"]}),
        ("no prompt", {k: v for k, v in SCORED.items() if k != "prompt"}),
        ("scores is null", SCORED | {"scores": None}),
        ("scores and rewards are there", SCORED | {"rewards": [1, 2, 3]}),
        (r"ranks\[0\] is 1.5", RANKED | {"ranks": [1.5, 2, 3]}),
        (r"ranks\[0\] is -1", RANKED | {"ranks": [-1, 2, 3]}),
        ("starts at 0: is it the rank",
         {"prompt": "p", "responses": TEXTS, "ranking": [1, 2, 0]}),
        (r"completions\[1\] has no overall_score", {"prompt": "p", "completions": [
            COMPLETIONS[0], {"response": "b", "score": 1}]}),
        (r"completions\[1\] is a string", {"prompt": "p", "completions": [
            COMPLETIONS[0], "b"]}),
    ],
)  # fmt: skip
def test_a_bad_group_is_named_with_its_line_or_skipped(tmp_path, reason, row):
    ranked, objects = "ranks" in row or "ranking" in row, "completions" in row
    first = RANKED if ranked else SCORED
    if objects:
        first = {"prompt": "q", "completions": COMPLETIONS}
    path = lines(tmp_path / "bad.jsonl", first | {"id": 1}, row)
    with pytest.raises(BadRecord, match=reason) as error:
        files.read(path)
    assert "bad.jsonl, line 2" in str(error.value)
    with pytest.warns(files.SkippedRecords):
        assert files.read(path, skip_bad=True).lines == (1,)


def test_a_bad_first_line_is_line_one(tmp_path):
    path = lines(tmp_path / "bad.jsonl", SCORED | {"scores": [1, 2]})
    with pytest.raises(BadRecord, match=r"bad.jsonl, line 1: lengths differ"):
        files.read(path)


def test_responses_that_nobody_judged_are_no_group(tmp_path):
    path = lines(tmp_path / "bad.jsonl", {"prompt": "film", "responses": TEXTS})
    with pytest.raises(BadRecord, match="responses without scores or ranks; found pro"):
        files.read(path)


def test_groups_are_written_as_scored_and_as_nothing_else(tmp_path):
    records = [GroupRecord("p", ("a", "b"), (1.0, 0.5), {"id": 3})]
    for suffix in ("jsonl", "parquet"):
        read = files.read(files.write(tmp_path / f"a.{suffix}", records))
        assert (read.form, list(read.records)) == ("scored", records)
    with pytest.raises(BadRecord, match="written as scored, not as ranked"):
        files.write(tmp_path / "b.jsonl", records, "ranked")
    pair = files.PreferenceRecord("p", "a", "b")
    with pytest.raises(BadRecord, match="PreferenceRecord is no scored row"):
        files.write(tmp_path / "b.jsonl", [pair], "scored")


# ---- as tokens --------------------------------------------------------------------

GROUPS = [
    GroupRecord("one", ("a", "b", "c"), (1.0, 3.0, 2.0)),
    GroupRecord("two", ("d", "e"), (0.5, 0.0)),
    GroupRecord("three", ("f", "g", "h"), (5.0, 1.0, 5.0)),
]


def encoded(records=GROUPS, **settings) -> encoding.Encoded:
    """Groups as tokens of a tokenizer made of them."""
    coder = tokenizer.build(rendering.texts_of(None, records))
    return encoding.encode(coder, records, **settings)


def words(tokens, records=GROUPS) -> list[str]:
    """The responses in words."""
    coder = tokenizer.build(rendering.texts_of(None, records))
    return [
        coder.decode(ids[mask], skip_special_tokens=True)
        for ids, mask in zip(tokens.ids, tokens.mask, strict=True)
    ]


def policy_of(coded: encoding.Encoded):
    """A decoder that has the words of the groups."""
    coder = tokenizer.build(rendering.texts_of(None, GROUPS))
    return tiny.decoder(tokenizer.vocab_of(coder), width=16, layers=1, max_tokens=16)


def test_the_best_response_is_paired_with_a_lower_one_and_ties_are_counted():
    coded = encoded(rejected="worst")
    pairs, (high, low) = coded.pairs, coded.labels.utilities
    assert words(pairs.chosen) == ["b", "d", "f"]
    assert words(pairs.rejected) == ["a", "e", "g"]
    assert (high.tolist(), low.tolist()) == ([3.0, 0.5, 5.0], [1.0, 0.0, 1.0])
    assert coded.summary() == "3 groups of 2 to 3 responses as tokens, nothing cut"
    [told] = coded.pairing
    assert "the one of lowest score; 1 that tie with the best are in no pair" in told


def test_the_random_lower_response_is_uniform_and_the_same_each_time():
    many = [GroupRecord(f"p{i}", ("a", "b", "c", "d"), (2.0, 3.0, 1.0, 3.0))
            for i in range(400)]  # fmt: skip
    coded = encoded(many)
    drawn = words(coded.pairs.rejected, many)
    assert set(drawn) == {"a", "c"} and 160 < drawn.count("a") < 240
    assert drawn == words(encoded(many).pairs.rejected, many)


def test_lists_have_the_scores_of_their_own_responses_whatever_their_length():
    coded = encoded()
    policy, data = policy_of(coded), coded.labels.data(ListLogps)
    ref = data.reference_logps(policy)
    rows = torch.tensor([2, 1, 0])
    parts = alike(data, rows)
    assert [part.tolist() for part in parts] == [[1], [2, 0]]
    batches = [data.batch(policy, part, ref) for part in parts]
    assert [b.scores.tolist() for b in batches] == [
        [[0.5, 0.0]],
        [[5.0, 1.0, 5.0], [1.0, 3.0, 2.0]],
    ]
    every = policy.token_logps(coded.labels.groups.tokens).sum(-1)
    assert_close(batches[0].logps(), every[3:5][None])
    assert_close(batches[1].logps(), torch.stack([every[5:], every[:3]]))
    assert all(batch.proposal.isnan().all() for batch in batches)


def test_lists_of_one_length_are_one_batch():
    coded = encoded([GROUPS[0], GROUPS[2]])
    data = coded.labels.data(ListLogps)
    assert (len(data), data.group) == (2, 3)
    assert [part.tolist() for part in alike(data, torch.tensor([1, 0]))] == [[1, 0]]


def test_some_of_the_labels_keep_group_and_pair_together():
    some = encoded(rejected="worst").labels[torch.tensor([2, 0])]
    assert words(some.pairs.chosen) == ["f", "b"]
    assert words(some.groups.tokens) == ["f", "g", "h", "a", "b", "c"]
    assert some.groups.sizes.tolist() == [3, 3]
    assert some.groups.scores.tolist() == [5.0, 1.0, 5.0, 1.0, 3.0, 2.0]


def test_scores_have_the_mean_of_their_group_as_baseline():
    data = encoded().labels.data(ScoredLogps)
    assert data.scores.tolist() == [1, 3, 2, 0.5, 0, 5, 1, 5]
    assert_close(data.baseline[:5], torch.tensor([2, 2, 2, 0.25, 0.25]).double())


def test_pairs_and_thumbs_are_made_of_groups_too():
    labels = encoded(rejected="worst").labels
    assert len(labels.data(PairLogps)) == 3
    thumbs = labels.data(ThumbLogps)
    assert words(thumbs.tokens) == ["b", "d", "f", "a", "e", "g"]
    assert thumbs.up.tolist() == [True] * 3 + [False] * 3


def test_a_group_whose_responses_become_the_same_tokens_is_left_out():
    records = [*GROUPS, GroupRecord("four", ("a b c d", "a b c e"), (1.0, 0.0))]
    coded = encoded(records, max_length=5)
    assert coded.kept == (0, 1, 2)
    assert "1 groups left out: the same tokens" in coded.summary()


def test_a_response_with_the_tokens_of_the_best_is_never_rejected():
    same = GroupRecord("p", ("a", "a", "b"), (3.0, 1.0, 2.0))
    for seed in range(10):
        groups = encoded([same]).labels.groups
        assert groups.rejected("random", generator(seed)).tolist() == [2]
        assert groups.rejected("worst", generator(seed)).tolist() == [2]


def test_a_method_on_the_proposal_is_refused_for_a_file():
    with pytest.raises(MissingInput, match="brain needs log-probs of the policy that"):
        needs.check_labels(brain, encoded().labels.parts, "groups.jsonl")


def test_labels_without_groups_name_them_where_lists_are_asked_for():
    with pytest.raises(MissingInput, match="gives no groups of scored responses, nor"):
        Labels(pairs=encoded().pairs).data(ListLogps)
