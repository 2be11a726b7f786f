"""Bad requests are refused with the names of their fields, and nothing is stored."""

import datetime
import uuid

import grpc
import pytest
from google.protobuf import timestamp_pb2
from millrace.v1 import (
    admin_service_pb2,
    generation_pb2,
    job_service_pb2,
    model_service_pb2,
)

from client import Client, details, refusal, spec

PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)
NAN = float("nan")


def turns(*pairs):
    messages = [generation_pb2.Message(role=role, content=text) for role, text in pairs]
    return generation_pb2.Messages(messages=messages)


BAD_SPECS = [
    ("spec.model", spec(model="")),
    ("spec.model", spec(model="unknown")),
    ("spec.prompt", spec(prompt=None)),
    ("spec.prompt", spec("a\0b")),
    ("spec.prompt", spec("x" * 2_000_001)),
    ("spec.prompt", spec("word " * 3_000)),
    ("spec.token_ids", spec(None, token_ids=generation_pb2.TokenIds())),
    ("spec.token_ids[1]", spec(None, token_ids=generation_pb2.TokenIds(ids=[1, 512]))),
    ("spec.token_ids[0]", spec(None, token_ids=generation_pb2.TokenIds(ids=[-1]))),
    ("spec.token_ids", spec(None, token_ids=generation_pb2.TokenIds(ids=[5] * 600))),
    ("spec.messages", spec(None, messages=turns())),
    ("spec.messages[0].role", spec(None, messages=turns(("robot", "hello")))),
    ("spec.messages", spec(None, messages=turns(("user", "no template here")))),
    ("spec.sampling.max_tokens", spec(max_tokens=-1)),
    ("spec.sampling.max_tokens", spec(max_tokens=1_000_001)),
    ("spec.sampling.temperature", spec(temperature=-0.5)),
    ("spec.sampling.temperature", spec(temperature=101)),
    ("spec.sampling.temperature", spec(temperature=NAN)),
    ("spec.sampling.top_p", spec(top_p=0)),
    ("spec.sampling.top_p", spec(top_p=1.5)),
    ("spec.sampling.top_p", spec(top_p=NAN)),
    ("spec.sampling.top_k", spec(top_k=-1)),
    ("spec.sampling.min_p", spec(min_p=1.5)),
    ("spec.sampling.min_p", spec(min_p=NAN)),
    ("spec.sampling.repetition_penalty", spec(repetition_penalty=0)),
    ("spec.sampling.repetition_penalty", spec(repetition_penalty=NAN)),
    ("spec.sampling.presence_penalty", spec(presence_penalty=101)),
    ("spec.sampling.frequency_penalty", spec(frequency_penalty=-101)),
    ("spec.sampling.stop", spec(stop=["s"] * 17)),
    ("spec.sampling.stop[0]", spec(stop=[""])),
    ("spec.sampling.stop[1]", spec(stop=["ok", "x" * 257])),
    ("spec.sampling.logprobs", spec(logprobs=21)),
    ("spec.sampling.logprobs", spec(logprobs=-1)),
    ("spec.sampling.logit_bias", spec(logit_bias={7: 1_001})),
    ("spec.sampling.logit_bias", spec(logit_bias={512: 1})),
    ("spec.sampling.logit_bias", spec(logit_bias=dict.fromkeys(range(1_025), 1))),
    ("spec.speculation.mode", spec(speculation=generation_pb2.Speculation(mode=9))),
    ("spec.priority", spec(priority=1_001)),
    ("spec.priority", spec(priority=-1_001)),
    ("spec.max_attempts", spec(max_attempts=-1)),
    ("spec.max_attempts", spec(max_attempts=101)),
    ("spec.deadline", spec(deadline=PAST)),
    ("spec.deadline", spec(run_after=FUTURE, deadline=FUTURE)),
    ("spec.deadline", spec(deadline=timestamp_pb2.Timestamp(seconds=1 << 60))),
    ("spec.run_after", spec(run_after=timestamp_pb2.Timestamp(nanos=-1))),
    ("spec.labels", spec(labels={str(n): "" for n in range(65)})),
    ("spec.labels.key", spec(labels={"k" * 64: ""})),
    ("spec.labels.key", spec(labels={"": ""})),
    ("spec.labels.value", spec(labels={"k": "v" * 256})),
]


def check(error, *fields):
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    found = details(error)
    assert found["ErrorInfo"].domain == "millrace" and found["ErrorInfo"].reason
    violations = found["BadRequest"].field_violations
    assert [each.field for each in violations] == list(fields)
    assert all(each.description for each in violations)


@pytest.mark.parametrize(
    "field, bad", BAD_SPECS, ids=[f"{n}-{field}" for n, (field, _) in enumerate(BAD_SPECS)]
)
def test_a_bad_spec_is_refused_by_the_name_of_its_field(client, field, bad):
    check(refusal(client.submit, bad), field)
    check(refusal(client.generate, bad), field)
    assert not client.list().jobs


def test_all_bad_fields_are_named_at_once(client):
    error = refusal(client.submit, spec(priority=5_000, top_p=7, temperature=-1))
    check(error, "spec.sampling.temperature", "spec.sampling.top_p", "spec.priority")


def test_a_request_without_a_spec_or_with_a_long_request_id_is_refused(client):
    request = job_service_pb2.SubmitJobRequest()
    check(refusal(client.call, client.jobs.SubmitJob, request), "spec")
    check(refusal(client.submit, spec(max_tokens=1), request_id="r" * 129), "request_id")


@pytest.mark.parametrize(
    "method, request_message, field",
    [
        ("GetJob", job_service_pb2.GetJobRequest(), "id"),
        ("CancelJob", job_service_pb2.CancelJobRequest(), "id"),
        ("WatchJob", job_service_pb2.WatchJobRequest(), "id"),
        ("BatchSubmitJobs", job_service_pb2.BatchSubmitJobsRequest(), "requests"),
        ("BatchGetJobs", job_service_pb2.BatchGetJobsRequest(), "ids"),
        ("BatchGetJobs", job_service_pb2.BatchGetJobsRequest(ids=["i"] * 1_001), "ids"),
        ("ListJobs", job_service_pb2.ListJobsRequest(page_size=-1), "page_size"),
        ("ListJobs", job_service_pb2.ListJobsRequest(page_token="!"), "page_token"),
        ("ListJobs", job_service_pb2.ListJobsRequest(states=[0]), "states[0]"),
        ("ListJobs", job_service_pb2.ListJobsRequest(states=[99]), "states[0]"),
        ("ListJobs", job_service_pb2.ListJobsRequest(states=[1] * 65), "states"),
        ("ListJobs", job_service_pb2.ListJobsRequest(states=[0] * 200_000), "states"),
        ("ListJobs", job_service_pb2.ListJobsRequest(model="m" * 256), "model"),
        (
            "ListJobs",
            job_service_pb2.ListJobsRequest(labels={str(n): "" for n in range(65)}),
            "labels",
        ),
        (
            "ListJobs",
            job_service_pb2.ListJobsRequest(
                created_after=timestamp_pb2.Timestamp(seconds=1 << 60)
            ),
            "created_after",
        ),
    ],
)
def test_other_requests_are_refused_by_field_too(client, method, request_message, field):
    check(refusal(client.call, getattr(client.jobs, method), request_message), field)


def test_a_listing_with_a_million_bad_states_is_refused_and_costs_little(client):
    request = job_service_pb2.ListJobsRequest(states=[0] * 1_000_000)
    for _ in range(20):
        error = refusal(client.call, client.jobs.ListJobs, request, timeout=5)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(error)["ErrorInfo"].reason == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize("prompt", ["word " * 3_000, "x" * 150_000, "\u00e9" * 5_000])
def test_a_hundred_bad_prompts_are_named_as_far_as_they_fit(client, prompt):
    # Clients accept 8 KiB of trailers unless they are told otherwise, as this one is not.
    error = refusal(client.submit_many, [spec(prompt)] * 100)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    found = details(error)
    fields = [each.field for each in found["BadRequest"].field_violations]
    assert fields == [f"requests[{n}].spec.prompt" for n in range(len(fields))] and len(fields) > 9
    assert int(found["ErrorInfo"].metadata["omitted_violations"]) == 100 - len(fields)
    assert not client.list().jobs


def test_a_long_name_of_strange_letters_is_still_not_found(client):
    # One character to the eye, however many marks it bears.
    strange = "e" + "\u0301" * 50_000
    request = model_service_pb2.GetModelRequest(name=strange)
    model = refusal(client.call, client.models.GetModel, request)
    for error in (refusal(client.get, strange), model):
        assert error.code() == grpc.StatusCode.NOT_FOUND, error


def test_a_watch_from_before_the_start_is_refused(client):
    job = client.submit(spec(max_tokens=1))
    check(refusal(client.events, job.id, from_token=-1), "from_token")


def test_a_bad_tenant_is_refused(service):
    with service.channel() as channel:
        client = Client(channel, tenant="t" * 129)
        check(refusal(client.list), "metadata.millrace-tenant")


@pytest.mark.parametrize("id", [str(uuid.uuid4()), "nonsense", "x" * 10_000, "\0", "é"])
def test_unknown_ids_are_not_found(client, id):
    for call in (client.get, client.cancel, client.events):
        error = refusal(call, id)
        assert error.code() == grpc.StatusCode.NOT_FOUND
        found = details(error)
        assert found["ErrorInfo"].domain == "millrace"
        assert found["ErrorInfo"].reason == "JOB_NOT_FOUND"


def test_unknown_models_and_executors_are_not_found(client):
    request = model_service_pb2.GetModelRequest(name="unknown")
    error = refusal(client.call, client.models.GetModel, request)
    assert error.code() == grpc.StatusCode.NOT_FOUND
    assert details(error)["ErrorInfo"].reason == "MODEL_NOT_FOUND"
    for id in ("nonsense", str(uuid.uuid4())):
        request = admin_service_pb2.DrainExecutorRequest(id=id)
        error = refusal(client.call, client.admin.DrainExecutor, request)
        assert error.code() == grpc.StatusCode.NOT_FOUND


def test_a_message_over_the_size_limit_exhausts_resources(client):
    error = refusal(client.submit, spec("x" * (17 << 20)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.submit(spec(max_tokens=1)).id


def test_a_malformed_message_is_refused(client):
    call = client.channel.unary_unary("/millrace.v1.JobService/SubmitJob")
    error = refusal(call, b"\x0a\xff\xff\xff\xff\x0f", timeout=10)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details(error)["ErrorInfo"].domain == "millrace"


def test_an_unknown_method_is_unimplemented(client):
    call = client.channel.unary_unary("/millrace.v1.JobService/Nothing")
    error = refusal(call, b"", timeout=10)
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED
