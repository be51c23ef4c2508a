"""What Ray Serve is told of the replicas, by us and by a file for 'serve deploy'."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray")

import yaml
from ray.serve.schema import ServeDeploySchema

from lrn_deploy.cli import run
from lrn_deploy.cluster.serve.application import arguments, build, fields, revision
from lrn_deploy.cluster.serve.options import RayOptions
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from tests.support.image_bundles import colour_bundle


def test_a_replica_takes_as_many_requests_as_it_queues_and_runs() -> None:
    model = ModelSettings(max_queue_requests=100, max_batch_size=8, instances=2)
    told = fields(model, ServerSettings(), RayOptions(replicas=3))
    assert told["num_replicas"] == 3
    assert told["max_ongoing_requests"] == 116
    assert told["ray_actor_options"] == {"num_cpus": 1.0}
    endless = fields(ModelSettings(max_queue_requests=0), ServerSettings(), RayOptions())
    assert endless["max_ongoing_requests"] >= 100_000  # Ray Serve itself has a limit of five


def test_an_old_replica_ends_soon_after_its_last_answer_and_has_time_for_that() -> None:
    told = fields(ModelSettings(), ServerSettings(drain_seconds=12.5), RayOptions())
    assert told["graceful_shutdown_wait_loop_s"] <= 0.2
    assert told["graceful_shutdown_timeout_s"] == 17.5
    assert told["max_surge_percent"] == 100
    assert (told["health_check_period_s"], told["health_check_timeout_s"]) == (5, 30)


def test_between_two_numbers_the_load_decides() -> None:
    options = RayOptions(replicas=2, max_replicas=8, target_requests=5)
    told = fields(ModelSettings(), ServerSettings(), options)
    assert "num_replicas" not in told
    assert told["autoscaling_config"] == {
        "min_replicas": 2,
        "max_replicas": 8,
        "target_ongoing_requests": 5,
    }
    fewer = fields(ModelSettings(), ServerSettings(), RayOptions(replicas=3, max_replicas=1))
    assert fewer["autoscaling_config"]["max_replicas"] == 3


def test_on_a_gpu_a_replica_takes_one() -> None:
    told = fields(ModelSettings(device="cuda"), ServerSettings(), RayOptions())
    assert told["ray_actor_options"]["num_gpus"] == 1
    part = fields(ModelSettings(device="cuda:1"), ServerSettings(), RayOptions(replica_gpus=0.25))
    assert part["ray_actor_options"]["num_gpus"] == 0.25


def test_keys_and_limits_of_rates_stay_in_front_and_threads_within_the_cpus() -> None:
    server = ServerSettings(keys="/keys", tls_cert="/cert", rate_limit=5)
    told = arguments([], ModelSettings(), server, RayOptions(replica_cpus=2))
    assert told["model"]["threads"] == 2
    assert (told["server"]["keys"], told["server"]["tls_cert"]) == ("", "")
    assert told["server"]["rate_limit"] == 0
    assert told["server"]["access_log"] == "none"
    parts = RayOptions(replica_cpus=0.5), RayOptions(replica_cpus=3.5)
    found = [arguments([], ModelSettings(), server, part)["model"]["threads"] for part in parts]
    assert found == [1, 3]
    chosen = arguments([], ModelSettings(threads=7), server, RayOptions(replica_cpus=2))
    assert chosen["model"]["threads"] == 7


def test_a_bundle_that_changed_is_another_revision(tmp_path: Path) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    before = revision([("", str(bundle.path), "")])
    assert revision([("other", str(bundle.path), "")]) == before
    colour_bundle(bundle.path, labels=("a", "b", "c"))
    assert revision([("", str(bundle.path), "")]) != before
    assert revision([("", str(tmp_path / "elsewhere"), "")]) == revision([("", "s3://b/x", "")])


def test_the_printed_file_is_what_ray_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = colour_bundle(tmp_path / "colours")
    monkeypatch.chdir(tmp_path)  # where the cluster's processes are not
    words = ["serve", "net=colours", "--engine", "ray", "--replicas", "2"]
    words += ["--max-replicas", "4", "--host", "0.0.0.0", "--preferred-batch-sizes", "4"]
    assert run([*words, "--print-config"]) == 0
    content = yaml.safe_load(capsys.readouterr().out)
    schema = ServeDeploySchema.model_validate(content)
    assert schema.http_options.host == "0.0.0.0"
    (application,) = schema.applications
    (deployment,) = application.deployments
    assert deployment.autoscaling_config == {
        "min_replicas": 2,
        "max_replicas": 4,
        "target_ongoing_requests": 32.0,
    }
    assert deployment.max_surge_percent == 100
    made = build(application.args)
    assert made._bound_deployment.name == deployment.name
    # A bundle that does not load is not loaded twenty times, as Ray Serve would.
    assert made._bound_deployment._deployment_config.max_constructor_retry_count == 1
    assert schema.http_options.request_timeout_s == 60 + ServerSettings().answer_seconds
    arguments_of = made._bound_deployment.init_kwargs
    assert arguments_of["bundles"] == [["net", str(bundle.path), ""]]
    assert arguments_of["model"]["preferred_batch_sizes"] == [4]
