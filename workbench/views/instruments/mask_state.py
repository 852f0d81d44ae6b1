"""Which tokens of a pair count, and what each adds: behind the mask viewer."""

from collections.abc import Mapping

import pandas as pd
import torch

from workbench.feedback.kinds.pairs import Pairs
from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Heat

SIDES = ("chosen", "rejected")
WIDE, LONG = 8, 9  # tokens in a line, letters of a cell
LINE_END = "↵"


@torch.no_grad()
def mask_frame(
    ways: Mapping[str, Pairs], coder, policy, reference, beta: float
) -> pd.DataFrame:
    """Every token of some pairs, under several ways to encode them.

    Args:
        ways: name to the same pairs, encoded in that way.
        coder: a tokenizer, to write tokens as text.
        policy, reference: one member each.
        beta: reward units per nat.

    Returns:
        DataFrame[way, pair, side, position, token, counts, reward, ref_logp]: reward
        is β·log(π/π_ref) and ref_logp log π_ref in nats of a token that counts, 0
        elsewhere.
    """
    rows = []
    for way, pairs in ways.items():
        for side, tokens in zip(SIDES, (pairs.chosen, pairs.rejected), strict=True):
            known = torch.where(tokens.mask, reference.token_logps(tokens), 0.0)
            own = torch.where(tokens.mask, policy.token_logps(tokens), 0.0)
            rewards = beta * (own - known)
            for pair, position in tokens.attention.nonzero().tolist():
                at = pair, position
                word = coder.decode([int(tokens.ids[at])]).replace("\n", LINE_END)
                row = {"way": way, "pair": pair, "side": side, "position": position}
                row |= {"token": word, "counts": bool(tokens.mask[at])}
                row |= {"reward": rewards[at].item(), "ref_logp": known[at].item()}
                rows.append(row)
    return pd.DataFrame(rows)


def mask_caption(rows: pd.DataFrame, way: str, side: str) -> str:
    """One sentence about one response, computed from its rows."""
    counted = rows[rows["counts"]]
    each = counted["ref_logp"].mean()
    return (
        f"The {side} response, {way}: {len(counted)} of {len(rows)} tokens count; "
        f"their rewards add up to {counted['reward'].sum():+.2f} reward units, and the "
        f"reference gives them {each:.2f} nats per token."
    )


def mask_figure(frame: pd.DataFrame, way: str, pair: int, side: str) -> Fig:
    """The tokens of a response in lines; those that count carry their reward.

    Args:
        frame: what ``mask_frame`` returns.
        way, pair, side: which of its responses.

    Raises:
        KeyError: the frame has no such response.
    """
    need(frame, "way", "pair", "side", "position", "token", "counts", "reward")
    every = frame[frame["side"].isin(SIDES)]
    most = every.groupby(["way", "pair", "side"]).size().max()
    lines = -(-int(most) // WIDE)
    rows = frame[
        (frame["way"] == way) & (frame["pair"] == pair) & (frame["side"] == side)
    ].sort_values("position")
    if rows.empty:
        raise KeyError(f"no {side} response of pair {pair}, {way}")
    cells = [
        (r.reward, f"{_shown(r.token)}\n{r.reward:+.2f}") if r.counts
        else (0.0, _shown(r.token))
        for r in rows.itertuples()
    ]  # fmt: skip
    cells += [(None, "")] * (WIDE * lines - len(cells))
    grid = [cells[WIDE * i : WIDE * (i + 1)] for i in range(lines)]
    heat = Heat(
        [[value for value, _ in line] for line in grid],
        [f"from {WIDE * i}" for i in range(lines)],
        [[text for _, text in line] for line in grid],
        "reward units",
    )
    title = f"Pair {pair}, {side}, {way}: a token with a number counts"
    chart = Chart(title, "place in the line (tokens)", "", [heat])
    panels = Panels([chart], height=0.9 + 0.5 * lines)
    return Fig(panels, mask_caption(rows, way, side), rows)


def _shown(token: str) -> str:
    """A token as a cell holds it: a blank is seen as a dot, a long one is broken."""
    text = token.replace(" ", "·").replace("<|", "⟦").replace("|>", "⟧")
    if len(text) <= LONG:
        return text
    text = text[: 2 * LONG]
    half = -(-len(text) // 2)
    return f"{text[:half]}\n{text[half:]}"
