"""What `fetch` is asked for, what it would bring, and bringing it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from equistudy.cli.status import load_requested_study
from equistudy.cli.study_reference import DEFAULT_RESULTS, StudyReference
from equistudy.datasets.data_folder import DATA_VARIABLE, get_data_folder
from equistudy.fetching.download import list_urls
from equistudy.fetching.fetch import DatasetRequest, fetch_dataset, format_size
from equistudy.fetching.needs import find_needs
from equistudy.fetching.registry import DATASETS, MANUAL_DATASETS, ManualDataset
from equistudy.models.weights import find_weights
from equistudy.study.design import suggest_names

__all__ = [
    "Requested",
    "build_list",
    "build_plan",
    "fetch_all",
    "fetch_for_study",
    "find_requested",
    "format_list",
    "format_plan",
]


class Requested(NamedTuple):
    """Datasets and pretrained weights to be fetched, and datasets that must be fetched by hand."""

    datasets: tuple[DatasetRequest, ...]
    weights: tuple[str, ...]
    manual: tuple[ManualDataset, ...] = ()


def find_requested(words: Sequence[str], scale: str | None, into: Path | None) -> Requested:
    """What the words name: datasets, weights as NAME.TAG, and studies with all that they read.

    Raises:
        ValueError: a word is none of these, or a dataset that must be fetched by hand.
    """
    datasets: dict[tuple[str, Path], DatasetRequest] = {}
    weights: dict[str, None] = {}
    manual: dict[str, ManualDataset] = {}
    if scale is not None and not any(word.endswith(".py") for word in words):
        raise ValueError(f"A scale belongs to a study, got --scale {scale} without STUDY.py. Name a study.")
    for word in words:
        if word.endswith(".py"):
            loaded = load_requested_study(StudyReference(Path(word), scale, DEFAULT_RESULTS))
            design = loaded.study.design
            with loaded.blame_study_code():
                trials = [cell.trial for cell in (*design.cells(), *design.try_trials())]
            needs = find_needs([*trials, loaded.study.measures], into)
            datasets |= {(request.dataset.name, request.folder): request for request in needs.datasets}
            weights |= dict.fromkeys(needs.weights)
            manual |= {known.name: known for known in needs.manual}
        elif word in DATASETS:
            request = DatasetRequest(DATASETS[word], (into or get_data_folder()) / word)
            datasets[word, request.folder] = request
        elif word in MANUAL_DATASETS:
            raise _create_manual_error((MANUAL_DATASETS[word],))
        elif "." in word:
            weights[word] = None
        else:
            names = [*DATASETS, *MANUAL_DATASETS]
            raise ValueError(
                "fetch needs the name of a dataset, a study file, or NAME.TAG of timm's weights, got "
                f"{word!r}. {suggest_names(word, names)}"
            )
    return Requested(tuple(datasets.values()), tuple(weights), tuple(manual.values()))


def _create_manual_error(several: Sequence[ManualDataset]) -> ValueError:
    steps = " ".join(f"{known.name}: {known.link}. {known.steps}." for known in several)
    return ValueError(
        "fetch downloads only datasets with a published checksum, got "
        f"{', '.join(known.name for known in several)}. Download by hand: {steps}"
    )


def build_plan(asked: Requested) -> dict[str, Any]:
    """What would be downloaded, from where and how large; nothing is."""
    files = [
        {
            "name": request.dataset.name,
            "file": file.name,
            "bytes": file.size,
            "from": list(list_urls(request.dataset.name, file)),
            "into": str(request.folder),
            "unpacks_to_at_most": file.unpacking.max_bytes if file.unpacking else None,
        }
        for request in asked.datasets
        for file in request.list_missing()
    ]
    there = [str(request.folder) for request in asked.datasets if not request.list_missing()]
    weights = [{"name": name, "there": find_weights(name) is not None} for name in asked.weights]
    by_hand = [{"name": known.name, "link": known.link, "steps": known.steps} for known in asked.manual]
    return {"files": files, "there": there, "weights": weights, "by_hand": by_hand}


def format_plan(plan: dict[str, Any]) -> list[str]:
    """The plan as lines."""
    lines = [f"{folder}: there" for folder in plan["there"]]
    for file in plan["files"]:
        room = file["unpacks_to_at_most"]
        unpacked = f", unpacked to at most {format_size(room)}" if room else ""
        lines.append(
            f"{file['into']}/{file['file']}: {format_size(file['bytes'])}{unpacked}, from {' or '.join(file['from'])}"
        )
    for weights in plan["weights"]:
        where = "there" if weights["there"] else "from the Hugging Face hub, which states the size"
        lines.append(f"weights {weights['name']}: {where}")
    lines += [f"{known['name']}: by hand from {known['link']}. {known['steps']}." for known in plan["by_hand"]]
    total = sum(file["bytes"] or 0 for file in plan["files"])
    unstated = any(file["bytes"] is None for file in plan["files"]) or any(not w["there"] for w in plan["weights"])
    lines.append(f"In all {format_size(total)}{' and what has no stated size' if unstated else ''}")
    return lines


def build_list(into: Path | None) -> list[dict[str, Any]]:
    """The datasets: size, licence, citation, and whether all files are there."""
    root = into or get_data_folder()
    rows: list[dict[str, Any]] = []
    for known in DATASETS.values():
        missing = DatasetRequest(known, root / known.name).list_missing()
        sizes = [file.size for file in known.files]
        rows.append(
            {
                "name": known.name,
                "bytes": None if None in sizes else sum(size or 0 for size in sizes),
                "licence": known.licence,
                "there": not missing,
                "citation": known.citation,
                "checksums_from": known.checksums_from,
                "by_hand": None,
            }
        )
    for manual in MANUAL_DATASETS.values():
        try:
            manual.find(str(root / manual.name))
        except ValueError:
            there = False
        else:
            there = True
        rows.append(
            {
                "name": manual.name,
                "bytes": None,
                "licence": manual.licence,
                "there": there,
                "citation": manual.citation,
                "checksums_from": None,
                "by_hand": f"{manual.link}. {manual.steps}.",
            }
        )
    return rows


def format_list(rows: list[dict[str, Any]]) -> list[str]:
    """The list as a table, then what must be fetched by hand."""
    lines = [f"{'dataset':15}{'download':>14}  {'there':7}licence"]
    for row in rows:
        size = "by hand" if row["by_hand"] else format_size(row["bytes"])
        lines.append(f"{row['name']:15}{size:>14}  {'yes' if row['there'] else 'no':7}{row['licence']}")
    return lines + [f"{row['name']}: {row['by_hand']}" for row in rows if row["by_hand"] and not row["there"]]


def fetch_all(asked: Requested, into: Path | None) -> dict[str, Any]:
    """Downloads what is missing; gives where everything is.

    Raises:
        FetchError: something cannot be downloaded; what came before it stays.
        ValueError: something must be fetched by hand; all else has been fetched.
    """
    console = Console(stderr=True, force_interactive=None if sys.stderr.isatty() else False, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    bar = Progress(*columns, console=console, disable=not console.is_terminal)  # in a log, lines are enough
    bars: dict[str, TaskID] = {}

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    def show(name: str, there: int, size: int | None) -> None:
        if name not in bars:
            bars[name] = bar.add_task(name, total=size)
        bar.update(bars[name], completed=there)

    found: dict[str, str] = {}
    with bar:
        for request in asked.datasets:
            fetch_dataset(request, tell, show)
            found[request.dataset.name] = str(request.folder)
    if asked.weights:
        from equistudy.fetching.weights import fetch_weights  # here: it imports timm

        for name in asked.weights:
            tell(f"{name}: from the Hugging Face hub, unless already present")
            found[name] = str(fetch_weights(name))
    if into is not None and asked.datasets:
        tell(f"Studies read datasets without a folder from here with {DATA_VARIABLE}={into}")
    if asked.manual:
        raise _create_manual_error(asked.manual)
    return found


def fetch_for_study(study: Path, scale: str | None) -> None:
    """Everything that a study reads, to where it reads it."""
    fetch_all(find_requested([str(study)], scale, None), None)
