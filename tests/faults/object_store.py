"""An S3 server on this machine alone, in a process of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs

from tests.faults.proxy import free_port

__all__ = ["SECRETS", "DiskStore", "object_store", "place_of"]

# what whoever uses the server must have in the environment
SECRETS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "planted-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PATIENCE = 240.0


@contextmanager
def object_store() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process of a server with an empty bucket, and its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", address.partition(":")[2]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address, process)
            yield process, address
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


class DiskStore:
    """A server whose bucket lies in a folder: it may be killed, and goes on where it was."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.faults.disk_server", str(self.port), str(self.folder)]
        with self.folder.with_name("server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        _wait_for(self.address, self._process)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Returns once the server answers and has its bucket."""
    made = fs.S3FileSystem(endpoint_override=address, scheme="http", region="us-east-1", allow_bucket_creation=True)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            made.create_dir("studies")
            return
        except OSError:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)


def place_of(address: str, folder: str = "results") -> str:
    """Results in a folder of the bucket."""
    return f"s3://studies/{folder}?scheme=http&endpoint_override={address}&region=us-east-1"
