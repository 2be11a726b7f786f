"""The commands that talk to a service; and `serve` where it cannot serve."""

import concurrent.futures
import json
import re
import signal
import socket
import subprocess
import time

import grpc
import pytest
from google.protobuf import timestamp_pb2
from millrace.v1 import job_pb2, job_service_pb2

from client import Client, spec
from service import BINARY, environment, free_port, make_folder, run, wait_until


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


def test_a_list_takes_several_states_and_says_when_there_are_more(command, service):
    with service.channel() as channel:
        client = Client(channel, command.tenant)
        later = timestamp_pb2.Timestamp(seconds=1 << 33)
        waiting = [client.submit(spec(run_after=later)).id for _ in range(3)]
        client.cancel(waiting[0])
    assert len(command("list", "--state", "queued,cancelled")) == 3
    assert len(command("list", "--state", "JOB_STATE_QUEUED", "--state", "cancelled")) == 3
    assert len(command("list", "--state", "JOB_STATE_QUEUED")) == 2
    assert command.said == ""
    assert len(command("list", "--limit", 2)) == 2
    assert "There are more than these 2" in command.said
    assert len(command("list", "--limit", 3)) == 3 and command.said == ""
    ended = command("cancel", *waiting)
    assert [job["id"] for job in ended] == waiting
    # One that is not there keeps no other from its turn.
    got = command("get", waiting[0], "nonsense", waiting[1], status=1)
    assert [job["id"] for job in got] == waiting[:2] and "no job nonsense" in command.said


def test_get_tells_about_a_job_in_plain_text(command, service):
    (job,) = command(
        *("submit", "--model", "story", "--prompt", "One day", "--max-tokens", 5),
        *("--label", "a=b", "--priority", 7, "--max-attempts", 4, "--deadline", "+2h"),
    )
    command("watch", job["id"])
    plain = run("get", job["id"], "--address", service.listen, "--tenant", command.tenant)
    (got,) = command("get", job["id"])
    assert plain.stdout.decode() == got["text"] + "\n"
    told = dict(re.split(r"  +", line, maxsplit=1) for line in plain.stderr.decode().splitlines())
    assert told["id"] == job["id"] and told["model"] == "story"
    assert told["state"] == "succeeded" and told["attempts"] == "1 of 4"
    assert told["priority"] == "7" and told["labels"] == "a=b"
    assert {"finish reason", "created", "deadline", "started", "finished"} <= set(told)
    assert "error" not in told


def test_a_failed_job_is_shown_with_its_error(own_service):
    service = own_service().start()

    def call(*arguments, status=0):
        done = run(*arguments, "--address", service.listen, "--json")
        assert done.returncode == status, (done.stdout, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()

    # Nothing takes the job here; where it is taken, its prompt is too long.
    (executor,), _ = call("executors")
    assert executor["models"] == ["story"] and "running_jobs" not in executor
    call("drain", executor["id"])
    wait_until(lambda: call("executors")[0][0].get("draining"), what="drained")
    ids = ",".join(["7"] * 100)
    (job,), _ = call("submit", "--model", "story", "--token-ids", ids, "--max-tokens", 5)
    assert call("stats")[0][0]["queued"] == "1"
    service.stop()
    service.flags += ["--context-length", "50"]
    service.start()
    events, said = call("watch", job["id"], status=1)
    finished = events[-1]["finished"]
    assert "ended as failed" in said and finished["error"]["message"] in said
    (got,), _ = call("get", job["id"])
    assert got["state"] == "JOB_STATE_FAILED" and got["error"] == finished["error"]
    (detail,) = got["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert detail["reason"] and detail["domain"] == "millrace"
    (listed,), _ = call("list", "--state", "failed")
    assert listed["id"] == job["id"] and listed["error"] == got["error"]
    (cancelled,), _ = call("cancel", job["id"])
    assert cancelled["error"] == got["error"]
    plain = run("get", job["id"], "--address", service.listen)
    assert got["error"]["message"] in plain.stderr.decode()
    service.stop()


def test_submit_takes_prompts_in_every_form(command, tmp_path):
    submit = ("submit", "--model", "story", "--max-tokens", 8, "--greedy")
    prompt = tmp_path / "prompt"
    prompt.write_text("One day")
    jobs = [
        command(*submit, "--prompt", "One day")[0],
        command(*submit, "--prompt-file", prompt)[0],
        command(*submit, "--prompt-file", "-", input=b"One day")[0],
    ]
    texts = set()
    for job in jobs:
        command("watch", job["id"])
        (got,) = command("get", job["id"])
        assert got["spec"]["prompt"] == "One day" and "greedy" in got["spec"]["sampling"]
        texts.add(got["text"])
    assert len(texts) == 1
    (job,) = command(*submit, "--token-ids", "1,400,401")
    command("watch", job["id"])
    assert command("get", job["id"])[0]["spec"]["token_ids"] == {"ids": [1, 400, 401]}
    # The model has no chat template; the refusal shows that the turns came through.
    assert command(*submit, "--message", "user:Hi: you", status=1) == []
    assert "spec.messages: " in command.said
    assert command(*submit, "--message", "robot:Hi", status=1) == []
    assert "spec.messages[0].role: " in command.said


def test_submit_takes_times(command):
    submit = ("submit", "--model", "story", "--prompt", "a")
    (job,) = command(*submit, "--run-after", "2090-01-31T18:00:00.5+01:00", "--max-attempts", 3)
    assert job["spec"]["run_after"] == "2090-01-31T17:00:00.500Z"
    assert job["spec"]["max_attempts"] == 3 and job["state"] == "JOB_STATE_QUEUED"
    before = time.time()
    (later,) = command(*submit, "--run-after", "+2h", "--deadline", "+1d")
    after = time.time()
    for name, seconds in (("run_after", 7_200), ("deadline", 86_400)):
        moment = timestamp_pb2.Timestamp()
        moment.FromJsonString(later["spec"][name])
        # Microseconds are rounded on the way.
        assert before + seconds - 0.01 <= moment.ToNanoseconds() / 1e9 <= after + seconds + 0.01
    command("cancel", job["id"], later["id"])


def test_submit_takes_a_file_of_jobs(command, tmp_path, service):
    lines = [
        json.dumps({"spec": {"prompt": "a", "sampling": {"max_tokens": 1}}, "requestId": str(n)})
        for n in range(1_205)
    ]
    file = tmp_path / "jobs.jsonl"
    file.write_text("\n".join([*lines[:3], "", *lines[3:]]) + "\n")
    jobs = command("submit", "--model", "story", "--batch", file)
    assert [job["request_id"] for job in jobs] == [str(n) for n in range(1_205)]
    # A retry is the same jobs; plain output is the ids.
    flags = ["--address", service.listen, "--tenant", command.tenant]
    text = file.read_bytes()
    plain = run("submit", "--model", "story", "--batch", "-", *flags, input=text)
    assert plain.stdout.decode().split() == [job["id"] for job in jobs]
    file.write_text('\n{"spec": {"model": "story", "prompt": "a"}}\n{"spec": {"model": "story"}}\n')
    assert command("submit", "--batch", file, status=1) == []
    assert "requests[1].spec.prompt: " in command.said and "requests[0] is line 2" in command.said
    file.write_text('{"spec": {"model": "story"}}\n{"speck": {}}\n')
    assert command("submit", "--batch", file, status=1) == []
    assert "line 2 of --batch" in command.said


def test_submit_fills_the_lines_of_a_file_from_its_flags(command, tmp_path):
    file = tmp_path / "jobs.jsonl"
    lines = [
        {"spec": {"prompt": "a"}},
        {
            "spec": {
                "prompt": "b",
                "priority": 2,
                "labels": {"own": "1", "k": "line"},
                "deadline": "2090-01-01T00:00:00Z",
                "run_after": "2080-01-01T00:00:00Z",
                "sampling": {"max_tokens": 3, "temperature": 0.5, "stop": ["line"]},
            }
        },
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    first, second = command(
        *("submit", "--model", "story", "--batch", file, "--max-tokens", 7, "--greedy"),
        *("--top-k", 5, "--seed", 11, "--stop", "flag", "--priority", -4, "--max-attempts", 3),
        *("--label", "k=flag", "--run-after", "2070-01-01T00:00:00.5Z"),
        *("--deadline", "2085-01-01T00:00:00.5Z"),
    )
    assert first["spec"] | {"sampling": None} == {
        "model": "story",
        "sampling": None,
        "speculation": {"mode": "MODE_AUTO"},
        "priority": -4,
        "max_attempts": 3,
        "labels": {"k": "flag"},
        "run_after": "2070-01-01T00:00:00.500Z",
        "deadline": "2085-01-01T00:00:00.500Z",
    }
    sampling = first["spec"]["sampling"]
    assert sampling["max_tokens"] == 7 and sampling["top_k"] == 5 and sampling["seed"] == "11"
    assert "greedy" in sampling and sampling["stop"] == ["flag"]
    sampling = second["spec"]["sampling"]
    assert sampling["max_tokens"] == 3 and sampling["temperature"] == 0.5
    assert "sample" in sampling and sampling["stop"] == ["line"] and sampling["top_k"] == 5
    assert second["spec"]["priority"] == 2 and second["spec"]["max_attempts"] == 3
    assert second["spec"]["labels"] == {"own": "1", "k": "line"}
    assert second["spec"]["deadline"] == "2090-01-01T00:00:00Z"
    assert second["spec"]["run_after"] == "2080-01-01T00:00:00Z"
    command("cancel", first["id"], second["id"])


class Failing(grpc.GenericRpcHandler):
    """A service whose every call but the first ends in the same way."""

    def __init__(self, code):
        self.code = code
        self.calls = 0

    def service(self, call):
        def answer(request, context):
            self.calls += 1
            if self.calls == 1:
                submitted = job_service_pb2.BatchSubmitJobsRequest.FromString(request)
                answer = job_service_pb2.BatchSubmitJobsResponse()
                for number in range(len(submitted.requests)):
                    answer.jobs.add(id=str(number))
                return answer.SerializeToString()
            context.abort(self.code, "no")

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.mark.parametrize(
    "code, words",
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "the 1000 submissions before it are submitted"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "the 1000 submissions before it are submitted"),
        (grpc.StatusCode.UNAVAILABLE, "Lines 1001 to 2000 of {file} may or may not be submitted"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "The 1000 submissions before them are submitted"),
        (grpc.StatusCode.INTERNAL, "only those with a request_id are safe to submit again"),
    ],
)
def test_a_broken_batch_says_what_is_known_to_be_submitted(tmp_path, code, words):
    file = tmp_path / "jobs.jsonl"
    file.write_text("\n".join(['{"spec": {"model": "m", "prompt": "a"}}'] * 2_500))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[Failing(code)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        done = run("submit", "--batch", file, "--address", f"127.0.0.1:{port}")
    finally:
        server.stop(None)
    said = done.stderr.decode()
    assert done.returncode == 1 and words.format(file=file) in said
    assert ("may or may not" in said) == ("Those after them are not" in said)
    assert len(done.stdout.split()) == 1_000


def test_models_stats_and_executors(command, service):
    (model,) = command("models")
    assert model["name"] == "story" and re.fullmatch(r"[0-9a-f]{64}\.\d+", model["fingerprint"])
    (stats,) = command("stats")
    assert set(stats) <= {
        *("queued", "running", "succeeded", "failed", "cancelled", "expired"),
        *("output_tokens", "oldest_ready_time"),
    }
    (cache,) = command("caches")
    assert cache["model"] == "story" and cache["storage"] == "f32" and int(cache["blocks"]) > 0
    table = run("caches", "--address", service.listen).stdout.decode().splitlines()
    bytes_of_all = int(cache["blocks"]) * int(cache["block_bytes"])
    assert table[1].split()[:3] == ["story", "f32", str(bytes_of_all >> 20)] and bytes_of_all >> 20
    (executor,) = command("executors")
    assert executor["models"] == ["story"] and executor["slots"] == 16
    assert command("drain", "nonsense", status=1) == []
    assert "no executor nonsense" in command.said
    for name, words in (("models", "FINGERPRINT"), ("stats", "queued"), ("executors", "active"), ("caches", "f32")):
        plain = run(name, "--address", service.listen)
        assert plain.returncode == 0 and words in plain.stdout.decode()


def test_hints_repeat_the_flags_that_reach_the_service(command, service):
    with service.channel() as channel:
        client = Client(channel, command.tenant)
        job = client.submit(spec(run_after=timestamp_pb2.Timestamp(seconds=1 << 33)))
        flags = ["--address", service.listen, "--tenant", command.tenant]
        watching = subprocess.Popen(
            [BINARY, "watch", job.id, *flags, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        try:
            watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, said = watching.communicate(timeout=20)
        finally:
            watching.kill()
        hint = f"millrace watch {job.id} --address {service.listen} --tenant {command.tenant}"
        assert hint in said.decode()
        client.cancel(job.id)


def test_a_refused_submission_names_the_field(command):
    arguments = ["--model", "story", "--prompt", "a", "--top-p", 7]
    assert command("submit", *arguments, status=1) == []
    # Each bad field once.
    assert command.said.count("spec.sampling.top_p") == 1
    assert command("submit", "--model", "other", "--prompt", "a", status=1) == []
    assert command.said.count("spec.model") == 1
    biases = ["--logit-bias", "1=-5", "--logit-bias", "99999=1"]
    assert command("submit", "--model", "story", "--prompt", "a", *biases, status=1) == []
    assert "spec.sampling.logit_bias" in command.said and "99999 is none" in command.said
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


def refused(*arguments, seconds=30, env=None):
    """What `serve` says when it cannot serve."""
    done = run("serve", *arguments, timeout=seconds, env=env)
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
    assert "--model" in refused(*flags, env={"MILLRACE_MODEL_FOLDER": str(folder)})
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


def test_serve_leaves_a_socket_alone_that_another_service_listens_on(model, own_service):
    service = own_service().start()
    other = own_service(listen=service.listen)
    said = refused(
        *("--model", f"story={model}", "--data-dir", other.data, "--listen", service.listen)
    )
    assert service.listen in said and "another program listens there" in said
    assert Client(service.channel()).run(spec(max_tokens=2)).token_ids
    # One that was left behind by a killed service is no hindrance.
    service.kill()
    service.start()
    service.stop()


def test_serve_checks_the_context_of_each_model_before_it_serves(model, folder):
    flags = ["--data-dir", folder / "data", "--listen", f"unix:{folder}/s"]
    models = ["--model", f"first={model}", "--model", f"second={model}"]
    said = refused(*flags, *models, "--context-length", 513)
    assert "model first" in said and "--context-length" in said and "512" in said
    assert not (folder / "data").exists()


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


def test_a_taken_port_is_an_error_each_time_and_never_a_crash(folder):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        flags = ["--data-dir", folder / "data", "--listen", address, "--json"]
        for _ in range(12):
            done = run("doctor", *flags)
            assert done.returncode == 1, done.stderr
            assert f"cannot listen on {address}" in done.stdout.decode()
