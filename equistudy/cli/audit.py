"""What `audit` prints: one network in detail, or a line for each of many."""

import re
import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from equistudy.cli.tables import aligned
from equistudy.exactness.audit import audit
from equistudy.exactness.judging import Size
from equistudy.groups.finite import FiniteGroup
from equistudy.models.timm_model import TimmModel

__all__ = ["audit_lines", "audited", "audits_lines", "group_of", "is_pattern", "size_of"]

LISTED = 40  # layers of a printed table; --json has all


def size_of(text: str) -> Size:
    """A size such as 224, or 224x320 for height and width."""
    if not (match := re.fullmatch(r"(\d+)(?:x(\d+))?", text)):
        raise ValueError(f"An input size is a number of pixels, or HEIGHTxWIDTH, got {text!r}. Try --size 224.")
    height, width = match.groups()
    return (int(height), int(width)) if width else int(height)


def group_of(name: str | None) -> FiniteGroup | None:
    """The group of a short name; None is left to the audit."""
    from equistudy.exactness.elements import GROUPS

    return None if name is None else GROUPS[name]


def is_pattern(model: str) -> bool:
    """Whether a name stands for several."""
    return any(character in model for character in "*?[")


def audited(
    model: str, size: Size, group: FiniteGroup | None, tell: Callable[[str], None]
) -> dict[str, Any] | list[dict[str, Any]]:
    """The record of one network's audit, or those of all of timm's networks that match a pattern, in order of names."""
    if not is_pattern(model):
        return audit(_network(model), size, group, name=model).record()
    from equistudy.execution.audits import audit_all
    from equistudy.networks.timm_network import matching

    names = matching(model)
    records: dict[int, dict[str, Any]] = {}
    for position, record in audit_all([(name, TimmModel(name)) for name in names], size, group):
        records[position] = record
        tell(f"{len(records)}/{len(names)} {record['model']}: {_verdict(record)}")
    return [records[position] for position in sorted(records)]


def _network(model: str) -> Any:
    """The network that timm calls so, or what FILE.py:FUNCTION gives."""
    path, colon, function = model.rpartition(":")
    if not colon:
        return TimmModel(model)
    if not Path(path).is_file():
        raise ValueError(f"A network of your own is FILE.py:FUNCTION, got {path!r}, which is no file. Check the path.")
    try:
        names = runpy.run_path(path)
    except Exception as error:
        raise ValueError(f"{path} must be Python that runs, got {_told(error)}. Mend it.") from error
    if not callable(names.get(function)):
        found = [name for name, value in names.items() if callable(value) and not name.startswith("_")]
        raise ValueError(f"{path} must define the function {function}, got {', '.join(found) or 'none'}. Name it so.")
    try:
        return names[function]()
    except Exception as error:
        raise ValueError(
            f"{model} must give a network without arguments, got {_told(error)}. Give it defaults."
        ) from error


def _told(error: Exception) -> str:
    """An error of another's code within a sentence of ours, which ends it with a full stop of its own."""
    return f"{type(error).__name__}: {error}".rstrip(".")


def _verdict(record: Mapping[str, Any]) -> str:
    if "error" in record:
        return "failed"
    return "exact" if record["exact"] else "not exact"


def _pixels(size: Any) -> str:
    return " x ".join(str(side) for side in (size if isinstance(size, list) else [size, size]))


def _sizes(verdict: Mapping[str, Any]) -> str:
    """The residue class and the nearest sizes in words."""
    near = [_pixels(size) if isinstance(size, list) else str(size) for size in verdict["nearest"].values() if size]
    residue = verdict["residue"]
    if residue is None and not near:
        return "this one only" if verdict["exact"] else "none"
    modulus = residue and residue["modulus"]
    classes = "several" if residue is None else "all" if modulus == 1 else f"n = {residue['remainder']} mod {modulus}"
    return f"{classes}; nearest {' and '.join(near) or 'none'}"


def audit_lines(record: Mapping[str, Any]) -> list[str]:
    """One network: verdict, sizes, survivors, and every layer that breaks the group with its reason and a repair."""
    worst = max(record["deviations"].values(), default=0.0)
    lines = [
        f"{record['model']} at {_pixels(record['size'])} under {record['group']}: {_verdict(record)}",
        f"exact sizes: {_sizes(record)}",
    ]
    if record["exact"] != record["features"]["exact"]:
        lines.append(f"without its head: {_verdict(record['features'])}; exact sizes: {_sizes(record['features'])}")
    lines.append(f"survives: {', '.join(record['survives'])}; confirmed in float64, largest relative error {worst:.1e}")
    layers = record["layers"]
    if layers:
        shown = [{"layer": layer["name"], "why": layer["reason"], "repair": layer["repair"]} for layer in layers]
        lines += ["", *aligned(shown[:LISTED])]
    if len(layers) > LISTED:
        lines.append(f"... and {len(layers) - LISTED} more; --json prints all")
    return lines


def audits_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Many networks: a line each, then how many are exact, and why others failed."""
    done, failed = [r for r in records if "error" not in r], [r for r in records if "error" in r]
    rows = [
        {
            "model": record["model"],
            "verdict": _verdict(record),
            "exact sizes": _sizes(record),
            "layers": len(record["layers"]),
            "first": _first(record["layers"]),
        }
        for record in done
    ]
    exact = sum(record["exact"] for record in done)
    lines = [*aligned(rows), *([""] if rows else [])]
    lines += [f"{len(records)} networks: {exact} exact, {len(done) - exact} not exact, {len(failed)} failed"]
    return lines + [f"{record['model']}: {record['error'].partition(chr(10))[0]}" for record in failed]


def _first(layers: Iterable[Mapping[str, Any]]) -> str:
    return next((f"{layer['name']}: {layer['cause']}" for layer in layers), "")
