"""Uploads with media wait in a queue that has an end; hashes do not wait behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api import serve
from api.problems import NoSlot
from api.settings import Settings
from api.slots import LONGEST_RETRY_S, Queue, Slots, retry_after
from hashdb.model import Role
from tests.fakes import FakeSandbox
from tests.http.conftest import OTHER, PICTURE, Make, Service, part, problem

ASYNC = {"Prefer": "respond-async"}
HASHES = {"sha256": sha256(PICTURE).hexdigest()}
WAIT_S = 30.0


@dataclass
class Held:
    """A sandbox whose decoders do not answer before they are let go."""

    go_on: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self) -> None:
        self.begun.release()
        assert self.go_on.wait(WAIT_S)


@dataclass
class Crowd:
    """Uploads that are sent at once, each by a client of its own."""

    service: Service
    held: Held
    pool: ThreadPoolExecutor
    sent: list[Future[TestResponse]] = field(default_factory=list)

    def upload(self) -> None:
        """Send one, and wait until it is judged."""
        self.sent.append(self.pool.submit(self.service.match, PICTURE))
        assert self.held.begun.acquire(timeout=WAIT_S)

    def answers(self) -> list[TestResponse]:
        self.held.go_on.set()
        return [sent.result(WAIT_S) for sent in self.sent]


@contextmanager
def crowd(make_service: Make, uploads: int, **settings: Any) -> Iterator[Crowd]:
    """A service in which so many uploads are in hand."""
    held = Held()
    service = make_service(sandbox=FakeSandbox(held.wait), **settings)
    with ThreadPoolExecutor(max(uploads, 1)) as pool:
        made = Crowd(service, held, pool)
        try:
            for _ in range(uploads):
                made.upload()
            yield made
        finally:
            held.go_on.set()


def counts(service: Service) -> dict[str, float]:
    told = service.ask(Role.MODERATOR, "GET", "/metrics").text
    lines = [line for line in told.splitlines() if line.startswith("seawall_uploads_in_hand{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


def test_one_too_many_is_sent_away_and_those_in_hand_are_judged(make_service: Make) -> None:
    with crowd(make_service, 2, decoders=1, decode_queue=1) as made:
        refused = made.service.match(OTHER)
        assert refused.status_code == 503
        assert "in hand" in problem(refused, "queue-full")["detail"]
        assert 1 <= int(refused.headers["Retry-After"]) <= LONGEST_RETRY_S
        assert [a.status_code for a in made.answers()] == [200, 200]
        assert made.service.match(OTHER).status_code == 200


def test_hashes_are_judged_beside_a_full_queue(make_service: Make) -> None:
    with crowd(make_service, 2, decoders=1, decode_queue=1) as made:
        answer = made.service.ask(Role.PIPELINE, "POST", "/match", json=HASHES)
        assert answer.status_code == 200
        assert not any(sent.done() for sent in made.sent)


@pytest.mark.parametrize(
    ("role", "path"), [(Role.PIPELINE, "/hash"), (Role.MODERATOR, "/references")]
)
def test_whatever_is_decoded_has_its_place(make_service: Make, role: Role, path: str) -> None:
    with crowd(make_service, 2, decoders=1, decode_queue=1) as made:
        data = {"media": part(OTHER), **({"bank": "attacks"} if path == "/references" else {})}
        problem(made.service.ask(role, "POST", path, data=data), "queue-full")


def test_the_body_of_what_is_sent_away_is_not_read(make_service: Make) -> None:
    class Unread(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

        readline = readinto = read  # type: ignore[assignment]

    with crowd(make_service, 2, decoders=1, decode_queue=1) as made:
        key = made.service.secrets[Role.PIPELINE]
        answer = made.service.client.post(
            "/match",
            headers={"Authorization": f"Bearer {key}"},
            input_stream=Unread(b"x" * 100),
            content_type="multipart/form-data; boundary=b",
            content_length=100,
        )
        problem(answer, "queue-full")


def test_a_promise_needs_no_decoder_now(make_service: Make) -> None:
    with crowd(make_service, 2, decoders=1, decode_queue=1) as made:
        assert made.service.match(OTHER, headers=ASYNC).status_code == 202


def test_bodies_on_their_way_have_an_end_too(make_service: Make) -> None:
    service = make_service(decoders=1, decode_queue=1)
    queue: Queue = service.client.application.extensions["seawall"].queue
    with queue.receiving.taken(), queue.receiving.taken():
        problem(service.match(), "queue-full")
        problem(service.match(headers=ASYNC), "queue-full")
        assert service.ask(Role.PIPELINE, "POST", "/match", json=HASHES).status_code == 200
    assert service.match().status_code == 200


def test_a_place_is_given_back_whatever_happens(make_service: Make) -> None:
    service = make_service(decoders=1, decode_queue=1)
    for _ in range(4):
        problem(service.match(b"text"), "corrupt-media")
        problem(service.match(PICTURE, unknown="1"), "bad-argument")
        problem(service.match(b""), "empty-media")
    assert service.match().status_code == 200


def test_how_many_are_in_hand_is_told(make_service: Make) -> None:
    with crowd(make_service, 3, decoders=2, decode_queue=1) as made:
        assert counts(made.service) == {"receiving": 0.0, "waiting": 1.0, "judging": 2.0}
        made.answers()
    assert set(counts(made.service).values()) == {0.0}


def test_readiness_does_not_wait_behind_the_decoders(make_service: Make) -> None:
    held = Held()
    held.go_on.set()
    service = make_service(sandbox=FakeSandbox(held.wait), decoders=1, decode_queue=1)
    assert service.client.get("/readyz").status_code == 200
    probed = service.parts.sandbox.calls
    queue: Queue = service.client.application.extensions["seawall"].queue
    held.go_on.clear()
    with queue.judging.taken(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.routes.health.PROBE_EVERY_S", 0.0)
        assert service.client.get("/readyz").status_code == 200
    assert service.parts.sandbox.calls == probed


def test_threads_are_left_for_what_has_no_media(tmp_path: Path) -> None:
    settings = Settings(tmp_path, "sqlite://", decoders=3, decode_queue=5)
    queue = Queue.of(settings.decoders, settings.decode_queue)
    options = serve._options(settings, serve.Where("::1", 0, workers=1, threads=7, as_json=False))
    assert options["threads"] - queue.receiving.slots - queue.judging.slots == 7
    assert queue.judging.slots == 8


def test_when_to_come_again_follows_what_was_measured() -> None:
    assert retry_after(10.0, slots=10, decoders=2) == 8
    assert retry_after(10.1, slots=10, decoders=2) == 9
    assert retry_after(0.0, slots=10, decoders=2) == 1
    assert retry_after(1e6, slots=10, decoders=2) == LONGEST_RETRY_S


def clock_of(times: list[float]) -> Callable[[], float]:
    return lambda: times[0]


def test_uploads_that_take_long_put_the_next_try_off() -> None:
    now = [0.0]
    slots = Slots(2, 1, clock=clock_of(now))

    def refusal() -> int:
        with slots.taken(), slots.taken(), pytest.raises(NoSlot) as refused, slots.taken():
            raise AssertionError("there was a third slot")
        return refused.value.retry_after

    assert refusal() == 1
    for _ in range(20):
        with slots.taken():
            now[0] += 40.0
    assert refusal() == pytest.approx(20, abs=1)


def test_those_in_hand_count_before_they_have_ended() -> None:
    now = [0.0]
    slots = Slots(2, 1, clock=clock_of(now))
    with slots.taken(), slots.taken():
        now[0] = 60.0
        with pytest.raises(NoSlot) as refused:
            slots.refuse_if_full()
    assert refused.value.retry_after == 30
