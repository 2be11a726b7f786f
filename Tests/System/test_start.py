"""A service that is told to end before it has started."""

import time

import pytest

from client import Client, spec
from service import wait_until

MARKS = ["Loading a model", "setting up the private PostgreSQL server"]


@pytest.mark.parametrize("mark", MARKS)
def test_a_start_that_is_broken_off_ends_well_and_leaves_nothing(own_service, mark):
    service = own_service()
    service.start(wait=False)
    wait_until(lambda: mark in service.log_text(), 30, mark)
    service.stop()
    assert service.database_pid() is None
    assert "Stopped cleanly" in service.log_text()
    service.start()
    service.stop()


def test_a_start_may_be_broken_off_at_any_moment(own_service):
    service = own_service()
    for tenths in range(0, 12):
        seen = service.log_text().count("Loading a model")
        service.start(wait=False)
        wait_until(
            lambda: service.log_text().count("Loading a model") > seen, 30, "the start"
        )
        moment = time.monotonic() + tenths / 10
        wait_until(lambda: time.monotonic() >= moment)
        service.stop()
        assert service.database_pid() is None
    service.start()
    service.stop()


def test_the_most_slots_that_can_be_set_are_served(own_service):
    service = own_service("--slots", 1024).start()
    with service.channel() as channel:
        assert Client(channel).run(spec(max_tokens=2)).usage.output_tokens == 2
    service.stop()
