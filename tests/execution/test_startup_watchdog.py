import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from equistudy.execution.startup_watchdog import find_crash

LOG = """Traceback (most recent call last):
  File "default_worker.py", line 3, in <module>
    import ray
ImportError: libbroken.so.1: cannot open shared object file
[2026-11-27 13:53:48,586 E 17071 17071] (raylet) worker_pool.cc:660: Some workers of the worker process(17658) have not
"""
SIGN = "registered within the timeout. The process is dead, probably it crashed during start.\n"


def test_the_last_words_of_a_worker_are_found() -> None:
    assert find_crash(LOG) is None
    assert find_crash(LOG.rstrip() + " " + SIGN) == "ImportError: libbroken.so.1: cannot open shared object file"
    assert find_crash("[2026-11-27 13:53:48,586 E 1 1] (raylet) " + SIGN) == "it said nothing"


@pytest.mark.slow
def test_workers_that_crash_at_their_start_end_the_run_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if any('default_worker.py' in word for word in sys.orig_argv):\n"
        "    os.write(2, b'ImportError: libbroken.so.1: cannot open shared object file\\n')\n"
        "    os._exit(1)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        "RAY_worker_register_timeout_seconds": "5",
    }
    command = [
        sys.executable,
        "-c",
        "from equistudy.execution.cluster import connect_to_ray\nwith connect_to_ray(None, 1): pass",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "No trial could begin: Ray's workers crash as soon as they start: ImportError: libbroken.so.1" in done.stderr
    assert "Fix the Python environment, then run the same command again." in done.stderr
