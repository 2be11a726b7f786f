"""Two thousand random messages to each method of each service: an answer each, and no harm."""

import collections
import random

import grpc
import pytest
from google.protobuf import timestamp_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from millrace.v1 import (
    admin_service_pb2,
    generation_pb2,
    job_pb2,
    job_service_pb2,
    model_service_pb2,
)

from client import Client, spec

SEED = 20_260_102
MESSAGES = 2_000
IN_FLIGHT = 64
HARM = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNIMPLEMENTED,
}
JOB = "0198c1d2-0000-7000-8000-000000000000"
FULL_SPEC = spec(
    "Once",
    max_tokens=1,
    temperature=0.5,
    top_p=0.5,
    top_k=5,
    min_p=0.1,
    repetition_penalty=1.5,
    presence_penalty=0.5,
    frequency_penalty=0.5,
    seed=1,
    stop=["a", "b"],
    logprobs=3,
    logit_bias={5: 1.5},
    priority=3,
    max_attempts=2,
    labels={"a": "b"},
    run_after=timestamp_pb2.Timestamp(seconds=1_000_000_000, nanos=1),
    deadline=timestamp_pb2.Timestamp(seconds=4_000_000_000),
    speculation=generation_pb2.Speculation(mode=2),
)
CHAT = generation_pb2.GenerationSpec(
    model="story",
    messages=generation_pb2.Messages(
        messages=[generation_pb2.Message(role="user", content="hello")]
    ),
)
SUBMIT = job_service_pb2.SubmitJobRequest(spec=FULL_SPEC, request_id="r")
JOB_SERVICE = "millrace.v1.JobService/"
VALID = {
    JOB_SERVICE + "SubmitJob": [SUBMIT, job_service_pb2.SubmitJobRequest(spec=CHAT)],
    JOB_SERVICE + "BatchSubmitJobs": [
        job_service_pb2.BatchSubmitJobsRequest(requests=[SUBMIT, SUBMIT])
    ],
    JOB_SERVICE + "GetJob": [job_service_pb2.GetJobRequest(id=JOB)],
    JOB_SERVICE + "BatchGetJobs": [job_service_pb2.BatchGetJobsRequest(ids=[JOB, JOB])],
    JOB_SERVICE + "ListJobs": [
        job_service_pb2.ListJobsRequest(
            page_size=3,
            states=[1, 2],
            model="story",
            labels={"a": "b"},
            created_after=timestamp_pb2.Timestamp(seconds=5),
            created_before=timestamp_pb2.Timestamp(seconds=9),
        )
    ],
    JOB_SERVICE + "CancelJob": [job_service_pb2.CancelJobRequest(id=JOB)],
    JOB_SERVICE + "WatchJob": [job_service_pb2.WatchJobRequest(id=JOB, from_token=3)],
    JOB_SERVICE + "Generate": [SUBMIT],
    "millrace.v1.ModelService/ListModels": [
        model_service_pb2.ListModelsRequest(page_size=3, page_token="a")
    ],
    "millrace.v1.ModelService/GetModel": [model_service_pb2.GetModelRequest(name="story")],
    "millrace.v1.AdminService/GetQueueStats": [admin_service_pb2.GetQueueStatsRequest()],
    "millrace.v1.AdminService/ListExecutors": [admin_service_pb2.ListExecutorsRequest()],
    "millrace.v1.AdminService/GetCacheStats": [admin_service_pb2.GetCacheStatsRequest()],
    "millrace.v1.AdminService/DrainExecutor": [admin_service_pb2.DrainExecutorRequest(id=JOB)],
    "grpc.health.v1.Health/Check": [health_pb2.HealthCheckRequest(service="a")],
    "grpc.health.v1.Health/Watch": [health_pb2.HealthCheckRequest(service="a")],
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": [
        reflection_pb2.ServerReflectionRequest(host="h", list_services="*"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="millrace/v1/job.proto"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="millrace.v1.Job"),
        reflection_pb2.ServerReflectionRequest(
            file_containing_extension=reflection_pb2.ExtensionRequest(
                containing_type="millrace.v1.Job", extension_number=7
            )
        ),
    ],
}
REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
STREAMS = {
    JOB_SERVICE + "WatchJob",
    JOB_SERVICE + "Generate",
    "grpc.health.v1.Health/Watch",
    REFLECTION,
}


def mutated(random, message):
    """A valid message with a few bytes changed, cut out, doubled or put in."""
    data = bytearray(message)
    for _ in range(random.randint(1, 4)):
        place = random.randint(0, len(data))
        kind = random.randrange(5)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << random.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = random.randrange(256)
        elif kind == 2:
            del data[place : place + random.randint(1, 8)]
        elif kind == 3:
            data[place:place] = random.randbytes(random.randint(1, 8))
        else:
            data += data[place : place + 32]
    return bytes(data)


def messages(method):
    """The messages for a method, the same in each run: half of them nearly valid."""
    source = random.Random(f"{SEED} {method}")
    valid = [each.SerializeToString() for each in VALID[method]]
    yield from valid
    for index in range(MESSAGES):
        if index % 2:
            yield mutated(source, source.choice(valid))
        else:
            yield source.randbytes(source.randrange(200))


def send(channel, method, message, metadata):
    """Starts a call; for a stream, one whose events are read only up to a few."""
    path = f"/{method}"
    if method == REFLECTION:
        return channel.stream_stream(path)(iter([message]), timeout=20)
    if method in STREAMS:
        return channel.unary_stream(path)(message, timeout=20, metadata=metadata)
    return channel.unary_unary(path).future(message, timeout=20, metadata=metadata)


def status(method, call):
    """How the call ended; a stream that goes on is cancelled after its first event."""
    try:
        if method in STREAMS:
            next(call, None)
            call.cancel()
        else:
            call.result()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", VALID)
def test_random_messages_do_no_harm(service, client, method):
    print("seed", SEED)
    seen = collections.Counter()
    flying = collections.deque()

    def land():
        message, call = flying.popleft()
        code = status(method, call)
        seen[code] += 1
        assert code not in HARM, f"{code} for {message.hex()}"

    for message in messages(method):
        flying.append((message, send(client.channel, method, message, client.metadata)))
        # A stream of the client library costs a thread: fewer of them at once.
        if len(flying) >= (16 if method in STREAMS else IN_FLIGHT):
            land()
    while flying:
        land()
    print(dict(seen))
    assert sum(seen.values()) == MESSAGES + len(VALID[method])
    assert service.health(client.channel) == "SERVING"
    for page in iter(lambda: client.list(states=[1, 2], page_size=1_000).jobs, []):
        for job in page:
            client.cancel(job.id)
    fresh = Client(client.channel)
    job = fresh.run(spec(max_tokens=5, logit_bias={2: -1_000}))
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED and len(job.token_ids) == 5


def test_every_method_is_fuzzed(client):
    known = set(VALID)
    for file in (job_service_pb2, model_service_pb2, admin_service_pb2, health_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                path = f"{service.full_name}/{method.name}"
                if path != "grpc.health.v1.Health/List":
                    assert path in known
