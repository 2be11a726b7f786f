"""Work of all kinds leaves memory, threads and file descriptors where they were."""

import grpc
from millrace.v1 import job_service_pb2

from client import Client, spec
from service import wait_until

# Allocators keep some of what they are given back; a leak of 2 KiB a call shows above this.
MEMORY_SLACK_KIB = 4_096
# Many jobs at once may make the pool of database connections grow, up to this many.
POOL_CONNECTIONS = 8


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


def test_calls_and_cancelled_streams_leave_resources_level(own_service):
    service = own_service().start()
    client = Client(service.channel())
    use(service, client, calls=1_000, streams=100)
    use(service, client, calls=200, streams=20)
    before = service.resources()
    use(service, client, calls=2_000, streams=200)
    print("before", before, "after", service.resources())

    def is_level():
        now = service.resources()
        return (
            now["memory"] <= before["memory"] + MEMORY_SLACK_KIB
            and now["threads"] <= before["threads"]
            and now["descriptors"] <= before["descriptors"]
        )

    # The ends of cancelled calls may still be under way.
    wait_until(is_level, 15, f"as before: {before}, now {service.resources()}")
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
    before = service.resources()
    work(600)
    print("before", before, "after", service.resources())

    def is_level():
        now = service.resources()
        return (
            now["memory"] <= before["memory"] + MEMORY_SLACK_KIB
            and now["threads"] <= before["threads"]
            and now["descriptors"] <= before["descriptors"] + POOL_CONNECTIONS
        )

    wait_until(is_level, 15, f"as before: {before}, now {service.resources()}")
    service.stop()
