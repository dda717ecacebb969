"""What launching says and does: a dry run, a launch from here to the end, attaching, jobs, taking down."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from equistudy.cli.errors import Exit
from equistudy.cli.status import read
from equistudy.cli.study_reference import PROGRAM, Asked
from equistudy.launch.launch import (
    AGAIN,
    Entry,
    Jobs,
    Launch,
    Reached,
    brought_down,
    brought_up,
    driver_was_killed,
    reached,
)
from equistudy.launch.preflight import preflight, validated
from equistudy.launch.targets import Slurm, Target, target_of
from equistudy.launch.working_tree import working_tree
from equistudy.results.files import LocalFiles, open_files

__all__ = ["Wanted", "attached", "dry_lines", "job_lines", "launched", "taken_down"]

Tell = Callable[[str], None]
DRY_PORT = 8265  # shown by a dry run; a launch takes one that is free
# how `run` ends by itself; a job's driver says so by its exit code
ENDS = {
    Exit.DONE: "done",
    Exit.USAGE: "refused: wrong usage or invalid study",
    Exit.FAILED_TRIALS: "some trials failed",
}


class Wanted(NamedTuple):
    """A study, a cluster's file, and the options that go on to `run`."""

    cluster: Path
    study: Path
    results: str
    scale: str | None
    options: tuple[str, ...]


def _launch(wanted: Wanted, target: Reached) -> Launch:
    """What would be launched, with everything checked that can be from here."""
    read(Asked(wanted.study, wanted.scale, wanted.results))
    tree = working_tree(wanted.study)
    words = ["run", str(tree.place(wanted.study)), "--address", "auto", "--cluster", str(tree.place(wanted.cluster))]
    words += ["--results", _reachable(wanted, target)]
    words += ["--scale", wanted.scale] if wanted.scale else []
    return Launch(target, Entry(wanted.study, (*words, *wanted.options)), tree)


def _reachable(wanted: Wanted, target: Target) -> str:
    """The place of the results as the nodes see it. Raises ValueError for a folder that they do not share."""
    files = open_files(wanted.results)
    if isinstance(files, LocalFiles) and not target.shared_disk:
        raise ValueError(
            f"Nodes that come and go have no disk in common, got the folder {files.url} for {wanted.cluster}. Give "
            "--results a URL such as s3://bucket/results or gs://bucket/results."
        )
    return files.url


def dry_lines(wanted: Wanted) -> list[str]:
    """Everything that a launch would run and need; nothing is touched."""
    target = target_of(wanted.cluster)
    lines = [validated(target)]
    if isinstance(target, Slurm):
        steps = [target.submit(wanted.study, _reachable(wanted, target)), target.jobs(), *target.down()]
    else:
        launch = _launch(wanted, target)
        lines.append(f"code: {launch.tree}, without data and results")
        steps = launch.steps(DRY_PORT)
    lines += ["", "What a launch runs:"]
    for number, step in enumerate(steps, 1):
        lines.append(f"{number}. {step.why}\n   {step}")
        if step.given is not None:
            lines += [f"   | {line}" for line in step.given.splitlines()]
    checks = [str(check) for check in preflight(target)]
    return [*lines, "", "What it needs here:", *checks, "", "Nothing was run."]


def launched(wanted: Wanted, keep: bool, detach: bool, tell: Tell) -> tuple[list[str], Exit]:
    """Brings the cluster up, submits, follows to the end, and takes it down unless it is to be kept."""
    target = target_of(wanted.cluster)
    tell(validated(target))
    missing = [str(check) for check in preflight(target) if not check.ok]
    if missing:
        raise ValueError("Launching needs more than is here:\n" + "\n".join(missing))
    if isinstance(target, Slurm):
        step = target.submit(wanted.study, _reachable(wanted, target))
        tell(f"$ {step}")
        return [f"Job {step.run(tell).strip()}; see it with: {target.jobs()}"], Exit.DONE
    launch = _launch(wanted, target)
    tell(f"code: {launch.tree}")
    brought_up(target, tell)
    with reached(target, tell) as jobs:
        job = launch.submit(jobs, tell)
        attach = f"{PROGRAM} attach {shlex.quote(str(wanted.cluster))}"
        tell(f"Job {job} goes on without this machine. Ctrl-C leaves it; to follow it again:\n    {attach}")
        if detach:
            return [f"Job: {job}", f"Follow it: {attach}"], Exit.DONE
        ended = _followed(jobs, job, tell, lambda number: launch.submit(jobs, tell, number))
        return _ended(target, jobs, ended, keep, tell)


def attached(cluster: Path, job: str | None, keep: bool, tell: Tell) -> tuple[list[str], Exit]:
    """Follows a job of a cluster that is up, by default the latest."""
    target = _reachable_target(cluster)
    with reached(target, tell) as jobs:
        known = jobs.listed()
        names = [row["job"] for row in known]
        if not names or (job is not None and job not in names):
            raise ValueError(
                f"attach follows a job of the cluster, got {job or 'none'} and {len(names)} jobs: "
                f"{', '.join(names[:5])}. Launch a study first, or choose one of them with --job."
            )
        return _ended(target, jobs, _followed(jobs, job or names[0], tell, None), keep, tell)


def job_lines(cluster: Path, tell: Tell) -> list[str]:
    """Every job of a cluster that is up."""
    with reached(_reachable_target(cluster), tell) as jobs:
        rows = jobs.listed()
    return [f"{row['status']:9}  {row['job']}  {row['message'] or ''}".rstrip() for row in rows] or ["No jobs."]


def taken_down(cluster: Path, tell: Tell) -> None:
    """Ends every node of a cluster."""
    brought_down(target_of(cluster), tell)


def _reachable_target(cluster: Path) -> Reached:
    target = target_of(cluster)
    if isinstance(target, Slurm):
        raise ValueError(f"Jobs of Slurm are followed by Slurm, got {cluster}. See them with: {target.jobs()}")
    return target


def _followed(jobs: Jobs, job: str, tell: Tell, again: Callable[[int], str] | None) -> tuple[str, int | None]:
    """The status and exit code with which a job ends; one whose driver was killed is submitted `again`."""
    status, code = jobs.followed(job, tell)
    for number in range(2, 2 + AGAIN):
        if again is None or not driver_was_killed(status, code):
            break
        tell(f"The driver of {job} is gone; what is finished is kept, the rest is submitted again")
        job = again(number)
        status, code = jobs.followed(job, tell)
    return status, code


def _ended(
    target: Reached, jobs: Jobs, ended: tuple[str, int | None], keep: bool, tell: Tell
) -> tuple[list[str], Exit]:
    status, code = ended
    others = [row["job"] for row in jobs.listed() if row["status"] in ("RUNNING", "PENDING")]
    if keep or others:
        tell(f"The cluster stays up{', for ' + ', '.join(others) if others else ''}.")
    else:
        brought_down(target, tell)
    if status == "SUCCEEDED":
        return ["Job: done"], Exit.DONE
    if status == "STOPPED":
        return ["Job: stopped"], Exit.INTERRUPTED
    known = Exit(code) if code in set(Exit) else Exit.UNEXPECTED
    return [f"Job: {ENDS.get(known, f'failed, exit code {code}')}"], known
