"""The commands that need no service: their JSON, which other programs rely on; their errors."""

import json
import os
import pathlib
import re
import struct
import xml.etree.ElementTree

import gguf
import numpy
import pytest

from client import Client, spec
from service import free_port, make_folder, run


def parsed(*arguments, input=None):
    """The JSON that a command prints, which must be one line."""
    done = run(*arguments, "--json", input=input)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.count(b"\n") == 1
    return json.loads(done.stdout)


@pytest.fixture
def folder():
    import shutil

    path = make_folder()
    yield path
    shutil.rmtree(path)


def test_the_bundled_storyteller_is_the_default(model, folder):
    (folder / "storyteller-q8_0.gguf").symlink_to(model)
    bundled = {"MILLRACE_MODEL_FOLDER": str(folder)}
    flags = ["generate", "--prompt", "Once", "--max-tokens", 4, "--temperature", 0, "--json"]
    ids = [
        json.loads(run(*flags, *more, env=bundled).stdout)["ids"]
        for more in ([], ["--model", model])
    ]
    assert ids[0] == ids[1] and len(ids[0]) == 4
    assert run("tokenize", input=b"Once", env=bundled).stdout.startswith(b"1\t")
    for command in (flags, ["tokenize"], ["serve", "--data-dir", folder / "data"]):
        done = run(*command, input=b"", env={"MILLRACE_MODEL_FOLDER": "/nowhere"})
        assert done.returncode != 0 and b"--model" in done.stderr, done.stderr


def test_the_models_that_ship_are_a_pair():
    models = pathlib.Path(__file__).parents[2] / "models"
    pair = [models / "storyteller-q8_0.gguf", models / "storyteller-draft-q8_0.gguf"]
    assert sum(each.stat().st_size for each in pair) <= 24 << 20
    prompt = ("--prompt", "Once upon a time there was a king", "--max-tokens", 60, "--temperature", 0)
    target, named, draft = [
        parsed("generate", *prompt, *more)
        for more in ([], ["--model", pair[0]], ["--model", pair[1]])
    ]
    assert target["ids"] == named["ids"] != draft["ids"]
    assert target["prompt_ids"] == draft["prompt_ids"]
    # Words and sentences, not bytes and noise.
    for told in (target, draft):
        assert len(told["text"].split()) > 25 and told["text"].isascii()


def test_tokenize_prints_ids(model):
    ids = parsed("tokenize", "--model", model, input=b"Once upon a time")
    assert set(ids) == {"ids"} and ids["ids"][0] == 1
    without = parsed("tokenize", "--model", model, "--no-bos", input=b"Once upon a time")
    assert without["ids"] == ids["ids"][1:]
    assert parsed("tokenize", "--model", model, input=b"")["ids"] == [1]
    strange = "\u00e9\u4e2d\U0001f600\t\r\n ".encode()
    assert len(parsed("tokenize", "--model", model, input=strange)["ids"]) > 8


def test_tokenize_equals_another_engine_on_a_vocabulary_alone(conformance):
    if not conformance:
        pytest.skip("MILLRACE_CONFORMANCE is not set")
    base = conformance / "tokenizers" / "ggml-vocab-llama-spm.gguf"
    cases = base.with_suffix(".gguf.inp").read_text().split("\n__ggml_vocab_test__\n")
    wanted = base.with_suffix(".gguf.out").read_text().splitlines()
    text = cases[0].encode()
    ids = parsed("tokenize", "--model", base, "--no-bos", input=text)["ids"]
    assert ids == [int(word) for word in wanted[0].split()]


def test_generate_prints_the_shape_that_is_promised(model):
    result = parsed(
        "generate", "--model", model, "--prompt", "One day", "--max-tokens", 12, "--seed", 3
    )
    assert {"prompt_ids", "ids", "text", "finish_reason", "timings"} <= set(result)
    assert result["finish_reason"] == "length" and len(result["ids"]) == 12
    assert result["prompt_ids"][0] == 1 and isinstance(result["text"], str)
    assert result["seed"] == "3"
    assert all(seconds >= 0 for seconds in result["timings"].values())


def test_generate_is_the_same_on_every_kernel_and_number_of_threads(model):
    outputs = {
        json.dumps([result["ids"], result["text"]])
        for kernels in ("auto", "scalar")
        for threads in (1, 2)
        for result in [
            parsed(
                *("generate", "--model", model, "--prompt", "One day", "--max-tokens", 40),
                *("--seed", 3, "--kernels", kernels, "--threads", threads),
            )
        ]
    }
    assert len(outputs) == 1


def test_generate_reads_the_prompt_from_standard_input_and_prints_the_text(model):
    arguments = ["--model", model, "--max-tokens", 12, "--temperature", 0]
    piped = run("generate", *arguments, "--prompt", "-", input=b"One day")
    named = parsed("generate", *arguments, "--prompt", "One day")
    assert piped.returncode == 0 and piped.stdout.decode() == named["text"] + "\n"
    assert b"tokens/s" in piped.stderr


def test_generate_tells_the_seed_it_drew_and_repeats_its_output(model):
    arguments = ["--model", model, "--prompt", "One day", "--max-tokens", 40]
    drawn = parsed("generate", *arguments)
    assert drawn["seed"] != parsed("generate", *arguments)["seed"]
    again = run("generate", *arguments, "--seed", drawn["seed"])
    assert again.stdout.decode() == drawn["text"] + "\n"
    assert f"seed {drawn['seed']}" in again.stderr.decode()


def test_logits_writes_float32_of_tokens_by_vocabulary(model, folder):
    out = folder / "logits"
    shape = parsed("logits", "--model", model, "--tokens", "1,403,407", "--out", out)
    assert shape == {"tokens": 3, "vocabulary": 512}
    values = struct.unpack("<1536f", out.read_bytes())
    assert len(set(values)) > 1_000
    parsed("logits", "--model", model, "--tokens", "1,403,407", "--out", out, "--chunk", 1)
    assert struct.unpack("<1536f", out.read_bytes()) == values


def test_logits_leaves_nothing_half_written(model, folder):
    arguments = ["--model", model, "--tokens", "1,403,407"]
    (folder / "taken").mkdir()
    for out in (folder / "none" / "logits", folder / "taken"):
        done = run("logits", *arguments, "--out", out)
        assert done.returncode != 0 and f"--out {out} cannot be written" in done.stderr.decode()
    parsed("logits", *arguments, "--out", folder / "logits")
    assert sorted(each.name for each in folder.iterdir()) == ["logits", "taken"]


def test_the_likeliest_logit_is_the_greedy_token(model, folder):
    result = parsed(
        *("generate", "--model", model, "--prompt", "One day"),
        *("--max-tokens", 1, "--temperature", 0),
    )
    tokens = ",".join(map(str, result["prompt_ids"]))
    out = folder / "logits"
    parsed("logits", "--model", model, "--tokens", tokens, "--out", out)
    last = struct.unpack("<512f", out.read_bytes()[-2_048:])
    assert max(range(512), key=lambda index: last[index]) == result["ids"][0]


def test_inspect_tells_what_a_file_holds(model):
    found = parsed("inspect", model, "--tensors", "--metadata", "--fingerprint")
    assert found["summary"]["architecture"] == "llama"
    assert found["summary"]["file_bytes"] == os.path.getsize(model)
    assert len(found["tensors"]) == found["summary"]["tensors"]
    assert found["metadata"]["general.architecture"] == "llama"
    assert len(found["fingerprint"]) == 64


def test_inspect_and_tokenize_show_nothing_that_steers_a_terminal(folder):
    hostile = "\x1b]0;title\x07\u202e\x9b2J"
    writer = gguf.GGUFWriter(str(folder / "model.gguf"), "llama\x1b[2J")
    writer.add_name(hostile)
    writer.add_string(f"key{hostile}", hostile * 100)
    writer.add_tokenizer_model("llama")
    pieces = ["<unk>", "a", "\x1b[2Jb", "\u2581"]
    writer.add_token_list(pieces)
    writer.add_token_scores([0.0] * len(pieces))
    writer.add_token_types([2, 1, 4, 1])
    writer.add_tensor(f"t{hostile}", numpy.zeros(4, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path = folder / "model.gguf"
    shown = run("inspect", path, "--tensors", "--metadata").stdout.decode()
    shown += run("tokenize", "--model", path, input=b"a\x1b[2Jb").stdout.decode()
    assert "2Jb" in shown and "title" in shown
    assert not set(shown) & set("\x1b\x07\u202e\x9b")


def test_bench_prints_a_list_of_rates(model):
    results = parsed(
        *("bench", "--model", model, "--prompt-tokens", 8, "--decode-tokens", 4),
        *("--batch", "1,2", "--threads", 2, "--runs", 1),
    )
    assert [result["batch"] for result in results] == [1, 2]
    for result in results:
        assert result["prefill_tokens_per_second"] > 0
        assert result["decode_tokens_per_second"] > 0
        assert result["peak_memory_bytes"] > 1 << 20


def test_a_suite_holds_rates_against_the_limits_of_the_machine(model, folder):
    found = parsed(
        *("bench", "--model", model, "--suite", "--prompt-tokens", 16, "--decode-tokens", 4),
        *("--batch", "1,3", "--runs", 1, "--out", folder / "suite"),
    )
    assert [row["result"]["batch"] for row in found["rows"]] == [1, 3]
    for row in found["rows"]:
        assert row["bytes_per_second"] > 1e8 and row["int8_multiply_adds_per_second"] > 1e8
        # Its weights are floats.
        assert "prefill_share_of_int8_peak" not in row
    # The memory that measuring takes, 512 MiB, is not the engine's.
    assert 1 << 20 < found["rows"][0]["result"]["peak_memory_bytes"] < 512 << 20
    assert json.loads((folder / "suite.json").read_text()) == found
    picture = xml.etree.ElementTree.parse(folder / "suite.svg").getroot()
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.get("points").split()) for line in lines] == [2, 2]
    sizes = ("--prompt-tokens", 2, "--decode-tokens", 2, "--runs", 1, "--batch", 1)
    plain = run("bench", "--model", model, "--suite", *sizes)
    assert b"OF BANDWIDTH" in plain.stdout and b"GB/s" in plain.stderr
    failed = run("bench", "--model", model, "--suite", *sizes, "--out", "/nowhere/x")
    assert failed.returncode != 0 and b"--out /nowhere/x.json cannot be written" in failed.stderr


def test_each_row_of_a_suite_is_held_against_what_the_machine_could_do_meanwhile():
    models = pathlib.Path(__file__).resolve().parents[2] / "models"
    found = parsed(
        *("bench", "--model", models / "storyteller-q8_0.gguf", "--suite", "--batch", "1,3"),
        *("--prompt-tokens", 16, "--decode-tokens", 4, "--runs", 1),
    )
    costs = []
    for row in found["rows"]:
        result, peak = row["result"], row["int8_multiply_adds_per_second"]
        steps = result["decode_tokens_per_second"] / result["batch"]
        costs.append(
            [
                row["decode_share_of_bandwidth"] * row["bytes_per_second"] / steps,
                row["decode_share_of_int8_peak"] * peak / result["decode_tokens_per_second"],
                row["prefill_share_of_int8_peak"] * peak / result["prefill_tokens_per_second"],
            ]
        )
    # The same bytes a step and the same multiplications a token, however many sequences there are.
    assert costs[0] == pytest.approx(costs[1]) and min(costs[0]) > 1e5


def test_bench_has_room_for_as_many_as_it_takes(model):
    sizes = ("--prompt-tokens", 2, "--decode-tokens", 2, "--runs", 1)
    (result,) = parsed("bench", "--model", model, "--batch", 1024, *sizes)
    assert result["batch"] == 1024 and result["decode_tokens_per_second"] > 0


def test_bench_holds_the_output_to_what_is_given(model, folder):
    entry = {"prompt": "one two three four five six", "output": " one two three four five six"}
    path = folder / "texts.jsonl"
    lines = [json.dumps(entry), "", json.dumps(entry | {"output": " two"})]
    path.write_bytes("\r\n".join(lines).encode())
    given = ("bench", "--model", model, "--prompts", path, "--runs", 2)
    (plain,) = parsed(*given)
    (looked,) = parsed(*given, "--speculation", "lookup", "--draft-tokens", 4)
    for found in (plain, looked):
        assert found["decode_tokens"] > 6 and found["decode_tokens_per_second"] > 0
    assert plain["draft_rounds"] == 0
    # A model of random weights would not repeat anything.
    assert looked["accepted_tokens"] > 4
    (short,) = parsed(*given, "--decode-tokens", 3)
    assert short["decode_tokens"] == 3
    for wrong in ("{}", '{"prompt": "a"}', '{"prompt": "a", "output": ""}', "one"):
        path.write_text(json.dumps(entry) + "\n" + wrong)
        failed = run(*given)
        assert failed.returncode == 1 and f"line 2 of --prompts {path}".encode() in failed.stderr


def names(value, path=""):
    """All property names in JSON, with where they stand."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, each in value.items():
            yield f"{path}.{name}"
            yield from names(each, f"{path}.{name}")


def test_all_json_is_in_snake_case(model, folder):
    short = ("--model", model, "--prompt", "One day", "--max-tokens", 2, "--logprobs", 1)
    sizes = ("--prompt-tokens", 2, "--decode-tokens", 2, "--runs", 1)
    inspected = parsed("inspect", model, "--tensors", "--metadata", "--fingerprint")
    # These are names that the file has, not names of this program's.
    assert "llama.context_length" in inspected.pop("metadata")
    for found in (
        inspected,
        parsed("generate", *short),
        parsed("bench", "--model", model, *sizes),
        parsed("tokenize", "--model", model, input=b"a"),
        parsed("logits", "--model", model, "--tokens", "1,2", "--out", folder / "out"),
    ):
        everything = list(names(found))
        assert everything
        assert [name for name in everything if not re.fullmatch(r"[a-z0-9_.]+", name)] == []


def test_doctor_judges_the_machine(folder):
    done = run("doctor", "--data-dir", folder / "data", "--listen", f"unix:{folder}/s", "--json")
    findings = {each["subject"]: each for each in json.loads(done.stdout)}
    subjects = {"processor", "memory", "disk", "address", "PostgreSQL", "database"}
    assert set(findings) == subjects
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize >> 20
    told = int(findings["disk"]["detail"].split(" MiB")[0])
    assert abs(told - free) < 1_000 + free // 10
    good = all(each["verdict"] != "bad" for each in findings.values())
    assert (done.returncode == 0) == good
    bad = run("doctor", "--data-dir", folder / "data", "--listen", "nonsense", "--json")
    verdicts = {each["subject"]: each["verdict"] for each in json.loads(bad.stdout)}
    assert verdicts["address"] == "bad" and bad.returncode == 1


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_doctor_finds_a_service_that_serves_and_leaves_it_alone(own_service, kind):
    listen = f"127.0.0.1:{free_port()}" if kind == "tcp" else None
    service = own_service(listen=listen).start()
    flags = ["--data-dir", service.data, "--listen", service.listen]
    for _ in range(2):
        done = run("doctor", *flags, "--json")
        findings = {each["subject"]: each for each in json.loads(done.stdout)}
        assert findings["address"]["verdict"] == "good"
        assert "a Millrace service is serving" in findings["address"]["detail"]
        assert findings["database"]["verdict"] == "good", findings
        assert done.returncode == 0
    # Who comes anew still reaches it.
    assert Client(service.channel()).run(spec(max_tokens=2)).token_ids
    service.stop()


def test_migrate_brings_a_new_database_up_to_date_once(folder):
    flags = ["--data-dir", folder / "data"]
    first = parsed("migrate", *flags, "--status")
    assert first["pending"] and not first["applied"]
    # To look makes nothing.
    assert list(folder.iterdir()) == []
    plain = run("migrate", *flags, "--status")
    assert b"There is no database" in plain.stderr and b"pending  1" in plain.stdout
    assert list(folder.iterdir()) == []
    second = parsed("migrate", *flags)
    assert second["applied"] == first["pending"] and not second["pending"]
    assert parsed("migrate", *flags) == second


def test_operations_look_where_serve_looks(folder):
    data = folder / "data"
    (folder / "millrace.yaml").write_text(f"data-dir: {data}\nlisten: unix:{folder}/s\n")
    named = {"MILLRACE_CONFIG": folder / "millrace.yaml"}
    done = run("doctor", "--json", env=named)
    findings = {each["subject"]: each["detail"] for each in json.loads(done.stdout)}
    assert str(data) in findings["database"] and f"unix:{folder}/s" in findings["address"]
    for env in (named, {"MILLRACE_DATA_DIR": data}):
        assert str(data) in run("migrate", "--status", env=env).stderr.decode()
    flags = ["--config", folder / "millrace.yaml"]
    assert str(data) in run("migrate", "--status", *flags).stderr.decode()
    # The stronger source wins.
    other = run("migrate", "--status", "--data-dir", folder / "other", env=named)
    assert str(folder / "other") in other.stderr.decode()


def test_doctor_warns_of_pending_migrations(folder, own_service):
    service = own_service().start()
    service.sql("CREATE DATABASE empty")
    url = f"host={service.data}/postgres/socket user=millrace dbname=empty"
    flags = ["--data-dir", folder, "--listen", f"unix:{folder}/s", "--database-url", url]
    done = run("doctor", *flags, "--json")
    (found,) = [each for each in json.loads(done.stdout) if each["subject"] == "database"]
    assert found["verdict"] == "warning" and "pending" in found["detail"]
    assert run("migrate", "--database-url", url).returncode == 0
    done = run("doctor", *flags, "--json")
    (found,) = [each for each in json.loads(done.stdout) if each["subject"] == "database"]
    assert found["verdict"] == "good" and "up to date" in found["detail"]
    service.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only for root")
def test_doctor_finds_a_folder_that_the_database_cannot_pass_through(folder):
    folder.chmod(0o700)
    flags = ["--data-dir", folder / "data", "--listen", f"unix:{folder}/s", "--json"]
    done = run("doctor", *flags)
    (found,) = [each for each in json.loads(done.stdout) if each["subject"] == "database"]
    assert done.returncode == 1 and found["verdict"] == "bad"
    assert f"chmod o+x {folder}" in found["detail"]
    assert list(folder.iterdir()) == []


def test_help_of_every_command_gives_an_example():
    commands = (
        "serve models stats executors caches drain migrate doctor submit watch get list cancel generate "
        "tokenize logits inspect bench"
    )
    for command in commands.split():
        done = run(command, "--help")
        assert done.returncode == 0
        assert f"Example: " in done.stdout.decode(), command
    assert run("--version").stdout.strip()
