"""TLS and mutual TLS, with certificates made for the test."""

import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import Client, refusal, spec
from service import free_port, make_folder, run, wait_until


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def certificates():
    """An authority, and certificates of a server and a client from it; and one from another."""
    import shutil

    folder = make_folder()
    for authority in ("roots", "others"):
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={authority}"),
            *("-keyout", folder / f"{authority}.key", "-out", folder / f"{authority}.pem"),
        )
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, authority in (("server", "roots"), ("client", "roots"), ("stranger", "others")):
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", folder / f"{name}.key"),
            *("-out", folder / f"{name}.csr"),
        )
        openssl(
            *("x509", "-req", "-in", folder / f"{name}.csr", "-days", "2"),
            *("-CA", folder / f"{authority}.pem", "-CAkey", folder / f"{authority}.key"),
            *("-CAcreateserial", "-extfile", names, "-out", folder / f"{name}.pem"),
        )
    yield folder
    shutil.rmtree(folder)


def channel(service, certificates, name=None, roots="roots"):
    def read(file):
        return (certificates / file).read_bytes()

    credentials = grpc.ssl_channel_credentials(
        read(f"{roots}.pem"),
        read(f"{name}.key") if name else None,
        read(f"{name}.pem") if name else None,
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    made = grpc.secure_channel(service.listen, credentials, options=options)
    service.channels.append(made)
    return made


def start(service, certificates, name=None):
    service.start(wait=False)
    secure = channel(service, certificates, name)
    wait_until(lambda: service.health(secure) == "SERVING", 60, "SERVING over TLS")
    return secure


def unreachable(channel):
    check = health_pb2_grpc.HealthStub(channel).Check
    error = refusal(check, health_pb2.HealthCheckRequest(), timeout=10)
    return error.code() == grpc.StatusCode.UNAVAILABLE


def server_flags(certificates):
    return (
        *("--tls-certificate", certificates / "server.pem"),
        *("--tls-key", certificates / "server.key"),
    )


def submit(service, *flags):
    return run(
        *("submit", "--address", service.listen, "--model", "story", "--prompt", "One day"),
        *("--max-tokens", 5, "--watch", *flags),
    )


def test_a_service_speaks_tls(own_service, certificates):
    service = own_service(*server_flags(certificates), listen=f"127.0.0.1:{free_port()}")
    secure = start(service, certificates)
    assert len(Client(secure).run(spec(max_tokens=5, logit_bias={2: -1_000})).token_ids) == 5
    assert unreachable(service.channel())
    assert unreachable(channel(service, certificates, roots="others"))
    roots = ("--tls-roots", certificates / "roots.pem")
    done = submit(service, *roots)
    assert done.returncode == 0, done.stderr
    without = submit(service)
    assert without.returncode > 0 and b"Does it want TLS? Then give --tls-roots" in without.stderr
    assert submit(service, "--tls-roots", certificates / "others.pem").returncode > 0
    service.stop()


def test_mutual_tls_wants_a_certificate_of_its_clients(own_service, certificates):
    flags = (*server_flags(certificates), "--tls-client-roots", certificates / "roots.pem")
    service = own_service(*flags, listen=f"127.0.0.1:{free_port()}")
    secure = start(service, certificates, "client")
    assert Client(secure).run(spec(max_tokens=5)).token_ids
    assert unreachable(channel(service, certificates))
    assert unreachable(channel(service, certificates, "stranger"))
    roots = ("--tls-roots", certificates / "roots.pem")
    own = (
        *("--tls-certificate", certificates / "client.pem"),
        *("--tls-key", certificates / "client.key"),
    )
    done = submit(service, *roots, *own)
    assert done.returncode == 0, done.stderr
    assert submit(service, *roots).returncode > 0
    service.stop()


@pytest.fixture(scope="module")
def files(certificates):
    """What the words in the tables below stand for: the files above, and some that are no use."""
    folder = certificates
    (folder / "text").write_text("no certificate\n" * 20)
    openssl(
        *("pkey", "-in", folder / "server.key", "-aes128", "-passout", "pass:secret"),
        *("-out", folder / "locked.key"),
    )
    return folder


# The certificate, the key, the roots of the other side; words that the message must hold.
CERTIFICATE, KEY = "--tls-certificate", "--tls-key"
UNUSABLE = [
    ("nowhere", "server.key", "roots.pem", [CERTIFICATE, "/nowhere", "cannot be read"]),
    ("server.pem", "nowhere", "roots.pem", [KEY, "/nowhere", "cannot be read"]),
    ("server.pem", "server.key", "nowhere", ["ROOTS", "/nowhere", "cannot be read"]),
    ("text", "server.key", "roots.pem", [CERTIFICATE, "/text", "no CERTIFICATE in PEM form"]),
    ("server.pem", "text", "roots.pem", [KEY, "/text", "no PRIVATE KEY in PEM form"]),
    ("server.pem", "server.key", "text", ["ROOTS", "/text", "no CERTIFICATE in PEM form"]),
    ("server.key", "server.pem", "roots.pem", [CERTIFICATE, "/server.key", "no CERTIFICATE"]),
    ("server.pem", "locked.key", "roots.pem", [KEY, "/locked.key", "is encrypted", "openssl"]),
    (
        *("server.pem", "client.key", "roots.pem"),
        ["fit", "each other", CERTIFICATE, "/server.pem", KEY, "/client.key"],
    ),
]
IDS = [f"{certificate}-{key}-{roots}" for certificate, key, roots, _ in UNUSABLE]


def expect_refusal(files, roots_flag, command, row):
    certificate, key, roots, words = row
    flags = (CERTIFICATE, files / certificate, KEY, files / key, roots_flag, files / roots)
    done = run(*command, *flags, timeout=40)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    for word in words:
        assert word.replace("ROOTS", roots_flag) in said, said


@pytest.mark.parametrize("row", UNUSABLE, ids=IDS)
def test_serve_names_the_flag_and_the_file_that_it_cannot_use(files, model, row):
    command = ["serve", "--model", f"story={model}", "--data-dir", files / "data"]
    command += ["--listen", f"127.0.0.1:{free_port()}"]
    expect_refusal(files, "--tls-client-roots", command, row)
    if "each other" not in row[-1]:
        # Seen before anything was started.
        assert not (files / "data").exists()


@pytest.mark.parametrize("row", UNUSABLE, ids=IDS)
def test_a_client_names_the_flag_and_the_file_that_it_cannot_use(files, row):
    command = ["list", "--address", f"127.0.0.1:{free_port()}"]
    expect_refusal(files, "--tls-roots", command, row)
