"""The settings of `serve`: where each comes from, and what is shown of it."""

import json
import os
import shutil

import pytest

from client import Client, unlike_specs
from service import make_folder, run


@pytest.fixture
def folder():
    path = make_folder()
    yield path
    shutil.rmtree(path)


def test_print_config_tells_where_settings_come_from(model, folder):
    settings = folder / "settings.yaml"
    settings.write_text("slots: 3\nthreads: 1\n")
    done = run(
        *("serve", "--print-config", "--json", "--config", settings, "--threads", 2),
        *("--model", f"story={model}", "--database-url", "postgresql://a:hidden@b/c"),
        env={"MILLRACE_DRAIN_SECONDS": "4"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["threads"] == {"value": "2", "origin": "flag"}
    assert found["slots"] == {"value": "3", "origin": "file"}
    assert found["drain-seconds"] == {"value": "4", "origin": "environment"}
    assert found["log-level"]["origin"] == "default"
    assert b"hidden" not in done.stdout and done.stderr == b""


def test_print_config_tells_what_is_in_force_where_nothing_is_set(model, folder):
    flags = ("serve", "--print-config", "--json", "--model", f"story={model}")
    done = run(*flags, env={"HOME": str(folder), "XDG_CACHE_HOME": ""})
    found = {key: entry["value"] for key, entry in json.loads(done.stdout).items()}
    home = "/var/lib/millrace" if os.geteuid() == 0 else f"{folder}/.local/share/millrace"
    assert found["data-dir"] == home
    assert found["database-url"] == "the private one"
    assert found["weight-cache"] == f"{folder}/.cache/millrace"
    assert found["weight-cache-limit"] == "64GiB"
    assert found["kv-cache-memory"] == "room for all slots, at most 2GiB"
    assert found["threads"] == "one a core"
    assert found["context-length"] == "the model's, at most 4096"
    assert "" not in found.values()
    done = run(*flags, "--config", folder / "none.yaml")
    assert done.returncode != 0 and b"there is no settings file" in done.stderr


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://u:se,cret@h/d", "postgresql://u:*****@h/d"),
        ("postgresql://u:sec:ret@h/d", "postgresql://u:*****@h/d"),
        ("postgresql://u:se@cret@h/d", "postgresql://u:*****@h/d"),
        ("postgresql://u:se/cret?x@h/d?a=b", "postgresql://u:*****@h/d?a=b"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("postgresql://h/d?password=se@cret&a=b", "postgresql://h/d?password=*****&a=b"),
        ("postgresql://h:5432/d?password=se@cret", "postgresql://h:*****?password=*****"),
        ("postgresql://u:secret@h/d?password=se@cret", "postgresql://u:*****@h/d?password=*****"),
        ("postgresql://h:1/d?p%61ssword=se@cret", "postgresql://h:*****?p%61ssword=*****"),
        ("postgresql://h:1/d?%70assword=secret", "postgresql://h:1/d?%70assword=*****"),
        ("postgresql://u:secret@h?sslpassword=cret", "postgresql://u:*****@h?sslpassword=*****"),
        ("host=h password = secret dbname=d", "host=h password = ***** dbname=d"),
        (r"password='se\'cret secret' host=h", "password=***** host=h"),
        (r"host=h password=se\ cret", "host=h password=*****"),
        ("host=h password secret dbname=d", "host=h ***** dbname=d"),
        ("host=h password secret", "host=h *****"),
    ],
)
def test_no_setting_shows_a_password(folder, url, shown):
    settings = folder / "settings.yaml"
    settings.write_text(f"database-url: {json.dumps(url)}\n")
    for flags, env in (
        (["--database-url", url], {}),
        (["--config", settings], {}),
        ([], {"MILLRACE_DATABASE_URL": url}),
    ):
        done = run("serve", "--print-config", "--json", *flags, env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["database-url"]["value"] == shown
        assert b"cret" not in done.stdout + done.stderr


def test_a_wrong_setting_is_told_with_where_it_came_from(folder):
    settings = folder / "settings.yaml"
    settings.write_text("slots: 0\n")
    serve = ("serve", "--print-config")
    said = run(*serve, "--config", settings).stderr.decode()
    assert f"slots in {settings} is 0" in said
    said = run(*serve, env={"MILLRACE_KERNELS": "mmx"}).stderr.decode()
    assert "MILLRACE_KERNELS is mmx" in said
    said = run(*serve, env={"MILLRACE_LISTEN": "nonsense"}).stderr.decode()
    assert "MILLRACE_LISTEN is nonsense" in said
    done = run(*serve, env={"MILLRACE_SLOT": "3"})
    assert done.returncode == 0 and "Warning: MILLRACE_SLOT is no setting" in done.stderr.decode()


def test_the_engines_threads_stand_behind_all_others(own_service):
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    for flags, niceness in (((), 10), (("--engine-niceness", 3), 3), (("--engine-niceness", 0), 0)):
        service = own_service("--threads", 3, *flags).start()
        # The three that compute, and nobody else.
        assert service.niceness("millrace-engine") == [max(niceness, usual)] * 3
        assert set(service.niceness("millrace")) == {usual}
        # Nor threads that were started meanwhile by whoever had work for them.
        with service.channel() as channel:
            client = Client(channel)
            for job in client.submit_many(unlike_specs(8, max_tokens=60)):
                client.watch(job.id)
        # The system's name for it is the end of com.apple.root.default-qos.
        assert set(service.niceness("oot.default-qos")) == {usual}
        service.stop()
