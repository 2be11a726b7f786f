"""A client of the service as its users write them: generated stubs and a few lines."""

import dataclasses
import time
import uuid

import grpc
from google.rpc import error_details_pb2, status_pb2
from millrace.v1 import (
    admin_service_pb2_grpc,
    generation_pb2,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    model_service_pb2_grpc,
)

ENDED = {
    job_pb2.JOB_STATE_SUCCEEDED,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
    job_pb2.JOB_STATE_EXPIRED,
}
PROMPTS = [
    "Once upon a time",
    "Lily and Tom went to the park",
    "The little dog was sad because",
    "One day, a bird",
    "",
]


def spec(prompt="Once upon a time", **fields):
    """A specification; sampling parameters and fields of the spec are told apart by name."""
    sampling = {
        name: fields.pop(name)
        for name in list(fields)
        if name in generation_pb2.SamplingParameters.DESCRIPTOR.fields_by_name
    }
    if prompt is not None:
        fields["prompt"] = prompt
    fields.setdefault("model", "story")
    return generation_pb2.GenerationSpec(
        sampling=generation_pb2.SamplingParameters(**sampling), **fields
    )


def unlike_specs(count, max_tokens=300):
    """Specifications that all differ, each with a fixed seed; a quarter of them greedy.

    The bias keeps the model from ending its story early.
    """
    return [
        spec(
            PROMPTS[index % len(PROMPTS)],
            max_tokens=max_tokens,
            temperature=0 if index % 4 == 0 else 1,
            seed=1_000 + index,
            logit_bias={2: -1_000, 1: -1_000},
        )
        for index in range(count)
    ]


@dataclasses.dataclass
class Watched:
    """What a watcher has received so far."""

    tokens: list = dataclasses.field(default_factory=list)
    text: str = ""
    logprobs: list = dataclasses.field(default_factory=list)
    states: list = dataclasses.field(default_factory=list)
    # Of each output, its tokens and its text.
    outputs: dict = dataclasses.field(default_factory=dict)
    next: int = 0
    finished: job_pb2.Job | None = None

    def take(self, event):
        """Adds an event; tokens must begin where those before ended."""
        kind = event.WhichOneof("event")
        assert self.finished is None, f"{kind} after finished"
        if kind == "tokens":
            assert event.tokens.first_index == self.next, "a gap or a repeat"
            assert event.tokens.token_ids, "an event without tokens"
            self.tokens += event.tokens.token_ids
            self.logprobs += event.tokens.logprobs
            self.text += event.tokens.text
            output = self.outputs.setdefault(event.tokens.output, [[], ""])
            output[0] += event.tokens.token_ids
            output[1] += event.tokens.text
            self.next += len(event.tokens.token_ids)
        elif kind == "state":
            self.states.append(event.state.state)
        elif kind == "finished":
            self.finished = event.finished
        else:
            raise AssertionError("an event without content")


class Client:
    """Stubs of all services over one channel, for one tenant."""

    def __init__(self, channel, tenant=None):
        self.channel = channel
        self.jobs = job_service_pb2_grpc.JobServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(channel)
        tenant = tenant or f"test-{uuid.uuid4()}"
        self.metadata = [("millrace-tenant", tenant)]

    def call(self, method, request, timeout=30):
        return method(request, timeout=timeout, metadata=self.metadata)

    def submit(self, spec, request_id="", timeout=30):
        request = job_service_pb2.SubmitJobRequest(spec=spec, request_id=request_id)
        return self.call(self.jobs.SubmitJob, request, timeout)

    def submit_many(self, specs):
        request = job_service_pb2.BatchSubmitJobsRequest()
        for each in specs:
            request.requests.add(spec=each)
        return list(self.call(self.jobs.BatchSubmitJobs, request).jobs)

    def get(self, id):
        return self.call(self.jobs.GetJob, job_service_pb2.GetJobRequest(id=id))

    def cancel(self, id):
        return self.call(self.jobs.CancelJob, job_service_pb2.CancelJobRequest(id=id))

    def list(self, **fields):
        return self.call(
            self.jobs.ListJobs, job_service_pb2.ListJobsRequest(**fields)
        )

    def events(self, id, from_token=0, timeout=90):
        request = job_service_pb2.WatchJobRequest(id=id, from_token=from_token)
        return self.jobs.WatchJob(request, timeout=timeout, metadata=self.metadata)

    def generate(self, spec, request_id="", timeout=90):
        request = job_service_pb2.SubmitJobRequest(spec=spec, request_id=request_id)
        return self.jobs.Generate(request, timeout=timeout, metadata=self.metadata)

    def watch(self, id, from_token=0, timeout=90):
        """Watches to the end of the job."""
        watched = Watched(next=from_token)
        for event in self.events(id, from_token, timeout):
            watched.take(event)
        assert watched.finished is not None, "the stream ended without `finished`"
        return watched

    def follow(self, id, watched=None, seconds=120):
        """Watches to the end, connecting again from the next token whenever the service is gone.

        Returns what was received and how often it had to connect again.
        """
        watched = watched or Watched()
        interruptions = 0
        deadline = time.monotonic() + seconds
        while watched.finished is None:
            try:
                for event in self.events(id, watched.next):
                    watched.take(event)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                assert time.monotonic() < deadline, "the service did not come back"
                interruptions += 1
                time.sleep(0.05)
        return watched, interruptions

    def run(self, spec):
        """Submits and watches; returns the job with its output."""
        job = self.submit(spec)
        self.watch(job.id)
        return self.get(job.id)


def outputs(jobs):
    """What must be the same in each run of the same specifications."""
    return [(list(job.token_ids), job.text, job.finish_reason) for job in jobs]


def every_output(job):
    """The same of one job with several outputs: each of them."""
    return [
        (list(each.token_ids), each.text, each.finish_reason) for each in [job, *job.alternatives]
    ]


def details(error):
    """The ErrorInfo, the names of bad fields and the RetryInfo of a failed call."""
    metadata = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    found = {}
    for kind in ("ErrorInfo", "BadRequest", "RetryInfo"):
        message = getattr(error_details_pb2, kind)()
        matches = [any for any in status.details if any.Is(message.DESCRIPTOR)]
        assert len(matches) <= 1
        if matches:
            matches[0].Unpack(message)
            found[kind] = message
    return found


def refusal(call, *arguments, **fields):
    """The error of a call that must fail."""
    try:
        result = call(*arguments, **fields)
        if hasattr(result, "__next__"):
            result = list(result)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"the call succeeded: {result}")
