"""What the queue door relies on in RunPod's SDK: who raises its version learns here what moved."""

import inspect

from runpod.http_client import AsyncClientSession
from runpod.serverless import worker
from runpod.serverless.modules import rp_http, rp_job, rp_ping, rp_scale
from runpod.serverless.modules.worker_state import JobsProgress
from runpod.version import __version__


def test_the_version_is_the_one_that_was_read() -> None:
    """Everything below was read in this release."""
    assert __version__ == "1.12.0"


def test_the_worker_makes_its_scaler_and_starts_it() -> None:
    """After the fitness checks and the pings: our own loop stands there."""
    source = inspect.getsource(worker.run_worker)
    steps = ["run_fitness_checks()", "heartbeat.start_ping(mirror)", "rp_scale.JobScaler(config)"]
    places = [source.index(step) for step in (*steps, "job_scaler.start()")]
    assert places == sorted(places)
    assert list(inspect.signature(rp_scale.JobScaler.start).parameters) == ["self"]


def test_the_pings_are_a_process_that_is_started_once() -> None:
    """So that a dead one can be started anew."""
    source = inspect.getsource(rp_ping.Heartbeat.start_ping)
    assert "if not Heartbeat._process_started:" in source
    assert "process = Process(target=Heartbeat.process_loop" in source
    assert isinstance(worker.heartbeat, rp_ping.Heartbeat)
    assert hasattr(JobsProgress(), "_mirror")


def test_urls_are_templates_of_the_environment() -> None:
    """As the SDK fills them in."""
    assert list(inspect.signature(rp_job._job_get_url).parameters) == ["batch_size"]
    assert rp_job._job_stop_url() is None  # without RUNPOD_WEBHOOK_GET_JOB
    for url in (rp_http.JOB_STREAM_URL, rp_http.JOB_DONE_URL):
        assert isinstance(url, str)
    posted = inspect.getsource(rp_http._handle_result)
    assert 'url_template.replace("$ID", job["id"]) + f"&isStream={is_stream}"' in posted


def test_jobs_in_progress_are_known_by_their_ids() -> None:
    """The pings carry them."""
    JobsProgress().add("a")
    assert JobsProgress().get_job_list() == "a"
    JobsProgress().remove("a")
    assert JobsProgress().get_job_list() is None


def test_the_session_carries_the_workers_key() -> None:
    """And is closed by leaving it."""
    assert "get_auth_header()" in inspect.getsource(AsyncClientSession)
