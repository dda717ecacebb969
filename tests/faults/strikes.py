"""The faults that change the results themselves or what they lie on: each strikes, and says what must recover."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl
import psutil

from equistudy.cli.errors import ExitCode
from equistudy.results import results
from tests.faults.disk_server import DISK_BYTES, read_refused
from tests.faults.object_store import place_of
from tests.faults.witness import Sign

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign

__all__ = ["STRIKES", "flip_bit"]

MARKER = "equistudy.json"
TOGETHER = 6.0  # seconds that two runs train the same trial


def flip_bit(data: bytes, place: int) -> bytes:
    """The bytes with one bit changed."""
    changed = bytearray(data)
    changed[place // 8 % len(changed)] ^= 1 << place % 8
    return bytes(changed)


def kill_server(campaign: "Campaign", number: int, fault: str) -> None:
    """The store dies with everything that it was asked, and starts again with what lies on its disk."""
    campaign.until(campaign.training, "a trial under way")
    campaign.server.kill()
    passed = campaign.proxy.passed
    campaign.struck(number, fault, lambda: _answers(campaign, passed))
    time.sleep(campaign.rng.uniform(1.0, 4.0))
    campaign.server.start()


def _answers(campaign: "Campaign", passed: int) -> str | None:
    new = campaign.proxy.passed - passed
    return f"the store answers again, {new} requests since" if new > 20 else None


def fill_disk(campaign: "Campaign", number: int, fault: str) -> None:
    """The disk under the store has no room until it has refused a write."""
    folder = campaign.server.folder
    balloon, before = folder / "balloon", read_refused(folder)
    balloon.touch()
    os.truncate(balloon, DISK_BYTES)
    campaign.say(f"fault {number:2}: {fault}: {os.strerror(errno.ENOSPC)} from now on")
    campaign.until(lambda: read_refused(folder) > before, "a write to be refused")
    campaign.wait(campaign.rng.uniform(1.0, 6.0))
    refused = read_refused(folder) - before
    balloon.unlink()
    stamps = {sign["trial"]: sign["time"] for sign in campaign.witness.signs()}

    def recovered() -> str | None:
        told = [sign["trial"] for sign in campaign.witness.signs() if stamps.get(sign["trial"]) != sign["time"]]
        return f"{refused} writes had been refused, {told[0]} writes again" if told else None

    campaign.await_recovery(number, fault, recovered)


def lose_marker(campaign: "Campaign", number: int, fault: str) -> None:
    """The results lose their marker: the run ends and says so; then the marker is put back."""
    campaign.until(campaign.training, "a trial under way")
    marker = campaign.witness.store.files.read(MARKER)
    assert marker
    campaign.witness.store.files.delete(MARKER)
    rows = set(campaign.witness.store.list_names("trials"))
    campaign.struck(number, fault, campaign.witness.others_train(lambda: campaign.drivers))
    campaign.set_pace(quick=True)
    deadline = time.monotonic() + 240
    while campaign.driver.poll() is None:
        assert time.monotonic() < deadline, "the run did not notice that the results had lost their marker"
        time.sleep(0.2)
    said = " ".join(campaign.driver_log().read_text(errors="replace").split())
    assert campaign.driver.returncode == ExitCode.FAILED_TRIALS, said[-2000:]
    assert f"must keep their {MARKER} during a run" in said, said[-2000:]
    late = set(campaign.witness.store.list_names("trials")) - rows
    campaign.say(f"          the run has ended and asks for {MARKER}; {len(late)} rows came through meanwhile")
    campaign.witness.store.files.write(MARKER, marker)
    campaign.excused = campaign.drivers


def kill_compaction(campaign: "Campaign", number: int, fault: str) -> None:
    """`results --compact` is killed at the first sign of a compacted file; what it left counts once."""
    witness, rng = campaign.witness, campaign.rng
    campaign.until(lambda: len(witness.uncompacted()) >= 2, "two rows to compact")
    place = place_of(campaign.server.address)
    before = results(place).trials.collect()
    table = rng.choice(["trials", "curves", "measurements"])
    folder = f"{table}/compacted"
    there = set(witness.store.list_names(folder))
    command = [sys.executable, "-m", "equistudy", "results", place, "--compact"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as compaction:
        while compaction.poll() is None and set(witness.store.list_names(folder)) == there:
            time.sleep(0.01)
        ended = compaction.poll()
        compaction.kill()
    left = {each: len(witness.store.list_names(each)) for each in ("trials", "curves", "measurements")}
    half = "killed" if ended is None else f"which had ended with {ended}"
    campaign.struck(number, f"{fault}, {half}; files left: {left}", lambda: _compacts(campaign, before))


def _compacts(campaign: "Campaign", before: pl.DataFrame) -> str:
    """Reads what was left, compacts it to the end, and reads it again; nothing is lost or doubled."""
    place = place_of(campaign.server.address)
    left = _select(results(place).trials.collect(), before)
    assert left.equals(_select(before, before)), (left, before)
    command = [sys.executable, "-m", "equistudy", "results", place, "--compact"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    after = _select(results(place).trials.collect(), before)
    assert after.equals(left), (after, left)
    campaign.kept.append(before)
    return f"{left.height} rows before, after and once more: {' '.join(done.stderr.split())[:160]}"


def _select(rows: pl.DataFrame, those: pl.DataFrame) -> pl.DataFrame:
    """The rows of those trials, in a fixed order."""
    return rows.filter(pl.col("trial").is_in(those["trial"].to_list())).sort("trial", "attempt")


def add_foreign_files(campaign: "Campaign", number: int, fault: str) -> None:
    """Copies of a row under other names, one of them that of a trial in training, and tables of others.

    A new driver must not take them for rows.
    """
    witness = campaign.witness
    campaign.until(witness.uncompacted, "a row to copy")
    (victim, *_) = campaign.until(campaign.training, "a trial in training")
    name = campaign.rng.choice(witness.uncompacted())
    row = witness.store.files.read(f"trials/{name}")
    assert row
    false = f"{victim['trial']}.0.parquet"
    buffer = pl.DataFrame({"trial": ["mine"], "test_accuracy": [1.0]})
    path = campaign.folder / "foreign.parquet"
    buffer.write_parquet(path)
    witness.ignore(false, row)
    for foreign, data in (
        (f"{name.removesuffix('.parquet')} (copy).parquet", row),
        (f"{name.partition('.')[0]}.9.parquet", row),
        ("notes.0.parquet", path.read_bytes()),
    ):
        witness.ignore(foreign, data)
    told = f"{fault}: {name} as that of {victim['trial']} and two more, a table of others; and kill driver"
    campaign.struck(number, told, witness.others_train(lambda: campaign.drivers))
    campaign.driver.send_signal(signal.SIGKILL)


def run_twice(campaign: "Campaign", number: int, fault: str) -> None:
    """A second run of the same study on a node of its own; both train one trial, then the second is ended."""
    witness, cluster = campaign.witness, campaign.cluster
    campaign.until(campaign.training, "a trial under way")
    ours = {sign["pid"] for sign in witness.signs()}
    cluster.widen()
    second = campaign.start_driver("second")

    def both() -> list[Sign]:
        pids = {process.pid for process in cluster.processes(len(cluster.nodes) - 1)} - ours
        return [sign for sign in witness.signs() if sign["pid"] in pids or _is_of(second, sign)]

    try:
        signs = campaign.until(lambda: second.poll() is not None or both(), "the second run to train")
        assert second.poll() is None, campaign.driver_log("second").read_text(errors="replace")[-2000:]
        campaign.wait(TOGETHER)
        trials = {sign["trial"] for sign in [*signs, *both()]}
        how = campaign.rng.choice([signal.SIGTERM, signal.SIGKILL])
        campaign.struck(
            number,
            f"{fault}: the second trained {', '.join(sorted(trials))} and is ended by {how.name}",
            witness.all_go_on(witness.signs(), elsewhere=False),
        )
        witness.shared |= trials
        second.send_signal(how)
        second.wait(timeout=240)
    finally:
        second.kill()
        second.wait()
        cluster.narrow()


def _is_of(driver: "subprocess.Popen[bytes]", sign: Sign) -> bool:
    """Whether the process of the sign descends from the driver."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(parent.pid == driver.pid for parent in psutil.Process(sign["pid"]).parents())
    return False


def damage_checkpoint(campaign: "Campaign", number: int, fault: str) -> None:
    """A trial dies, and of its checkpoint half is lost or one bit is another: it is set aside and never read."""
    witness = campaign.witness
    sign = campaign.aim(campaign.until(lambda: _with_checkpoint(campaign), "a trial with a checkpoint"))
    trial, process = sign["trial"], psutil.Process(sign["pid"])
    name = f"checkpoints/{trial}.0.pt"
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
        process.wait(10)
    state = witness.checkpoint(trial)
    place = campaign.rng.randrange(8 * len(state or b"x"))
    if state:  # past the store's clients: the process that starts again must find it so
        damaged = flip_bit(state, place) if fault == "flip checkpoint" else state[: len(state) // 2]
        witness.store.files.write(name, damaged)
    goes_on = witness.goes_on(sign, elsewhere=True)

    def recovered() -> str | None:
        aside = witness.store.read_bytes(f"damaged/checkpoints.{trial}.0.pt")
        told = goes_on()
        if not state or aside != damaged:
            gone = "there was no checkpoint, or its process had written it again"
            return f"{gone}; {told}" if told and witness.has_row(trial) else None
        return told and f"the checkpoint is set aside; {told}"

    what = f"bit {place} of it flipped" if fault == "flip checkpoint" else "half of it gone"
    campaign.struck(number, f"{fault} of {trial}, {what}, process {process.pid} killed", recovered, trial)


def _with_checkpoint(campaign: "Campaign") -> list[Sign]:
    return [sign for sign in campaign.training() if campaign.witness.checkpoint(sign["trial"])]


STRIKES: dict[str, Callable[["Campaign", int, str], None]] = {
    "kill server": kill_server,
    "fill disk": fill_disk,
    "lose marker": lose_marker,
    "kill compaction": kill_compaction,
    "foreign files": add_foreign_files,
    "two runs": run_twice,
    "damage checkpoint": damage_checkpoint,
    "flip checkpoint": damage_checkpoint,
}
