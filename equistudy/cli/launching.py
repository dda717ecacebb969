"""What launching says and does: a dry run, a launch from here to the end, attaching, jobs, taking down."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from equistudy.cli.errors import ExitCode
from equistudy.cli.status import load_requested_study
from equistudy.cli.study_reference import PROGRAM, StudyReference
from equistudy.launch.launch import (
    MAX_RESUBMISSIONS,
    ClusterJobs,
    JobEntrypoint,
    Launch,
    ReachableTarget,
    bring_cluster_down,
    bring_cluster_up,
    connect_to_jobs,
    driver_was_killed,
)
from equistudy.launch.preflight import run_preflight, validate_target
from equistudy.launch.steps import LaunchError, mask_manifest
from equistudy.launch.targets import SlurmTarget, Target, load_target
from equistudy.launch.working_tree import find_working_tree
from equistudy.results.files import LocalFiles, open_files

__all__ = ["LaunchRequest", "attach_to_job", "describe_launch", "format_jobs", "launch_study", "take_cluster_down"]

Tell = Callable[[str], None]
MAX_LISTED_FILES = 10
UNTRACKED = "not sent, because git does not track it (send it with --include PATH):"
SECRETS = "never sent, because it looks like a secret:"
DRY_RUN_PORT = 8265  # shown by a dry run; a launch takes one that is free
# how `run` ends by itself; a job's driver says so by its exit code
EXIT_DESCRIPTIONS = {
    ExitCode.DONE: "done",
    ExitCode.USAGE: "refused: wrong usage or invalid study",
    ExitCode.FAILED_TRIALS: "some trials failed",
    ExitCode.CLUSTER_LOST: "Ray's head process was lost; launch again to resume",
}


class LaunchRequest(NamedTuple):
    """A study, a cluster's file, and the options that go on to `run`."""

    cluster: Path
    study: Path
    results: str
    scale: str | None
    options: tuple[str, ...]
    include: tuple[Path, ...] = ()


def _prepare_launch(wanted: LaunchRequest, target: ReachableTarget) -> Launch:
    """What would be launched, with everything checked that can be from here."""
    load_requested_study(StudyReference(wanted.study, wanted.scale, wanted.results))
    tree = find_working_tree(wanted.study, (wanted.cluster, *wanted.include))
    words = ["run", str(tree.locate(wanted.study)), "--address", "auto", "--cluster", str(tree.locate(wanted.cluster))]
    words += ["--results", _get_reachable_results(wanted, target)]
    words += ["--scale", wanted.scale] if wanted.scale else []
    return Launch(target, JobEntrypoint(wanted.study, (*words, *wanted.options)), tree)


def _describe_left_files(launch: Launch) -> list[str]:
    """The files around a study that stay here, and how those that are code come along."""
    lines = []
    for names, why in ((launch.tree.untracked, UNTRACKED), (launch.tree.secrets, SECRETS)):
        shown = [str(name) for name in names[:MAX_LISTED_FILES]]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        if names:
            lines.append(f"{why} {', '.join(shown)}{more}")
    return lines


def _get_reachable_results(wanted: LaunchRequest, target: Target) -> str:
    """The place of the results as the nodes see it. Raises ValueError for a folder that they do not share."""
    files = open_files(wanted.results)
    if isinstance(files, LocalFiles) and not target.shared_disk:
        raise ValueError(
            f"An autoscaling cluster has no shared disk, got the local folder {files.url} for {wanted.cluster}. Give "
            "--results a URL such as s3://bucket/results or gs://bucket/results."
        )
    return files.url


def describe_launch(wanted: LaunchRequest) -> list[str]:
    """Everything that a launch would run and need; nothing is touched."""
    target = load_target(wanted.cluster)
    lines = [validate_target(target)]
    if isinstance(target, SlurmTarget):
        steps = [
            target.build_submission(wanted.study, _get_reachable_results(wanted, target)),
            target.build_queue_listing(),
            *target.build_stop_steps(),
        ]
    else:
        launch = _prepare_launch(wanted, target)
        lines += [f"code: {launch.tree}:", *(f"  {name}" for name in launch.tree.files), *_describe_left_files(launch)]
        steps = launch.list_steps(DRY_RUN_PORT)
    lines += ["", "What a launch runs:"]
    for number, step in enumerate(steps, 1):
        lines.append(f"{number}. {step.why}\n   {step}")
        if step.given is not None:
            lines += [f"   | {line}" for line in mask_manifest(step.given).splitlines()]
    checks = [str(check) for check in run_preflight(target)]
    return [*lines, "", "What it needs here:", *checks, "", "Nothing was run."]


def launch_study(wanted: LaunchRequest, keep: bool, detach: bool, tell: Tell) -> tuple[list[str], ExitCode]:
    """Brings the cluster up, submits, follows to the end, and takes it down unless it is to be kept."""
    target = load_target(wanted.cluster)
    tell(validate_target(target))
    missing = [str(check) for check in run_preflight(target) if not check.ok]
    if missing:
        raise ValueError("Cannot launch:\n" + "\n".join(missing))
    if isinstance(target, SlurmTarget):
        step = target.build_submission(wanted.study, _get_reachable_results(wanted, target))
        tell(f"$ {step}")
        return [f"Job {step.run(tell).strip()}; see it with: {target.build_queue_listing()}"], ExitCode.DONE
    launch = _prepare_launch(wanted, target)
    for line in [f"code: {launch.tree}", *_describe_left_files(launch)]:
        tell(line)
    attach = f"{PROGRAM} attach {shlex.quote(str(wanted.cluster))}"
    with contextlib.ExitStack() as stack:
        with _take_down_on_failure(target, wanted.cluster, keep, tell):
            bring_cluster_up(target, tell)
            jobs = stack.enter_context(connect_to_jobs(target, tell))
            job = launch.submit(jobs, tell)
        tell(
            f"Job {job} continues without this machine. Ctrl-C only stops following it. To attach again:\n    {attach}"
        )
        tell(f"To take the cluster down:\n    {_format_down_command(wanted.cluster)}")
        if detach:
            return [f"Job: {job}", f"Follow it: {attach}"], ExitCode.DONE
        ended = _follow_job(jobs, job, tell, lambda number: launch.submit(jobs, tell, number))
        return _finish_launch(target, jobs, ended, keep, tell)


@contextlib.contextmanager
def _take_down_on_failure(target: ReachableTarget, cluster: Path, keep: bool, tell: Tell) -> Iterator[None]:
    """Leaves no cluster behind that nothing uses: whatever fails until the study is submitted ends in taking it down.

    A cluster that was up before, or that is to be kept, stays; then the command that takes it down is told.
    """
    was_up = target.is_up()
    try:
        yield
    except BaseException:
        if keep or was_up:
            why = "was up before" if was_up else "is to be kept"
            tell(f"The cluster {why} and stays up. To take it down:\n    {_format_down_command(cluster)}")
            raise
        tell("The launch has failed, so the cluster is taken down.")
        try:
            bring_cluster_down(target, tell)
        except LaunchError as error:
            tell(f"It may still be up: {error}\nTry again with:\n    {_format_down_command(cluster)}")
        raise


def _format_down_command(cluster: Path) -> str:
    return f"{PROGRAM} down {shlex.quote(str(cluster))}"


def attach_to_job(cluster: Path, job: str | None, keep: bool, tell: Tell) -> tuple[list[str], ExitCode]:
    """Follows a job of a cluster that is up, by default the latest."""
    target = _load_reachable_target(cluster)
    with connect_to_jobs(target, tell) as jobs:
        known = jobs.list_jobs()
        names = [row["job"] for row in known]
        if not names or (job is not None and job not in names):
            found = f"its latest jobs are {', '.join(names[:5])}. Choose one of them" if names else "it has none yet"
            raise ValueError(
                f"attach needs a job of this cluster, got {f'--job {job}' if job else 'no --job'}: {found}. "
                "launch starts one."
            )
        return _finish_launch(target, jobs, _follow_job(jobs, job or names[0], tell, None), keep, tell)


def format_jobs(cluster: Path, tell: Tell) -> list[str]:
    """Every job of a cluster that is up."""
    with connect_to_jobs(_load_reachable_target(cluster), tell) as jobs:
        rows = jobs.list_jobs()
    return [f"{row['status']:9}  {row['job']}  {row['message'] or ''}".rstrip() for row in rows] or ["No jobs."]


def take_cluster_down(cluster: Path, tell: Tell) -> None:
    """Ends every node of a cluster."""
    bring_cluster_down(load_target(cluster), tell)


def _load_reachable_target(cluster: Path) -> ReachableTarget:
    target = load_target(cluster)
    if isinstance(target, SlurmTarget):
        raise ValueError(
            f"attach does not support Slurm, got {cluster}. List the jobs with: {target.build_queue_listing()}"
        )
    return target


def _follow_job(jobs: ClusterJobs, job: str, tell: Tell, again: Callable[[int], str] | None) -> tuple[str, int | None]:
    """The status and exit code with which a job ends; one whose driver was killed is submitted `again`."""
    status, code = jobs.follow_job(job, tell)
    for number in range(2, 2 + MAX_RESUBMISSIONS):
        if again is None or not driver_was_killed(status, code):
            break
        tell(f"The driver of {job} died; finished trials are kept, the rest is submitted again")
        job = again(number)
        status, code = jobs.follow_job(job, tell)
    return status, code


def _finish_launch(
    target: ReachableTarget, jobs: ClusterJobs, ended: tuple[str, int | None], keep: bool, tell: Tell
) -> tuple[list[str], ExitCode]:
    status, code = ended
    others = [row["job"] for row in jobs.list_jobs() if row["status"] in ("RUNNING", "PENDING")]
    if keep or others:
        tell(f"The cluster stays up{', for ' + ', '.join(others) if others else ''}.")
    else:
        bring_cluster_down(target, tell)
    if status == "SUCCEEDED":
        return ["Job: done"], ExitCode.DONE
    if status == "STOPPED":
        return ["Job: stopped"], ExitCode.INTERRUPTED
    known = ExitCode(code) if code in set(ExitCode) else ExitCode.UNEXPECTED
    return [f"Job: {EXIT_DESCRIPTIONS.get(known, f'failed, exit code {code}')}"], known
