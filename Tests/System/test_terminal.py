"""The program at a terminal and in a pipe: help, Ctrl-C, readers that go away, progress."""

import contextlib
import fcntl
import os
import pathlib
import re
import select
import signal
import subprocess

import pytest

from service import BINARY, environment, run, wait_until

COMMANDS = (
    "serve models stats executors caches drain migrate doctor submit watch get list cancel generate "
    "tokenize logits inspect bench"
).split()
REQUIRED = {"--model", "--prompt", "--tokens", "--out"}
CLEAR_LINE = b"\r\x1b[K"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_the_defaults(command):
    done = run(command, "--help")
    text = done.stdout.decode()
    assert done.returncode == 0 and done.stderr == b""
    assert f"Example: millrace {command}" in text or f"| millrace {command}" in text
    options = re.split(r"\n  (?=--)", text)[1:]
    assert len(options) > 2
    for option in options:
        name, *value = option.split(maxsplit=2)
        takes_value = value and value[0].startswith("<")
        if takes_value and name not in REQUIRED and not name.startswith("--tls-"):
            assert "[" in option or "default: " in option, option


@contextlib.contextmanager
def started(*arguments, **fields):
    """The program, running; killed at the end if it still is."""
    process = subprocess.Popen(
        [BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, env=environment(), **fields
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def terminal():
    """A terminal: the end that a person looks at, and the program's."""
    ours, programs = os.openpty()
    try:
        yield ours, programs
    finally:
        os.close(ours)
        os.close(programs)


@contextlib.contextmanager
def narrow_pipe():
    """A pipe that holds little, so that who writes into it has to wait."""
    ours, programs = os.pipe()
    fcntl.fcntl(programs, fcntl.F_SETPIPE_SZ, 4_096)
    try:
        yield ours, programs
    finally:
        os.close(ours)
        os.close(programs)


def read_until(descriptor, words, seconds=30):
    """What is read up to these words."""
    text = b""
    while words not in text:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        assert ready, f"{words} did not come after {text}"
        text += os.read(descriptor, 1)
    return text


def read_rest(descriptor):
    """What can be read without waiting."""
    text = b""
    while select.select([descriptor], [], [], 0)[0]:
        text += os.read(descriptor, 4_096)
    return text


def interrupt(process):
    """Ctrl-C, from the moment on in which the program sees to it. Returns the exit status."""

    def is_seen_to():
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        (mask,) = re.findall(r"SigCgt:\s*(\w+)", status)
        return int(mask, 16) >> (signal.SIGINT - 1) & 1

    def has_ended():
        process.send_signal(signal.SIGINT)
        return process.poll() is not None

    wait_until(is_seen_to, what="the program sees to Ctrl-C")
    wait_until(has_ended, what="the program ends on Ctrl-C")
    return process.returncode


def test_a_bar_shows_progress_at_a_terminal_only_and_goes_away(model):
    bench = ("bench", "--model", model, "--runs", 1_000, "--batch", "8,16")
    with terminal() as (screen, programs), started(
        *bench, stdout=subprocess.DEVNULL, stderr=programs
    ) as shown, started(
        *bench, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as piped:
        read_until(screen, b"Measuring [")
        assert interrupt(shown) == 130
        assert read_rest(screen).endswith(CLEAR_LINE)
        assert interrupt(piped) == 130
        assert piped.stderr.read() == b""


def test_interrupting_a_generation_ends_the_line(model):
    generate = ("generate", "--model", model, "--prompt", "One day", "--max-tokens", 500)
    with terminal() as (screen, programs), narrow_pipe() as (_, output):
        os.write(output, b"x" * 4_096)
        with started(*generate, stdout=output, stderr=programs) as process:
            assert interrupt(process) == 130
        assert read_rest(screen) == b"\r\n"


def test_interrupting_a_submission_that_watches_tells_how_to_go_on(model, service):
    submit = ("submit", "--address", service.listen, "--model", "story", "--prompt", "One day")
    flags = ("--watch", "--json", "--max-tokens", 400, "--logprobs", 10, "--seed", 1)
    with narrow_pipe() as (reader, output):
        with started(*submit, *flags, stdout=output, stderr=subprocess.PIPE) as process:
            line = read_until(reader, b"\n")
            assert interrupt(process) == 130
            said = process.stderr.read().decode()
        id = re.search(rb'"id":"([^"]+)"', line)[1].decode()
        hint = f"millrace watch {id} --address {service.listen}"
        assert said == f"The job goes on. Watch it again: {hint}\n"


PRINTING = [
    ["inspect", "MODEL", "--tensors"],
    ["inspect", "MODEL", "--json"],
    ["generate", "--model", "MODEL", "--prompt", "One day"],
    ["serve", "--print-config"],
]


@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
@pytest.mark.parametrize("is_ignored", (False, True), ids=("default", "ignored"))
def test_a_reader_that_goes_away_ends_the_program_in_silence(model, command, is_ignored):
    reader, writer = os.pipe()
    os.close(reader)
    # Python ignores SIGPIPE; a program inherits that unless it is restored.
    fields = {"stderr": subprocess.PIPE, "restore_signals": not is_ignored}
    command = [str(model) if each == "MODEL" else each for each in command]
    with started(*command, stdout=writer, **fields) as process:
        os.close(writer)
        _, said = process.communicate(timeout=30)
    assert said == b""
    assert process.returncode == (128 + signal.SIGPIPE if is_ignored else -signal.SIGPIPE)


@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
def test_output_that_cannot_be_written_is_an_error(model, command):
    command = [str(model) if each == "MODEL" else each for each in command]
    with open("/dev/full", "wb") as full:
        with started(*command, stdout=full, stderr=subprocess.PIPE) as process:
            _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == b"Error: standard output cannot be written: No space left on device\n"
