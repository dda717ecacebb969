"""A study of twelve trials under a seeded schedule of 32 faults, and what it must be equal to at the end.

    python -m tests.faults.campaign --seed 1 --folder /tmp/faults

Results lie in an S3 server alone, behind a proxy that disturbs; three nodes of one CPU train. Each fault and what
recovered from it is a line of the log, on stdout and in FOLDER/log.txt.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import psutil

from equistudy.command_line.standing import _sign
from equistudy.execution.job import Conditions, Provenance
from equistudy.execution.plan import make_plan
from equistudy.execution.trial_run import TrialRun
from equistudy.results.results import results
from equistudy.results.store import Store
from equistudy.study.file import load_study
from tests.faults.cluster import Cluster
from tests.faults.proxy import Proxy, free_port

STUDY = Path(__file__).with_name("study.py")
TRIALS = 12
PATIENCE = 900.0
QUICK, SLOW = "0.1", "2"  # seconds that a batch takes at least; slow when trials end sooner than faults come
PAUSES = (0.1, 0.8)  # seconds between two faults
STORE_FAULTS = {"503": 3, "500": 1, "refuse": 2, "stall": 2, "cut": 3, "full": 2}
FAULTS = {
    **STORE_FAULTS,
    "kill trial": 5,
    "preempt trial": 4,
    "stop process": 2,
    "hang": 2,
    "damage checkpoint": 1,
    "kill node": 2,
    "kill driver": 1,
    "interrupt driver": 1,
    "kill head": 1,
}


def schedule(seed: int) -> list[str]:
    """All faults in an order of this seed; the head dies somewhere in the middle, where there is most to lose."""
    rng = random.Random(seed)
    listed = [fault for fault, count in FAULTS.items() for _ in range(count) if fault != "kill head"]
    rng.shuffle(listed)
    listed.insert(len(listed) // 2, "kill head")
    return listed


class Pending(NamedTuple):
    """A fault that something has to recover from: `recovered` says what did, once it has."""

    number: int
    fault: str
    since: float
    recovered: Callable[[], str | None]


class Campaign:
    """One run of the study under the faults of one seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.faults, self._rng, self._folder = schedule(seed), random.Random(seed), folder
        self._server_port = free_port()
        self._began = time.monotonic()
        self._pending: list[Pending] = []
        self._finished: dict[str, str] = {}
        self._drivers = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._log = (folder / "log.txt").open("w")

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._began:7.1f} s  {text}"
        print(line, flush=True)  # noqa: T201
        self._log.write(f"{line}\n")
        self._log.flush()

    def url(self, port: int) -> str:
        return f"s3://studies/results?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"

    def run(self) -> None:
        self._set_pace(0)
        with self._server():
            self.proxy = Proxy(self._server_port).started()
            self.store = Store.open(self.url(self._server_port))
            self.cluster = Cluster(self._folder, nodes=3)
            try:
                self.driver = self._drive()
                for number, fault in enumerate(self.faults, 1):
                    self._wait(self._rng.uniform(*PAUSES))
                    self._set_pace(number)
                    self._strike(number, fault)
                self._until(lambda: not self._pending, "every fault to be recovered from")
                (self._folder / "pace").unlink()
                self._until(self._done, "the study to end")
            finally:
                self.proxy.mode = ""
                self.driver.kill()
                self.driver.wait()
                self.cluster.stop()
            self._compare()

    def _set_pace(self, number: int) -> None:
        """Keeps trials for the faults that are still to come."""
        ahead = len(self._finished) > (TRIALS - 2) * number / len(self.faults)
        new = self._folder / "pace.new"
        new.write_text(SLOW if ahead else QUICK)
        new.rename(self._folder / "pace")

    @contextlib.contextmanager
    def _server(self) -> Iterator[None]:
        from pyarrow import fs

        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._server_port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                address = f"127.0.0.1:{self._server_port}"
                made = fs.S3FileSystem(
                    endpoint_override=address, scheme="http", region="us-east-1", allow_bucket_creation=True
                )
                deadline = time.monotonic() + PATIENCE
                while True:
                    try:
                        made.create_dir("studies")
                        break
                    except OSError:
                        assert time.monotonic() < deadline
                        time.sleep(0.2)
                yield
            finally:
                server.kill()

    def _drive(self) -> subprocess.Popen[bytes]:
        """`run`, as a user starts it and starts it again."""
        self._drivers += 1
        command = [sys.executable, "-m", "equistudy", "run", str(STUDY), "--results", self.url(self.proxy.port)]
        command += ["--address", self.cluster.address, "--hang-minutes", "0.3"]
        with (self._folder / f"driver.{self._drivers}.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)

    # what happens between two faults

    def _look(self) -> None:
        """Starts a driver that has ended again, sees who has recovered, and which trials have their row."""
        code = self.driver.poll()
        if code is not None and not self._done():
            self.say(f"driver {self._drivers} has ended with {code}; the same command again")
            self.driver = self._drive()
        for pending in list(self._pending):
            recovered = pending.recovered()
            if recovered is not None:
                self._pending.remove(pending)
                seconds = time.monotonic() - pending.since
                self.say(f"fault {pending.number:2} recovered after {seconds:.1f} s: {pending.fault}: {recovered}")
        for name in self.store.list("trials"):
            self._finished.setdefault(name, self._modified(name))

    def _modified(self, name: str) -> str:
        system, path = self.store.files._opened
        return str(system.get_file_info(f"{path}/trials/{name}").mtime_ns)

    def _done(self) -> bool:
        return self.driver.poll() == 0

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._look()
        while time.monotonic() < deadline:
            time.sleep(0.2)
            self._look()

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}; pending: {self._pending}"
            self._wait(0.2)
        return found

    def _signs(self) -> list[dict[str, Any]]:
        """Where the trials are whose processes live."""
        found = [_sign(self.store.read_bytes(f"running/{name}")) for name in self.store.list("running")]
        return [sign for sign in found if sign and psutil.pid_exists(sign["pid"])]

    def _victim(self) -> dict[str, Any]:
        """A trial in training that no pending fault has hit yet."""

        def free() -> list[dict[str, Any]]:
            hit = {pending.fault.partition(" of ")[2] for pending in self._pending}
            return [sign for sign in self._signs() if sign["phase"] == "training" and sign["trial"] not in hit]

        return self._rng.choice(self._until(free, "a trial in training"))

    # the faults

    def _strike(self, number: int, fault: str) -> None:
        if fault in STORE_FAULTS:
            self._disturb_store(number, fault)
        elif fault in ("kill driver", "interrupt driver"):
            self._until(self._signs, "a trial under way")
            sent = signal.SIGKILL if fault == "kill driver" else signal.SIGTERM
            self._struck(number, fault, self._again(self._drivers))
            self.driver.send_signal(sent)
            self._until(lambda: self.driver.poll() is not None, "the driver to end")
        elif fault == "kill head":
            self._until(self._signs, "a trial under way")
            self._struck(number, fault, self._again(self._drivers))
            self.driver.kill()  # it runs on the head
            self.driver.wait()
            self.cluster.kill()
            self.cluster = Cluster(self._folder / "second", nodes=3)
        elif fault == "kill node":
            pid = self.cluster.lose(self._rng.randrange(3))
            self._struck(number, f"{fault}, raylet {pid}", self._trains(number))
        else:
            self._hit(number, fault)

    def _struck(self, number: int, fault: str, recovered: Callable[[], str | None]) -> None:
        self.say(f"fault {number:2}: {fault}")
        self._pending.append(Pending(number, fault, time.monotonic(), recovered))

    def _hit(self, number: int, fault: str) -> None:
        """A fault of one trial."""
        sign = self._victim()
        trial, process = sign["trial"], psutil.Process(sign["pid"])
        name = f"{fault} of {trial}"
        if fault == "hang":
            (self._folder / "hang").touch()
            self._struck(number, fault, lambda: self._hung(number))
            return
        if fault == "damage checkpoint":
            state = self._until(lambda: self._checkpoint(trial), "a checkpoint")
            if state is True:
                self._struck(number, name, lambda: "it had ended before")
                return
            self.store.write_bytes(f"checkpoints/{trial}.0.pt", state[: len(state) // 2])
        with contextlib.suppress(psutil.NoSuchProcess):
            if fault == "stop process":
                self._struck(number, name, self._goes_on(sign))
                process.suspend()
                self._wait(2.5)
                process.resume()
                return
            process.send_signal(signal.SIGTERM if fault == "preempt trial" else signal.SIGKILL)
        self._struck(
            number, f"{name}, epoch {sign['epoch']}, process {process.pid}", self._goes_on(sign, elsewhere=True)
        )

    def _checkpoint(self, trial: str) -> bytes | bool | None:
        ended = any(name.startswith(trial) for name in self.store.list("trials"))
        return True if ended else self.store.read_bytes(f"checkpoints/{trial}.0.pt")

    def _disturb_store(self, number: int, fault: str) -> None:
        """For a second at least, and until it has met somebody."""
        self.proxy.met, self.proxy.mode = 0, fault
        self.say(f"fault {number:2}: the store: {fault}")
        self._wait(1.0)
        self._until(lambda: self.proxy.met, "a request")
        self.proxy.mode, passed, met = "", self.proxy.passed, self.proxy.met
        told = f"the store answers again; {met} requests had been disturbed"
        recovered: Callable[[], str | None] = lambda: told if self.proxy.passed > passed else None  # noqa: E731
        self._pending.append(Pending(number, f"the store: {fault}", time.monotonic(), recovered))

    # what recovers

    def _goes_on(self, sign: dict[str, Any], elsewhere: bool = False) -> Callable[[], str | None]:
        def recovered() -> str | None:
            trial = sign["trial"]
            if any(name.startswith(trial) for name in self.store.list("trials")):
                return "the trial has its row"
            for new in self._signs():
                same = new["trial"] == trial and new["time"] > sign["time"]
                if same and (not elsewhere or new["pid"] != sign["pid"]):
                    return f"the trial is at epoch {new['epoch']} in process {new['pid']}"
            return None

        return recovered

    def _trains(self, number: int) -> Callable[[], str | None]:
        began = time.time()

        def recovered() -> str | None:
            trained = [sign for sign in self._signs() if sign["time"] > began + 5]
            return f"{len(trained)} trials train" if trained or len(self._finished) == TRIALS else None

        return recovered

    def _again(self, drivers: int) -> Callable[[], str | None]:
        began = time.time()

        def recovered() -> str | None:
            signs = [sign for sign in self._signs() if sign["time"] > began]
            more = self._drivers > drivers
            return f"driver {self._drivers} trains {len(signs)} trials" if more and signs else None

        return recovered

    def _hung(self, number: int) -> str | None:
        """A process has claimed the hang, and has been ended with its stacks kept."""
        claimed = [int(path.suffix[1:]) for path in self._folder.glob("hung.*")]
        over = [pid for pid in claimed if not psutil.pid_exists(pid)]
        if not over:
            return None
        for pid in over:
            (self._folder / f"hung.{pid}").rename(self._folder / f"over.{pid}")
        return f"process {over[0]} was ended"

    # the end

    def _compare(self) -> None:
        place = self.url(self._server_port)
        undisturbed = self._undisturbed()
        for after, before in zip(numbers(place), numbers(undisturbed), strict=True):
            assert after.equals(before), (after, before)
        changed = {name for name, modified in self._finished.items() if self._modified(name) != modified}
        assert not changed, f"repeated although finished: {changed}"
        assert len(self._finished) == len(self.store.list("trials")) == TRIALS
        assert all(b"in apply" in (self.store.read_bytes(f"hangs/{name}") or b"") for name in self.store.list("hangs"))
        assert self.store.list("hangs")
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
        for job in make_plan(loaded.study, None).jobs():
            list(TrialRun(job, Conditions(loaded.name, store, Provenance(None, None, {}))))
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
    arguments = parser.parse_args()
    os.environ.update(
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="planted",
        AWS_EC2_METADATA_DISABLED="true",
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=64 * "f",
        FAULTS_FOLDER=str(arguments.folder),
        OMP_NUM_THREADS="1",
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    Campaign(arguments.seed, arguments.folder).run()


if __name__ == "__main__":
    main()
