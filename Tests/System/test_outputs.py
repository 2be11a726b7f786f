"""Jobs with several outputs, and searches for the best one."""

import pytest
from millrace.v1 import generation_pb2, job_pb2

from client import PROMPTS, Client, details, every_output, outputs, refusal, spec
from service import run
from test_crashes import JOBS, Watchers, assert_database_is_whole, wait_for_the_middle

ENDLESS = {2: -1_000, 1: -1_000}
# Some outputs end long before others.
OFTEN_ENDING = {2: 30, 1: -1_000}


def beam(**fields):
    return generation_pb2.BeamStrategy(**fields)


def contrastive(**fields):
    return generation_pb2.ContrastiveStrategy(**fields)


def check_events(watched, job):
    """The events carried exactly the outputs of the job."""
    told = every_output(job)
    assert [watched.outputs[number] for number in range(len(told))] == [
        [tokens, text] for tokens, text, _ in told
    ]
    assert len(watched.outputs) == len(told)
    assert job.usage.output_tokens == len(watched.tokens) == sum(len(each[0]) for each in told)
    ends = [each.finish_reason for each in watched.finished.alternatives]
    assert ends == [each.finish_reason for each in job.alternatives]
    assert not any(each.text or each.token_ids for each in watched.finished.alternatives)
    assert watched.finished.finish_reason == job.finish_reason


def test_samples_of_one_prompt_are_drawn_independently(client):
    fields = {"max_tokens": 60, "seed": 7, "logit_bias": ENDLESS}
    job = client.submit(spec(n=3, **fields))
    assert job.spec.sampling.n == 3
    watched = client.watch(job.id)
    job = client.get(job.id)
    check_events(watched, job)
    told = every_output(job)
    assert [len(tokens) for tokens, _, _ in told] == [60] * 3
    assert len({text for _, text, _ in told}) == 3
    assert {reason for _, _, reason in told} == {job_pb2.FINISH_REASON_LENGTH}
    # The first is what there is alone, and more samples leave those before them as they are.
    alone = client.run(spec(**fields))
    assert alone.spec.sampling.n == 1 and not alone.alternatives
    assert told[:1] == every_output(alone)
    assert every_output(client.run(spec(n=2, **fields))) == told[:2]
    assert every_output(client.run(spec(n=3, **fields))) == told


def test_a_watch_from_the_middle_brings_the_rest_of_all_outputs(client):
    job = client.submit(spec(n=4, max_tokens=30, seed=1, logit_bias=ENDLESS))
    whole = client.watch(job.id)
    for start in (0, 1, 50, 119, 120, 500):
        assert client.watch(job.id, from_token=start).tokens == whole.tokens[start:]


def test_each_output_ends_by_itself(client):
    fields = {"n": 4, "max_tokens": 60, "temperature": 10, "logit_bias": OFTEN_ENDING}
    jobs = client.submit_many([spec(seed=seed, **fields) for seed in range(12)])
    lengths = set()
    for job in jobs:
        watched = client.watch(job.id)
        job = client.get(job.id)
        check_events(watched, job)
        assert len(job.alternatives) == 3
        for tokens, _, reason in every_output(job):
            ended = tokens[-1] == 2
            assert reason == (
                job_pb2.FINISH_REASON_STOP if ended else job_pb2.FINISH_REASON_LENGTH
            )
            assert ended or len(tokens) == 60
            lengths.add(len(tokens))
    assert len(lengths) > 3


def test_a_stop_string_ends_one_output_and_not_the_others(client):
    fields = {"n": 3, "max_tokens": 60, "seed": 5, "logit_bias": ENDLESS}
    texts = [text for _, text, _ in every_output(client.run(spec(**fields)))]
    middle = texts[1][len(texts[1]) // 2 :]
    stop = next(middle[:size] for size in range(4, 60) if middle[:size] not in texts[0])
    told = every_output(client.run(spec(stop=[stop], **fields)))
    assert told[1][1:] == (texts[1][: texts[1].index(stop)], job_pb2.FINISH_REASON_STOP_STRING)
    assert told[0][1:] == (texts[0], job_pb2.FINISH_REASON_LENGTH)


def test_logprobs_are_those_of_each_output(client):
    fields = {"max_tokens": 20, "seed": 3, "logprobs": 2, "logit_bias": ENDLESS}
    alone = client.watch(client.submit(spec(**fields)).id)
    job = client.submit(spec(n=3, **fields))
    found = []
    for event in client.events(job.id):
        if event.WhichOneof("event") == "tokens" and event.tokens.output == 0:
            assert len(event.tokens.logprobs) == len(event.tokens.token_ids)
            found += event.tokens.logprobs
    assert found == alone.logprobs


def test_beam_search_finds_the_best_texts(client):
    fields = {"max_tokens": 40, "logit_bias": ENDLESS}
    job = client.submit(spec(n=2, beam=beam(), **fields))
    assert job.spec.sampling.beam == beam(width=4, length_penalty=1)
    watched = client.watch(job.id)
    job = client.get(job.id)
    check_events(watched, job)
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED
    told = every_output(job)
    assert len(told) == 2 and told[0] != told[1]
    # It draws nothing, whatever the seed, and asking for fewer changes none of them.
    again = client.run(spec(n=2, seed=9, beam=beam(), **fields))
    assert every_output(again) == told
    assert every_output(client.run(spec(beam=beam(), **fields))) == told[:1]
    assert job.usage.drafted_tokens == 0


def test_beam_search_among_other_jobs_comes_to_the_same(client):
    search = spec(n=3, max_tokens=30, beam=beam(width=6, length_penalty=0.5, early_stopping=True))
    alone = every_output(client.run(search))
    others = [spec(max_tokens=80, seed=seed) for seed in range(10)]
    jobs = client.submit_many([*others[:5], search, *others[5:], search])
    for job in jobs:
        client.watch(job.id)
    assert every_output(client.get(jobs[5].id)) == alone
    assert every_output(client.get(jobs[-1].id)) == alone


def test_contrastive_search_draws_nothing(client):
    fields = {"max_tokens": 40, "logit_bias": ENDLESS}
    job = client.run(spec(seed=1, contrastive=contrastive(top_k=6), **fields))
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED and len(job.token_ids) == 40
    sent = job.spec.sampling.contrastive
    assert sent.top_k == 6 and sent.alpha == pytest.approx(0.6)
    again = client.run(spec(seed=2, contrastive=contrastive(top_k=6), **fields))
    assert outputs([again]) == outputs([job])
    # Where being unlike does not count, it takes the likeliest token each time.
    likely = client.run(spec(contrastive=contrastive(alpha=0), **fields))
    assert outputs([likely]) == outputs([client.run(spec(temperature=0, **fields))])


@pytest.mark.parametrize(
    "field, bad",
    [
        ("n", spec(n=-1)),
        ("n", spec(n=65)),
        ("n", spec(n=2, temperature=0)),
        ("n", spec(n=2, greedy=generation_pb2.GreedyStrategy())),
        ("n", spec(n=5, beam=beam(width=4))),
        ("n", spec(n=2, contrastive=contrastive())),
        ("beam.width", spec(beam=beam(width=1))),
        ("beam.width", spec(beam=beam(width=65))),
        ("beam.length_penalty", spec(beam=beam(length_penalty=10.5))),
        ("contrastive.top_k", spec(contrastive=contrastive(top_k=1))),
        ("contrastive.alpha", spec(contrastive=contrastive(alpha=1.5))),
        ("n", spec(n=64, max_tokens=20_000)),
        # More than the engine's slots.
        ("beam.width", spec(beam=beam(width=17))),
        ("contrastive.top_k", spec(contrastive=contrastive(top_k=17))),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(client, field, bad):
    error = refusal(client.submit, bad)
    (violation,) = details(error)["BadRequest"].field_violations
    assert violation.field == f"spec.sampling.{field}" and violation.description


def test_reports_tell_the_tokens_of_each_output(client, service):
    job = client.run(spec(n=3, max_tokens=20, seed=4, logit_bias=ENDLESS))
    counts = service.sql(
        "SELECT output, count(*) FROM millrace.tokens"
        f" WHERE job_id = '{job.id}' GROUP BY output ORDER BY output"
    )
    assert counts == [["0", "20"], ["1", "20"], ["2", "20"]]
    ends = service.sql(
        "SELECT finish_reason, alternative_finish_reasons FROM millrace.job_report"
        f" WHERE id = '{job.id}'"
    )
    assert ends == [["length", "{length,length}"]]


def test_commands_show_every_output(service):
    where = ["--address", service.listen]
    flags = ["--model", "story", "--prompt", "One day", "--max-tokens", 12, "--seed", 8]
    told = run("submit", *flags, "--n", 3, "--watch", *where)
    assert told.returncode == 0, told.stderr
    id = told.stderr.decode().split()[1]
    with service.channel() as channel:
        client = Client(channel, "default")
        job = client.get(id)
    shown = job.text + "\n"
    for number, (_, text, reason) in enumerate(every_output(job)[1:], start=2):
        word = "length" if reason == job_pb2.FINISH_REASON_LENGTH else "end of text"
        shown += f"\u2014 output {number} of 3 ({word})\n{text}\n"
    assert told.stdout.decode() == shown
    got = run("get", id, *where)
    assert got.stdout.decode() == shown and b"outputs" in got.stderr
    searched = run("submit", *flags, "--n", 2, "--beam-width", 3, "--watch", *where)
    assert searched.returncode == 0 and "output 2 of 2" in searched.stdout.decode()
    one = run("submit", *flags, "--contrastive-alpha", 0.5, "--watch", *where)
    assert one.returncode == 0 and "output" not in one.stdout.decode()


def test_several_outputs_go_on_after_a_kill_of_the_service(own_service, client):
    specs = [
        spec(
            PROMPTS[index % len(PROMPTS)],
            n=3,
            max_tokens=150,
            seed=index,
            temperature=10,
            logit_bias=ENDLESS if index % 2 else OFTEN_ENDING,
        )
        for index in range(JOBS)
    ]
    jobs = client.submit_many(specs)
    for job in jobs:
        client.watch(job.id)
    undisturbed = [every_output(client.get(job.id)) for job in jobs]
    service = own_service("--slots", 8).start()
    own = Client(service.channel())
    jobs = own.submit_many(specs)
    watchers = Watchers(own, jobs)
    wait_for_the_middle(service, watchers)
    service.kill()
    assert watchers.received() > 0
    service.start()
    _, interruptions = watchers.results()
    assert interruptions > 0
    jobs = [own.get(job.id) for job in jobs]
    assert [every_output(job) for job in jobs] == undisturbed
    for watched, job in zip(watchers.watched, jobs):
        check_events(watched, job)
    assert max(job.attempt for job in jobs) >= 2
    assert_database_is_whole(service)
    service.stop()
