"""Commands that are wrong: each says on standard error what is wrong, and never crashes."""

import os
import shutil

import pytest

from service import make_folder, run

HUGE = str(2**63 - 1)
SUBMIT = ["submit", "--model", "m", "--prompt", "p"]
GENERATE = ["generate", "--model", "MODEL", "--prompt", "a"]
LOGITS = ["logits", "--model", "MODEL", "--out", "OUT", "--tokens"]
BENCH = ["bench", "--model", "MODEL"]
SERVE = ["serve", "--print-config"]

# The command; words that its message must hold.
WRONG = [
    (["nonsense"], "nonsense"),
    (["inspect", "TEXT", "--nonsense"], "--nonsense"),
    # Files that are no models.
    *[
        ([*command, file], word)
        for command in (
            ["inspect"],
            ["tokenize", "--model"],
            ["bench", "--model"],
            ["generate", "--prompt", "a", "--model"],
            ["logits", "--tokens", "1", "--out", "OUT", "--model"],
        )
        for file, word in (
            ("/nowhere.gguf", "/nowhere.gguf"),
            ("FOLDER", "directory"),
            ("TEXT", "GGUF"),
            ("EMPTY", "empty"),
            ("CUT", "byte"),
            ("", "path is empty"),
        )
    ],
    # Generating.
    (["generate", "--model", "MODEL"], "--prompt"),
    ([*GENERATE, "--max-tokens", "0"], "--max-tokens must be at least 1"),
    ([*GENERATE, "--max-tokens", "-3"], "--max-tokens must be at least 1"),
    ([*GENERATE, "--max-tokens", "x"], "'x' is invalid for '--max-tokens"),
    ([*GENERATE, "--max-tokens", HUGE], "is invalid for '--max-tokens"),
    ([*GENERATE, "--max-tokens"], "Missing value for '--max-tokens"),
    ([*GENERATE, "--temperature", "-1"], "temperature must be 0 to 100"),
    ([*GENERATE, "--temperature", "nan"], "temperature must be 0 to 100"),
    ([*GENERATE, "--temperature", "inf"], "temperature must be 0 to 100"),
    ([*GENERATE, "--top-p", "2"], "top_p must be above 0, at most 1"),
    ([*GENERATE, "--top-p", "0"], "top_p must be above 0, at most 1"),
    ([*GENERATE, "--top-k", "-1"], "top_k must be"),
    ([*GENERATE, "--min-p", "2"], "min_p must be 0 to 1"),
    ([*GENERATE, "--repetition-penalty", "0"], "repetition_penalty must be"),
    ([*GENERATE, "--presence-penalty", "1e30"], "presence_penalty must be"),
    ([*GENERATE, "--frequency-penalty", "-1e30"], "frequency_penalty must be"),
    ([*GENERATE, "--seed", "-1"], "'-1' is invalid for '--seed"),
    ([*GENERATE, "--stop", ""], "stop must be"),
    ([*GENERATE, "--logprobs", "-1"], "logprobs must be 0 to 20"),
    ([*GENERATE, "--logprobs", "21"], "logprobs must be 0 to 20"),
    ([*GENERATE, "--context-length", "0"], "contextLength must be 2 to the 512"),
    ([*GENERATE, "--context-length", "-5"], "contextLength must be 2 to the 512"),
    ([*GENERATE, "--context-length", HUGE], "contextLength must be 2 to the 512"),
    ([*GENERATE, "--threads", "0"], "--threads must be from 1 to 256"),
    ([*GENERATE, "--threads", "257"], "--threads must be from 1 to 256"),
    ([*GENERATE, "--kernels", "mmx"], "scalar"),
    ([*GENERATE, "--kv-cache-type", "q4"], "'q4' is invalid for '--kv-cache-type"),
    ([*GENERATE, "--kv-cache-type", "f16,0-99=f32"], "names layer 99 of a model with the layers 0"),
    (["generate", "--model", "MODEL", "--prompt", "word " * 3_000], "context"),
    # Logits.
    ([*LOGITS, "1,x"], "number 2 of --tokens is x; each must be a whole number from 0 to 511"),
    ([*LOGITS, "1,512,3"], "number 2 of --tokens is 512;"),
    ([*LOGITS, "-1"], "number 1 of --tokens is -1;"),
    ([*LOGITS, "1,2,9" + HUGE], "number 3 of --tokens is 9922"),
    ([*LOGITS, ""], "number 1 of --tokens is empty"),
    ([*LOGITS, "1,,3"], "number 2 of --tokens is empty"),
    ([*LOGITS, "1,2,"], "number 3 of --tokens is empty"),
    ([*LOGITS, "1 2"], "number 1 of --tokens is 1 2;"),
    ([*LOGITS, ",".join(["7"] * 513)], "holds 513 ids; the model's context is 512"),
    ([*LOGITS, "1", "--chunk", "0"], "--chunk must be at least 1"),
    ([*LOGITS, "1", "--chunk", "-1"], "--chunk must be at least 1"),
    (["logits", "--model", "MODEL", "--tokens", "1", "--out", "/nowhere/x"], "--out /nowhere/x"),
    (["logits", "--model", "MODEL", "--tokens", "1", "--out", "FOLDER"], "cannot be written"),
    (["logits", "--model", "MODEL", "--tokens", "1", "--out", ""], "cannot be written"),
    # Measuring.
    ([*BENCH, "--batch", "0"], "number 1 of --batch is 0; each must be a whole number from 1 to"),
    ([*BENCH, "--batch", "1,x"], "number 2 of --batch is x"),
    ([*BENCH, "--batch", "1,,2"], "number 2 of --batch is empty"),
    ([*BENCH, "--batch", ""], "number 1 of --batch is empty"),
    ([*BENCH, "--batch", "1025"], "number 1 of --batch is 1025"),
    ([*BENCH, "--prompt-tokens", "100000"], "the model's context is 512"),
    ([*BENCH, "--prompt-tokens", "0"], "--prompt-tokens is 0; it must be from 1"),
    ([*BENCH, "--prompt-tokens", "-1"], "--prompt-tokens is -1; it must be from 1"),
    ([*BENCH, "--decode-tokens", "1"], "--decode-tokens is 1; it must be from 2"),
    ([*BENCH, "--decode-tokens", HUGE, "--prompt-tokens", HUGE], "--prompt-tokens is 9"),
    ([*BENCH, "--decode-tokens", HUGE], "--decode-tokens is 9"),
    ([*BENCH, "--suite", "--prompt-tokens", "510"], "the model's context is 512"),
    ([*BENCH, "--out", "x"], "--out goes with --suite"),
    ([*BENCH, "--runs", "0"], "--runs is 0; it must be from 1 to 1000"),
    # Databases.
    (["migrate", "--database-url", "postgresql://127.0.0.1:1/x"], "127.0.0.1"),
    (["migrate", "--database-url", ""], "--database-url is empty"),
    (["migrate", "--data-dir", ""], "--data-dir is empty"),
    (["migrate", "--database-url", "mysql://a:b@c/d"], "begins with mysql://, but"),
    (["migrate", "--database-url", "jobs"], "no connection string of PostgreSQL"),
    (["doctor", "--database-url", "mysql://a:b@c/d"], "begins with mysql://, but"),
    (["migrate", "--config", "/nowhere.yaml"], "there is no settings file /nowhere.yaml"),
    # Settings of a service.
    ([*SERVE, "--threads", "-1"], "--threads is -1; it must be a whole number from 1 to 256"),
    ([*SERVE, "--threads", "257"], "--threads is 257; it must be a whole number from 1 to 256"),
    ([*SERVE, "--slots", "-1"], "--slots is -1; it must be"),
    ([*SERVE, "--drain-seconds", "-1"], "--drain-seconds is -1; it must be"),
    ([*SERVE, "--context-length", "-1"], "--context-length is -1; it must be"),
    ([*SERVE, "--max-queued-jobs", "-1"], "--max-queued-jobs is -1; it must be"),
    ([*SERVE, "--keep-days", "-1"], "--keep-days is -1; it must be"),
    ([*SERVE, "--kv-cache-type", "q4"], "--kv-cache-type is q4; it must be f32, f16, bf16 or int8"),
    ([*SERVE, "--kv-cache-type", "f16,9"], "--kv-cache-type is f16,9; it must be"),
    ([*SERVE, "--kv-cache-type", "f16,window=0"], "--kv-cache-type is f16,window=0; it must be"),
    ([*SERVE, "--kv-cache-memory", "lots"], "--kv-cache-memory is lots; it must be a number of"),
    ([*SERVE, "--weight-cache-limit", "some"], "--weight-cache-limit is some; it must be a number"),
    ([*SERVE, "--weight-cache-limit", "50%"], "--weight-cache-limit is 50%; it must be a number"),
    ([*BENCH, "--weight-cache-limit", "0"], "--weight-cache-limit must be a number of bytes"),
    ([*SERVE, "--kv-cache-memory", "0"], "--kv-cache-memory is 0; it must be"),
    ([*SERVE, "--kv-cache-memory", "101%"], "--kv-cache-memory is 101%; it must be"),
    ([*SERVE, "--kv-cache-memory", "-1"], "Missing value for '--kv-cache-memory"),
    ([*SERVE, "--kv-cache-memory", HUGE + "GiB"], "--kv-cache-memory is 9"),
    ([*SERVE, "--token-latency-ms", "-1"], "--token-latency-ms is -1; it must be a whole number"),
    ([*SERVE, "--engine-niceness", "20"], "--engine-niceness is 20; it must be a whole number from 0"),
    ([*SERVE, "--engine-niceness", "-1"], "--engine-niceness is -1; it must be"),
    ([*SERVE, "--prefix-cache", "maybe"], "--prefix-cache is maybe; it must be one of on, off"),
    ([*SERVE, "--listen", "nonsense"], "--listen is nonsense; it must be HOST:PORT"),
    ([*SERVE, "--database-url", "mysql://a:b@c/d"], "--database-url begins with mysql://"),
    ([*SERVE, "--config", "/nowhere.yaml"], "there is no settings file /nowhere.yaml"),
    # A service.
    (["get", "x", "--address", "nonsense"], "--address"),
    (["get", "x", "--address", ""], "--address"),
    (["get", "x", "--address", "127.0.0.1:99999"], "HOST:PORT"),
    (["get", "x", "--address", "unix:/nowhere"], "millrace serve"),
    (["watch", "x", "--address", "unix:/nowhere"], "Is a service listening"),
    (["watch", "x", "--from", "-1"], "--from must be 0 or more"),
    (["watch", "x", "--timeout", "0"], "--timeout must be over 0"),
    (["watch", "x", "--timeout", "nan"], "--timeout must be over 0"),
    (["watch", "x", "--wait", "-1"], "--wait must be from 0"),
    (["list", "--address", "127.0.0.1:1"], "millrace serve"),
    (["list", "--state", "asleep"], "'asleep' is invalid for '--state"),
    (["list", "--limit", "0"], "--limit must be at least 1"),
    (["list", "--limit", "-1"], "--limit must be at least 1"),
    (["list", "--label", "=x"], "KEY=VALUE"),
    (["list", "--state", "running,asleep"], "asleep is no state"),
    (["submit", "--prompt", "p"], "--model"),
    (["submit", "--model", "m"], "one of --prompt, --prompt-file, --token-ids, --message"),
    ([*SUBMIT, "--token-ids", "1"], "one of --prompt, --prompt-file, --token-ids, --message"),
    (["submit", "--model", "m", "--token-ids", "1,x"], "number 2 of --token-ids is x"),
    (["submit", "--model", "m", "--message", "hello"], "ROLE:CONTENT"),
    (["submit", "--model", "m", "--prompt-file", "/nowhere"], "--prompt-file /nowhere cannot"),
    (["submit", "--batch", "/nowhere"], "--batch /nowhere cannot be read"),
    (["submit", "--batch", "EMPTY"], "holds no submission"),
    (["submit", "--batch", "TEXT"], "line 1 of --batch"),
    (["submit", "--batch", "EMPTY", "--watch"], "--watch follows one job"),
    (["submit", "--batch", "EMPTY", "--request-id", "a"], "--request-id is for one job"),
    ([*SUBMIT, "--run-after", "soon"], "a time must be like 2030-"),
    ([*SUBMIT, "--run-after", "+5"], "a time must be like 2030-"),
    ([*SUBMIT, "--deadline", "+-5m"], "a time must be like 2030-"),
    ([*SUBMIT, "--deadline", "2030-01-31"], "a time must be like 2030-"),
    ([*SUBMIT, "--deadline", "+5m", "--expire-after", "5"], "one of --deadline and --expire"),
    ([*SUBMIT, "--max-attempts", "0"], "--max-attempts must be from 1 to 100"),
    ([*SUBMIT, "--label", "x"], "KEY=VALUE"),
    ([*SUBMIT, "--max-tokens", "0"], "--max-tokens must be at least 1"),
    ([*SUBMIT, "--expire-after", "-1"], "--expire-after must be over 0"),
    ([*SUBMIT, "--expire-after", "nan"], "--expire-after must be over 0"),
    # Certificates.
    ([*SUBMIT, "--tls-key", "k"], "--tls-certificate"),
    ([*SUBMIT, "--tls-key", "k", "--tls-certificate", "c"], "need --tls-roots"),
    ([*SUBMIT, "--tls-roots", "/nowhere"], "--tls-roots /nowhere cannot be read"),
    ([*SUBMIT, "--tls-roots", "FOLDER"], "cannot be read"),
]


@pytest.fixture(scope="module")
def files(model):
    """The words in the commands that stand for files, and those files."""
    folder = make_folder()
    made = {"MODEL": model, "FOLDER": folder}
    for name, bytes in (
        ("TEXT", b"no model " * 100),
        ("EMPTY", b""),
        ("CUT", model.read_bytes()[:20_000]),
    ):
        made[name] = folder / name.lower()
        made[name].write_bytes(bytes)
    yield made | {"OUT": folder / "out"}
    shutil.rmtree(folder)


def said(done):
    """What a failed command wrote on standard error; nothing else, and it was no crash."""
    text = done.stderr.decode()
    assert done.returncode in (1, 64), f"status {done.returncode}: {text}"
    assert done.stdout == b"" and text.startswith("Error: ") and len(text) < 2_500
    assert "Error Domain" not in text
    return text


@pytest.mark.parametrize(
    "command, words", WRONG, ids=[f"{n}-{' '.join(c)[:40]}" for n, (c, _) in enumerate(WRONG)]
)
def test_a_wrong_command_says_what_is_wrong(files, command, words):
    files["OUT"].unlink(missing_ok=True)
    done = run(*[files.get(each, each) for each in command], input=b"", timeout=40)
    assert words.lower() in said(done).lower()
    assert not files["OUT"].exists()


@pytest.mark.parametrize("command", (["tokenize"], ["generate", "--prompt", "-"]))
def test_standard_input_that_is_no_text_is_refused(model, files, command):
    command = [*command, "--model", model]
    assert "not UTF-8" in said(run(*command, input=b"\xff\xfe"))
    directory = os.open(files["FOLDER"], os.O_RDONLY)
    try:
        assert "cannot be read" in said(run(*command, stdin=directory))
    finally:
        os.close(directory)


def test_numbers_and_texts_may_begin_with_a_minus(model):
    flags = ("--presence-penalty", "-1", "--frequency-penalty", "-0.5", "--stop", "-a", "--json")
    done = run("generate", "--model", model, "--prompt", "-1, 2", "--max-tokens", 3, *flags)
    assert done.returncode == 0, done.stderr
    empty = run("generate", "--model", model, "--prompt", "", "--max-tokens", 3)
    assert empty.returncode == 0, empty.stderr
