"""`fetch` and `run --fetch` from a server on this machine, and what they say without fetching."""

import functools
import hashlib
import json
import re
import struct
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from equistudy.cli import fetching
from equistudy.fetching import download
from equistudy.fetching.registry import DATASETS, RemoteFile
from equistudy.study import trial

DIGITS = "eq.Digits(canvas=16, digit=8, train_size=64)"
REMOTE = "eq.MNIST(train_size=64, test_size=32)"


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked_paths(tmp_path, monkeypatch):
    """A server of four small files under the names of MNIST; gives what it was asked for."""
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("EQUISTUDY_DATA", "EQUISTUDY_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "WAIT_SECONDS", 0.0)
    Quiet.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    files, rng = [], np.random.default_rng(0)
    for part, count in (("train", 100), ("t10k", 50)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            values = rng.integers(0, 256, shape) if len(shape) == 3 else np.arange(count) % 10
            content = (
                struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + values.astype(np.uint8).tobytes()
            )
            name = f"{part}-{kind}-ubyte"
            (served / name).write_bytes(content)
            url = f"http://127.0.0.1:{server.server_port}/{name}"
            files.append(RemoteFile(name, (url,), f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)))
    monkeypatch.setitem(DATASETS, "mnist", DATASETS["mnist"]._replace(files=tuple(files)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Quiet.asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_dataset_is_fetched_listed_and_not_fetched_again(asked_paths, invoke, tmp_path):
    before = json.loads(invoke("fetch", "--list", "--json").stdout)["datasets"]
    assert {row["name"] for row in before if row["there"]} == set()
    done = invoke("fetch", "mnist")
    assert (done.exit_code, done.stdout) == (0, "mnist: data/mnist\n")
    assert len(asked_paths) == 4
    assert "train-images-idx3-ubyte: 78.4 kB from http://127.0.0.1" in done.stderr
    after = json.loads(invoke("fetch", "--list", "--json").stdout)["datasets"]
    assert [row["name"] for row in after if row["there"]] == ["mnist"]
    again = invoke("fetch", "mnist", "--json")
    assert json.loads(again.stdout) == {"mnist": "data/mnist"}
    assert len(asked_paths) == 4
    table = invoke("fetch", "--list").stdout
    assert f"{'mnist':15}{'117.8 kB':>14}  {'yes':7}none stated" in table
    assert f"{'pcam':15}{'8.0 GB':>14}  {'no':7}CC0" in table
    assert "rotated-mnist: http://www.iro.umontreal.ca/" in table


def test_a_dry_run_says_what_would_come_and_fetches_nothing(asked_paths, invoke, tmp_path):
    told = invoke("fetch", "mnist", "cifar10", "olivetti", "resnet18.a1_in1k", "--dry-run", "--into", "there").stdout
    assert "there/mnist/train-images-idx3-ubyte: 78.4 kB, from http://127.0.0.1" in told
    archive = (
        "there/cifar10/cifar-10-python.tar.gz: 170.5 MB, unpacked to at most 200.0 MB, from https://www.cs.toronto"
    )
    assert archive in told
    assert "there/olivetti/olivettifaces.mat: unknown size, from" in told
    assert "weights resnet18.a1_in1k: " in told
    assert told.splitlines()[-1].startswith("In all 170.6 MB")
    assert asked_paths == []
    assert not (tmp_path / "there").exists()
    record = json.loads(invoke("fetch", "mnist", "--dry-run", "--json").stdout)
    assert sum(file["bytes"] for file in record["files"]) == 150 * 785 + 2 * 16 + 2 * 8
    assert record["there"] == []


def test_a_study_gets_what_it_reads(asked_paths, invoke, write, tmp_path):
    study = write((DIGITS, REMOTE))
    assert "data/mnist/t10k-labels-idx1-ubyte" in invoke("fetch", study, "--dry-run").stdout
    assert invoke("fetch", study).exit_code == 0
    assert (tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte").is_file()
    assert "data/mnist: there" in invoke("fetch", study, "--dry-run").stdout
    assert invoke("fetch", write(name="digits.py"), "--dry-run").stdout == "In all 0 bytes\n"


def test_another_folder_is_told_to_studies(asked_paths, invoke, write, monkeypatch, tmp_path):
    study = write((DIGITS, REMOTE))
    done = invoke("fetch", study, "--into", "/".join((str(tmp_path), "there")))
    assert f"with EQUISTUDY_DATA={tmp_path / 'there'}" in done.stderr
    assert "python -m equistudy fetch mnist" in invoke("plan", study).stderr
    monkeypatch.setenv("EQUISTUDY_DATA", str(tmp_path / "there"))
    assert "4 missing" in invoke("plan", study).stdout


@pytest.mark.slow
def test_run_downloads_only_when_told_to(asked_paths, invoke, write, tmp_path):
    trial._fingerprints.clear()  # each process reads the data of a folder once
    study = write((DIGITS, REMOTE), ("epochs=2", "epochs=1"), ("range(2)", "range(1)"))
    arguments = ("run", study, "--results", tmp_path / "results", "--in-process")
    failed = invoke(*arguments)
    assert failed.exit_code == 2
    assert re.search(r"Or fetch them: python -m equistudy fetch mnist( --into \S+)?$", failed.stderr.rstrip()), (
        failed.stderr
    )
    assert asked_paths == []
    done = invoke(*arguments, "--fetch")
    assert done.exit_code == 0, done.stderr
    assert len(asked_paths) == 4


def test_a_study_with_a_dataset_to_be_fetched_by_hand(asked_paths, invoke, write, tmp_path):
    both = "eq.MNIST(train_size=64) if width == 2 else eq.RotatedMNIST(train_size=64)"
    study = write((f"digits, recipe = {DIGITS},", f"digits, recipe = ({both}),"))
    told = invoke("fetch", study, "--dry-run").stdout
    assert "rotated-mnist: by hand from http://www.iro.umontreal.ca/" in told
    done = invoke("fetch", study)
    assert done.exit_code == 2
    assert "got rotated-mnist. Download by hand: rotated-mnist: http" in done.stderr
    assert len(asked_paths) == 4, "all else is fetched"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mnits",), r"NAME\.TAG of timm's weights, got 'mnits'\. .*mnist"),
        (("camvid",), r"got camvid\. Download by hand: camvid: https://github\.com/alexgkendall"),
        (("nowhere.py",), "nowhere.py"),
        (("mnist", "--scale", "paper"), "got --scale paper without STUDY.py"),
        ((), "Name what to fetch, such as mnist, or use --list alone"),
        (("mnist", "--list"), "Name what to fetch"),
    ],
)
def test_what_cannot_be_fetched_is_told(invoke, arguments, message):
    done = invoke("fetch", *arguments)
    assert done.exit_code == 2
    assert re.search(message, done.stderr), done.stderr


def test_a_wrong_mirror_and_a_server_that_is_gone(asked_paths, invoke, monkeypatch):
    monkeypatch.setenv("EQUISTUDY_MIRROR", "ftp://x")
    done = invoke("fetch", "mnist")
    assert done.exit_code == 2
    assert "EQUISTUDY_MIRROR must be an http or https address, got 'ftp://x'" in done.stderr
    monkeypatch.delenv("EQUISTUDY_MIRROR")
    gone = DATASETS["mnist"].files[0]._replace(urls=("http://127.0.0.1:9/x",))
    monkeypatch.setitem(DATASETS, "mnist", DATASETS["mnist"]._replace(files=(gone,)))
    done = invoke("fetch", "mnist")
    assert done.exit_code == 2
    assert "no connection, after 4 consecutive attempts" in done.stderr


def test_weights_of_a_search_and_of_a_study_are_found(write):
    text = """
import equistudy as eq
def trial(name: str, seed: int) -> eq.Trial:
    model = eq.TimmModel(name, pretrained=True)
    return eq.Trial(model, eq.CIFAR10(), eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=2), seed)
names = eq.Choice(("resnet18.a1_in1k", "resnet26.bt_in1k"))
study = eq.Study(
    question="Which?",
    design=eq.search(trial, {"name": names}, num_samples=2),
    measures=(eq.Accuracy(),),
)
"""
    asked = fetching.find_requested([str(write(text=text))], None, None)
    assert asked.weights == ("resnet18.a1_in1k", "resnet26.bt_in1k")
    assert [request.dataset.name for request in asked.datasets] == ["cifar10"]
