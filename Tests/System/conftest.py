"""What the tests are given: a model, a running service, a client of it."""

import os
import pathlib
import shutil

import pytest

import fixture_model
from client import Client
from service import Service, make_folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows the services' logs with a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("service", "own_service"):
            service = item.funcargs.get(name)
            for each in service.made if name == "own_service" and service else [service]:
                if each is not None:
                    report.sections.append((f"log of {name}", each.log_text()))


@pytest.fixture(scope="session")
def conformance():
    """The folder of another engine's results, or None."""
    path = os.environ.get("MILLRACE_CONFORMANCE")
    return pathlib.Path(path) if path else None


@pytest.fixture(scope="session")
def model(conformance):
    """A model file: a real one where there is one."""
    if conformance:
        yield conformance / "stories260K.gguf"
        return
    folder = make_folder()
    fixture_model.write(folder / "model.gguf")
    yield folder / "model.gguf"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def service(model):
    """One service for all tests that leave it as they found it."""
    service = Service(model)
    try:
        yield service.start()
        service.stop()
    finally:
        service.remove()


@pytest.fixture
def client(service):
    """A client with a tenant of its own."""
    with service.channel() as channel:
        yield Client(channel)


@pytest.fixture
def own_service(model):
    """Makes services for one test alone."""

    def make(*flags, **fields):
        service = Service(model, *flags, **fields)
        make.made.append(service)
        return service

    make.made = []
    yield make
    for service in make.made:
        service.remove()
