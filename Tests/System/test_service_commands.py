"""The commands that talk to a service; and `serve` where it cannot serve."""

import json
import signal
import socket
import subprocess
import time

import pytest
from google.protobuf import timestamp_pb2
from millrace.v1 import job_pb2

from client import Client, spec
from service import BINARY, environment, free_port, make_folder, run


@pytest.fixture
def command(service):
    """Runs a client command against the service; returns its JSON lines."""
    tenant = f"test-{time.monotonic_ns()}"

    def call(name, *arguments, status=0, input=None):
        flags = ["--address", service.listen, "--tenant", tenant, "--json"]
        done = run(name, *arguments, *flags, input=input)
        assert done.returncode == status, (done.stdout, done.stderr)
        call.said = done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    call.tenant = tenant
    return call


def test_submit_get_list_watch_cancel(command):
    (job,) = command(
        *("submit", "--model", "story", "--prompt", "One day", "--max-tokens", 30),
        *("--seed", 5, "--label", "a=b=c", "--request-id", "name", "--priority", 7),
    )
    assert job["state"] == "JOB_STATE_QUEUED" or job["state"] == "JOB_STATE_RUNNING"
    assert job["spec"]["labels"] == {"a": "b=c"} and job["spec"]["priority"] == 7
    assert job["request_id"] == "name"
    events = command("watch", job["id"])
    text = "".join(event["tokens"].get("text", "") for event in events if "tokens" in event)
    assert events[-1]["finished"]["state"] == "JOB_STATE_SUCCEEDED"
    (got,) = command("get", job["id"])
    assert got["text"] == text and len(got["token_ids"]) == 30
    rest = command("watch", job["id"], "--from", 20)
    assert rest[-1]["finished"]["id"] == job["id"]
    ids = [id for event in rest if "tokens" in event for id in event["tokens"]["token_ids"]]
    assert ids == got["token_ids"][20:]
    (listed,) = command("list", "--state", "succeeded", "--label", "a=b=c")
    assert listed["id"] == job["id"] and "text" not in listed
    assert command("list", "--state", "failed") == []
    (cancelled,) = command("cancel", job["id"])
    assert cancelled["state"] == "JOB_STATE_SUCCEEDED"


def test_submit_with_watch_streams_the_output(command, service):
    events = command(
        *("submit", "--model", "story", "--prompt", "-", "--max-tokens", 20, "--watch"),
        *("--seed", 6, "--logprobs", 1),
        input=b"One day",
    )
    assert "state" in events[0] and "finished" in events[-1]
    id = events[0]["state"]["id"]
    plain = run("watch", id, "--address", service.listen, "--tenant", command.tenant)
    text = "".join(event["tokens"].get("text", "") for event in events if "tokens" in event)
    assert plain.stdout.decode() == text + "\n"
    for words in ("queue wait", "time to first token", "tokens/s"):
        assert words in plain.stderr.decode()


def test_list_goes_over_pages(command, service):
    with service.channel() as channel:
        client = Client(channel, command.tenant)
        client.submit_many([spec(max_tokens=1) for _ in range(1_000)])
        client.submit_many([spec(max_tokens=1) for _ in range(30)])
    assert len({job["id"] for job in command("list", "--limit", 1_020)}) == 1_020
    assert len(command("list", "--limit", 5_000)) == 1_030


def test_a_refused_submission_names_the_field(command):
    arguments = ["--model", "story", "--prompt", "a", "--top-p", 7]
    assert command("submit", *arguments, status=1) == []
    assert "spec.sampling.top_p" in command.said
    assert command("submit", "--model", "other", "--prompt", "a", status=1) == []
    assert "spec.model" in command.said
    for name in ("get", "watch", "cancel"):
        assert command(name, "nonsense", status=1) == []
        assert "there is no job nonsense" in command.said


def test_interrupting_a_watch_leaves_the_job_running(service, command):
    with service.channel() as channel:
        client = Client(channel, command.tenant)
        job = client.submit(spec(run_after=timestamp_pb2.Timestamp(seconds=1 << 33)))
        watching = subprocess.Popen(
            [BINARY, "watch", job.id, "--address", service.listen]
            + ["--tenant", command.tenant, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        try:
            assert b"state" in watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, said = watching.communicate(timeout=20)
        finally:
            watching.kill()
        assert watching.returncode == 130 and job.id.encode() in said
        assert client.get(job.id).state == job_pb2.JOB_STATE_QUEUED
        client.cancel(job.id)


# Serve


def refused(*arguments, seconds=30):
    """What `serve` says when it cannot serve."""
    done = run("serve", *arguments, timeout=seconds)
    said = done.stderr.decode()
    assert done.returncode > 0, f"status {done.returncode}: {said}"
    return said


@pytest.fixture
def folder():
    import shutil

    path = make_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_serve_refuses_models_that_it_cannot_load(model, folder):
    flags = ["--data-dir", folder / "data", "--listen", f"unix:{folder}/s"]
    assert "--model" in refused(*flags)
    assert "NAME=PATH" in refused(*flags, "--model", "story")
    assert "/nowhere.gguf" in refused(*flags, "--model", "story=/nowhere.gguf")
    broken = folder / "broken.gguf"
    broken.write_bytes(model.read_bytes()[:100_000])
    said = refused(*flags, "--model", f"good={model}", "--model", f"bad={broken}")
    assert "model bad" in said and "broken.gguf" in said
    said = refused(*flags, "--model", f"story={model}", "--model", f"story={model}")
    assert "two models" in said
    assert not (folder / "data").exists()


def test_serve_refuses_wrong_settings(model, folder):
    flags = ["--data-dir", folder / "data", "--model", f"story={model}"]
    assert "--listen" in refused(*flags, "--listen", "nonsense")
    assert "slots" in refused(*flags, "--slots", 0)
    assert "kernels" in refused(*flags, "--kernels", "mmx")
    assert "log-level" in refused(*flags, "--log-level", "loud")
    assert "tls-key" in refused(*flags, "--tls-certificate", "x")
    settings = folder / "millrace.yaml"
    settings.write_text("sluts: 3\n")
    assert "sluts" in refused(*flags, "--config", settings)


def test_serve_refuses_a_port_that_is_taken(model, own_service):
    service = own_service(listen=f"127.0.0.1:{free_port()}").start()
    other = own_service(listen=service.listen)
    said = refused(
        *("--model", f"story={model}", "--data-dir", other.data, "--listen", service.listen)
    )
    assert service.listen in said
    # Nothing is left behind: not the database that was started before the port was tried.
    assert other.database_pid() is None
    service.stop()


def test_serve_refuses_a_data_folder_in_use(model, own_service):
    service = own_service().start()
    said = refused(
        *("--model", f"story={model}", "--data-dir", service.data),
        *("--listen", f"unix:{service.folder}/other"),
    )
    assert "data folder" in said
    client = Client(service.channel())
    assert client.run(spec(max_tokens=2)).token_ids
    service.stop()


def test_serve_refuses_a_database_that_cannot_be_reached(model, folder):
    url = "postgresql://someone:password@127.0.0.1:1/nothing"
    said = refused(
        *("--model", f"story={model}", "--listen", f"unix:{folder}/s", "--database-url", url)
    )
    assert "127.0.0.1" in said and "password" not in said.replace("password authentication", "")


def test_print_config_tells_where_settings_come_from(model, folder):
    settings = folder / "settings.yaml"
    settings.write_text("slots: 3\nthreads: 1\n")
    done = run(
        *("serve", "--print-config", "--json", "--config", settings, "--threads", 2),
        *("--model", f"story={model}", "--database-url", "postgresql://a:hidden@b/c"),
        env={"MILLRACE_DRAIN_SECONDS": "4"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["threads"] == {"value": "2", "origin": "flag"}
    assert found["slots"] == {"value": "3", "origin": "file"}
    assert found["drain-seconds"] == {"value": "4", "origin": "environment"}
    assert found["log-level"]["origin"] == "default"
    assert b"hidden" not in done.stdout


def test_a_taken_port_is_an_error_each_time_and_never_a_crash(folder):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        flags = ["--data-dir", folder / "data", "--listen", address, "--json"]
        for _ in range(60):
            done = run("doctor", *flags)
            assert done.returncode == 1, done.stderr
            assert f"cannot listen on {address}" in done.stdout.decode()
