"""A study under a seeded schedule of faults, and what it must be equal to at the end.

    python -m tests.faults.campaign --seed 1 --folder /tmp/faults [--short]

Results lie in an S3 server alone, behind a proxy that disturbs; nodes of one CPU train. Each fault and what recovered
from it is a line of the log, on stdout and in FOLDER/log.txt. `--short`: six faults of four trials instead of 32 of
twelve.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import psutil

from equistudy.cli.errors import ExitCode
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.job import Provenance, RunConditions
from equistudy.running.plan import make_plan
from equistudy.running.trial_run import TrialRun
from equistudy.study.file import load_study
from tests.faults.cluster import Cluster
from tests.faults.object_store import SECRETS, object_store, place_of
from tests.faults.proxy import Proxy
from tests.faults.witness import Recovery, Sign, Witness

STUDY = Path(__file__).with_name("study.py")
WIDTHS = 2  # of the study's networks
PATIENCE = 900.0
DRIVERS = 20  # more would mean that it starts in vain, again and again
QUICK, SLOW = "0.1", "4"  # seconds that a batch takes at least; slow when trials end sooner than faults come
LOOKS = 0.5  # seconds between two looks at the results: each costs the store as much as a trial does
PAUSES = (0.1, 0.8)  # seconds between two faults
HANG_MINUTES = "1.5"  # less would end processes that only start slowly, on a machine with much else to do
STORE_FAULTS = {"503": 2, "500": 1, "refuse": 2, "stall": 2, "cut": 2, "full": 2}
FAULTS = {
    **STORE_FAULTS,
    "kill trial": 5,
    "preempt trial": 4,
    "slow trial": 1,
    "slow node": 1,
    "late clock": 2,
    "hang": 2,
    "damage checkpoint": 1,
    "kill node": 2,
    "kill driver": 1,
    "interrupt driver": 1,
    "kill head": 1,
}
SHORT = {"503": 1, "stall": 1, "kill trial": 1, "preempt trial": 1, "kill node": 1, "kill driver": 1}


def schedule(seed: int, counts: Mapping[str, int] = FAULTS) -> list[str]:
    """All faults in an order of this seed; the head dies somewhere in the middle, where there is most to lose."""
    rng = random.Random(seed)
    listed = [fault for fault, count in counts.items() for _ in range(count) if fault != "kill head"]
    rng.shuffle(listed)
    listed[len(listed) // 2 : len(listed) // 2] = ["kill head"] * counts.get("kill head", 0)
    return listed


class Pending(NamedTuple):
    """A fault that something has to recover from; `trial` is the one that it has hit, if it hits one."""

    number: int
    fault: str
    since: float
    recovered: Recovery
    trial: str | None


class Campaign:
    """One run of the study under the faults of one seed."""

    def __init__(self, faults: list[str], seed: int, folder: Path, seeds: int, nodes: int) -> None:
        self.faults, self._rng, self._folder = faults, random.Random(seed), folder
        self._trials, self._nodes = WIDTHS * seeds, nodes
        self._began = time.monotonic()
        self._pending: list[Pending] = []
        self._hits: dict[str, int] = {}
        self._struck_so_far = self._drivers = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "log.txt").open("w")

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:7.1f} s  {text}"
        print(line, flush=True)  # noqa: T201
        self._log.write(f"{line}\n")
        self._log.flush()

    def run(self) -> None:
        with object_store() as (_, address):
            self.proxy = Proxy(int(address.partition(":")[2])).started()
            self.witness = Witness(Store.open(place_of(address)))
            self._set_pace()
            self.cluster = Cluster(self._folder, self._nodes)
            try:
                self.driver = self._drive()
                for number, fault in enumerate(self.faults, 1):
                    self._wait(self._rng.uniform(*PAUSES))
                    self._strike(number, fault)
                    self._struck_so_far = number
                self._until(lambda: not self._pending, "every fault to be recovered from")
                (self._folder / "pace").unlink()
                self._until(self._done, "the study to end")
            finally:
                self.proxy.mode = ""
                self.driver.kill()
                self.driver.wait()
                self.cluster.stop()
            self._compare(place_of(address))

    def _set_pace(self) -> None:
        """Keeps trials for the faults that are still to come: two of them always."""
        keep = (self._trials - 2) * self._struck_so_far / len(self.faults)
        new = self._folder / "pace.new"
        new.write_text(SLOW if len(self.witness.finished) >= keep else QUICK)
        new.rename(self._folder / "pace")

    def _drive(self) -> subprocess.Popen[bytes]:
        """`run`, as a user starts it and starts it again."""
        self._drivers += 1
        place = place_of(f"127.0.0.1:{self.proxy.port}")
        command = [sys.executable, "-m", "equistudy", "run", str(STUDY), "--results", place]
        command += ["--address", self.cluster.address, "--hang-minutes", HANG_MINUTES]
        with self._driver_log().open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)

    def _driver_log(self) -> Path:
        return self._folder / f"driver.{self._drivers}.log"

    # what happens between two faults

    def _look(self) -> None:
        """Starts a driver that has ended again, sees who has recovered, and which trials have their row."""
        code = self.driver.poll()
        assert code != 0 or self._struck_so_far == len(self.faults), "the study has ended before the last fault"
        if code:
            said = self._driver_log().read_text(errors="replace")[-2000:]
            assert code != ExitCode.FAILED_TRIALS, said
            assert self._drivers < DRIVERS, said
            self.say(f"driver {self._drivers} has ended with {code}; the same command again")
            self.driver = self._drive()
        self.witness.look()
        for pending in list(self._pending):
            recovered = pending.recovered()
            if recovered is not None:
                self._pending.remove(pending)
                seconds = time.monotonic() - pending.since
                self.say(f"fault {pending.number:2} recovered after {seconds:.1f} s: {pending.fault}: {recovered}")
        if self._struck_so_far < len(self.faults):
            self._set_pace()

    def _done(self) -> bool:
        return self.driver.poll() == 0

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(min(LOOKS, seconds))
            self._look()

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}; pending: {self._pending}"
            self._wait(LOOKS)
        return found

    def _training(self) -> list[Sign]:
        """Trials in training that no pending fault has hit yet; those that were hit least, for each dies thrice."""
        hit = {pending.trial for pending in self._pending}
        free = [sign for sign in self.witness.signs() if sign["phase"] == "training" and sign["trial"] not in hit]
        least = min((self._hits.get(sign["trial"], 0) for sign in free), default=0)
        return [sign for sign in free if self._hits.get(sign["trial"], 0) == least]

    def _aim(self, free: list[Sign]) -> Sign:
        sign = self._rng.choice(free)
        self._hits[sign["trial"]] = self._hits.get(sign["trial"], 0) + 1
        return sign

    # the faults

    def _strike(self, number: int, fault: str) -> None:
        if fault in STORE_FAULTS:
            self._disturb_store(number, fault)
        elif fault in ("kill driver", "interrupt driver", "kill head"):
            self._until(self._training, "a trial under way")
            self._struck(number, fault, self.witness.others_train(lambda: self._drivers))
            self.driver.send_signal(signal.SIGTERM if fault == "interrupt driver" else signal.SIGKILL)
            if fault == "kill head":  # the driver runs on it
                self.driver.wait()
                self.cluster.stop()
                self.cluster = Cluster(self._folder / "second", self._nodes)
        elif fault in ("kill node", "slow node"):
            self._hit_node(number, fault)
        else:
            self._hit_trial(number, fault, self._aim(self._until(self._training, "a trial in training")))

    def _struck(self, number: int, fault: str, recovered: Recovery, trial: str | None = None) -> None:
        self.say(f"fault {number:2}: {fault}")
        self._pending.append(Pending(number, fault, time.monotonic(), recovered, trial))

    def _hit_trial(self, number: int, fault: str, sign: Sign) -> None:
        trial, process, witness = sign["trial"], psutil.Process(sign["pid"]), self.witness
        name = f"{fault} of {trial}, epoch {sign['epoch']}, process {process.pid}"
        if fault == "hang":
            self._ask("hang", sign)
            self._struck(number, name, witness.is_ended(sign, self._another_hangs), trial)
            return
        if fault == "late clock":
            self._ask("late", sign)
            self._struck(number, name, witness.ticks_on(sign), trial)
            return
        if fault == "damage checkpoint":
            self._until(lambda: witness.checkpoint(trial) or witness.has_row(trial), "a checkpoint")
            if state := witness.checkpoint(trial):
                witness.store.write_bytes(f"checkpoints/{trial}.0.pt", state[: len(state) // 2])
        slow = fault == "slow trial"
        self._struck(number, name, witness.goes_on(sign, elsewhere=not slow), trial)
        with contextlib.suppress(psutil.NoSuchProcess):
            if slow:
                process.suspend()
                self._wait(2.5)
                process.resume()
            else:
                process.send_signal(signal.SIGTERM if fault == "preempt trial" else signal.SIGKILL)

    def _ask(self, what: str, sign: Sign) -> None:
        (self._folder / f"{what}.{sign['pid']}").touch()

    def _another_hangs(self) -> Sign | None:
        free = self._training()
        if not free:
            return None
        sign = self._aim(free)
        self._ask("hang", sign)
        return sign

    def _hit_node(self, number: int, fault: str) -> None:
        (node,) = self._until(self._working_node, "a node that trains")
        there, signs = self._on(node)
        if fault == "kill node":
            recovered = self.witness.all_go_on(signs, elsewhere=True)
            self._struck(number, f"{fault}, raylet {self.cluster.lose(node)}, {len(signs)} trials on it", recovered)
            return
        self._struck(number, f"{fault}, {len(signs)} trials on it", self.witness.all_go_on(signs, elsewhere=False))
        for process in there:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        self._wait(5.0)
        for process in there:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _on(self, node: int) -> tuple[list[psutil.Process], list[Sign]]:
        """The processes of a node, and the trials that they train."""
        there = self.cluster.processes(node)
        pids = {process.pid for process in there}
        return there, [sign for sign in self._training() if sign["pid"] in pids]

    def _working_node(self) -> list[int]:
        """One that trains, if there is one."""
        nodes = self._rng.sample(range(self._nodes), self._nodes)
        return [node for node in nodes if self._on(node)[1]][:1]

    def _disturb_store(self, number: int, fault: str) -> None:
        """For a second at least, and until it has met somebody."""
        self.proxy.met, self.proxy.mode = 0, fault
        self.say(f"fault {number:2}: the store: {fault}")
        self._wait(1.0)
        self._until(lambda: self.proxy.met, "a request")
        self.proxy.mode, passed, met = "", self.proxy.passed, self.proxy.met
        told = f"the store answers again; {met} requests had been disturbed"
        recovered: Recovery = lambda: told if self.proxy.passed > passed else None  # noqa: E731
        self._pending.append(Pending(number, f"the store: {fault}", time.monotonic(), recovered, None))

    # the end

    def _compare(self, place: str) -> None:
        undisturbed, witness = self._undisturbed(), self.witness
        for after, before in zip(numbers(place), numbers(undisturbed), strict=True):
            assert after.equals(before), (after, before)
        changed = {name for name, modified in witness.finished.items() if witness.modified(name) != modified}
        assert not changed, f"repeated although finished: {changed}"
        assert len(witness.finished) == len(witness.store.list_names("trials")) == self._trials
        rows = results(place).trials.collect()
        self.say(
            f"equal to the undisturbed run: {rows.height} trials, {rows['resumed'].sum()} of them resumed, none "
            f"repeated; {len(self.faults)} faults, {self._drivers} drivers"
        )

    def _undisturbed(self) -> str:
        """The same trials in this process, one after the other, into a folder."""
        os.environ.pop("FAULTS_FOLDER")
        loaded = load_study(STUDY)
        store = Store.open(self._folder / "undisturbed")
        for job in make_plan(loaded.study, None).build_jobs():
            list(TrialRun(job, RunConditions(loaded.name, store, Provenance(None, None, {}))))
        return store.url


def numbers(place: str) -> list[pl.DataFrame]:
    """All that was learned and measured, in a fixed order."""
    found = results(place)
    trials = found.trials.select("trial", "status", "epochs", "test_accuracy", "test_loss", "train_loss").collect()
    return [
        trials.sort("trial"),
        found.curves.collect().sort("trial", "epoch", "split", "name"),
        found.measurements.drop("seconds").collect().sort("trial", "measure", "stage", "element"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="short: Ray's sockets lie in it")
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    seeds, nodes = (2, 2) if arguments.short else (6, 3)
    os.environ.update(
        SECRETS,
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=64 * "f",
        FAULTS_FOLDER=str(arguments.folder),
        FAULTS_SEEDS=str(seeds),
        OMP_NUM_THREADS="1",
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    faults = schedule(arguments.seed, SHORT if arguments.short else FAULTS)
    Campaign(faults, arguments.seed, arguments.folder, seeds, nodes).run()


if __name__ == "__main__":
    main()
