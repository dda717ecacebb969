"""An S3 server on this machine alone, in a process of its own."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow import fs

from tests.faults.proxy import free_port

__all__ = ["SECRETS", "object_store", "place_of"]

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
                    assert process.poll() is None
                    time.sleep(0.2)
            yield process, address
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def place_of(address: str, folder: str = "results") -> str:
    """Results in a folder of the bucket."""
    return f"s3://studies/{folder}?scheme=http&endpoint_override={address}&region=us-east-1"
