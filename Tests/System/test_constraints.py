"""Outputs that are held to a grammar or a JSON schema, and what else steers them."""

import json

import jsonschema
import pytest
from millrace.v1 import generation_pb2, job_pb2

from client import details, outputs, refusal, spec
from schemas import Maker
from service import run

SCHEMAS = [Maker(seed).document() for seed in range(200)]
MODES = ["MODE_AUTO", "MODE_OFF", "MODE_LOOKUP", "MODE_BOTH"]


def speculation(number):
    mode = generation_pb2.Speculation.Mode.Value(MODES[number % len(MODES)])
    return generation_pb2.Speculation(mode=mode, draft_tokens=number % 9)


def test_documents_are_valid_under_two_hundred_schemas(client):
    specs = [
        spec(
            "The answer is: ",
            json_schema=json.dumps(schema, ensure_ascii=number % 2 == 0),
            max_tokens=160 + number,
            temperature=1.5,
            seed=number,
            speculation=speculation(number),
        )
        for number, schema in enumerate(SCHEMAS)
    ]
    jobs = client.submit_many(specs)
    texts = set()
    for schema, job in zip(SCHEMAS, jobs):
        client.watch(job.id)
        done = client.get(job.id)
        assert done.state == job_pb2.JOB_STATE_SUCCEEDED, (schema, done)
        document = json.loads(done.text)
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.validate(
            document, schema, jsonschema.Draft202012Validator, format_checker=checker
        )
        texts.add(done.text)
    assert len(texts) > 120


def test_a_constrained_text_is_the_same_whoever_drafts(client):
    schema = json.dumps(SCHEMAS[0])
    jobs = [
        client.run(
            spec(json_schema=schema, temperature=1.5, seed=4, speculation=speculation(number))
        )
        for number in range(9)
    ]
    assert len({str(outputs([job])) for job in jobs}) == 1


def test_a_short_limit_still_ends_with_a_whole_document(client):
    schema = json.dumps({"type": "array", "items": {"type": "string"}})
    for limit in (2, 3, 5, 8, 13, 40):
        for seed in range(5):
            job = client.run(spec(json_schema=schema, temperature=1.5, seed=seed, max_tokens=limit))
            assert isinstance(json.loads(job.text), list)
            assert job.usage.output_tokens <= limit


def test_a_grammar_holds(client):
    grammar = 'root ::= ("yes" | "no") ", " [a-z]{3,5} "!"'
    texts = {
        client.run(spec(grammar=grammar, temperature=1.5, seed=seed)).text for seed in range(10)
    }
    assert len(texts) >= 3
    for text in texts:
        answer, word = text.split(", ")
        assert answer in ("yes", "no") and word[-1] == "!"
        assert 3 <= len(word) - 1 <= 5 and word[:-1].islower()


def test_the_command_takes_a_schema_and_a_grammar(model, tmp_path):
    schema, grammar = tmp_path / "schema.json", tmp_path / "grammar.gbnf"
    schema.write_text('{"type": "integer", "minimum": 10, "maximum": 99}')
    grammar.write_text('root ::= "(" [0-9]+ ")"')
    options = ["generate", "--model", model, "--prompt", "x", "--seed", 1, "--json"]
    number = json.loads(run(*options, "--json-schema", schema).stdout)
    assert 10 <= int(number["text"]) <= 99 and number["finish_reason"] == "stop"
    text = json.loads(run(*options, "--grammar", grammar).stdout)["text"]
    assert text[0] == "(" and text[1:-1].isdigit() and text[-1] == ")"
    wrong = run(*options, "--grammar", schema)
    assert wrong.returncode != 0 and b"grammar cannot be used" in wrong.stderr


@pytest.mark.parametrize(
    "field, bad, words",
    [
        ("json_schema", spec(json_schema="{"), "not JSON"),
        ("json_schema", spec(json_schema='{"not": {}}'), "#/not"),
        ("json_schema", spec(json_schema="false"), "no text fits"),
        ("json_schema", spec(json_schema='{"const": "far too long"}', max_tokens=3), "allow more"),
        ("json_schema", spec(json_schema=" " * 65_537), ""),
        ("grammar", spec(grammar="root ::= other"), "not defined"),
        ("grammar", spec(grammar='root ::= root "x"'), "begin with itself"),
        ("grammar", spec(grammar='root ::= "x" root'), "never comes to an end"),
        ("typical_p", spec(typical_p=0), ""),
        ("typical_p", spec(typical_p=1.01), ""),
        ("min_tokens", spec(min_tokens=-1), ""),
        ("min_tokens", spec(min_tokens=11, max_tokens=10), ""),
        ("min_tokens", spec(min_tokens=1, grammar='root ::= "x"'), "constraint"),
        ("stop_token_ids", spec(stop_token_ids=list(range(17))), ""),
        ("stop_token_ids", spec(stop_token_ids=[100_000]), ""),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(client, field, bad, words):
    error = refusal(client.submit, bad)
    (violation,) = details(error)["BadRequest"].field_violations
    assert violation.field == f"spec.sampling.{field}" and words in violation.description


def test_a_draft_length_out_of_range_is_refused(client):
    for count in (-1, 17):
        error = refusal(
            client.submit, spec(speculation=generation_pb2.Speculation(draft_tokens=count))
        )
        (violation,) = details(error)["BadRequest"].field_violations
        assert violation.field == "spec.speculation.draft_tokens"


def test_an_output_is_not_shorter_than_asked_for(client):
    ends = {2: 100}
    short = client.run(spec(max_tokens=40, seed=1, logit_bias=ends))
    long = client.run(spec(max_tokens=40, min_tokens=25, seed=1, logit_bias=ends))
    assert short.usage.output_tokens == 1 and long.usage.output_tokens == 26
    assert long.finish_reason == job_pb2.FINISH_REASON_STOP


def test_a_stop_token_ends_the_output_with_itself(client):
    whole = client.run(spec(max_tokens=60, seed=2))
    token = whole.token_ids[20]
    first = list(whole.token_ids).index(token)
    job = client.run(spec(max_tokens=60, seed=2, stop_token_ids=[token]))
    assert list(job.token_ids) == list(whole.token_ids[: first + 1])
    assert job.finish_reason == job_pb2.FINISH_REASON_STOP


def test_drafted_tokens_are_counted(client):
    words = spec("one two three one two three one two three", max_tokens=100, temperature=0)
    words.speculation.CopyFrom(generation_pb2.Speculation(mode=4, draft_tokens=4))
    job = client.run(words)
    usage = job.usage
    assert 0 < usage.accepted_tokens <= usage.drafted_tokens <= 4 * usage.draft_rounds
    assert sum(usage.accepted_by_position) == usage.accepted_tokens
    assert list(usage.accepted_by_position) == sorted(usage.accepted_by_position, reverse=True)
    assert usage.accepted_by_position[0] <= usage.draft_rounds
    words.speculation.mode = 2
    plain = client.run(words)
    assert plain.usage.drafted_tokens == 0 and outputs([plain]) == outputs([job])


def test_the_command_takes_biases(model):
    options = ["generate", "--model", model, "--prompt", "Once", "--greedy", "--max-tokens", 3]
    first = json.loads(run(*options, "--json").stdout)["ids"][0]
    other = json.loads(run(*options, "--json", "--logit-bias", f"{first}=-1000").stdout)["ids"][0]
    chosen = run(*options, "--json", "--logit-bias", f"{first}=-1000", "--logit-bias", "7=1000")
    assert other not in (first, 7) and json.loads(chosen.stdout)["ids"] == [7, 7, 7]
    unknown = run(*options, "--logit-bias", "99999=1")
    assert unknown.returncode == 1 and b"99999 is none" in unknown.stderr
    for wrong in ("7", "7=x", "=1", "7=1=2"):
        assert run(*options, "--logit-bias", wrong).returncode == 64
    assert run(*options, "--logit-bias", "7=1", "--logit-bias", "7=2").returncode == 64
