"""Measures how long a token takes from the engine to a subscriber; see `run`.

A token's way begins at its `engine_time`, when the engine's step that sampled it ended, as the view
`millrace.tokens` tells it. That time counts from the job's claim as the database dates it; it lies
early by the time that the end of the claim takes to reach the executor, so the way comes out a
little long. The way ends when the client has the decoded event in hand. Both are the same machine's
clock.
"""

import argparse
import asyncio
import pathlib
import statistics
import time

import grpc
from millrace.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from client import spec
from service import CHANNEL_OPTIONS, Service

BUNDLED = pathlib.Path(__file__).parents[2] / "models" / "storyteller-q8_0.gguf"
# No token ends a text early: end-of-text is made impossible.
END_OF_TEXT = 2
METADATA = [("millrace-tenant", "latency")]


async def watch(stub, job_id):
    """When each token of a job arrived, by its index."""
    arrivals = {}
    request = job_service_pb2.WatchJobRequest(id=job_id)
    async for event in stub.WatchJob(request, metadata=METADATA):
        now = time.time()
        first = event.tokens.first_index
        for index in range(first, first + len(event.tokens.token_ids)):
            arrivals[index] = now
        if event.HasField("finished"):
            assert event.finished.state == job_pb2.JOB_STATE_SUCCEEDED, event.finished
    return arrivals


async def submit_and_watch(address, options, sequences, salt):
    """Arrivals of all tokens of so many jobs at once, by job and index."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        request = job_service_pb2.BatchSubmitJobsRequest()
        for index in range(sequences):
            request.requests.add(
                spec=spec(
                    "Once upon a time",
                    max_tokens=options.tokens,
                    temperature=1,
                    seed=salt + index,
                    logit_bias={END_OF_TEXT: -1_000},
                )
            )
        jobs = (await stub.BatchSubmitJobs(request, metadata=METADATA)).jobs
        arrivals = await asyncio.gather(*(watch(stub, job.id) for job in jobs))
    return {job.id: each for job, each in zip(jobs, arrivals)}


def engine_times(service, job_ids):
    """When the engine had each token, by job and index, and when each committed."""
    names = ", ".join(f"'{each}'" for each in job_ids)
    rows = service.sql(
        "SELECT job_id, token_index, extract(epoch FROM engine_time) FROM millrace.tokens"
        f" WHERE job_id IN ({names})"
    )
    return {(job, int(index)): float(seconds) for job, index, seconds in rows}


def measure(service, options, sequences, salt):
    """Milliseconds of each token's way, and tokens per second of all."""
    arrivals = asyncio.run(submit_and_watch(service.listen, options, sequences, salt))
    sampled = engine_times(service, arrivals)
    ways = [
        1_000 * (arrival - sampled[job, index])
        for job, indexes in arrivals.items()
        for index, arrival in indexes.items()
    ]
    assert len(ways) == len(sampled) == sequences * options.tokens
    seconds = max(sampled.values()) - min(sampled.values())
    return ways, len(ways) / seconds


def main():
    parser = argparse.ArgumentParser(description="Time from sampled token to subscriber.")
    parser.add_argument("--model", type=pathlib.Path, default=BUNDLED)
    parser.add_argument("--sequences", default="1,16", help="jobs at once [1,16]")
    parser.add_argument("--tokens", type=int, default=400, help="of output, each job [400]")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    counts = [int(each) for each in options.sequences.split(",")]
    service = Service(options.model.resolve(), "--slots", max(counts), "--log-level", "warning")
    try:
        service.start()
        measure(service, options, max(counts), 0)  # to warm up
        print("| sequences | tokens/s | median, ms | 90th percentile | 99th | medians of the rounds |")
        print("|---|---|---|---|---|---|")
        for count in counts:
            rounds = [
                measure(service, options, count, 1_000 * (1 + number))
                for number in range(options.rounds)
            ]
            ways = sorted(way for each, _ in rounds for way in each)
            medians = ", ".join(f"{statistics.median(each):.2f}" for each, _ in rounds)
            print(
                f"| {count} | {statistics.median(rate for _, rate in rounds):.0f} "
                f"| {statistics.median(ways):.2f} | {ways[len(ways) * 9 // 10]:.2f} "
                f"| {ways[len(ways) * 99 // 100]:.2f} | {medians} |",
                flush=True,
            )
        service.stop()
    finally:
        service.remove()


if __name__ == "__main__":
    main()
