"""POST /match and /hash, verdicts."""

from __future__ import annotations

import io
import json
import re
from hashlib import sha256
from urllib.parse import quote

import pytest

from api.schemas import VerdictOut
from hashdb.model import Role
from tests.http.conftest import OTHER, PICTURE, Service, part, problem


def test_an_unknown_upload_is_allowed_with_its_evidence(service: Service) -> None:
    service.bank()
    service.reference()
    answer = service.match(OTHER, upload_id="u1")
    assert answer.status_code == 200
    body = answer.json
    assert (body["upload_id"], body["action"], body["matches"]) == ("u1", "allow", [])
    assert VerdictOut.model_validate_json(answer.data)
    assert body["policy_version"]
    assert body["timings_ms"]["total"] > 0


def test_the_reference_itself_is_blocked(service: Service) -> None:
    service.bank(label="terror")
    reference = service.reference()
    body = service.match().json
    assert body["action"] == "block"
    (match,) = body["matches"]
    assert match["reference_id"] == reference["id"]
    assert (match["bank"], match["label"], match["exact"]) == ("attacks", "terror", True)
    assert (match["score"], match["score_bounds"]) == (1.0, None)
    assert match["segments"] == [
        {
            "query": {"start": 0.0, "end": 0.0},
            "reference": {"start": 0.0, "end": 0.0},
            "backwards": False,
        }
    ]
    assert body["upload_id"].startswith("upl_")


A, B = ('"' + letter * 64 + '"' for letter in "ab")
TWICE = f'{{"signal_type": "pdq", "frames": [{{"offset": 0, "hash": {A}, "hash" : {B}}}]}}'


@pytest.mark.parametrize(
    ("members", "pointers"),
    [
        (f'"sha256": {B}', ["/sha256"]),
        (f'"sh\\u0061256": {B}', ["/sha256"]),
        (f'"fingerprints": [{TWICE}]', ["/fingerprints/0/frames/0/hash"]),
        (f'"fingerprints": [{TWICE}], "fingerprints": []', ["/fingerprints"]),
        ('"metadata": {"u": "https://a", "a/b": {"x": 1, "x": 1}}', ["/metadata/a~1b/x"]),
        ('"kind": "image", "md5": null, "kind": "video", "md5": null', ["/kind", "/md5"]),
    ],
)
def test_a_member_that_is_named_twice_is_refused(
    service: Service, members: str, pointers: list[str]
) -> None:
    """One parser takes the first, another the last: a hash that is banned must not hide so."""
    body = f'{{"sha256": {A}, {members}}}'
    answer = service.ask(
        Role.PIPELINE, "POST", "/match", data=body, content_type="application/json"
    )
    assert answer.status_code == 400, answer.text
    errors = problem(answer, "bad-argument")["errors"]
    assert sorted(e["pointer"] for e in errors) == pointers


def test_colons_in_texts_and_long_numbers_are_no_members(service: Service) -> None:
    metadata = f'{{"url": "https://a:1/b", "n": {"9" * 4000}, "at": [{{"x": ":"}}, {{"x": 1}}]}}'
    body = f'{{"sha256": "{1:064x}", "upload_id": "a:b", "metadata": {metadata}}}'
    answer = service.ask(
        Role.PIPELINE, "POST", "/match", data=body, content_type="application/json"
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("metadata", '{"a": 1, "a": 2}'),
        ("classifications", '[{"label": "x", "score": 0.99, "score": 0.01}]'),
    ],
)
def test_nor_is_it_taken_in_a_form_field(service: Service, field: str, text: str) -> None:
    errors = problem(service.match(OTHER, **{field: text}), "bad-argument")["errors"]
    assert [e["pointer"] for e in errors] == [f"/{field}"]


@pytest.mark.parametrize("given", [{"upload_id": "u1"}, {}], ids=["the caller's id", "one made"])
def test_the_same_upload_gets_the_same_verdict(service: Service, given: dict[str, str]) -> None:
    service.bank()
    before = service.match(**given)
    same = before.json["upload_id"]
    service.reference()
    assert service.match(upload_id=same).json == before.json
    assert service.match().json["action"] == "block"
    problem(service.match(OTHER, upload_id=same), "upload-conflict")


def test_an_upload_id_belongs_to_its_key(service: Service) -> None:
    service.match(upload_id="u1")
    other = service.ask(
        Role.ADMIN, "POST", "/match", data={"media": part(OTHER), "upload_id": "u1"}
    )
    assert other.status_code == 200


def test_a_verdict_can_be_asked_for_again(service: Service) -> None:
    sent = service.match(upload_id="folder/u 1".replace(" ", "-"))
    found = service.ask(Role.PIPELINE, "GET", "/verdicts/folder/u-1")
    assert found.json == {**sent.json, "found_later": None, "decision": None}
    assert service.ask(Role.MODERATOR, "GET", "/verdicts/folder%2Fu-1").json == found.json


def test_a_pipeline_does_not_see_the_uploads_of_others(service: Service) -> None:
    service.ask(Role.ADMIN, "POST", "/match", data={"media": part(OTHER), "upload_id": "u1"})
    problem(service.ask(Role.PIPELINE, "GET", "/verdicts/u1"), "not-found")


def test_classifications_and_metadata_come_back_or_are_kept(service: Service) -> None:
    given = [{"label": "gore", "score": 0.25}]
    body = service.match(
        OTHER, classifications=json.dumps(given), metadata=json.dumps({"user": "7"})
    ).json
    assert body["classifications"] == [{"label": "gore", "score": 0.25, "source": "caller"}]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"classifications": "no json"}, "/classifications"),
        ({"classifications": '[{"label": "x", "score": 1.5}]'}, "/classifications/0/score"),
        ({"classifications": '[{"label": "x", "score": NaN}]'}, "/classifications/0/score"),
        ({"classifications": '{"label": "x"}'}, "/classifications"),
        ({"metadata": "[1]"}, "/metadata"),
        ({"metadata": '{"a": "\\u0000"}'}, "/metadata"),
        ({"upload_id": ""}, "/upload_id"),
        ({"upload_id": "a b"}, "/upload_id"),
        ({"upload_id": "x" * 201}, "/upload_id"),
        ({"uplaod_id": "u"}, "/uplaod_id"),
        ({"upload_id": ["a", "b"]}, "/upload_id"),
    ],
)
def test_bad_form_fields_are_named(service: Service, fields: dict[str, str], pointer: str) -> None:
    body = problem(service.match(**fields), "bad-argument")
    assert [e["pointer"] for e in body["errors"]] == [pointer]


def test_media_must_be_one_file(service: Service) -> None:
    def ask(data: dict[str, object]) -> list[dict[str, str]]:
        answer = service.ask(
            Role.PIPELINE, "POST", "/match", data=data, content_type="multipart/form-data"
        )
        errors: list[dict[str, str]] = problem(answer, "bad-argument")["errors"]
        return errors

    assert ask({})[0]["detail"] == "is missing"
    assert "file" in ask({"media": "text"})[0]["detail"]
    assert ask({"media": [part(b"1"), part(b"2")]})[0]["pointer"] == "/media"
    assert ask({"media": part(b"1"), "thumb": part(b"2")})[0]["pointer"] == "/thumb"


def test_media_that_cannot_be_judged_is_a_problem(service: Service) -> None:
    problem(service.match(b"text"), "corrupt-media")
    problem(service.match(b""), "empty-media")
    assert service.ask(Role.MODERATOR, "GET", "/reviews").json["items"] == []


def test_the_limit_of_bytes(service: Service) -> None:
    limit = 1024 * 1024
    assert service.match(PICTURE.ljust(limit, b"x")).status_code == 200
    problem(service.match(PICTURE.ljust(limit + 1, b"x")), "media-too-large")
    problem(service.match(PICTURE.ljust(5 * limit, b"x")), "media-too-large")


def test_a_body_of_unknown_length_is_limited_too(service: Service) -> None:
    head = b"--b\r\nContent-Disposition: form-data; name=media; filename=a\r\n\r\n" + PICTURE
    body = head + bytes(4 * 1024 * 1024) + b"\r\n--b--\r\n"
    answer = service.ask(
        Role.PIPELINE,
        "POST",
        "/match",
        input_stream=io.BytesIO(body),
        content_type="multipart/form-data; boundary=b",
        environ_overrides={"wsgi.input_terminated": True},
    )
    problem(answer, "media-too-large")


def test_no_upload_stays_behind(service: Service) -> None:
    service.match()
    service.match(b"text")
    service.match(bytes(3 * 1024 * 1024))
    assert list((service.parts.settings.data_dir / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n\r\n",
        b"--b\r\nContent-Disposition: form-data; name=media; filename=a\r\n\r\nhalf",
        b"--b\r\nContent-Disposition: nonsense\r\n\r\nx\r\n--b--\r\n",
        b"\xff\xfe",
    ],
)
def test_broken_multipart_is_no_fault(service: Service, body: bytes) -> None:
    answer = service.ask(
        Role.PIPELINE,
        "POST",
        "/match",
        data=body,
        content_type="multipart/form-data; boundary=b",
    )
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("given", ["", "; boundary=", "; boundary=q"])
def test_multipart_without_its_boundary_is_broken(service: Service, given: str) -> None:
    kind = f"multipart/form-data{given}"
    answer = service.ask(Role.PIPELINE, "POST", "/match", data=b"x", content_type=kind)
    problem(answer, "bad-request")


def test_other_bodies_are_refused(service: Service) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "image/png", None):
        answer = service.ask(Role.PIPELINE, "POST", "/match", data=b"{}", content_type=content_type)
        problem(answer, "unsupported-content-type")


# Hashes


def hashes(**more: object) -> dict[str, object]:
    code = sha256(PICTURE).hexdigest()
    frame = {"offset": 0.0, "hash": code, "quality": 93}
    return {"fingerprints": [{"signal_type": "pdq", "frames": [frame]}], **more}


def ask_hashes(service: Service, body: object) -> object:
    return service.ask(Role.PIPELINE, "POST", "/match", json=body)


def test_an_upload_hashed_at_the_edge_is_judged(service: Service) -> None:
    service.bank()
    service.reference()
    body = service.ask(Role.PIPELINE, "POST", "/match", json=hashes(upload_id="e1")).json
    assert (body["upload_id"], body["action"]) == ("e1", "block")
    (signal,) = body["matches"][0]["signals"]
    assert signal["signal_type"] == "pdq"
    assert 0.9 < signal["score"] <= 1


def test_a_known_sha256_is_enough(service: Service) -> None:
    service.bank()
    service.reference()
    body = {"sha256": sha256(PICTURE).hexdigest().upper()}
    answer = service.ask(Role.PIPELINE, "POST", "/match", json=body)
    assert answer.json["action"] == "block"


def test_an_unknown_digest_alone_is_never_allowed(service: Service) -> None:
    answer = service.ask(Role.PIPELINE, "POST", "/match", json={"sha256": "0" * 64})
    assert answer.json["action"] == "review"


def test_a_vpdq_list_is_judged(service: Service) -> None:
    code = sha256(PICTURE).hexdigest()
    service.bank()
    service.reference()
    sent = {"signal_type": "vpdq", "list": f"0,100,{code},0.000\n"}
    answer = service.ask(Role.PIPELINE, "POST", "/match", json={"fingerprints": [sent]})
    assert answer.json["matches"][0]["signals"][0]["signal_type"] == "pdq"
    sent = {"signal_type": "vpdq", "list": "nonsense"}
    answer = service.ask(Role.PIPELINE, "POST", "/match", json={"fingerprints": [sent]})
    assert problem(answer, "bad-argument")["errors"][0]["pointer"] == "/fingerprints/0/list"


def test_hashes_are_idempotent_by_their_content(service: Service) -> None:
    first = service.ask(Role.PIPELINE, "POST", "/match", json=hashes(upload_id="e1"))
    again = hashes(upload_id="e1", metadata={"try": 2})
    assert service.ask(Role.PIPELINE, "POST", "/match", json=again).json == first.json
    other = {**hashes(upload_id="e1"), "sha256": "0" * 64}
    problem(service.ask(Role.PIPELINE, "POST", "/match", json=other), "upload-conflict")


def _with(frame: dict[str, object]) -> dict[str, object]:
    whole = {"quality": 90, **frame}
    return {"fingerprints": [{"signal_type": "pdq", "frames": [whole]}]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ([], ""),
        ({"fingerprints": []}, ""),
        ({"sha256": "xyz"}, "/sha256"),
        ({"sha256": "0" * 64, "extra": 1}, "/extra"),
        ({"fingerprints": [{"signal_type": "md6", "frames": []}]}, "/fingerprints/0"),
        (_with({"offset": 0, "hash": "zz"}), "/fingerprints/0/frames/0/hash"),
        (_with({"offset": -1, "hash": "0" * 64}), "/fingerprints/0/frames/0/offset"),
        (_with({"offset": 1e300, "hash": "0" * 64}), "/fingerprints/0/frames/0/offset"),
        (_with({"offset": "0", "hash": "0" * 64}), "/fingerprints/0/frames/0/offset"),
        (_with({"offset": True, "hash": "0" * 64}), "/fingerprints/0/frames/0/offset"),
        (
            _with({"offset": 0, "hash": "0" * 64, "quality": 101}),
            "/fingerprints/0/frames/0/quality",
        ),
    ],
)
def test_bad_json_is_pointed_at(service: Service, body: object, pointer: str) -> None:
    answer = service.ask(Role.PIPELINE, "POST", "/match", json=body)
    assert problem(answer, "bad-argument")["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"metadata":' + b'{"a":' * 50_000,
        b'{"sha256": "' + b"0" * 64 + b'", "metadata": {"a": NaN}}',
        b'{"sha256": "' + b"0" * 64 + b'", "upload_id": "\\ud800"}',
        b'{"sha256": "' + b"0" * 64 + b'", "duration": Infinity}',
    ],
)
def test_what_is_no_json_is_a_problem(service: Service, raw: bytes) -> None:
    answer = service.ask(Role.PIPELINE, "POST", "/match", data=raw, content_type="application/json")
    problem(answer, "bad-argument")


def test_too_many_frames(service: Service) -> None:
    frame = '{"offset":1,"hash":"0000000000000000"}'
    frames = ",".join([frame] * 100_001)
    one = f'{{"signal_type":"phash","frames":[{frames}]}}'
    body = f'{{"fingerprints":[{one},{one}]}}'
    answer = service.ask(
        Role.PIPELINE, "POST", "/match", data=body, content_type="application/json"
    )
    assert "200000" in problem(answer, "bad-argument")["detail"]


# Hashing


def test_what_hash_answers_is_what_match_takes(service: Service) -> None:
    service.bank()
    service.reference()
    answer = service.ask(Role.PIPELINE, "POST", "/hash", data={"media": part(PICTURE)})
    body = answer.json
    assert body["sha256"] == sha256(PICTURE).hexdigest()
    sent = {"fingerprints": body["fingerprints"]}
    assert service.ask(Role.PIPELINE, "POST", "/match", json=sent).json["action"] == "block"


def test_hash_refuses_what_it_cannot_decode(service: Service) -> None:
    answer = service.ask(Role.PIPELINE, "POST", "/hash", data={"media": part(b"x")})
    problem(answer, "corrupt-media")


def test_a_failing_disk_is_no_fault_of_the_caller(service: Service) -> None:
    service.parts.settings.data_dir.mkdir(exist_ok=True)
    (service.parts.settings.data_dir / "tmp").write_text("a file where a folder should be")
    answer = service.match()
    body = problem(answer, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert str(service.parts.settings.data_dir) not in body["detail"]


@pytest.mark.parametrize("path", ["/match", "/hash"])
def test_a_small_upload_finds_a_full_disk(
    service: Service, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> object:
        return open("/dev/full", "r+b")

    monkeypatch.setattr("api.uploads.tempfile.TemporaryFile", full)
    for media in (PICTURE, PICTURE + bytes(100_000)):  # within a buffer, and beyond it
        answer = service.ask(Role.PIPELINE, "POST", path, data={"media": part(media)})
        problem(answer, "unavailable")


def test_a_verdict_as_a_picture(service: Service) -> None:
    service.bank()
    service.reference()
    upload_id = service.match().json["upload_id"]
    answer = service.ask(Role.PIPELINE, "GET", f"/timelines/{upload_id}")
    assert answer.status_code == 200
    assert answer.mimetype == "image/svg+xml"
    assert upload_id in answer.text
    assert "<polygon" in answer.text
    missing = service.ask(Role.PIPELINE, "GET", "/timelines/none")
    assert missing.status_code == 404


@pytest.mark.parametrize(
    "upload_id",
    ["/first", "a\x85b", "a\u2028b", "a\u2029b", "a\nb", "a\x7f", "a b", ""],
)
def test_upload_ids_that_are_no_part_of_a_path(service: Service, upload_id: str) -> None:
    problem(service.match(upload_id=upload_id), "bad-argument")
    sent = hashes(upload_id=upload_id)
    answer = service.ask(Role.PIPELINE, "POST", "/match", json=sent)
    assert problem(answer, "bad-argument")["errors"][0]["pointer"] == "/upload_id"


@pytest.mark.parametrize(
    "upload_id", ["a/b", "a//b/", "u1/timeline.svg", "100%", "a?b=c", "a#b", "ü.mp4"]
)
def test_what_can_be_sent_can_be_read_back(service: Service, upload_id: str) -> None:
    service.match(upload_id="u1")
    sent = service.match(upload_id=upload_id).json
    path = quote(upload_id, safe="/")
    found = service.ask(Role.PIPELINE, "GET", f"/verdicts/{path}")
    assert found.json == {**sent, "found_later": None, "decision": None}
    picture = service.ask(Role.PIPELINE, "GET", f"/timelines/{path}")
    assert upload_id in picture.text


def _counted(service: Service) -> tuple[float, float]:
    text = service.ask(Role.MODERATOR, "GET", "/metrics").text
    verdicts = re.findall(r"^seawall_verdicts_total\{.*\} (.*)$", text, re.M)
    stages = re.findall(r'^seawall_stage_seconds_count\{stage="total"\} (.*)$', text, re.M)
    return sum(map(float, verdicts)), sum(map(float, stages))


def test_a_verdict_that_is_given_again_is_counted_once(service: Service) -> None:
    for _ in range(3):
        service.match(upload_id="u1")
        service.ask(Role.PIPELINE, "POST", "/match", json=hashes(upload_id="e1"))
    assert _counted(service) == (2.0, 2.0)


def test_a_line_of_the_hash_command_is_what_match_takes(service: Service) -> None:
    service.bank()
    service.reference()
    answer = service.ask(Role.PIPELINE, "POST", "/hash", data={"media": part(PICTURE)})
    line = {"file": "a.png", **answer.json}
    assert "coverage" in line
    first = service.ask(Role.PIPELINE, "POST", "/match", json={**line, "upload_id": "e1"})
    assert first.json["action"] == "block"
    other = {**line, "upload_id": "e1", "file": "b.png", "coverage": None}
    assert service.ask(Role.PIPELINE, "POST", "/match", json=other).json == first.json


def test_frames_without_a_quality_and_with_no_pictures_hash_are_no_look(service: Service) -> None:
    frames = [{"offset": 0.0, "hash": "0" * 64}]
    body = {"fingerprints": [{"signal_type": "pdq", "frames": frames}]}
    answer = service.ask(Role.PIPELINE, "POST", "/match", json=body)
    assert answer.json["action"] == "review"
    assert answer.json["reason"]["code"] == "only_flat_frames"
