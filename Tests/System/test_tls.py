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
    assert submit(service).returncode > 0
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


def test_serve_refuses_certificates_that_it_cannot_use(certificates, model):
    flags = ["serve", "--model", f"story={model}", "--data-dir", certificates / "data"]
    flags += ["--listen", f"127.0.0.1:{free_port()}"]
    missing = run(*flags, "--tls-certificate", "/nowhere", "--tls-key", "/nowhere", timeout=40)
    assert missing.returncode > 0 and b"/nowhere" in missing.stderr
    swapped = ("--tls-certificate", certificates / "server.key")
    done = run(*flags, *swapped, "--tls-key", certificates / "server.pem", timeout=40)
    assert done.returncode > 0 and b"certificate" in done.stderr
