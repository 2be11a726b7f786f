"""Submitting, polling, listing, cancelling."""

import concurrent.futures
import datetime
import re
import time
import uuid

import grpc
from google.protobuf import timestamp_pb2
from millrace.v1 import generation_pb2, job_pb2, job_service_pb2

from client import ENDED, Client, details, refusal, spec
from service import wait_until


def test_a_submitted_job_can_be_polled_to_its_end(client):
    submitted = client.submit(spec(max_tokens=20, seed=7))
    assert uuid.UUID(submitted.id).version == 7
    assert submitted.state in (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING)
    assert submitted.spec.model == "story" and not submitted.spec.WhichOneof("input")
    job = wait_until(
        lambda: (job := client.get(submitted.id)).state in ENDED and job, 30, "ended"
    )
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert job.finish_reason == job_pb2.FINISH_REASON_LENGTH
    assert len(job.token_ids) == 20 and job.text
    assert job.usage.output_tokens == 20 and job.usage.prompt_tokens >= 4
    assert job.attempt == 1 and job.spec.sampling.seed == 7
    assert job.spec.prompt == "Once upon a time"
    assert re.fullmatch(r"[0-9a-f]{64}\.\d+", job.model_fingerprint)
    assert not job.HasField("error")
    times = [job.create_time, job.start_time, job.first_token_time, job.finish_time]
    nanoseconds = [each.ToNanoseconds() for each in times]
    assert nanoseconds == sorted(nanoseconds) and nanoseconds[0] > 0


def test_a_job_without_sampling_parameters_gets_the_documented_defaults(client):
    job = client.submit(generation_pb2.GenerationSpec(model="story", prompt="Hello"))
    sampling = job.spec.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (256, 1, 1)
    assert sampling.HasField("seed") and not sampling.HasField("logprobs")
    assert job.spec.max_attempts == 10 and job.spec.priority == 0
    client.cancel(job.id)


def test_a_batch_is_submitted_and_got_in_its_order(client):
    # Greedy, so that none ends before its fourth token.
    specs = [spec(max_tokens=4, temperature=0, labels={"n": str(n)}) for n in range(50)]
    jobs = client.submit_many(specs)
    assert [job.spec.labels["n"] for job in jobs] == [str(n) for n in range(50)]
    ids = [job.id for job in reversed(jobs)]
    request = job_service_pb2.BatchGetJobsRequest(ids=ids)
    got = client.call(client.jobs.BatchGetJobs, request).jobs
    assert [job.id for job in got] == ids
    for job in jobs:
        client.watch(job.id)
    got = client.call(client.jobs.BatchGetJobs, request).jobs
    assert all(job.state == job_pb2.JOB_STATE_SUCCEEDED for job in got)
    assert all(job.usage.output_tokens == 4 and not job.token_ids for job in got)


def test_a_batch_with_one_bad_request_stores_nothing(client):
    request = job_service_pb2.BatchSubmitJobsRequest()
    request.requests.add(spec=spec(max_tokens=1))
    request.requests.add(spec=spec(max_tokens=-1))
    error = refusal(client.call, client.jobs.BatchSubmitJobs, request)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    fields = [each.field for each in details(error)["BadRequest"].field_violations]
    assert fields == ["requests[1].spec.sampling.max_tokens"]
    assert not client.list().jobs


def test_a_batch_get_with_one_unknown_id_is_not_found(client):
    job = client.submit(spec(max_tokens=1))
    request = job_service_pb2.BatchGetJobsRequest(ids=[job.id, str(uuid.uuid4())])
    error = refusal(client.call, client.jobs.BatchGetJobs, request)
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_pages_of_a_list_hold_every_job_once_newest_first(client):
    jobs = [client.submit(spec(max_tokens=1)) for _ in range(13)]
    found, token = [], ""
    while True:
        page = client.list(page_size=4, page_token=token)
        assert len(page.jobs) <= 4
        found += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert found == [job.id for job in reversed(jobs)]


def test_a_list_can_be_filtered(client):
    red = client.submit(spec(max_tokens=1, labels={"colour": "red", "size": "s"}))
    blue = client.submit(spec(max_tokens=1, labels={"colour": "blue"}))
    late = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    waiting = client.submit(spec(run_after=late))
    for job in (red, blue):
        client.watch(job.id)

    def ids(**fields):
        return [job.id for job in client.list(**fields).jobs]

    assert ids() == [waiting.id, blue.id, red.id]
    assert ids(labels={"colour": "red"}) == [red.id]
    assert ids(labels={"colour": "blue", "size": "s"}) == []
    assert ids(states=[job_pb2.JOB_STATE_QUEUED]) == [waiting.id]
    assert ids(states=[job_pb2.JOB_STATE_SUCCEEDED]) == [blue.id, red.id]
    assert ids(model="story") == [waiting.id, blue.id, red.id]
    assert ids(model="other") == []
    assert ids(created_after=blue.create_time)[-1:] != [red.id]
    assert red.id in ids(created_before=blue.create_time)
    assert waiting.id not in ids(created_before=blue.create_time)
    assert all(not job.text and not job.token_ids for job in client.list().jobs)
    client.cancel(waiting.id)


def test_a_page_token_fits_only_the_listing_it_came_from(client):
    for _ in range(3):
        client.submit(spec(max_tokens=1))
    token = client.list(page_size=1).next_page_token
    for fields in ({"model": "story"}, {"labels": {"a": "b"}}):
        error = refusal(client.list, page_size=1, page_token=token, **fields)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert details(error)["BadRequest"].field_violations[0].field == "page_token"
    other = Client(client.channel)
    assert refusal(other.list, page_token=token).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_queued_job_can_be_cancelled(client):
    later = timestamp_pb2.Timestamp(seconds=int(time.time()) + 3_600)
    job = client.submit(spec(run_after=later))
    cancelled = client.cancel(job.id)
    assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
    assert cancelled.HasField("finish_time") and not cancelled.HasField("start_time")
    watched = client.watch(job.id)
    assert watched.finished.state == job_pb2.JOB_STATE_CANCELLED and not watched.tokens


def test_a_running_job_can_be_cancelled_and_keeps_its_output(client):
    job = client.submit(spec(max_tokens=480, logit_bias={2: -1_000, 1: -1_000}))
    events = client.events(job.id)
    for event in events:
        if event.WhichOneof("event") == "tokens":
            break
    cancelled = client.cancel(job.id)
    assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
    watched = client.watch(job.id)
    assert watched.finished.state == job_pb2.JOB_STATE_CANCELLED
    after = client.get(job.id)
    assert after.state == job_pb2.JOB_STATE_CANCELLED
    assert 0 < len(after.token_ids) < 480
    assert list(after.token_ids) == watched.tokens and after.text == watched.text
    assert after.usage.output_tokens == len(after.token_ids)
    events.cancel()


def test_cancelling_an_ended_job_changes_nothing(client):
    job = client.run(spec(max_tokens=3))
    assert client.cancel(job.id).state == job_pb2.JOB_STATE_SUCCEEDED
    assert client.get(job.id) == job


def test_the_same_request_id_is_the_same_job(client):
    name = str(uuid.uuid4())
    first = client.submit(spec(max_tokens=5), request_id=name)
    assert first.request_id == name
    assert client.submit(spec(max_tokens=5), request_id=name).id == first.id
    client.watch(first.id)
    again = client.submit(spec(max_tokens=5), request_id=name)
    assert again.id == first.id and again.state == job_pb2.JOB_STATE_SUCCEEDED
    events = list(client.generate(spec(max_tokens=5), request_id=name))
    assert events[0].state.id == first.id
    assert events[-1].finished.id == first.id
    assert len(client.list().jobs) == 1


def test_concurrent_submissions_with_one_request_id_are_one_job(client):
    name = str(uuid.uuid4())
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        futures = [
            pool.submit(client.submit, spec(max_tokens=2), name) for _ in range(64)
        ]
        ids = {future.result().id for future in futures}
    assert len(ids) == 1 and len(client.list().jobs) == 1


def test_tenants_do_not_see_each_others_jobs(client):
    name = str(uuid.uuid4())
    job = client.submit(spec(max_tokens=2), request_id=name)
    other = Client(client.channel)
    for call in (other.get, other.cancel, other.watch):
        assert refusal(call, job.id).code() == grpc.StatusCode.NOT_FOUND
    assert not other.list().jobs
    assert other.submit(spec(max_tokens=2), request_id=name).id != job.id
    assert client.watch(job.id).finished.state == job_pb2.JOB_STATE_SUCCEEDED


def test_a_job_expires_at_its_deadline_running_or_not(client):
    long = {"max_tokens": 480, "logit_bias": {2: -1_000, 1: -1_000}}
    # Work for many seconds, ahead of a job that has one.
    ahead = client.submit_many([spec(**long) for _ in range(200)])
    deadline = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    behind = client.submit(spec(priority=-1_000, deadline=deadline))
    watched = client.watch(behind.id)
    assert watched.finished.state == job_pb2.JOB_STATE_EXPIRED
    assert watched.finished.finish_time.ToDatetime(datetime.UTC) >= deadline
    assert not watched.tokens and client.get(behind.id).state == job_pb2.JOB_STATE_EXPIRED
    for job in ahead:
        client.cancel(job.id)
    assert refusal(client.submit, spec(deadline=deadline)).code() == (
        grpc.StatusCode.INVALID_ARGUMENT
    )


def test_a_job_waits_for_its_time(client):
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    job = client.submit(spec(max_tokens=2, run_after=then))
    finished = client.watch(job.id).finished
    assert finished.state == job_pb2.JOB_STATE_SUCCEEDED
    assert finished.start_time.ToDatetime(datetime.UTC) >= then
