"""The log tells what happens, and never what users write."""

import uuid

from client import Client, refusal, spec


def test_the_log_holds_no_prompt_at_any_level(own_service):
    service = own_service("--log-level", "trace").start()
    client = Client(service.channel())
    secret = uuid.uuid4().hex
    job = client.run(spec(f"The secret is {secret}", max_tokens=5, labels={"label": secret}))
    refusal(client.submit, spec(f"\0{secret}"))
    refusal(client.submit, spec(f"{secret} " * 600))
    refusal(client.submit, spec(stop=[secret * 20]))
    service.kill_database()
    client.follow(job.id)
    service.wait_until_serving()
    service.stop()
    assert service.log_text(1 << 30)
    folder = service.data / "postgres" / "data" / "log"
    database = "".join(path.read_text(errors="replace") for path in folder.glob("*"))
    assert secret not in service.log_text(1 << 30)
    assert secret not in database
