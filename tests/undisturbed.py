"""What a study must give whatever happens to its processes: its trials trained here, without Ray, and not disturbed."""

from pathlib import Path

import torch
import torch.distributed as dist

from equistudy.results.store import Store
from equistudy.running.job import Job, Provenance, RunConditions
from equistudy.running.plan import make_plan
from equistudy.running.trial_run import TrialRun
from equistudy.study.file import load_study
from equistudy.training.sources import SINGLE_WORKER, Share


def run_here(study: Path, folder: Path) -> None:
    """Every trial of a study, one after the other in this process."""
    loaded = load_study(study)
    for job in make_plan(loaded.study, None).build_jobs():
        _run(job, loaded.name, folder, SINGLE_WORKER)


def run_in_two_processes(study: Path, folder: Path) -> None:
    """Every trial of a study, each shared by two processes that torch starts."""
    loaded = load_study(study)
    Store.open(folder)
    torch.multiprocessing.spawn(_worker, ([*make_plan(loaded.study, None).build_jobs()], loaded.name, folder), nprocs=2)


def _worker(rank: int, jobs: list[Job], study: str, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}.rendezvous", rank=rank, world_size=2)
    for job in jobs:
        _run(job, study, folder, Share(rank, 2))
        dist.barrier()
    dist.destroy_process_group()


def _run(job: Job, study: str, folder: Path, share: Share) -> None:
    conditions = RunConditions(study, Store.open(folder), Provenance(None, None, {}), workers=share.workers)
    list(TrialRun(job, conditions, share))
