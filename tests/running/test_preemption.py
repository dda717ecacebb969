import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equistudy.results.store import Store
from equistudy.running.preemption import (
    MAX_PREEMPTED_SECONDS,
    MAX_PREEMPTIONS,
    SIGTERM_EXIT_CODE,
    PreemptionAllowance,
    consume_preemption,
)

PROCESS = """
import sys, time
from equistudy.running import preemption
from equistudy.results.store import Store

preemption.GRACE_SECONDS = 2.0
notice = preemption.PreemptionNotice(Store.open(sys.argv[1]))
notice.trial = None if sys.argv[2] == "idle" else "t_1.0"
print("ready", flush=True)
while sys.argv[2] != "quick" or not notice.given:
    time.sleep(0.01)
print("saved", flush=True)
notice.exit_process()
"""


@pytest.mark.parametrize(("doing", "told", "seconds"), [("idle", "", 0), ("quick", "saved\n", 0), ("slow", "", 2)])
def test_a_process_that_is_told_to_end_uses_its_grace(doing: str, told: str, seconds: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path), doing]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == told
        assert process.returncode == SIGTERM_EXIT_CODE
        assert time.monotonic() - began >= seconds
    store = Store.open(tmp_path)
    assert consume_preemption(store, "t_1.0") == (doing != "idle")
    assert not consume_preemption(store, "t_1.0")


def test_preemptions_without_a_new_epoch_are_allowed_up_to_a_number_and_a_time() -> None:
    now = [0.0]
    allowance = PreemptionAllowance(lambda: now[0])
    assert [allowance.spend("a") for _ in range(MAX_PREEMPTIONS + 1)] == [True] * MAX_PREEMPTIONS + [False]
    assert allowance.spend("b")
    now[0] = MAX_PREEMPTED_SECONDS + 1
    assert not allowance.spend("b")
    allowance.renew("a")
    allowance.renew("b")
    assert allowance.spend("a")
    assert allowance.spend("b")
