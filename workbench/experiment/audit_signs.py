"""What an audit found, in sentences: each with its number and interval.

There is no gold reward here: they say what often goes with overoptimisation, and decide
nothing.
"""

from collections.abc import Mapping

from workbench.experiment.audit import Audit
from workbench.measure import pair_audit


def of_audit(found: Audit) -> list[str]:
    """The sentences: labels, likelihoods, drift, length, β, and what was asked for."""
    rows = {row["measure"]: row for _, row in found.summary.iterrows()}
    accuracy, equal = rows["accuracy"], rows["accuracy, equal lengths"]
    before, after = (tokens.mean().item() for tokens in found.drawn.lengths)
    rank = rows["rank correlation of margin and length difference"]["value"]
    told = [
        f"accuracy {ranged(accuracy)} over {accuracy['n']} pairs; {ranged(equal)} over "
        f"{equal['n']} pairs of equal length",
        f"the chosen response lost probability in {rows['chosen fell']['value']:.0%} "
        f"of the pairs, both sides in {rows['both fell']['value']:.0%}",
        _drifted(found),
        f"sampled length {before:.1f} tokens before, {after:.1f} after",
    ]
    if rank == rank:
        told.append(f"margin and length difference: rank correlation {rank:+.2f}")
    beta = rows["β implied by the labels"]["value"]
    told.append(
        f"the labels are most likely at β = {beta:.3g}; margins are stated at "
        f"{found.settings.beta:g}"
    )
    return told + _of_gap(found) + _of_proxy(found)


def side_by_side(found: Mapping[str, Audit]):
    """Several audits in one table, to be read: one measure per row.

    Args:
        found: by the name that stands over its column.

    Returns:
        DataFrame of text, a column per audit: each value with its interval. Measures
        are those of the summary, then the drift, and of audits that have a held-out
        file the gaps and the summary of its pairs.
    """
    import pandas as pd

    columns = {}
    for name, one in found.items():
        told = {row["measure"]: ranged(row) for _, row in one.summary.iterrows()}
        told["drift (nats per sequence)"] = ranged(drift_of(one), "mean")
        for _, row in () if one.gap is None else one.gap.iterrows():
            told[f"gap of {row['measure']}"] = ranged(row, "gap")
        columns[name] = told | _held_out(one)
    return pd.DataFrame(columns).rename_axis("measure").fillna("")


def _held_out(found: Audit) -> dict[str, str]:
    """The summary of the held-out pairs, under names that say so."""
    if found.held_out is None:
        return {}
    prompts = found.held_out["prompt"].factorize()[0].tolist()
    rows = pair_audit.summary(found.held_out, prompts, found.settings.beta)
    return {f"held out: {row['measure']}": ranged(row) for _, row in rows.iterrows()}


def loudest(found: Audit, count: int = 3):
    """Which pieces of text make the rewards of the worst and the best pairs.

    Args:
        found: an audit.
        count: pieces at either end.

    Returns:
        DataFrame[line, margin, side, reward, lowest, highest], two rows per pair:
        rewards in reward units; pieces with theirs, the outermost first.
    """
    import pandas as pd

    rows = []
    for one in found.extremes:
        for side, words in one.sides.items():
            ranked = sorted(words, key=lambda piece: piece[1])
            ends = ranked[:count], ranked[::-1][:count]
            row = {"line": one.line, "margin": one.margin, "side": side}
            row["reward"] = sum(value for _, value in words)
            for name, some in zip(("lowest", "highest"), ends, strict=True):
                row[name] = ", ".join(f"{text!r} {value:+.2f}" for text, value in some)
            rows.append(row)
    return pd.DataFrame(rows)


def drift_of(found: Audit):
    """The estimate with the least noise: a row of the table of drift."""
    table = found.drawn.drift.set_index("estimator")
    name = "rao-blackwell" if "rao-blackwell" in table.index else "k1"
    return table.loc[name]


def ranged(row, name: str = "value") -> str:
    """A number of a table with its interval; a share of pairs stays within 0 and 1."""
    value, low, high = row[name], row["low"], row["high"]
    if value != value:
        return "unknown"
    if low != low:
        return f"{value:.2f}"
    if name == "value" and row.get("unit") == "share of pairs":
        low, high = max(0, low), min(1, high)
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _drifted(found: Audit) -> str:
    main, cut = drift_of(found), found.drawn.cut
    least = "at least " if cut else ""
    return (
        f"drift {least}{main['mean']:.3g} nats per sequence "
        f"[{main['low']:.3g}, {main['high']:.3g}]; {cut:.0%} of the samples were "
        f"cut at {found.settings.max_new} tokens"
    )


def _of_gap(found: Audit) -> list[str]:
    if found.gap is None:
        return []
    rows = {row["measure"]: row for _, row in found.gap.iterrows()}
    accuracy, margin = rows["accuracy"], rows["margin"]
    return [
        f"training less held-out pairs: accuracy {ranged(accuracy, 'gap')}, margin "
        f"{ranged(margin, 'gap')} reward units; {len(found.held_out)} pairs held out"
    ]


def _of_proxy(found: Audit) -> list[str]:
    if found.proxy is None:
        return []
    rows = {row["measure"]: row for _, row in found.proxy.summary.iterrows()}
    gain, right = rows["gain of proxy reward"], rows["accuracy of the reward model"]
    rank = rows["rank correlation of proxy reward and sampled length"]["value"]
    told = [
        f"the reward model gives the samples {ranged(gain)} more than before; it "
        f"orders {ranged(right)} of {right['n']} pairs as they are labelled"
    ]
    if rank == rank:
        told.append(
            f"proxy reward and sampled length: rank correlation {rank:+.2f} after "
            "training"
        )
    return told
