"""Streams: from any token on, at any time, as often as one likes."""

import concurrent.futures

import grpc
from google.protobuf import timestamp_pb2
from millrace.v1 import job_pb2

from client import ENDED, Client, Watched, spec, unlike_specs
from service import wait_until


def test_a_watch_from_the_start_brings_the_whole_output(client):
    job = client.submit(spec(max_tokens=100, seed=1))
    watched = client.watch(job.id)
    whole = client.get(job.id)
    assert watched.tokens == list(whole.token_ids) and watched.text == whole.text
    assert watched.finished.state == job_pb2.JOB_STATE_SUCCEEDED
    assert not watched.finished.token_ids and not watched.finished.text
    assert watched.finished.usage == whole.usage
    # A job that has ended can be watched again, with the same outcome.
    assert client.watch(job.id).tokens == watched.tokens


def test_a_watch_from_the_middle_brings_the_rest(client):
    job = client.submit(spec(max_tokens=60, seed=2, logit_bias={2: -1_000}))
    whole = client.watch(job.id)
    for start in (0, 1, 29, 30, 59, 60):
        part = client.watch(job.id, from_token=start)
        assert part.tokens == whole.tokens[start:]
        assert whole.text.endswith(part.text)
    assert client.watch(job.id, from_token=1 << 40).tokens == []


def test_a_watch_of_a_running_job_from_the_middle_waits_for_it(client):
    job = client.submit(spec(max_tokens=200, seed=3, logit_bias={2: -1_000, 1: -1_000}))
    late = client.watch(job.id, from_token=150)
    assert late.tokens == list(client.get(job.id).token_ids)[150:] and len(late.tokens) == 50


def test_states_come_in_order(client):
    job = client.submit(spec(max_tokens=30))
    states = client.watch(job.id).states
    order = [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING]
    assert states == [state for state in order if state in states] and states


def test_generate_submits_and_watches_in_one_call(client):
    events = list(client.generate(spec(max_tokens=50, seed=4)))
    assert events[0].WhichOneof("event") == "state" and events[0].state.id
    watched = Watched()
    for event in events:
        watched.take(event)
    job = client.get(events[0].state.id)
    assert watched.tokens == list(job.token_ids) and watched.text == job.text
    assert watched.finished.id == job.id


def test_a_job_runs_on_when_its_stream_breaks(client):
    stream = client.generate(spec(max_tokens=120, seed=5, logit_bias={2: -1_000, 1: -1_000}))
    id = next(stream).state.id
    stream.cancel()
    assert len(client.watch(id).tokens) == 120


def test_a_watch_ends_with_its_deadline(client):
    job = client.submit(spec(max_tokens=480, run_after=timestamp_pb2.Timestamp(seconds=1 << 33)))
    stream = client.events(job.id, timeout=0.3)
    try:
        for event in stream:
            assert event.state.state == job_pb2.JOB_STATE_QUEUED
        raise AssertionError("the stream ended well")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    client.cancel(job.id)


def test_a_hundred_watchers_of_twenty_jobs_receive_exactly_the_committed_tokens(service):
    with service.channel() as channel:
        client = Client(channel)
        jobs = client.submit_many(unlike_specs(20, max_tokens=150))

        def watch(index):
            # Every fifth starts in the middle; each has a connection of its own.
            start = 40 if index % 5 == 4 else 0
            with service.channel() as own_channel:
                own = Client(own_channel)
                own.metadata = client.metadata
                return start, own.watch(jobs[index % 20].id, from_token=start)

        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            results = list(pool.map(watch, range(100)))
        for index, (start, watched) in enumerate(results):
            job = client.get(jobs[index % 20].id)
            assert job.state == job_pb2.JOB_STATE_SUCCEEDED
            assert watched.tokens == list(job.token_ids)[start:]
            if start == 0:
                assert watched.text == job.text


def test_a_watcher_that_stops_reading_disturbs_nobody(service):
    # The connection takes in little ahead of its reader, and never more as it goes.
    narrow = [("grpc.http2.lookahead_bytes", 1_024), ("grpc.http2.bdp_probe", 0)]
    with service.channel(narrow) as lazy_channel, service.channel() as channel:
        lazy, client = Client(lazy_channel), Client(channel)
        client.metadata = lazy.metadata
        # Log-probabilities: those of 480 tokens are more than the 64 KiB that may wait in the
        # service for one stream, so that it has to wait for the reader.
        each = {"max_tokens": 480, "logprobs": 20, "logit_bias": {2: -1_000, 1: -1_000}}
        jobs = client.submit_many([spec(seed=n, **each) for n in range(6)])
        streams = [lazy.events(job.id) for job in jobs for _ in range(3)]
        firsts = [next(stream) for stream in streams]
        # Others are served all the while.
        for job in jobs:
            assert len(client.watch(job.id).tokens) == 480
        wait_until(lambda: all(client.get(job.id).state in ENDED for job in jobs))
        # And the lazy ones still receive everything.
        for index, (first, stream) in enumerate(zip(firsts, streams)):
            received = 0
            watched = Watched()
            watched.take(first)
            for event in stream:
                watched.take(event)
                received += event.ByteSize()
            assert watched.tokens == list(client.get(jobs[index // 3].id).token_ids)
            assert len(watched.logprobs) == 480 and watched.finished is not None
            assert received > 65_536 + 8_192
