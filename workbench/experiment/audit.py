"""An audit: a checkpoint against its reference on a preference file, untrained."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from workbench.core.errors import BadCheckpoint, BadOption, MissingInput
from workbench.core.seeds import generator
from workbench.core.statistics import cluster_interval
from workbench.experiment import file_notes
from workbench.experiment.training_settings import check_columns, check_word
from workbench.feedback import files
from workbench.feedback.columns import NAMES
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.records import text_of
from workbench.measure import drift, pair_audit
from workbench.models import checkpoint, encoding, prompts
from workbench.models.policy import Policy

EXTREMES = 3  # pairs with the lowest margins, and with the highest, token by token
SHOWN = 8  # prompts whose samples stand side by side


@dataclass(frozen=True)
class Settings:
    """What an audit is asked for.

    Attributes:
        reference: folder of the checkpoint that training started from.
        policy: folder of what came of it; an adapter's folder is merged into its base.
        pairs: a preference file of pairs.
        beta: reward units per nat, as in training.
        samples: responses drawn of each of the two, over the file's prompts.
        max_new: longest sampled response, tokens.
        max_length, columns, special_tokens, skip_bad: as for training.
        most: pairs that are read at most, the first ones of the file.
    """

    reference: str
    policy: str
    pairs: str
    beta: float = 0.1
    samples: int = 64
    max_new: int = 64
    max_length: int = 512
    columns: dict[str, str] = field(default_factory=dict)
    special_tokens: str = "yes"
    skip_bad: bool = False
    most: int = 2000

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise BadOption(f"--beta is positive, not {self.beta:g}")
        check_word("special-tokens", self.special_tokens, ("yes", "no"))
        check_columns(self.columns)
        least = {"samples": 2, "max_new": 1, "max_length": 4, "most": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise BadOption(f"--{name.replace('_', '-')} is at least {low}")

    def card(self) -> dict[str, Any]:
        """What identifies the audit."""
        return asdict(self)


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        settings: what was asked for.
        pairs: DataFrame, one row per pair: line, prompt, columns of
            ``pair_audit.rewards``.
        summary: of ``pair_audit.summary``.
        drift: DataFrame[estimator, mean, stderr, low, high, n]: KL(π‖π_ref) in nats
            per sequence, from samples of π; intervals clustered by prompt.
        samples: DataFrame[prompt, before, after], texts.
        lengths: mean sampled length before and after, tokens.
        cut: share of the policy's samples that were cut at ``max_new``.
        tokens: (line, side, [(text, reward)]) of the pairs with extreme margins.
        notes: sentences on the file and on what was left out.
    """

    settings: Settings
    pairs: Any
    summary: Any
    drift: Any
    samples: Any
    lengths: tuple[float, float]
    cut: float
    tokens: list[tuple[int, str, list[tuple[str, float]]]]
    notes: tuple[str, ...]


def audit(settings: Settings, echo: Callable[[str], None] = lambda line: None) -> Audit:
    """Compare a checkpoint with its reference on a preference file.

    Args:
        settings: what to read.
        echo: where sentences go while it works.

    Raises:
        WorkbenchError: anything the user can mend, with what and where.
    """
    import pandas as pd

    read = files.read(
        settings.pairs, skip_bad=settings.skip_bad, columns=settings.columns
    )
    reference, policy, coder, notes = _load(settings)
    coded = encoding.encode(
        coder, list(read.records[: settings.most]), settings.max_length,
        file=read.path, lines=read.lines, skip_bad=settings.skip_bad,
        special=settings.special_tokens == "yes",
    )  # fmt: skip
    if coded.labels.pairs is None:
        raise MissingInput(f"{read.path.name} holds thumbs; an audit reads pairs")
    notes += _notes(settings, read, coded, coder)
    for note in notes:
        echo(note)
    pairs = coded.labels.pairs
    asked = [text_of(read.records[i].prompt) for i in coded.kept]
    numbers = {text: i for i, text in enumerate(dict.fromkeys(asked))}
    clusters = [numbers[text] for text in asked]
    frame = pair_audit.rewards(policy, reference, pairs, settings.beta)
    frame.insert(0, "line", [read.lines[i] for i in coded.kept])
    frame.insert(1, "prompt", asked)
    echo(f"rewards of {len(frame)} pairs, of {len(numbers)} prompts")
    known = _prompts(pairs, clusters, settings)
    drifted, texts, lengths, cut = _sampled(settings, reference, policy, coder, known)
    return Audit(
        settings, frame, pair_audit.summary(frame, clusters, settings.beta),
        pd.DataFrame(drifted), pd.DataFrame(texts), lengths, cut,
        _extremes(settings, reference, policy, coder, pairs, frame), tuple(notes),
    )  # fmt: skip


def _notes(settings: Settings, read: files.PreferenceFile, coded, coder) -> list[str]:
    """What was read, cut and left out."""
    records = read.records[: settings.most]
    notes = [read.summary(), coded.summary(), *coded.warnings, *coded.notes]
    notes += file_notes.of_columns(coder, records, NAMES.values())
    notes += file_notes.of_conflicts(records)
    if len(read) > settings.most:
        notes.append(f"the first {settings.most} of {len(read)} rows (--most)")
    return notes


def _extremes(settings: Settings, reference, policy, coder, pairs: Pairs, frame):
    """The pairs with the lowest and the highest margins, token by token."""
    order = torch.tensor(frame["margin"].tolist()).argsort()
    rows = torch.cat([order[:EXTREMES], order[-EXTREMES:]]).unique()
    found = pair_audit.token_rewards(policy, reference, pairs, rows, settings.beta)
    return [
        (int(frame["line"][row]), name, _words(coder, ids, values))
        for row, sides in zip(rows.tolist(), found, strict=True)
        for name, (ids, values) in zip(("chosen", "rejected"), sides, strict=True)
    ]


def _load(settings: Settings) -> tuple[Policy, Policy, Any, list[str]]:
    """Both checkpoints with the policy's tokenizer, which has to fit both."""
    reference, first = checkpoint.load(settings.reference)
    policy, coder = checkpoint.load(settings.policy)
    for one in (reference, policy):
        one.requires_grad_(False).eval()
    known: Any = first
    own: Any = coder
    if known.get_vocab() != own.get_vocab():
        detail = f"its tokenizer is not that of {settings.reference}"
        raise BadCheckpoint(settings.policy, "another tokenizer", detail)
    notes = []
    if known.chat_template != own.chat_template:
        notes.append("the two have other chat templates: that of the policy is used")
    for folder, one in ((settings.reference, reference), (settings.policy, policy)):
        most = prompts.positions(one.network.config)
        needed = max(settings.max_length, settings.max_new + 1)
        if most is not None and needed > most:
            raise BadOption(
                f"{folder} has {most} positions: --max-length {needed} is too long"
            )
    return reference, policy, coder, notes


def _prompts(pairs: Pairs, clusters: list[int], settings: Settings) -> list[list[int]]:
    """The file's prompts as tokens, each once, with room for a sample."""
    asked = prompts.prompts_of(pairs.chosen)
    once = {number: asked[row] for row, number in reversed([*enumerate(clusters)])}
    room = max(1, settings.max_length - settings.max_new)
    return [once[number][-room:] for number in sorted(once)]


def _sampled(settings: Settings, reference, policy, coder, known: list[list[int]]):
    """Drift from samples of the policy, and texts of both side by side."""
    asked = [known[i % len(known)] for i in range(settings.samples)]
    clusters = torch.arange(settings.samples) % len(known)
    drawn = [
        prompts.respond(one, asked, settings.max_new, generator(0, "audit"))
        for one in (reference, policy)
    ]
    values = drift.in_parts(policy, reference, drawn[1])
    rows = []
    for name, value in values.items():
        mean, stderr, low, high = cluster_interval(value[0], clusters)
        row = {"estimator": name, "mean": mean, "stderr": stderr, "low": low}
        rows.append(row | {"high": high, "n": settings.samples})
    texts = [
        {"prompt": coder.decode(asked[i])}
        | {
            name: coder.decode(tokens.ids[i][tokens.mask[i]], skip_special_tokens=True)
            for name, tokens in zip(("before", "after"), drawn, strict=True)
        }
        for i in range(min(SHOWN, len(known), settings.samples))
    ]
    ended = prompts.has_ended(policy, drawn[1])
    before, after = (tokens.lengths.double().mean().item() for tokens in drawn)
    return rows, texts, (before, after), 1 - ended.double().mean().item()


def _words(coder, ids: list[int], values: list[float]) -> list[tuple[str, float]]:
    """Tokens as text with their rewards."""
    return [(coder.decode([i]), v) for i, v in zip(ids, values, strict=True)]
