import json
from pathlib import Path

from equistudy.cli.errors import ExitCode
from equistudy.cli.status import load_requested_study, plan_study

CLUSTER = Path(__file__).parents[2] / "cluster"


def test_a_cluster_file_is_read_before_any_trial_has_a_cost(asked, invoke) -> None:
    refused = invoke("plan", asked.study, "--results", asked.folder, "--cluster", "nowhere.yaml")
    assert refused.exit_code == ExitCode.USAGE, refused.output
    assert "Cannot read the cluster file nowhere.yaml" in refused.stderr


def test_a_plan_says_what_the_rest_costs_on_a_cluster(asked, invoke, finish) -> None:
    trials = plan_study(load_requested_study(asked), asked.folder)[1].trials
    finish(trials[0].trial, {"width": 2})  # 8 s of training and 2 s of measuring
    done = invoke("plan", asked.study, "--results", asked.folder, "--cluster", CLUSTER / "aws.yaml")
    assert done.exit_code == ExitCode.DONE, done.output
    lines = done.stdout.splitlines()
    assert (
        "    spot: 3 x g6.2xlarge, 3 trials at once, 5 min 10 s, 0.01 GPU-hours, 0.76 node-hours, about 0.34 USD"
        in lines
    )
    assert any(line.startswith("    on_demand: 2 x g6.2xlarge, 2 trials at once, 5 min 20 s") for line in lines)
    assert lines[-1].startswith(f"Prices of {CLUSTER / 'prices.yaml'}")

    record = json.loads(
        invoke("plan", asked.study, "--results", asked.folder, "--cluster", CLUSTER / "kuberay.yaml", "--json").stdout
    )["cluster"]
    assert record["currency"] == "USD"
    assert [(kind["kind"], kind["nodes"], kind["price"]) for kind in record["kinds"]] == [("gpu", 3, None)]


def test_prices_without_a_cluster_are_refused(asked, invoke) -> None:
    done = invoke("plan", asked.study, "--results", asked.folder, "--prices", CLUSTER / "prices.yaml")
    assert done.exit_code == ExitCode.USAGE
    assert "--prices needs --cluster, got --prices alone. Add --cluster FILE." in done.stderr


def test_without_any_known_cost_nothing_is_made_up(asked, invoke) -> None:
    done = invoke("plan", asked.study, "--results", asked.folder, "--cluster", CLUSTER / "aws.yaml")
    assert done.stdout.splitlines()[-1] == "Cost: unknown until the first trial finishes; --pilot estimates it."
