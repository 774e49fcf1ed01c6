"""``medprune merge``: the sums of several sites into one file, and the scores they give together."""

from __future__ import annotations

from argparse import Namespace as Options
from pathlib import Path
from typing import Any

from medprune.errors import BadInput
from medprune.federated import SiteSums
from medprune.sums_file import merge_files, save_sums
from medprune.tables import check_place, write_whole
from medprune.verbs import Answer, scored_json, scores_csv


def merge(options: Options) -> Answer:
    """Add up, write (a CSV holds the scores, any other name the sums), and tell."""
    place = check_place(options.out, "the merged scores")
    for source in map(Path, options.scores):
        if place.exists() and source.exists() and place.samefile(source):
            raise BadInput(
                f"{options.out!r} is one of the files to merge; choose another one for the result."
            )
    merged = merge_files(options.scores)
    as_table = options.out.lower().endswith(".csv")
    if as_table and merged.scores is None:
        raise BadInput("Merged class rates are no table of scores; name a file such as --out rates.json.")
    told = _told(merged)
    if as_table:
        write_whole(options.out, scores_csv(merged.contributions()), "the scores")
    else:
        save_sums(merged, options.out)
    counts = merged.counts
    whose = f"{len(merged.sites)} sites with {counts.patients:,} patients"
    return (
        {
            "criterion": merged.agreed.criterion,
            "sites": len(merged.sites),
            "patients": counts.patients,
            "rows": sum(counts.rows),
            **told,
            "out": options.out,
        },
        f"{merged.agreed.criterion} over {whose}; {_sentence(told, options.out)}",
    )


def _told(merged: SiteSums) -> dict[str, Any]:
    if merged.scores is None:
        return {"rates": merged.rates}
    return scored_json(merged.contributions())


def _sentence(told: dict[str, Any], out: str) -> str:
    if "rates" in told:
        return f"class rates written to {out}: score every site with --rates {out}, then merge those files."
    first = ", ".join(f"{feature['name']} ({feature['score']:.3g})" for feature in told["features"][:5])
    return f"the features that contribute most: {first}. Written to {out}."
