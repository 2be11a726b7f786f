"""What comes out: the right tokens, the same ones each time, ended where they should."""

import json
import math

import pytest
from millrace.v1 import generation_pb2, job_pb2

from client import Client, outputs, spec
from service import run

ENDLESS = {2: -1_000, 1: -1_000}


def test_greedy_output_equals_that_of_another_engine(client, conformance):
    if not conformance:
        pytest.skip("MILLRACE_CONFORMANCE is not set")
    lines = (conformance / "generations" / "stories260K-greedy.jsonl").read_text()
    cases = [json.loads(line) for line in lines.splitlines()]
    assert cases
    for case in cases:
        job = client.run(
            spec(case["prompt"], temperature=0, max_tokens=len(case["ids"]))
        )
        assert list(job.token_ids) == case["ids"]
        assert job.text == case["text"]
        assert job.usage.prompt_tokens == len(case["prompt_ids"])


def test_the_greedy_strategy_is_temperature_zero(client):
    job = client.run(spec(max_tokens=40, greedy=generation_pb2.GreedyStrategy()))
    assert outputs([job]) == outputs([client.run(spec(max_tokens=40, temperature=0))])


def test_a_seed_repeats_its_output_and_another_does_not(client):
    first, again, other = (
        client.run(spec(max_tokens=60, seed=seed, logit_bias=ENDLESS)) for seed in (1, 1, 2)
    )
    assert outputs([first]) == outputs([again])
    assert outputs([first]) != outputs([other])


def test_a_drawn_seed_is_told_and_repeats_the_output(client):
    first = client.run(spec(max_tokens=60))
    again = client.run(spec(max_tokens=60, seed=first.spec.sampling.seed))
    assert outputs([first]) == outputs([again])


def test_the_company_in_the_batch_changes_nothing(client):
    specs = [spec(f"Story {n}", max_tokens=50, seed=n) for n in range(24)]
    alone = [client.run(each) for each in specs[:6]]
    jobs = client.submit_many(specs)
    for job in jobs:
        client.watch(job.id)
    assert outputs(client.get(job.id) for job in jobs[:6]) == outputs(alone)


def test_a_job_and_the_command_without_a_service_agree(client, model):
    job = client.run(spec("One day", max_tokens=40, seed=11, temperature=0.8, top_k=40))
    arguments = ["--model", model, "--prompt", "One day", "--max-tokens", 40, "--seed", 11]
    arguments += ["--temperature", 0.8, "--top-k", 40]
    done = run("generate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ids"] == list(job.token_ids) and result["text"] == job.text


def test_a_text_goes_on_behind_its_window_as_without_a_service(own_service, model):
    window = ["--kv-cache-type", "f16,window=4+40"]
    service = own_service(*window).start()
    client = Client(service.channel())
    wanted = {"max_tokens": 400, "temperature": 0.8, "seed": 11, "min_tokens": 400}
    jobs = client.submit_many([spec("One day", **wanted) for _ in range(6)])
    for job in jobs:
        client.watch(job.id)
    ended = [client.get(job.id) for job in jobs]
    service.stop()
    arguments = ["generate", "--json", "--model", model, "--prompt", "One day"]
    arguments += ["--max-tokens", 400, "--min-tokens", 400, "--seed", 11, "--temperature", 0.8]
    (seen, all_seen) = (
        json.loads(run(*arguments, *flags).stdout)["ids"]
        for flags in (window, ["--kv-cache-type", "f16"])
    )
    assert len(seen) == 400 and seen != all_seen
    assert all(list(job.token_ids) == seen for job in ended)


def test_token_ids_are_a_prompt(client, model):
    done = run("tokenize", "--model", model, "--json", input=b"Once upon a time")
    ids = json.loads(done.stdout)["ids"]
    tokens = generation_pb2.TokenIds(ids=ids)
    by_ids = client.run(spec(None, token_ids=tokens, max_tokens=30, seed=3))
    by_text = client.run(spec("Once upon a time", max_tokens=30, seed=3))
    assert outputs([by_ids]) == outputs([by_text])
    assert by_ids.usage.prompt_tokens == len(ids)


def test_the_text_ends_before_a_stop_string(client):
    fields = {"max_tokens": 80, "seed": 5, "logit_bias": ENDLESS}
    whole = client.run(spec(**fields)).text
    # The first place of some text from the middle, which is what must end it.
    stop = whole[len(whole) // 2 :][:4]
    job = client.run(spec(stop=["\u0001never", stop], **fields))
    assert job.finish_reason == job_pb2.FINISH_REASON_STOP_STRING
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    assert job.text == whole[: whole.index(stop)]
    assert client.watch(job.id).text == job.text
    assert len(job.token_ids) < 80


def test_the_context_ends_the_output(client):
    job = client.run(spec(max_tokens=100_000, logit_bias=ENDLESS))
    assert job.finish_reason == job_pb2.FINISH_REASON_LENGTH
    assert job.usage.prompt_tokens + job.usage.output_tokens in (512, 513)


def test_logprobs_are_those_of_the_model(client):
    fields = {"max_tokens": 20, "temperature": 0, "logprobs": 5}
    job = client.submit(spec(**fields))
    watched = client.watch(job.id)
    assert len(watched.logprobs) == len(watched.tokens) == 20
    for token, entry in zip(watched.tokens, watched.logprobs):
        values = [candidate.logprob for candidate in entry.top]
        assert len(values) == 5 and values == sorted(values, reverse=True)
        assert entry.top[0].token_id == token
        assert entry.logprob == values[0] <= 0
        assert sum(map(math.exp, values)) <= 1 + 1e-5
    again = client.watch(job.id, from_token=10)
    assert again.logprobs == watched.logprobs[10:]
    chosen = client.watch(client.submit(spec(**fields | {"logprobs": 0})).id)
    assert [each.logprob for each in chosen.logprobs] == [
        each.logprob for each in watched.logprobs
    ]
    assert all(not each.top for each in chosen.logprobs)
    assert not client.watch(client.submit(spec(max_tokens=5)).id).logprobs


def test_a_logit_bias_forces_and_forbids_tokens(client):
    forced = client.run(spec(max_tokens=10, logit_bias={403: 1_000}))
    assert set(forced.token_ids) == {403}
    free = client.run(spec(max_tokens=30, temperature=0, logit_bias=ENDLESS))
    banned = free.token_ids[0]
    without = client.run(
        spec(max_tokens=30, temperature=0, logit_bias=ENDLESS | {banned: -1_000})
    )
    assert banned not in without.token_ids
