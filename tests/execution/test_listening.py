"""What listens while a study runs on this machine, against the list in cluster/README.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, time
import psutil
from equistudy.execution.cluster import connect_to_ray
with connect_to_ray(None, 1):
    import ray
    actor = ray.remote(type("Trial", (), {"train": lambda self: 1})).remote()
    ray.get(actor.train.remote())
    found, deadline = set(), time.monotonic() + 8
    while len(found) < 10 and time.monotonic() < deadline:  # some servers start after the first task
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            for each in process.net_connections("inet"):
                if each.status == psutil.CONN_LISTEN:
                    found.add((process.name(), " ".join(process.cmdline()[:4]), each.laddr.ip, each.laddr.port))
print(json.dumps(sorted(found)))
"""
PARTS = {
    "gcs_server": "gcs_server",
    "raylet": "raylet",
    "ray::DashboardA": "dashboard agent",
    "ray::RuntimeEnv": "runtime environment agent",
    "ray::Trial": "trial",
}


def name_part(process: str, words: str) -> str:
    """What the list calls a process."""
    known = [part for start, part in PARTS.items() if process.startswith(start) or words.startswith(start)]
    if known:
        return known[0]
    return "dashboard" if "dashboard" in words else "autoscaler monitor" if "autoscaler" in words else "driver"


@pytest.mark.slow
def test_all_that_listens_during_a_run_is_listed_and_on_loopback(root: Path) -> None:
    pytest.importorskip("psutil")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    assert {ip.removeprefix("::ffff:") for _, _, ip, _ in found} == {"127.0.0.1"}, found
    assert 10001 not in {port for *_, port in found}  # Ray's client server
    section = (root / "cluster" / "README.md").read_text().partition("## What listens where")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| ([^|]+?) +\|", section, re.MULTILINE)) - {"process", "---"}
    parts = {name_part(name, words) for name, words, *_ in found}
    fixed = {"autoscaler monitor", "dashboard"}  # of a second Ray on the machine these do not get their ports
    assert parts <= listed
    assert listed - fixed <= parts
