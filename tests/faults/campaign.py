"""A study under a seeded schedule of faults, and what it must be equal to at the end.

    python -m tests.faults.campaign --seed 1 --folder /tmp/faults [--short]

Results lie in an S3 server alone, behind a proxy that disturbs; nodes of one CPU train. Each fault and what recovered
from it is a line of the log, on stdout and in FOLDER/log.txt. Two faults strike at the end, in a copy of the results on
a disk. `--short`: six faults of four trials instead of 42 of fourteen.
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
from tests.faults.aftermath import STUDY, Aftermath, assert_equal
from tests.faults.cluster import Cluster
from tests.faults.object_store import SECRETS, DiskStore, place_of
from tests.faults.proxy import Proxy
from tests.faults.strikes import STRIKES
from tests.faults.witness import Recovery, Sign, Witness

WIDTHS = 2  # of the study's networks
PATIENCE = 900.0
DRIVERS = 20  # more would mean that it starts in vain, again and again
QUICK, SLOW = "0.1", "4"  # seconds that a batch takes at least; slow when trials end sooner than faults come
LOOKS = 0.5  # seconds between two looks at the results: each costs the store as much as a trial does
PAUSES = (0.1, 0.8)  # seconds between two faults
HANG_MINUTES = "1.5"  # less would end processes that only start slowly, on a machine with much else to do
STORE_FAULTS = {"503": 2, "500": 2, "refuse": 2, "stall": 2, "cut": 2, "full": 2}
AFTERWARDS = {"named pipe": 1, "flip weights": 1}
FAULTS = {
    **STORE_FAULTS,
    "kill server": 2,
    "fill disk": 2,
    "kill trial": 4,
    "preempt trial": 4,
    "slow trial": 1,
    "slow node": 1,
    "late clock": 1,
    "early clock": 1,
    "hang": 1,
    "damage checkpoint": 1,
    "flip checkpoint": 1,
    "kill node": 2,
    "kill driver": 1,
    "interrupt driver": 1,
    "two runs": 1,
    "lose marker": 1,
    "kill compaction": 1,
    "foreign files": 1,
    "kill head": 1,
    **AFTERWARDS,
}
SHORT = {"503": 1, "stall": 1, "kill trial": 1, "preempt trial": 1, "kill node": 1, "kill driver": 1}


def schedule(seed: int, counts: Mapping[str, int] = FAULTS) -> list[str]:
    """All faults in an order of this seed; the head dies somewhere in the middle, where there is most to lose."""
    rng = random.Random(seed)
    placed = {"kill head", *AFTERWARDS}
    listed = [fault for fault, count in counts.items() for _ in range(count) if fault not in placed]
    rng.shuffle(listed)
    listed[len(listed) // 2 : len(listed) // 2] = ["kill head"] * counts.get("kill head", 0)
    return listed + [fault for fault, count in counts.items() for _ in range(count) if fault in AFTERWARDS]


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
        self.faults = [fault for fault in faults if fault not in AFTERWARDS]
        self.afterwards = faults[len(self.faults) :]
        self.rng, self.folder = random.Random(seed), folder
        self.kept: list[pl.DataFrame] = []  # rows that must stay as they are
        self._hanging = ""  # the trial whose process was asked last to hang
        self.excused = 0  # the driver that ends because a fault makes it
        self._trials, self._nodes = WIDTHS * seeds, nodes
        self._began = time.monotonic()
        self._pending: list[Pending] = []
        self._hits: dict[str, int] = {}
        self._struck_so_far = self.drivers = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "log.txt").open("w")

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:7.1f} s  {text}"
        print(line, flush=True)  # noqa: T201
        self._log.write(f"{line}\n")
        self._log.flush()

    def run(self) -> None:
        (self.folder / "s3").mkdir()
        self.server = DiskStore(self.folder / "s3" / "disk")
        try:
            self.proxy = Proxy(self.server.port).started()
            self.witness = Witness(Store.open(place_of(self.server.address)))
            self.set_pace()
            self._disturb()
            self._compare(place_of(self.server.address))
        finally:
            self.server.kill()

    def _disturb(self) -> None:
        self.cluster = Cluster(self.folder, self._nodes)
        try:
            self.driver = self.start_driver()
            for number, fault in enumerate(self.faults, 1):
                self.wait(self.rng.uniform(*PAUSES))
                self._strike(number, fault)
                self._struck_so_far = number
            self.until(lambda: not self._pending, "every fault to be recovered from")
            (self.folder / "pace").unlink()
            self.until(self._done, "the study to end")
        finally:
            self.proxy.mode = ""
            self.driver.kill()
            self.driver.wait()
            self.cluster.stop()

    def set_pace(self, quick: bool = False) -> None:
        """Keeps trials for the faults that are still to come: two of them always."""
        keep = (self._trials - 2) * self._struck_so_far / len(self.faults)
        new = self.folder / "pace.new"
        new.write_text(SLOW if len(self.witness.finished) >= keep and not quick else QUICK)
        new.rename(self.folder / "pace")

    def start_driver(self, name: str = "") -> subprocess.Popen[bytes]:
        """`run`, as a user starts it and starts it again; a second one beside it has a name."""
        self.drivers += not name
        place = place_of(f"127.0.0.1:{self.proxy.port}")
        command = [sys.executable, "-m", "equistudy", "run", str(STUDY), "--results", place]
        command += ["--address", self.cluster.address, "--hang-minutes", HANG_MINUTES]
        with self.driver_log(name).open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)

    def driver_log(self, name: str = "") -> Path:
        return self.folder / f"driver.{name or self.drivers}.log"

    # what happens between two faults

    def _look(self) -> None:
        """Starts a driver that has ended again, sees who has recovered, and which trials have their row."""
        code = self.driver.poll()
        assert code != 0 or self._struck_so_far == len(self.faults), "the study has ended before the last fault"
        if code:
            said = self.driver_log().read_text(errors="replace")[-2000:]
            assert code != ExitCode.FAILED_TRIALS or self.excused == self.drivers, said
            assert self.drivers < DRIVERS, said
            self.say(f"driver {self.drivers} has ended with {code}; the same command again")
            self.driver = self.start_driver()
        self.witness.look()
        self._see_recovered()
        if self._struck_so_far < len(self.faults):
            self.set_pace()

    def _see_recovered(self) -> None:
        for pending in list(self._pending):
            recovered = pending.recovered()
            if recovered is not None:
                self._pending.remove(pending)
                seconds = time.monotonic() - pending.since
                self.say(f"fault {pending.number:2} recovered after {seconds:.1f} s: {pending.fault}: {recovered}")

    def _done(self) -> bool:
        return self.driver.poll() == 0

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(min(LOOKS, seconds))
            self._look()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}; pending: {self._pending}"
            self.wait(LOOKS)
        return found

    def training(self) -> list[Sign]:
        """Trials in training that no pending fault has hit yet; those that were hit least, for each dies thrice."""
        hit = {pending.trial for pending in self._pending}
        hit |= {self._hanging for pending in self._pending if pending.fault.startswith("hang")}
        free = [sign for sign in self.witness.signs() if sign["phase"] == "training" and sign["trial"] not in hit]
        least = min((self._hits.get(sign["trial"], 0) for sign in free), default=0)
        return [sign for sign in free if self._hits.get(sign["trial"], 0) == least]

    def aim(self, free: list[Sign]) -> Sign:
        sign = self.rng.choice(free)
        self._hits[sign["trial"]] = self._hits.get(sign["trial"], 0) + 1
        return sign

    # the faults

    def _strike(self, number: int, fault: str) -> None:
        if fault in STORE_FAULTS:
            self._disturb_store(number, fault)
        elif fault in STRIKES:
            STRIKES[fault](self, number, fault)
        elif fault in ("kill driver", "interrupt driver", "kill head"):
            self.until(self.training, "a trial under way")
            self.struck(number, fault, self.witness.others_train(lambda: self.drivers))
            self.driver.send_signal(signal.SIGTERM if fault == "interrupt driver" else signal.SIGKILL)
            if fault == "kill head":  # the driver runs on it
                self.driver.wait()
                self.cluster.stop()
                self.cluster = Cluster(self.folder / "second", self._nodes)
        elif fault in ("kill node", "slow node"):
            self._hit_node(number, fault)
        else:
            self._hit_trial(number, fault, self.aim(self.until(self.training, "a trial in training")))

    def struck(self, number: int, fault: str, recovered: Recovery, trial: str | None = None) -> None:
        self.say(f"fault {number:2}: {fault}")
        self.await_recovery(number, fault, recovered, trial)

    def await_recovery(self, number: int, fault: str, recovered: Recovery, trial: str | None = None) -> None:
        self._pending.append(Pending(number, fault, time.monotonic(), recovered, trial))

    def _hit_trial(self, number: int, fault: str, sign: Sign) -> None:
        trial, process, witness = sign["trial"], psutil.Process(sign["pid"]), self.witness
        name = f"{fault} of {trial}, epoch {sign['epoch']}, process {process.pid}"
        if fault == "hang":
            self._ask("hang", sign)
            self.struck(number, name, witness.is_ended(sign, self._another_hangs), trial)
            return
        if fault in ("late clock", "early clock"):
            which = fault.partition(" ")[0]
            self._ask(which, sign)
            self.struck(number, name, witness.ticks_on(sign, which), trial)
            return
        slow = fault == "slow trial"
        self.struck(number, name, witness.goes_on(sign, elsewhere=not slow), trial)
        with contextlib.suppress(psutil.NoSuchProcess):
            if slow:
                process.suspend()
                self.wait(2.5)
                process.resume()
            else:
                process.send_signal(signal.SIGTERM if fault == "preempt trial" else signal.SIGKILL)

    def _ask(self, what: str, sign: Sign) -> None:
        (self.folder / f"{what}.{sign['pid']}").touch()

    def _another_hangs(self) -> Sign | None:
        free = self.training()
        if not free:
            return None
        sign = self.aim(free)
        self._ask("hang", sign)
        self._hanging = sign["trial"]
        return sign

    def _hit_node(self, number: int, fault: str) -> None:
        (node,) = self.until(self._working_node, "a node that trains")
        there, signs = self._on(node)
        if fault == "kill node":
            recovered = self.witness.all_go_on(signs, elsewhere=True)
            self.struck(number, f"{fault}, raylet {self.cluster.lose(node)}, {len(signs)} trials on it", recovered)
            return
        self.struck(number, f"{fault}, {len(signs)} trials on it", self.witness.all_go_on(signs, elsewhere=False))
        for process in there:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        self.wait(5.0)
        for process in there:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _on(self, node: int) -> tuple[list[psutil.Process], list[Sign]]:
        """The processes of a node, and the trials that they train."""
        there = self.cluster.processes(node)
        pids = {process.pid for process in there}
        return there, [sign for sign in self.training() if sign["pid"] in pids]

    def _working_node(self) -> list[int]:
        """One that trains, if there is one."""
        nodes = self.rng.sample(range(self._nodes), self._nodes)
        return [node for node in nodes if self._on(node)[1]][:1]

    def _disturb_store(self, number: int, fault: str) -> None:
        """For a second at least, and until it has met somebody."""
        self.proxy.met, self.proxy.mode = 0, fault
        self.say(f"fault {number:2}: the store: {fault}")
        self.wait(1.0)
        self.until(lambda: self.proxy.met, "a request")
        self.proxy.mode, passed, met = "", self.proxy.passed, self.proxy.met
        told = f"the store answers again; {met} requests had been disturbed"
        recovered: Recovery = lambda: told if self.proxy.passed > passed else None  # noqa: E731
        self.await_recovery(number, f"the store: {fault}", recovered)

    # the end

    def _compare(self, place: str) -> None:
        witness, aftermath = self.witness, Aftermath(place, self.folder, self.rng)
        assert_equal(place, aftermath.undisturbed)
        there = set(witness.store.list_names("trials"))
        own = {name: since for name, since in witness.finished.items() if name in there and not witness.is_shared(name)}
        changed = {name for name, modified in own.items() if witness.modified(name) != modified}
        assert not changed, f"repeated although finished: {changed}"
        rows = results(place).trials.collect()
        for kept in self.kept:
            before = kept.filter(~pl.col("trial").is_in(sorted(witness.shared))).sort("trial")
            after = rows.filter(pl.col("trial").is_in(before["trial"].to_list())).sort("trial")
            assert after.equals(before), (after, before)
        assert len(witness.finished) == rows["trial"].n_unique() == rows.height == self._trials
        self.say(
            f"equal to the undisturbed run: {rows.height} trials, {rows['resumed'].sum()} of them resumed, none "
            f"repeated; {len(self.faults)} faults, {self.drivers} drivers"
        )
        if self.afterwards:
            aftermath.copy()
        for number, fault in enumerate(self.afterwards, 1 + len(self.faults)):
            what, recovered = aftermath.strike(fault)
            self.struck(number, f"{fault}: {what}", recovered)
            self._see_recovered()
        self.say(f"all equal after {len(self.faults) + len(self.afterwards)} faults")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="short: Ray's sockets lie in it")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--faults", help="these alone, in this order, separated by commas")
    arguments = parser.parse_args()
    seeds, nodes = (2, 2) if arguments.short else (7, 3)
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
    faults = arguments.faults.split(",") if arguments.faults else faults
    Campaign(faults, arguments.seed, arguments.folder, seeds, nodes).run()


if __name__ == "__main__":
    main()
