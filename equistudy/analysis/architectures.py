"""Whether the networks of one model are one architecture: code alone does not say what a model builds."""

from collections.abc import Iterable

import polars as pl

from equistudy.study.trial import Trial

__all__ = ["describe_mixed_architectures"]


def describe_mixed_architectures(trials: Iterable[tuple[str, Trial]], rows: pl.DataFrame) -> list[str]:
    """A sentence for each model of which these rows of trials hold networks of different architectures.

    `rows` has `trial`, `network_digest`, `parameters` and `seed`. A model that reads a file, an environment variable or
    an installed package builds another network when these change, although its code is the same.
    """
    if "network_digest" not in rows.columns:
        return []
    known = rows.filter(pl.col("network_digest").is_not_null()).unique("trial", maintain_order=True)
    if known["network_digest"].n_unique() < 2:
        return []
    built = {row["trial"]: row for row in known.iter_rows(named=True)}
    models: dict[tuple[object, ...], dict[str, list[dict[str, object]]]] = {}
    for name, trial in dict(trials).items():
        if name in built:
            networks = models.setdefault((trial.model, trial.dataset, trial.task), {})
            networks.setdefault(str(built[name]["network_digest"]), []).append(built[name])
    return [_describe(str(key[0]), list(networks.values())) for key, networks in models.items() if len(networks) > 1]


def _describe(model: str, networks: list[list[dict[str, object]]]) -> str:
    parts = [
        f"{len(rows)} with {rows[0].get('parameters')} parameters (e.g. {rows[0]['trial']}, seed={rows[0]['seed']})"
        for rows in networks
    ]
    return (
        f"Networks of {model} have {len(networks)} architectures: {', '.join(parts)}. What the model reads besides its "
        "code has changed in between. Remove the files of the outdated trials from trials/ and weights/ of the results "
        "and run the study again."
    )
