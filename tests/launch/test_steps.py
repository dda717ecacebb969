import base64
import sys

import pytest

from equistudy.launch.steps import CommandStep, LaunchError, Secret, explain_failure, mask_manifest


def test_a_step_tells_what_its_command_says() -> None:
    told: list[str] = []
    script = "import os, sys; print(os.environ['WHO'], sys.stdin.read()); print('end', file=sys.stderr)"
    step = CommandStep("a test", (sys.executable, "-c", script), {"WHO": "me too"}, given="given")
    assert step.run(told.append) == "me too given\nend\n"
    assert told == ["me too given", "end"]
    assert str(step).startswith("WHO='me too' ")


def test_a_program_that_is_absent_is_named() -> None:
    with pytest.raises(
        LaunchError, match="Launching needs the program kubectl-of-nobody, which is not installed on this machine"
    ):
        CommandStep("a test", ("kubectl-of-nobody",)).run(print)


# what the programs say, shortened
SAID = {
    "botocore.exceptions.ClientError: An error occurred (InvalidParameterValue) when calling the RunInstances: "
    "Invalid value 'g6.9xlarge' for InstanceType. invalid instance type": "choose another InstanceType",
    "googleapiclient.errors.HttpError: Invalid value for field 'resource.machineType': 'zones/z/machineTypes/g9'": (
        "choose another InstanceType"
    ),
    "botocore.exceptions.NoCredentialsError: Unable to locate credentials": "Log in to the provider first",
    "google.auth.exceptions.DefaultCredentialsError: Your default credentials were not found.": "Log in to the",
    "(VcpuLimitExceeded) You have requested more vCPU capacity than your current vCPU limit of 0": "raise the quota",
    "An error occurred (UnauthorizedOperation) when calling the RunInstances operation": "lacks permissions",
    "ssh: connect to host 203.0.113.9 port 22: Connection timed out": "Port 22 of the head is closed to this machine",
    "error: current-context is not set": "kubectl cannot reach a cluster",
    'resource mapping not found: no matches for kind "RayCluster" in version "ray.io/v1"': "install the KubeRay",
    "Back-off pulling image: ImagePullBackOff": "build it from cluster/Dockerfile",
    "unable to listen on port 8265: address already in use": "The local port is taken",
}


@pytest.mark.parametrize("said", SAID)
def test_what_clouds_say_comes_with_the_way_out(said: str) -> None:
    message = explain_failure("ray up c.yaml", 1, f"Traceback\n{said}\n\nShared connection closed.\n")
    assert message.startswith(f"`ray up c.yaml` ended with 1: {said}\n")
    assert SAID[said] in message


def test_what_is_not_known_is_told_as_it_is() -> None:
    assert explain_failure("ray up", 3, "a\nb\n") == "`ray up` ended with 3: b"
    assert explain_failure("ray up", 3, "") == "`ray up` ended with 3: it said nothing"


TOKEN = "dd2793c4b92dc9b75db25ee637f4cb45"


def test_a_secret_is_given_and_never_shown() -> None:
    secret = Secret(TOKEN)
    assert TOKEN not in f"{secret} {secret!r} {secret:>5} {[secret]} {CommandStep('a test', ('b',), {'T': secret})!r}"
    assert (str(secret), secret.reveal(), secret == Secret(TOKEN), secret == Secret("x")) == ("***", TOKEN, True, False)
    told: list[str] = []
    encoded = base64.b64encode(TOKEN.encode()).decode()
    script = f"import os; print(os.environ['TOKEN'], '{encoded}'); raise SystemExit('bad ' + os.environ['TOKEN'])"
    step = CommandStep("a test", (sys.executable, "-c", script.replace(TOKEN, "")), {"TOKEN": secret})
    with pytest.raises(LaunchError, match=r"TOKEN=\*\*\* .* ended with 1: bad \*\*\*$") as caught:
        step.run(told.append)
    assert told == ["*** ***", "bad ***"]
    assert TOKEN not in str(caught.value)


def test_what_a_command_says_can_be_a_secret() -> None:
    told: list[str] = []
    step = CommandStep("the token", (sys.executable, "-c", f"print('{TOKEN}')"), says_secret=True)
    assert step.run(told.append).strip() == TOKEN
    assert told == []


def test_secrets_of_a_manifest_are_masked() -> None:
    manifest = f"""
kind: RayCluster
spec:
  containers:
  - env:
    - {{name: AWS_SECRET_ACCESS_KEY, value: {TOKEN}}}
    - {{name: RAY_AUTH_TOKEN, value: {TOKEN}}}
    - {{name: REGION, value: eu}}
    - name: DB_PASSWORD
      valueFrom: {{secretKeyRef: {{name: db, key: password}}}}
  apiKey: {TOKEN}
---
kind: Secret
data: {{a: {TOKEN}}}
"""
    masked = mask_manifest(manifest)
    assert TOKEN not in masked
    assert "value: eu" in masked
    assert masked.count("***") == 4
