"""What `audit` prints: one network in detail, or a line for each of many."""

import re
import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equistudy.cli.tables import align_rows
from equistudy.exactness.audit import audit
from equistudy.exactness.judging import Size
from equistudy.groups.finite import FiniteGroup
from equistudy.models.timm_model import TimmModel

__all__ = ["format_audit", "format_audits", "is_pattern", "parse_group", "parse_size", "run_audit"]

MAX_LISTED_LAYERS = 40  # layers of a printed table; --json has all


def parse_size(text: str) -> Size:
    """A size such as 224, or 224x320 for height and width."""
    if not (match := re.fullmatch(r"(\d+)(?:x(\d+))?", text)):
        raise ValueError(f"--size must be PIXELS or HEIGHTxWIDTH, got {text!r}. Try --size 224.")
    height, width = match.groups()
    return (int(height), int(width)) if width else int(height)


def parse_group(name: str | None) -> FiniteGroup | None:
    """The group of a short name; None is left to the audit."""
    from equistudy.exactness.elements import GROUPS_BY_NAME

    return None if name is None else GROUPS_BY_NAME[name]


def is_pattern(model: str) -> bool:
    """Whether a name stands for several."""
    return any(character in model for character in "*?[")


def run_audit(
    model: str, size: Size, group: FiniteGroup | None, channels: int | None, tell: Callable[[str], None]
) -> dict[str, Any] | list[dict[str, Any]]:
    """The record of one network's audit, or those of all of timm's networks that match a pattern, in order of names."""
    if not is_pattern(model):
        return audit(_load_network(model), size, group, channels, name=model).to_record()
    from equistudy.execution.audits import audit_all
    from equistudy.networks.timm_network import match_architectures

    names = match_architectures(model)
    records: dict[int, dict[str, Any]] = {}
    for position, record in audit_all([(name, TimmModel(name)) for name in names], size, group, channels):
        records[position] = record
        tell(f"{len(records)}/{len(names)} {record['model']}: {_format_verdict(record)}")
    return [records[position] for position in sorted(records)]


def _load_network(model: str) -> Any:
    """The network that timm calls so, or what FILE.py:FUNCTION gives."""
    path, colon, function = model.rpartition(":")
    if not colon:
        return TimmModel(model)
    if not Path(path).is_file():
        raise ValueError(
            f"A custom network is given as FILE.py:FUNCTION, got {path!r}, which is not a file. Check the path."
        )
    try:
        names = runpy.run_path(path)
    except Exception as error:
        raise ValueError(f"{path} could not be imported: {_format_error(error)}. Fix the file.") from error
    if not callable(names.get(function)):
        found = [name for name, value in names.items() if callable(value) and not name.startswith("_")]
        raise ValueError(
            f"{path} must define the function {function}, got only {', '.join(found) or 'none'}. Rename it, or name "
            "another function."
        )
    try:
        return names[function]()
    except Exception as error:
        raise ValueError(
            f"{model} must return a network when called without arguments, got {_format_error(error)}. Give its "
            "parameters defaults."
        ) from error


def _format_error(error: Exception) -> str:
    """An error of another's code within a sentence of ours, which ends it with a full stop of its own."""
    return f"{type(error).__name__}: {error}".rstrip(".")


def _format_verdict(record: Mapping[str, Any]) -> str:
    if "error" in record:
        return "failed"
    return "exact" if record["exact"] else "not exact"


def _format_pixels(size: Any) -> str:
    return " x ".join(str(side) for side in (size if isinstance(size, list) else [size, size]))


def _format_sizes(verdict: Mapping[str, Any]) -> str:
    """The residue class and the nearest sizes in words."""
    near = [
        _format_pixels(size) if isinstance(size, list) else str(size) for size in verdict["nearest"].values() if size
    ]
    residue = verdict["residue"]
    if residue is None and not near:
        return "no other found" if verdict["exact"] else "none found"
    modulus = residue and residue["modulus"]
    classes = "several" if residue is None else "all" if modulus == 1 else f"n = {residue['remainder']} mod {modulus}"
    return f"{classes}; nearest {' and '.join(near) or 'none'}"


def _format_search(searched: Sequence[int]) -> str:
    """Which sizes were tried where no rule knows them all."""
    return f"(searched by numbers among {searched[0]} to {searched[1]})"


def format_audit(record: Mapping[str, Any]) -> list[str]:
    """One network: verdict, sizes, survivors, and every layer that breaks the group with its reason and a repair."""
    worst = max(record["deviations"].values(), default=0.0)
    lines = [
        f"{record['model']} at {_format_pixels(record['size'])} under {record['group']}: {_format_verdict(record)}",
        f"exact sizes: {_format_sizes(record)}",
    ]
    if record.get("searched"):
        lines[-1] += f" {_format_search(record['searched'])}"
    if record["exact"] != record["features"]["exact"]:
        lines.append(
            f"without its head: {_format_verdict(record['features'])}; exact sizes: {_format_sizes(record['features'])}"
        )
    lines.append(f"survives: {', '.join(record['survives'])}; measured in float64, largest relative error {worst:.1e}")
    lines += [record["caveat"]] if record.get("caveat") else []
    layers = record["layers"]
    if layers:
        columns = ("name", "reason", "repair") if any(layer["repair"] for layer in layers) else ("name", "reason")
        titles = {"name": "layer", "reason": "why", "repair": "repair"}
        shown = [{titles[column]: layer[column] or "" for column in columns} for layer in layers]
        lines += ["", *align_rows(shown[:MAX_LISTED_LAYERS])]
        if "repair" not in columns:
            lines.append("No edits were found that make the network exact at this size.")
    if len(layers) > MAX_LISTED_LAYERS:
        lines.append(f"... and {len(layers) - MAX_LISTED_LAYERS} more; --json prints all")
    return lines


def format_audits(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Many networks: a line each, then how many are exact, and why others failed."""
    done, failed = [r for r in records if "error" not in r], [r for r in records if "error" in r]
    rows = [
        {
            "model": record["model"],
            "verdict": _format_verdict(record),
            "exact sizes": _format_sizes(record),
            "layers": len(record["layers"]),
            "first": _format_first_layers(record["layers"]),
        }
        for record in done
    ]
    exact = sum(record["exact"] for record in done)
    lines = [*align_rows(rows), *([""] if rows else [])]
    lines += [f"{len(records)} networks: {exact} exact, {len(done) - exact} not exact, {len(failed)} failed"]
    return lines + [f"{record['model']}: {record['error'].partition(chr(10))[0]}" for record in failed]


def _format_first_layers(layers: Iterable[Mapping[str, Any]]) -> str:
    return next((f"{layer['name']}: {layer['cause']}" for layer in layers), "")
