"""Work of all kinds leaves memory, threads and file descriptors where they were."""

import time

import grpc
from millrace.v1 import job_service_pb2

from client import Client, spec
from service import wait_until

# Allocators keep some of what they are given back; a leak of 2 KiB a call shows above this.
MEMORY_SLACK_KIB = 4_096
IDLE_SECONDS = 20
# The most connections to the database: eight for calls, three for the executor, one that listens.
MOST_CONNECTIONS = 12
# Thread pools that size themselves as they see fit, by the ends of their threads' names, of which the
# system keeps 15 characters: libdispatch's, then the gRPC core's. A thread a call would go far beyond.
POOLS = ("-qos", ".overcommit", "grpc_global_tim", "event_engine", "default-executo", "resolver-execut")
MOST_POOL_THREADS = 32


def use(service, client, calls, streams):
    """Sequential unary calls, and streams opened and cancelled."""
    job = client.run(spec(max_tokens=10))
    waiting = client.submit(spec(run_after=timestamp_far_away()))
    request = job_service_pb2.GetJobRequest(id=job.id)
    for _ in range(calls):
        client.call(client.jobs.GetJob, request)
    for index in range(streams):
        if index % 4 == 0:
            # A connection of its own, closed in the middle.
            with service.channel() as channel:
                other = Client(channel)
                other.metadata = client.metadata
                next(other.events(waiting.id))
        else:
            stream = client.events(waiting.id)
            next(stream)
            stream.cancel()
            try:
                list(stream)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.CANCELLED
    client.cancel(waiting.id)


def timestamp_far_away():
    from google.protobuf import timestamp_pb2

    return timestamp_pb2.Timestamp(seconds=1 << 33)


def sample(service):
    """The process's resources; those of pools, which grow and shrink, by themselves."""
    found = service.resources()
    found["kinds"] = service.descriptor_kinds()
    # One descriptor each, their socket. The connection that counts is not the service's.
    ((count,),) = service.sql(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    found["connections"] = int(count)
    found["descriptors"] -= int(count)
    found["pool_threads"] = sum(name.endswith(POOLS) for name in service.thread_names())
    found["threads"] -= found["pool_threads"]
    return found


def settled(service):
    """A sample that two seconds have not changed.

    The ends of calls and of database sessions may still be under way: a session that the service
    has closed already and the server still counts would make the descriptors look one fewer.
    """
    latest = [sample(service)]

    def is_settled():
        time.sleep(2)
        latest.append(sample(service))
        return all(latest[-2][key] == latest[-1][key] for key in ("descriptors", "threads"))

    wait_until(is_settled, 30, "two samples alike")
    return latest[-1]


def expect_level(service, before):
    """Waits until everything is as before; the ends of calls may still be under way."""

    def is_level():
        now = sample(service)
        return (
            now["memory"] <= before["memory"] + MEMORY_SLACK_KIB
            and now["threads"] == before["threads"]
            and now["pool_threads"] <= MOST_POOL_THREADS
            and now["descriptors"] == before["descriptors"]
            and now["connections"] <= MOST_CONNECTIONS
        )

    print("before", before, "after", sample(service))
    wait_until(is_level, 15, f"as before: {before}, now {sample(service)}")


def test_calls_and_cancelled_streams_leave_resources_level(own_service):
    service = own_service().start()
    client = Client(service.channel())
    use(service, client, calls=1_000, streams=100)
    use(service, client, calls=200, streams=20)
    before = settled(service)
    use(service, client, calls=2_000, streams=200)
    expect_level(service, before)
    service.stop()


def test_a_service_without_work_stays_level_and_then_works(own_service):
    service = own_service().start()
    client = Client(service.channel())
    stream = client.events(client.submit(spec(run_after=timestamp_far_away())).id, timeout=600)
    next(stream)
    use(service, client, calls=500, streams=50)
    before = settled(service)
    # A watch that is silent, an executor that looks for jobs, health and maintenance go on.
    moment = time.monotonic() + IDLE_SECONDS
    wait_until(lambda: time.monotonic() >= moment, IDLE_SECONDS + 5)
    expect_level(service, before)
    assert len(client.run(spec(max_tokens=5)).token_ids) == 5
    assert stream.is_active()
    service.stop()


def test_jobs_leave_resources_level(own_service):
    service = own_service().start()
    client = Client(service.channel())

    def work(count):
        jobs = client.submit_many([spec(max_tokens=20, seed=n) for n in range(count)])
        for job in jobs:
            client.watch(job.id)

    work(150)
    work(150)
    before = settled(service)
    work(600)
    expect_level(service, before)
    service.stop()
