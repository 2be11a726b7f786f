"""The standard services, health and reflection, as their public clients see them."""

import concurrent.futures
import queue
import re

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflection
from millrace.v1 import admin_service_pb2, generation_pb2, job_pb2, job_service_pb2
from millrace.v1 import model_service_pb2

from client import Client, refusal, spec

SERVICES = {
    "millrace.v1.JobService",
    "millrace.v1.ModelService",
    "millrace.v1.AdminService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
}
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("name", ["", *sorted(SERVICES)])
def test_health_check_says_serving_for_every_service(client, name):
    stub = health_pb2_grpc.HealthStub(client.channel)
    request = health_pb2.HealthCheckRequest(service=name)
    assert stub.Check(request, timeout=10).status == SERVING


def test_health_of_an_unknown_service(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    request = health_pb2.HealthCheckRequest(service="unknown")
    assert refusal(stub.Check, request, timeout=10).code() == grpc.StatusCode.NOT_FOUND
    stream = stub.Watch(request, timeout=10)
    assert next(stream).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    stream.cancel()


def test_health_watch_says_serving_and_then_that_the_service_ends(own_service):
    service = own_service().start()
    stub = health_pb2_grpc.HealthStub(service.channel())
    seen = queue.Queue()

    def watch():
        try:
            for answer in stub.Watch(health_pb2.HealthCheckRequest(), timeout=60):
                seen.put(answer.status)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        end = pool.submit(watch)
        assert seen.get(timeout=10) == SERVING
        service.stop()
        assert end.result(30) == grpc.StatusCode.UNAVAILABLE
    rest = list(seen.queue)
    assert SERVING not in rest


class Renamed:
    """A channel on which the reflection client, which knows an older name, calls a newer one."""

    def __init__(self, channel, version):
        self.channel = channel
        self.version = version

    def stream_stream(self, method, *arguments, **fields):
        method = method.replace(".v1alpha.", f".{self.version}.")
        return self.channel.stream_stream(method, *arguments, **fields)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_services_and_yields_their_descriptors(client, version):
    database = reflection.ProtoReflectionDescriptorDatabase(Renamed(client.channel, version))
    assert set(database.get_services()) == SERVICES
    pool = descriptor_pool.DescriptorPool(database)
    for name in SERVICES:
        assert pool.FindServiceByName(name).methods
    for file in (job_service_pb2, model_service_pb2, admin_service_pb2):
        for name, service in file.DESCRIPTOR.services_by_name.items():
            found = pool.FindServiceByName(f"millrace.v1.{name}")
            assert [each.name for each in found.methods] == [each.name for each in service.methods]
    job = pool.FindMessageTypeByName("millrace.v1.Job")
    assert [each.name for each in job.fields] == [
        each.name for each in job_pb2.Job.DESCRIPTOR.fields
    ]
    with pytest.raises(KeyError):
        pool.FindMessageTypeByName("millrace.v1.Nothing")


def test_models_are_listed_with_what_they_can(client, model):
    request = model_service_pb2.ListModelsRequest()
    (found,) = client.call(client.models.ListModels, request).models
    assert found.name == "story" and found.architecture == "llama"
    assert found.vocabulary_size == 512 and found.context_length == 512
    assert found.parameter_count > 100_000
    assert re.fullmatch(r"[0-9a-f]{64}\.\d+", found.fingerprint)
    assert not found.has_chat_template
    request = model_service_pb2.GetModelRequest(name="story")
    assert client.call(client.models.GetModel, request) == found
    job = client.run(spec(max_tokens=1))
    assert job.model_fingerprint == found.fingerprint


def test_administrators_see_the_queue_and_the_executors(client):
    request = admin_service_pb2.GetQueueStatsRequest()
    before = client.call(client.admin.GetQueueStats, request)
    client.run(spec(max_tokens=7, logit_bias={2: -1_000}))
    after = client.call(client.admin.GetQueueStats, request)
    assert after.succeeded == before.succeeded + 1
    assert after.output_tokens == before.output_tokens + 7
    request = admin_service_pb2.ListExecutorsRequest()
    (executor,) = client.call(client.admin.ListExecutors, request).executors
    assert executor.models == ["story"] and executor.slots == 16 and not executor.draining
    assert executor.heartbeat_time.ToNanoseconds() < executor.expire_time.ToNanoseconds()


def test_administrators_see_what_the_caches_hold_and_spare(own_service):
    service = own_service("--kv-cache-type", "int8,0=f16", "--kv-cache-memory", "64MiB").start()
    client = Client(service.channel())
    request = admin_service_pb2.GetCacheStatsRequest()

    def cache():
        (found,) = client.call(client.admin.GetCacheStats, request).models
        return found

    before = cache()
    assert before.model == "story" and before.storage == "int8,0=f16"
    assert before.blocks * before.block_bytes <= 64 << 20 < (before.blocks + 1) * before.block_bytes
    assert before.blocks_in_use == before.blocks_kept == before.prefix_hit_tokens == 0
    tokens = [1] + [5 + n % 90 for n in range(2 * before.block_tokens)]
    prompt = generation_pb2.TokenIds(ids=tokens)
    for _ in range(2):
        job = client.run(spec(None, token_ids=prompt, max_tokens=1))
    assert job.usage.cached_prompt_tokens == 2 * before.block_tokens
    after = cache()
    assert after.prefix_lookups == 2 and after.blocks_in_use == 0 and after.blocks_kept >= 2
    assert after.prefix_hit_tokens == 2 * before.block_tokens
    assert after.computed_prompt_tokens == len(tokens) + 1
    service.stop()


def test_without_a_prefix_cache_every_prompt_is_computed(own_service):
    service = own_service("--prefix-cache", "off").start()
    client = Client(service.channel())
    prompt = generation_pb2.TokenIds(ids=[1] + [5 + n % 90 for n in range(100)])
    jobs = [client.run(spec(None, token_ids=prompt, max_tokens=9, seed=3)) for _ in range(2)]
    assert [job.usage.cached_prompt_tokens for job in jobs] == [0, 0]
    assert jobs[0].token_ids == jobs[1].token_ids
    request = admin_service_pb2.GetCacheStatsRequest()
    (cache,) = client.call(client.admin.GetCacheStats, request).models
    assert cache.prefix_lookups == cache.blocks_kept == 0
    service.stop()


def test_a_drained_executor_takes_no_more_jobs(own_service):
    service = own_service().start()
    client = Client(service.channel())
    request = admin_service_pb2.ListExecutorsRequest()
    (executor,) = client.call(client.admin.ListExecutors, request).executors
    request = admin_service_pb2.DrainExecutorRequest(id=executor.id)
    client.call(client.admin.DrainExecutor, request)
    request = admin_service_pb2.ListExecutorsRequest()
    found = client.call(client.admin.ListExecutors, request).executors
    assert all(each.draining for each in found if each.id == executor.id)
    # The job is kept for another executor: that of the next start.
    job = client.submit(spec(max_tokens=3))
    service.stop()
    service.start()
    watched, _ = client.follow(job.id)
    assert len(watched.tokens) == 3
    service.stop()


def test_all_methods_of_the_protocol_are_there(client):
    for file in (job_service_pb2, model_service_pb2, admin_service_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                call = client.channel.unary_stream(f"/{service.full_name}/{method.name}")
                try:
                    list(call(b"\xff", timeout=10))
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, method.name
