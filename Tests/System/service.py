"""The program under test as a process: started, watched, stopped, killed."""

import collections
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

BINARY = os.environ.get("MILLRACE_BINARY", "millrace")
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Each channel has connections of its own, so that tests do not share them.
    ("grpc.use_local_subchannel_pool", 1),
]


def wait_until(condition, seconds=30, what="the condition"):
    """Polls until the condition is true, and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.01)


def make_folder():
    """A new folder that the database's own system user can get through to."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="millrace-"))
    path.chmod(0o755)
    return path


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment():
    """The tests' environment without settings for the program."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("MILLRACE_")
    }


def run(*arguments, input=None, stdin=subprocess.DEVNULL, timeout=60, env=None):
    """Runs a command of the program to its end."""
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        input=input,
        stdin=stdin if input is None else None,
        capture_output=True,
        timeout=timeout,
        env=environment() | (env or {}),
    )


class Service:
    """One data folder, and `millrace serve` on it as often as it is started."""

    def __init__(self, model, *flags, listen=None):
        self.model = model
        self.flags = [str(flag) for flag in flags]
        self.folder = make_folder()
        self.data = self.folder / "data"
        self.listen = listen or f"unix:{self.folder}/s"
        self.log = self.folder / "log"
        self.process = None
        self.channels = []

    # Starting and ending

    def start(self, wait=True):
        assert self.process is None
        command = [BINARY, "serve", "--model", f"story={self.model}"]
        command += ["--data-dir", str(self.data), "--listen", self.listen]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command + self.flags,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment(),
            )
        if wait:
            self.wait_until_serving()
        return self

    def wait_until_serving(self, seconds=60):
        with grpc.insecure_channel(self.listen, options=CHANNEL_OPTIONS) as channel:
            wait_until(
                lambda: self.health(channel) == "SERVING", seconds, "SERVING"
            )

    def health(self, channel):
        status = self.process.poll()
        assert status is None, f"serve ended with status {status}:\n{self.log_text()}"
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=5
            )
        except grpc.RpcError as error:
            return error.code().name
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def stop(self, seconds=30):
        """A graceful end, which must succeed."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process = None
        assert status == 0, f"serve ended with status {status}:\n{self.log_text()}"

    def kill(self):
        """An end without any warning."""
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def remove(self):
        """Ends what still runs and removes the folder."""
        for channel in self.channels:
            channel.close()
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.process.kill()
            self.process.wait(10)
            self.process = None
        database = self.database_pid()
        if database:
            with contextlib.suppress(ProcessLookupError):
                os.kill(database, signal.SIGQUIT)
            wait_until(lambda: not is_database(database, self.data), 20, "database ended")
        shutil.rmtree(self.folder, ignore_errors=True)

    # The database

    def database_pid(self):
        """The process of the private database, if it runs."""
        for path in self.data.glob("postgres/**/postmaster.pid"):
            try:
                number = int(path.read_text().splitlines()[0])
            except (FileNotFoundError, IndexError, ValueError):
                continue
            if is_database(number, self.data):
                return number
        return None

    def kill_database(self):
        os.kill(self.database_pid(), signal.SIGKILL)

    def signal_database(self, number):
        """Sends a signal to the private database's server and to all that it has started."""
        for path in pathlib.Path("/proc").iterdir():
            if path.name.isdecimal() and is_database(int(path.name), self.data):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(path.name), number)

    def sql(self, statement):
        """Rows of a query on the private database, as lists of texts."""
        command = ["psql", "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", str(self.data / "postgres" / "socket"), "-U", "millrace"]
        command += ["-d", self.database_name(), "-c", statement]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def database_name(self):
        return "millrace"

    # Connecting

    def channel(self, options=()):
        channel = grpc.insecure_channel(self.listen, options=[*CHANNEL_OPTIONS, *options])
        self.channels.append(channel)
        return channel

    # Looking at the process

    def log_text(self, characters=20_000):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text[-characters:]

    def resources(self):
        """Resident memory in KiB, threads and file descriptors of the process."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return {
            "memory": int(fields["VmRSS"].split()[0]),
            "threads": int(fields["Threads"]),
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
        }

    def descriptor_kinds(self):
        """How many file descriptors of each kind: sockets, pipes, files by their path."""
        kinds = collections.Counter()
        for path in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                kinds[os.readlink(path).split(":[")[0]] += 1
        return dict(kinds)

    def niceness(self, name):
        """The niceness of the process's threads of this name; field 19 of their `stat`."""
        found = []
        for path in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # ended meanwhile
                text = (path / "stat").read_text()
                start, end = text.index("("), text.rindex(")")
                if text[start + 1 : end] == name:
                    found.append(int(text[end + 2 :].split()[16]))
        return found

    def thread_names(self):
        """The names of the process's threads, as far as the system keeps them: 15 characters."""
        names = []
        for path in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):  # ended meanwhile
                names.append(path.read_text().strip())
        return names


def is_database(pid, data):
    """Whether the process is a database server on a folder below this one."""
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(os.path.realpath(data))
    except OSError:
        return False
