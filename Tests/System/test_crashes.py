"""What is promised over crashes: jobs go on from their last committed token, byte for byte."""

import concurrent.futures
import queue
import signal
import threading
import time
import uuid

import grpc
import pytest
from google.protobuf import timestamp_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from millrace.v1 import job_pb2

from client import ENDED, Client, Watched, outputs, spec, unlike_specs
from service import wait_until

JOBS = 20
TOKENS = 400


@pytest.fixture(scope="module")
def undisturbed(service):
    """The outputs of a run that nothing disturbs."""
    with service.channel() as channel:
        client = Client(channel)
        jobs = client.submit_many(unlike_specs(JOBS, TOKENS))
        for job in jobs:
            client.watch(job.id)
        return outputs(client.get(job.id) for job in jobs)


class Watchers:
    """Follow jobs from their first token, connecting again after each interruption."""

    def __init__(self, client, jobs):
        self.watched = [Watched() for _ in jobs]
        self.pool = concurrent.futures.ThreadPoolExecutor(len(jobs))
        self.futures = [
            self.pool.submit(client.follow, job.id, watched)
            for job, watched in zip(jobs, self.watched)
        ]

    def received(self):
        return sum(watched.next for watched in self.watched)

    def results(self):
        """The outputs received; and how often connections broke, in all."""
        done = [future.result() for future in self.futures]
        self.pool.shutdown()
        received = [(w.tokens, w.text, w.finished.finish_reason) for w, _ in done]
        return received, sum(interruptions for _, interruptions in done)

    def wait_for(self, share):
        wait_until(lambda: self.received() > share * JOBS * TOKENS, 60, "in the middle")


def wait_for_the_middle(service, watchers):
    """Waits until some output is seen and some job runs that has output, while most jobs wait.

    With few slots the jobs that wait are more than any machine runs before what the test does next.
    The service is halted when this returns: what is true of its jobs stays true until the test
    kills it, or lets it go on.
    """
    wait_until(lambda: watchers.received() > 0, 60, "output")

    def is_in_the_middle():
        service.process.send_signal(signal.SIGSTOP)
        ((busy,),) = service.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND state <> 'idle' AND pid <> pg_backend_pid()"
        )
        ((running, waiting),) = service.sql(
            "SELECT count(*) FILTER (WHERE state = 'running' AND output_tokens > 0),"
            " count(*) FILTER (WHERE state = 'queued') FROM millrace.jobs"
        )
        if busy == "0" and running != "0":
            return True
        service.process.send_signal(signal.SIGCONT)
        assert int(waiting) > JOBS // 2, "the jobs have run too far for this test"
        return False

    wait_until(is_in_the_middle, 60, "a running job with committed tokens")


def begin(service):
    client = Client(service.channel())
    jobs = client.submit_many(unlike_specs(JOBS, TOKENS))
    return client, jobs, Watchers(client, jobs)


def check(service, client, jobs, watchers, undisturbed):
    """All jobs ended with the outputs of the undisturbed run, in every place they can be seen."""
    received, interruptions = watchers.results()
    assert received == undisturbed
    jobs = [client.get(job.id) for job in jobs]
    assert {job.state for job in jobs} == {job_pb2.JOB_STATE_SUCCEEDED}
    assert outputs(jobs) == undisturbed
    assert_database_is_whole(service)
    return jobs, interruptions


def assert_database_is_whole(service):
    """Chunks begin where those before them end, and the counts of the jobs are those of chunks."""
    gaps = service.sql(
        """
        SELECT job_id, first_index FROM (
          SELECT job_id, first_index, lag(first_index + cardinality(token_ids), 1, 0::bigint)
            OVER (PARTITION BY job_id ORDER BY first_index) AS expected
          FROM millrace.output_chunks) chunks
        WHERE first_index <> expected
        """
    )
    assert gaps == []
    miscounted = service.sql(
        """
        SELECT id FROM millrace.jobs LEFT JOIN (
          SELECT job_id, sum(cardinality(token_ids)) AS tokens, min(epoch) AS first_epoch,
            max(epoch) AS last_epoch
          FROM millrace.output_chunks GROUP BY job_id) chunks ON job_id = id
        WHERE output_tokens <> coalesce(tokens, 0) OR last_epoch > epoch OR first_epoch < 1
        """
    )
    assert miscounted == []


def test_jobs_go_on_after_a_kill_of_the_service(own_service, undisturbed):
    service = own_service("--slots", 2).start()
    client, jobs, watchers = begin(service)
    wait_for_the_middle(service, watchers)
    service.kill()
    assert 0 < watchers.received() < JOBS * TOKENS
    # A token that was seen is a token that is stored: it will not come again.
    service.start()
    jobs, interruptions = check(service, client, jobs, watchers, undisturbed)
    assert interruptions > 0
    assert max(job.attempt for job in jobs) >= 2
    service.stop()


def test_jobs_go_on_after_many_kills_of_the_service(own_service, undisturbed):
    service = own_service("--slots", 6).start()
    client, jobs, watchers = begin(service)
    for share in (0.05, 0.15, 0.3, 0.5):
        watchers.wait_for(share)
        service.kill()
        service.start()
    check(service, client, jobs, watchers, undisturbed)
    service.stop()


def test_jobs_go_on_after_a_kill_of_the_database_alone(own_service, undisturbed):
    service = own_service("--slots", 2).start()
    client, jobs, watchers = begin(service)
    wait_for_the_middle(service, watchers)
    first = service.database_pid()
    service.kill_database()
    service.process.send_signal(signal.SIGCONT)
    wait_until(lambda: service.database_pid() not in (None, first), 30, "a new database")
    check(service, client, jobs, watchers, undisturbed)
    assert service.process.poll() is None
    service.wait_until_serving()
    service.stop()


def test_a_drained_service_hands_its_jobs_back(own_service, undisturbed):
    service = own_service("--slots", 2).start()
    client, jobs, watchers = begin(service)
    wait_for_the_middle(service, watchers)
    service.process.send_signal(signal.SIGCONT)
    service.stop()
    assert service.database_pid() is None
    assert watchers.received() < JOBS * TOKENS
    service.start()
    jobs, interruptions = check(service, client, jobs, watchers, undisturbed)
    assert interruptions > 0
    # A hand-back is no lost attempt.
    assert {job.attempt for job in jobs} == {1}
    service.stop()


def test_submissions_retried_over_database_crashes_are_neither_lost_nor_doubled(own_service):
    service = own_service().start()
    client = Client(service.channel())
    names = [str(uuid.uuid4()) for _ in range(600)]
    submitted, retries, lock = {}, [], threading.Lock()

    def submit(name):
        deadline = time.monotonic() + 60
        while True:
            try:
                job = client.submit(spec(max_tokens=2, seed=1), request_id=name)
                with lock:
                    submitted[name] = job.id
                return
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                assert time.monotonic() < deadline, "the database did not come back"
                retries.append(name)
                time.sleep(0.02)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(submit, name) for name in names]
        for count in (100, 300):
            wait_until(lambda: len(submitted) >= count, 60, f"{count} submissions")
            before = service.database_pid()
            service.kill_database()
            wait_until(lambda: service.database_pid() not in (None, before), 30, "database")
        for future in futures:
            future.result()
    assert retries, "no submission met the crash"
    for id in submitted.values():
        client.follow(id)
    rows = service.sql("SELECT request_id, id, state, output_tokens FROM millrace.jobs")
    assert len(rows) == len(names)
    assert {name: id for name, id, _, _ in rows} == submitted
    assert {state for _, _, state, _ in rows} == {"succeeded"}
    assert_database_is_whole(service)
    service.stop()


def test_health_follows_the_database(own_service):
    service = own_service().start()
    channel = service.channel()
    client = Client(channel)
    job = client.run(spec(max_tokens=3))
    # A database that is there and answers nothing, as on a machine that hangs.
    service.signal_database(signal.SIGSTOP)
    try:
        wait_until(lambda: service.health(channel) == "NOT_SERVING", 60, "NOT_SERVING")
    finally:
        service.signal_database(signal.SIGCONT)
    wait_until(lambda: service.health(channel) == "SERVING", 60, "SERVING again")
    wait_until(lambda: answers(client, job), 30, "an answer")
    assert client.get(job.id) == job
    # One that dies is started again; whatever health says in between, it says SERVING in the end.
    service.kill_database()
    service.wait_until_serving()
    watched, _ = client.follow(submit_again(client).id)
    assert watched.finished.state in ENDED
    service.stop()


def submit_again(client):
    """Submits, again and again while the database is away."""
    name = str(uuid.uuid4())

    def submit():
        try:
            return client.submit(spec(max_tokens=3), request_id=name)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            return None

    return wait_until(submit, 30, "submitted")


def test_a_service_that_ends_claims_nothing_more(own_service):
    service = own_service("--drain-seconds", 9).start()
    client = Client(service.channel())
    # A call that stays open holds up the end, for as long as it may.
    requests = queue.Queue()
    stub = reflection_pb2_grpc.ServerReflectionStub(service.channel())
    answers = stub.ServerReflectionInfo(iter(requests.get, None))
    requests.put(reflection_pb2.ServerReflectionRequest(list_services=""))
    next(answers)
    soon = timestamp_pb2.Timestamp()
    soon.FromNanoseconds(time.time_ns() + 5_000_000_000)
    job = client.submit(spec(max_tokens=3, run_after=soon))
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: service.health(client.channel) != "SERVING", 5, "the end's beginning")
    assert time.time_ns() < soon.ToNanoseconds(), "the machine is too slow for this test"
    service.stop()
    ended = time.time_ns()
    requests.put(None)
    assert ended > soon.ToNanoseconds() + 1_000_000_000, "the end came before the job was ready"
    service.start()
    client.follow(job.id)
    assert client.get(job.id).start_time.ToNanoseconds() >= ended
    service.stop()


def answers(client, job):
    try:
        return client.get(job.id)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        return None


def test_a_job_survives_a_stop_of_the_service_while_it_waits(own_service):
    service = own_service().start()
    client = Client(service.channel())
    soon = timestamp_pb2.Timestamp(seconds=int(time.time()) + 2)
    job = client.submit(spec(max_tokens=5, run_after=soon))
    service.stop()
    service.start()
    watched, _ = client.follow(job.id)
    assert len(watched.tokens) == 5
    service.stop()
