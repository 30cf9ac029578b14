"""Classifiers against real things: an ONNX model built here, and a real HTTP server that runs it.

The model's probabilities are the mean red, green and blue of a picture, so that every test knows
what must come out.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hashdb.errors import BadSetting, ClassifierUnavailable
from hashdb.model import Classification
from matcher.classifiers.breaker import CircuitBreaker
from matcher.classifiers.onnx import OnnxClassifier
from matcher.classifiers.remote import RemoteClassifier
from matcher.ports import Picture
from matcher.tensor import Normalise

LABELS = ("red", "green", "blue")


def colour(r: int, g: int, b: int, side: int = 224) -> Picture:
    return np.full((side, side, 3), (r, g, b), dtype=np.uint8)


def build(
    path: Path,
    *,
    shape: Sequence[Any] = ("n", 3, 224, 224),
    integers: bool = False,
    outputs: int = 3,
    scale: float = 1.0,
) -> Path:
    """A model that gives the mean colour (times `scale`) of (n, 3, h, w) or (n, h, w, 3) pictures,
    floats in 0 to 1 or integers in 0 to 255."""
    kind = TensorProto.UINT8 if integers else TensorProto.FLOAT
    axes = [1, 2] if shape[3] == 3 else [2, 3]
    factor = np.array([scale / 255 if integers else scale], dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["m", "factor"], ["all"]),
        helper.make_node("Slice", ["all", "start", "end", "axis"], ["y"]),
    ]
    constants = {
        "factor": factor,
        "start": np.array([0], dtype=np.int64),
        "end": np.array([outputs], dtype=np.int64),
        "axis": np.array([1], dtype=np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "mean-colour",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], outputs])],
        [onnx.numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def scores(found: Sequence[Classification]) -> dict[str, float]:
    return {c.label: round(c.score, 3) for c in found}


class TestOnnx:
    def test_probabilities_of_a_real_model(self, tmp_path: Path):
        model = OnnxClassifier(build(tmp_path / "mean.onnx"), LABELS)
        found = model.classify([colour(255, 51, 0)])
        assert [c.label for c in found] == list(LABELS)
        assert scores(found) == {"red": 1.0, "green": 0.2, "blue": 0.0}
        assert {c.source for c in found} == {"onnx:mean"}

    def test_the_highest_of_all_pictures_counts(self, tmp_path: Path):
        model = OnnxClassifier(build(tmp_path / "m.onnx"), LABELS)
        found = model.classify([colour(255, 0, 0), colour(0, 51, 0), colour(0, 102, 0)])
        assert scores(found) == {"red": 1.0, "green": 0.4, "blue": 0.0}
        assert model.classify([]) == ()

    @pytest.mark.parametrize(
        ("shape", "integers"),
        [
            (("n", 224, 224, 3), False),
            (("n", 64, 64, 3), True),
            ((1, 3, 32, 48), False),
            ((4, 3, 32, 32), True),
            (("n", 3, "h", "w"), False),
        ],
    )
    def test_layout_size_type_and_batch_are_read_off_the_model(
        self, tmp_path: Path, shape: Sequence[Any], integers: bool
    ):
        path = build(tmp_path / "m.onnx", shape=shape, integers=integers)
        found = OnnxClassifier(path, LABELS).classify(
            [colour(255, 51, 0), colour(0, 102, 0), colour(0, 0, 204)]
        )
        assert scores(found) == {"red": 1.0, "green": 0.4, "blue": 0.8}

    def test_the_manifest_says_what_the_model_does_not(self, tmp_path: Path):
        path = build(tmp_path / "m.onnx", shape=("n", "a", "b", "c"), outputs=2, scale=4.0)
        path.with_suffix(".toml").write_text(
            """
            labels = ["safe", "gore"]
            activation = "softmax"
            layout = "NCHW"
            mean = [0.5, 0.5, 0.5]
            std = [0.5, 0.5, 0.5]
            """
        )
        found = OnnxClassifier(path).classify([colour(0, 255, 0)])
        gore = 1 / (1 + np.exp(-8.0))  # the logits are 4 * -1 and 4 * 1
        assert scores(found) == {"safe": round(1 - gore, 3), "gore": round(gore, 3)}

    def test_sigmoid(self, tmp_path: Path):
        path = build(tmp_path / "m.onnx", outputs=1, scale=2.0)
        path.with_suffix(".toml").write_text('labels = ["gore"]\nactivation = "sigmoid"')
        found = OnnxClassifier(path).classify([colour(255, 0, 0)])
        assert scores(found) == {"gore": round(float(1 / (1 + np.exp(-2.0))), 3)}

    def test_logits_that_no_manifest_explains_are_not_taken_for_probabilities(self, tmp_path: Path):
        path = build(tmp_path / "m.onnx", scale=4.0)
        with pytest.raises(BadSetting, match="outside 0 to 1"):
            OnnxClassifier(path, LABELS)
        low = OnnxClassifier(build(tmp_path / "l.onnx", scale=1.9), LABELS)
        with pytest.raises(ClassifierUnavailable, match="outside 0 to 1"):
            low.classify([colour(255, 0, 0)])

    @pytest.mark.parametrize(
        ("manifest", "complaint"),
        [
            ("labels = 3", "labels: "),
            ("nosuch = 1", "nosuch: "),
            ('activation = "relu"', "activation: "),
            ("std = [0.0, 1.0, 1.0]", "std.0: "),
            ("mean = [0.0]", "mean: "),
            ("oops", "cannot be read"),
            ('labels = ["a", "b"]', "does not fit 2 labels"),
            ("", "no labels are set"),
            ('labels = ["a", "b", "c"]\noutput = "z"', "the model failed"),
        ],
    )
    def test_a_bad_manifest_is_refused_at_the_start(
        self, tmp_path: Path, manifest: str, complaint: str
    ):
        path = build(tmp_path / "m.onnx")
        path.with_suffix(".toml").write_text(manifest)
        with pytest.raises(BadSetting, match=complaint):
            OnnxClassifier(path)

    def test_a_bad_model_is_refused_at_the_start(self, tmp_path: Path):
        (tmp_path / "text.onnx").write_text("no model")
        for name in ("text.onnx", "missing.onnx"):
            with pytest.raises(BadSetting, match="no model that ONNX Runtime can run"):
                OnnxClassifier(tmp_path / name, LABELS)
        for shape in [("n", 3, 4096, 16), (1000, 3, 16, 16)]:
            with pytest.raises(BadSetting, match="is too large"):
                OnnxClassifier(build(tmp_path / "large.onnx", shape=shape), LABELS)
        grey = build(tmp_path / "grey.onnx", shape=("n", 1, 224, 224), outputs=1)
        with pytest.raises(BadSetting, match="does not say where its 3 colours are"):
            OnnxClassifier(grey, ["x"])

    def test_without_onnx_runtime_the_setting_says_what_to_install(self, tmp_path: Path):
        """In a Python that cannot import onnxruntime; all else must import without it."""
        path = build(tmp_path / "m.onnx")
        program = (
            "import sys; sys.modules['onnxruntime'] = None\n"
            "from pathlib import Path\n"
            "from matcher.classifiers.onnx import OnnxClassifier\n"
            f"OnnxClassifier(Path({str(path)!r}), ['a'])"
        )
        root = Path(__file__).parents[2]
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
        )
        assert run.returncode == 1
        assert "BadSetting" in run.stderr
        assert "pip install 'seawall[onnx]'" in run.stderr


class Server:
    """An Open Inference Protocol server on loopback around an ONNX model; `mood` makes it fail."""

    def __init__(self, model: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self.mood = "good"
        self.requests: list[tuple[str, str]] = []
        self.metadata_labels: list[str] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, b"")

            def do_POST(self) -> None:
                outer.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.requests.append((handler.command, handler.path))
        if handler.command == "GET":
            reply = self.metadata()
        elif self.mood == "slow":
            time.sleep(1.0)
            reply = self.infer(body)
        else:
            reply = self.infer(body)
        data = json.dumps(reply).encode()
        status = 200
        if handler.command == "POST" and self.mood in MOODS:
            status, data = MOODS[self.mood]
        with contextlib.suppress(OSError):  # the client may have gone
            self.send(handler, status, data)

    def send(self, handler: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        if status == 307:
            handler.send_header("Location", self.url + "/elsewhere")
        handler.end_headers()
        if self.mood != "dripping" or handler.command == "GET":
            handler.wfile.write(data)
            return
        for byte in data:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)

    def metadata(self) -> dict[str, Any]:
        x, y = self.session.get_inputs()[0], self.session.get_outputs()[0]
        output: dict[str, Any] = {"name": y.name, "datatype": "FP32", "shape": [-1, 3]}
        if self.metadata_labels:
            output["parameters"] = {"labels": self.metadata_labels}
        shape = [d if isinstance(d, int) else -1 for d in x.shape]
        datatype = {"tensor(float)": "FP32", "tensor(uint8)": "UINT8"}[x.type]
        return {
            "name": "colours",
            "platform": "onnx_onnxv1",
            "inputs": [{"name": x.name, "datatype": datatype, "shape": shape}],
            "outputs": [output],
        }

    def infer(self, body: bytes) -> dict[str, Any]:
        [given] = json.loads(body)["inputs"]
        dtype = {"FP32": np.float32, "UINT8": np.uint8}[given["datatype"]]
        tensor = np.array(given["data"], dtype=dtype).reshape(given["shape"])
        result = self.session.run(None, {given["name"]: tensor})[0]
        data: Any = result.ravel().tolist() if self.mood != "nested" else result.tolist()
        output = {"name": "y", "datatype": "FP32", "shape": list(result.shape), "data": data}
        return {"model_name": "colours", "outputs": [output]}


def odd(data: object, shape: list[int]) -> tuple[int, bytes]:
    output = {"name": "y", "datatype": "FP32", "shape": shape, "data": data}
    return 200, json.dumps({"outputs": [output]}).encode()


MOODS: dict[str, tuple[int, bytes]] = {
    "error": (500, b'{"error": "out of memory"}'),
    "missing": (404, b'{"error": "no such model"}'),
    "redirect": (307, b""),
    "garbage": (200, b"<html>hello</html>"),
    "list": (200, b"[1, 2]"),
    "nested too deep": (200, b"[" * 100_000),
    "no outputs": (200, b"{}"),
    "empty outputs": (200, b'{"outputs": []}'),
    "too few labels": odd([0.1, 0.2], [1, 2]),
    "too few pictures": odd([], [0, 3]),
    "shape and data differ": odd([0.1, 0.2], [1, 3]),
    "words": odd(["a", "b", "c"], [1, 3]),
    "above one": odd([0.1, 0.2, 7.0], [1, 3]),
    "not a number": odd([0.1, 0.2, float("nan")], [1, 3]),
    "null": odd([0.1, 0.2, None], [1, 3]),
    "huge": (200, b" " * (2 << 20) + b"{}"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(build(tmp_path / "colours.onnx", shape=("n", 3, 16, 16)))
    yield running
    running.close()


@contextlib.contextmanager
def dripping_headers() -> Iterator[str]:
    """The URL of a server that answers one more header line every 0.1 s, for 20 s."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client may have gone
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for i in range(200):
                if stop.wait(0.1):
                    return
                connection.sendall(b"X-%d: x\r\n" % i)

    def accept() -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)


def ended(until: float) -> None:
    """Waits until no thread of a classifier is left; fails where one is after `until`."""
    while any(thread.name == "classifier" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


class TestRemote:
    def test_a_real_server_gives_what_the_model_gives_here(self, server: Server, tmp_path: Path):
        remote = RemoteClassifier(server.url, "colours", LABELS, timeout_s=5)
        pictures = [colour(255, 51, 0), colour(0, 102, 7)]
        found = remote.classify(pictures)
        here = OnnxClassifier(tmp_path / "colours.onnx", LABELS).classify(pictures)
        assert scores(found) == scores(here) == {"red": 1.0, "green": 0.4, "blue": 0.027}
        assert {c.source for c in found} == {"remote:colours"}
        assert remote.classify([]) == ()

    def test_it_speaks_the_protocol_and_reads_the_metadata_once(self, server: Server):
        remote = RemoteClassifier(server.url + "/", "colours", LABELS, timeout_s=5)
        remote.classify([colour(1, 2, 3)])
        remote.classify([colour(1, 2, 3)])
        infer = ("POST", "/v2/models/colours/infer")
        assert server.requests == [("GET", "/v2/models/colours"), infer, infer]

    @pytest.mark.parametrize(
        ("shape", "integers"),
        [(("n", 16, 16, 3), False), (("n", 3, 16, 16), True), ((1, 16, 16, 3), True)],
    )
    def test_layout_type_and_batch_come_from_the_metadata(
        self, tmp_path: Path, shape: Sequence[Any], integers: bool
    ):
        server = Server(build(tmp_path / "other.onnx", shape=shape, integers=integers))
        try:
            remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=5)
            found = remote.classify([colour(255, 51, 0), colour(0, 102, 0)])
        finally:
            server.close()
        assert scores(found) == {"red": 1.0, "green": 0.4, "blue": 0.0}

    def test_floats_are_normalised_as_the_model_was_trained(self, server: Server):
        normalise = Normalise((0.2, 0.2, 0.2), (1.0, 2.0, 4.0))
        remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=5, normalise=normalise)
        found = remote.classify([colour(255, 255, 255)])
        assert scores(found) == {"red": 0.8, "green": 0.4, "blue": 0.2}

    def test_labels_may_come_from_the_metadata(self, server: Server):
        server.metadata_labels = ["r", "g", "b"]
        remote = RemoteClassifier(server.url, "m", timeout_s=5)
        assert list(scores(remote.classify([colour(0, 0, 0)]))) == ["r", "g", "b"]

    def test_without_labels_anywhere_it_is_unavailable(self, server: Server):
        with pytest.raises(ClassifierUnavailable, match="metadata lacks 'parameters'"):
            RemoteClassifier(server.url, "m", timeout_s=5).classify([colour(0, 0, 0)])

    def test_nested_data_is_read_too(self, server: Server):
        server.mood = "nested"
        remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=5)
        found = remote.classify([colour(255, 0, 0), colour(0, 51, 0)])
        assert scores(found) == {"red": 1.0, "green": 0.2, "blue": 0.0}

    @pytest.mark.parametrize("mood", MOODS)
    def test_odd_answers(self, server: Server, mood: str):
        server.mood = mood
        remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=5)
        with pytest.raises(ClassifierUnavailable, match="remote:m: "):
            remote.classify([colour(0, 0, 0)])
        assert not any(path == "/elsewhere" for _, path in server.requests)
        server.mood = "good"
        assert remote.classify([colour(255, 0, 0)])[0].score == 1.0

    @pytest.mark.parametrize("mood", ["slow", "dripping"])
    def test_an_answer_that_takes_too_long(self, server: Server, mood: str):
        server.mood = mood
        remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=0.3)
        began = time.monotonic()
        with pytest.raises(ClassifierUnavailable, match=r"answer within 0\.3 s"):
            remote.classify([colour(0, 0, 0)])
        assert time.monotonic() - began < 0.9

    def test_headers_that_drip_in(self):
        with dripping_headers() as url:
            remote = RemoteClassifier(url, "m", LABELS, timeout_s=0.5, at_once=2)
            for _ in range(3):  # each has a place: the threads of those before have ended
                began = time.monotonic()
                with pytest.raises(ClassifierUnavailable, match=r"answer within 0\.5 s"):
                    remote.classify([colour(0, 0, 0)])
                assert time.monotonic() - began < 0.9
                ended(began + 1.5)

    def test_a_name_whose_look_up_hangs(self, monkeypatch: pytest.MonkeyPatch):
        go_on = threading.Event()

        def hanging(*args: object, **more: object) -> list[Any]:
            go_on.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")

        monkeypatch.setattr(socket, "getaddrinfo", hanging)
        remote = RemoteClassifier("http://models.example", "m", LABELS, timeout_s=0.2, at_once=2)
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(ClassifierUnavailable, match=r"answer within 0\.2 s"):
                remote.classify([colour(0, 0, 0)])
            assert time.monotonic() - began < 0.6
        began = time.monotonic()
        with pytest.raises(ClassifierUnavailable, match="too many requests are waiting"):
            remote.classify([colour(0, 0, 0)])
        assert time.monotonic() - began < 0.1
        go_on.set()
        ended(time.monotonic() + 2)
        with pytest.raises(ClassifierUnavailable, match="ConnectError"):
            remote.classify([colour(0, 0, 0)])

    def test_a_look_up_that_hangs_does_not_keep_the_process(self):
        program = (
            "import socket, time\n"
            "import numpy as np\n"
            "from hashdb.errors import ClassifierUnavailable\n"
            "from matcher.classifiers.remote import RemoteClassifier\n"
            "socket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
            "remote = RemoteClassifier('http://models.example', 'm', ['a'], timeout_s=0.2)\n"
            "try:\n"
            "    remote.classify([np.zeros((8, 8, 3), np.uint8)])\n"
            "except ClassifierUnavailable as error:\n"
            "    print(error)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert run.stdout == "remote:m: no whole answer within 0.2 s\n"

    def test_nobody_listens(self, server: Server):
        server.close()
        with pytest.raises(ClassifierUnavailable, match="ConnectError"):
            RemoteClassifier(server.url, "m", LABELS, timeout_s=5).classify([colour(0, 0, 0)])

    @pytest.mark.parametrize("url", ["ftp://x/", "models.example", "http://", "http://x:y/", ""])
    def test_a_url_that_is_none(self, url: str):
        with pytest.raises(BadSetting, match="URL"):
            RemoteClassifier(url, "m", LABELS)

    def test_the_circuit_opens_spares_the_server_and_closes_again(self, server: Server):
        now = [0.0]
        breaker = CircuitBreaker(failures=2, pause_s=10, clock=lambda: now[0])
        remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=5, breaker=breaker)
        server.mood = "error"
        for _ in range(2):
            with pytest.raises(ClassifierUnavailable, match="HTTP 500"):
                remote.classify([colour(0, 0, 0)])
        asked = len(server.requests)
        server.mood = "good"
        with pytest.raises(ClassifierUnavailable, match="circuit open"):
            remote.classify([colour(0, 0, 0)])
        assert len(server.requests) == asked
        now[0] = 10.0
        assert remote.classify([colour(255, 0, 0)])[0].score == 1.0
        assert not breaker.open

    def test_a_model_that_was_replaced_is_asked_anew_after_a_failure(
        self, server: Server, tmp_path: Path
    ):
        remote = RemoteClassifier(server.url, "m", LABELS, timeout_s=5)
        remote.classify([colour(0, 0, 0)])
        wide = build(tmp_path / "wide.onnx", shape=("n", 3, 16, 32))
        server.session = onnxruntime.InferenceSession(str(wide), providers=["CPUExecutionProvider"])
        with pytest.raises(ClassifierUnavailable):
            remote.classify([colour(0, 0, 0)])
        assert remote.classify([colour(255, 0, 0)])[0].score == 1.0


class TestBreaker:
    def make(self, failures: int = 3) -> tuple[CircuitBreaker, list[float]]:
        now = [100.0]
        return CircuitBreaker(failures, 30.0, lambda: now[0]), now

    def fail(self, breaker: CircuitBreaker) -> None:
        with pytest.raises(ValueError, match="boom"), breaker.call():
            raise ValueError("boom")

    def refused(self, breaker: CircuitBreaker) -> bool:
        try:
            with breaker.call():
                return False
        except ClassifierUnavailable:
            return True

    def test_only_failures_in_a_row_open_it(self):
        breaker, _ = self.make()
        for _ in range(5):
            self.fail(breaker)
            self.fail(breaker)
            assert not self.refused(breaker)
        for _ in range(3):
            self.fail(breaker)
        assert self.refused(breaker)

    def test_a_failed_probe_opens_it_for_another_pause(self):
        breaker, now = self.make(1)
        self.fail(breaker)
        now[0] += 29.9
        assert self.refused(breaker)
        now[0] += 0.1
        self.fail(breaker)
        assert self.refused(breaker)
        now[0] += 30
        assert not self.refused(breaker)
        assert not breaker.open

    def test_after_it_closed_it_takes_the_full_number_of_failures_again(self):
        breaker, now = self.make(2)
        self.fail(breaker)
        self.fail(breaker)
        now[0] += 30
        assert not self.refused(breaker)
        self.fail(breaker)
        assert not breaker.open

    def test_one_probe_at_a_time(self):
        breaker, now = self.make(1)
        self.fail(breaker)
        now[0] += 30
        with breaker.call():
            assert self.refused(breaker)
        assert not self.refused(breaker)

    def test_a_call_from_before_it_opened_does_not_close_it(self):
        breaker, _ = self.make(1)
        with breaker.call():
            self.fail(breaker)
        assert self.refused(breaker)

    def test_of_many_threads_one_probes(self):
        breaker, now = self.make(1)
        self.fail(breaker)
        now[0] += 30
        go, inside = threading.Barrier(8), []

        def probe() -> None:
            go.wait()
            try:
                with breaker.call():
                    inside.append(1)
                    time.sleep(0.2)
            except ClassifierUnavailable:
                pass

        threads = [threading.Thread(target=probe) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(inside) == 1
