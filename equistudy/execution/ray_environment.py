"""What Ray reads from the environment, and a folder, a home and a user name for it where the system gives none."""

import atexit
import getpass
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

__all__ = ["ENVIRONMENT", "find_obstacle", "prepare_ray_environment"]

# Set before Ray is imported; a user's own value wins. Each line was seen to matter with ray 2.60.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0: no output of Tune's own
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning in workers
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a report waits for the next poll: 2 s by default
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the results are our own Parquet tables
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the first Ctrl-C is ours
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state is thrown away
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "3600",  # requests are checked before the start
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# A Unix socket's path has at most 107 bytes, of which "/ray/session_DATE_TIME_MICROSECONDS_PID/sockets/plasma_store"
# and its null byte take 71.
MAX_FOLDER_BYTES = 36
FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")


def prepare_ray_environment(address: str | None) -> None:
    """Sets the environment that Ray reads when it is imported: before a study file may import `ray.tune`.

    For a Ray on this machine also a temporary folder with a short enough path that this user may write to, where the
    system's own is none. Raises ValueError where RAY_TMPDIR names one that will not do.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "ray" in sys.modules:
        return
    _give_identity()
    if address is not None:
        return
    if "RAY_AUTH_TOKEN" not in os.environ:
        # a token of this run alone; otherwise Ray leaves a file with one in the user's home
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    _choose_folder()


def _give_identity() -> None:
    """A home and a name for a user that the system does not know, as in containers: Ray asks for both."""
    try:
        home = Path.home()
    except RuntimeError:
        home = None
    if home is None:
        os.environ["HOME"] = _make_folder(tempfile.gettempdir(), "equistudy-home-")
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())


def _choose_folder() -> None:
    chosen = os.environ.get("RAY_TMPDIR")
    why = find_obstacle(Path(chosen or os.environ.get("TMPDIR") or tempfile.gettempdir()))
    if why is None:
        return
    if chosen:
        raise ValueError(
            f"Ray needs a temporary folder with a short path that you may write to, got RAY_TMPDIR={chosen}: {why}. "
            "Set RAY_TMPDIR to another one, such as /tmp."
        )
    for base in FALLBACKS:
        if Path(base).is_dir() and os.access(base, os.W_OK | os.X_OK):
            os.environ["RAY_TMPDIR"] = _make_folder(base, "ray-")
            return
    raise ValueError(
        f"Ray needs a temporary folder with a short path that you may write to, got "
        f"{os.environ.get('TMPDIR') or tempfile.gettempdir()}: {why}. Set RAY_TMPDIR to one."
    )


def find_obstacle(base: Path) -> str | None:
    """Why Ray cannot keep its sockets and logs in `base`/ray, or None."""
    if len(os.fsencode(base)) > MAX_FOLDER_BYTES:
        return f"its path has {len(os.fsencode(base))} bytes, more than {MAX_FOLDER_BYTES}, for the sockets in it"
    folder = base / "ray"
    place = folder if folder.exists() else base
    if not place.is_dir():
        return f"{place} is not a folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} belongs to another user and cannot be written to"
    return None


def _make_folder(base: str, prefix: str) -> str:
    """A folder of this process, which takes it along when it ends."""
    folder = tempfile.mkdtemp(prefix=prefix, dir=base)
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder
