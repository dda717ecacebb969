"""The import of timm where torchvision's operators cannot be loaded."""

import subprocess
import sys

import pytest

from equistudy.networks.import_timm import import_timm

BROKEN = """
import sys, warnings
warnings.simplefilter("error")
class Finder:
    failed = False
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and not self.failed:
            self.failed = True
            raise RuntimeError("operator torchvision::nms does not exist")
sys.meta_path.insert(0, Finder())
from equistudy.networks.import_timm import import_timm
assert import_timm() is import_timm() is sys.modules["timm"]
import_timm().create_model("test_resnet")
print("built", sys.meta_path[0].failed)
"""


@pytest.mark.slow
def test_a_first_failure_is_remedied_in_a_fresh_process():
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("built True", "")


def test_other_failures_are_shown(monkeypatch):
    def fail(name):
        raise RuntimeError("something else is wrong")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="something else is wrong"):
        import_timm.__wrapped__()
