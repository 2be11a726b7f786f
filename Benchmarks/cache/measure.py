"""Measures the KV cache under a running service; see `run`."""

import argparse
import pathlib
import random
import statistics

from millrace.v1 import admin_service_pb2, generation_pb2

from client import Client, outputs, spec
from service import Service, wait_until

BUNDLED = pathlib.Path(__file__).parents[2] / "models" / "storyteller-q8_0.gguf"
JOBS = 64
END_OF_TEXT = 2
# Tokens that any vocabulary has, past the single bytes.
TOKENS = range(300, 500)


def token_spec(tokens, **fields):
    return spec(None, token_ids=generation_pb2.TokenIds(ids=tokens), **fields)


def service_for(model, *flags):
    return Service(model, "--slots", JOBS, "--token-latency-ms", 0, "--log-level", "warning", *flags)


def seconds(later, earlier):
    return (later.ToNanoseconds() - earlier.ToNanoseconds()) / 1e9


def run(service, specs):
    """Submits all at once; returns the jobs when they have ended."""
    with service.channel() as channel:
        client = Client(channel)
        ids = [job.id for job in client.submit_many(specs)]
        wait_until(lambda: all(client.get(id).HasField("finish_time") for id in ids), 600)
        return [client.get(id) for id in ids]


def caches(service):
    with service.channel() as channel:
        client = Client(channel)
        (found,) = client.call(
            client.admin.GetCacheStats, admin_service_pb2.GetCacheStatsRequest()
        ).models
        return found


def prefix_requests(number):
    """One beginning of 512 tokens, a new one in each round, and 64 different ends."""
    shared = random.Random(number).choices(TOKENS, k=512)
    return [
        token_spec([1, *shared, 300 + index, 301], max_tokens=1, temperature=0)
        for index in range(JOBS)
    ]


def measure_prefixes(options):
    """Seconds from the submission to the first token, in turn without and with the cache."""
    services = {each: service_for(options.model, "--prefix-cache", each) for each in ("off", "on")}
    times = {each: [] for each in services}
    try:
        for service in services.values():
            service.start()
            run(service, prefix_requests(-1))  # to warm up
        for number in range(options.rounds):
            found = {}
            for each, service in services.items():
                jobs = run(service, prefix_requests(number))
                found[each] = outputs(jobs)
                first = [seconds(job.first_token_time, job.create_time) for job in jobs]
                cached = sum(job.usage.cached_prompt_tokens for job in jobs)
                times[each].append((statistics.median(first), max(first), cached))
            assert found["off"] == found["on"], "the prefix cache changed an output"
        print("| prefix cache | median time to first token, ms | of the last, ms | tokens found |")
        print("|---|---|---|---|")
        medians = {}
        for each, rounds in times.items():
            medians[each] = [statistics.median(column) for column in zip(*rounds)]
            typical, last, cached = medians[each]
            print(f"| {each} | {1e3 * typical:.1f} | {1e3 * last:.1f} | {cached:.0f} |")
        ratios = [off / on for off, on in zip(medians["off"][:2], medians["on"][:2])]
        print(f"| ratio | {ratios[0]:.1f} | {ratios[1]:.1f} | |", flush=True)
        for service in services.values():
            service.stop()
    finally:
        for service in services.values():
            service.remove()


def load_requests(number):
    numbers = random.Random(number)
    return [
        token_spec(
            [1, *numbers.choices(TOKENS, k=127)],
            max_tokens=256,
            temperature=index % 2,
            seed=index,
            logit_bias={END_OF_TEXT: -1_000},
        )
        for index in range(JOBS)
    ]


def measure_memory(options):
    """Tokens a second of 64 jobs with room for all, and with a quarter of it, in turn."""
    probe = service_for(options.model)
    try:
        probe.start()
        found = caches(probe)
        probe.stop()
    finally:
        probe.remove()
    wanted = JOBS * (128 + 256) * found.block_bytes // found.block_tokens
    services = {
        "all that the load wants": service_for(options.model, "--kv-cache-memory", 2 * wanted),
        "a quarter of it": service_for(options.model, "--kv-cache-memory", wanted // 4),
    }
    rates = {each: [] for each in services}
    try:
        for service in services.values():
            service.start()
        for number in range(options.rounds + 1):
            reference = None
            for each, service in services.items():
                jobs = run(service, load_requests(number))
                reference = reference or outputs(jobs)
                assert outputs(jobs) == reference, "memory changed an output"
                begin = min(job.start_time.ToNanoseconds() for job in jobs)
                end = max(job.finish_time.ToNanoseconds() for job in jobs)
                rates[each].append(1e9 * JOBS * 256 / (end - begin))
        print("\n| memory for keys and values | tokens/s | sequences pushed aside, a round |")
        print("|---|---|---|")
        for each, service in services.items():
            aside = caches(service).preemptions / (options.rounds + 1)
            # The first round was to warm up.
            print(f"| {each} | {statistics.median(rates[each][1:]):.0f} | {aside:.0f} |")
        for service in services.values():
            service.stop()
    finally:
        for service in services.values():
            service.remove()


def main():
    parser = argparse.ArgumentParser(description="The KV cache under a running service.")
    parser.add_argument("--model", type=pathlib.Path, default=BUNDLED)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.model = options.model.resolve()
    measure_prefixes(options)
    measure_memory(options)


if __name__ == "__main__":
    main()
