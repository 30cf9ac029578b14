"""A classifier on a model server that speaks the Open Inference Protocol (KServe, Triton, MLServer,
Seldon), version 2, in its REST form:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSetting, ClassifierUnavailable
from hashdb.model import Classification
from matcher.classifiers.breaker import CircuitBreaker
from matcher.classifiers.deadline import Crowded, Exchanges, Line, TooLate
from matcher.ports import Picture
from matcher.tensor import (
    Layout,
    Normalise,
    OddTensor,
    as_bytes,
    as_floats,
    as_scores,
    batches,
    read_layout,
)

MOST_BYTES = 1 << 20
"""Of an answer: a few labels for a few pictures are far below it."""

AT_ONCE = 32
"""Exchanges under way in one process: four times the threads that `seawall serve` has by default,
so that only a server that hangs fills them."""


@dataclass(frozen=True, slots=True)
class _Model:
    """What the model's metadata says of it."""

    input: str
    datatype: str
    layout: Layout
    output: str
    labels: tuple[str, ...]


class RemoteClassifier:
    """Asks `POST {url}/v2/models/{model}/infer` for probabilities. Threads may share one.

    `labels` name the model's outputs in order; where none are given they are read from
    `outputs[0].parameters.labels` of the model's metadata. The server has `timeout_s` seconds for
    all pictures of one upload, from the look-up of its name to the last byte. Of more than
    `at_once` exchanges the rest fail at once. Floats are normalised as the model was
    trained (`normalise`). Raises `BadSetting` for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        labels: Sequence[str] = (),
        timeout_s: float = 2.0,
        *,
        breaker: CircuitBreaker | None = None,
        normalise: Normalise | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise BadSetting(f"{url!r} is no URL") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise BadSetting(f"{url!r} is no http or https URL")
        self.name = f"remote:{model}"
        self._model_url = f"{url.rstrip('/')}/v2/models/{quote(model, safe='')}"
        self._labels = tuple(labels)
        self._timeout_s = timeout_s
        # A connection serves one exchange, so that it can be cut off.
        self._client = httpx.Client(
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._exchanges = Exchanges(at_once)
        self._breaker = breaker or CircuitBreaker()
        self._normalise = normalise or Normalise()
        self._lock = threading.Lock()
        self._known: _Model | None = None

    def classify(self, pictures: Sequence[Picture]) -> tuple[Classification, ...]:
        """The highest probability of each label over the pictures, (h, w, 3) uint8 RGB each.

        Raises `ClassifierUnavailable` where the server does not answer in time, answers something
        else than the protocol says, or has failed so often that its circuit is open.
        """
        if not pictures:
            return ()
        until = time.monotonic() + self._timeout_s
        try:
            with self._breaker.call():
                return self._classify(pictures, until)
        except OddTensor as error:
            self._forget()
            raise ClassifierUnavailable(f"{self.name}: {error}") from None
        except ClassifierUnavailable:
            self._forget()
            raise

    def close(self) -> None:
        self._client.close()

    def _classify(self, pictures: Sequence[Picture], until: float) -> tuple[Classification, ...]:
        model = self._metadata(until)
        outputs = [self._infer(model, batch, until) for batch in batches(pictures, model.layout)]
        return as_scores(outputs, len(pictures), model.labels, self.name)

    def _metadata(self, until: float) -> _Model:
        with self._lock:
            known = self._known
        if known is None:
            known = _read_metadata(self._ask("GET", self._model_url, None, until), self._labels)
            with self._lock:
                self._known = known
        return known

    def _forget(self) -> None:
        """After a failure the metadata is read again: the model may have been replaced."""
        with self._lock:
            self._known = None

    def _infer(
        self, model: _Model, pictures: Sequence[Picture], until: float
    ) -> NDArray[np.float64]:
        body = _request(model, pictures, self._normalise)
        answer = self._ask("POST", f"{self._model_url}/infer", body, until)
        return _read_output(answer, model.output)

    def _ask(self, method: str, url: str, body: str | None, until: float) -> Mapping[str, Any]:
        """The JSON object that the server answers."""
        timeout_s = max(0.001, until - time.monotonic())
        try:
            data = self._exchanges.run(
                lambda line: self._exchange(method, url, body, timeout_s, line), until
            )
        except (TooLate, httpx.TimeoutException):
            raise ClassifierUnavailable(
                f"{self.name}: no whole answer within {self._timeout_s:g} s"
            ) from None
        except Crowded:
            raise ClassifierUnavailable(
                f"{self.name}: too many requests are waiting for it already"
            ) from None
        except httpx.HTTPError as error:
            raise ClassifierUnavailable(f"{self.name}: {type(error).__name__}: {error}") from None
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            raise ClassifierUnavailable(f"{self.name}: the answer is not JSON") from None
        if not isinstance(answer, dict):
            raise ClassifierUnavailable(f"{self.name}: the answer is no JSON object")
        return answer

    def _exchange(
        self, method: str, url: str, body: str | None, timeout_s: float, line: Line
    ) -> bytes:
        """The body of the server's answer."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = bytearray()
        with self._client.stream(
            method,
            url,
            content=body,
            headers=headers,
            timeout=timeout_s,
            extensions={"trace": line.trace},
        ) as response:
            if response.status_code != 200:
                raise ClassifierUnavailable(f"{self.name}: HTTP {response.status_code}")
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > MOST_BYTES:
                    raise ClassifierUnavailable(
                        f"{self.name}: the answer is above {MOST_BYTES} bytes"
                    )
        return bytes(data)


def _read_metadata(answer: Mapping[str, Any], labels: tuple[str, ...]) -> _Model:
    try:
        [model_input] = answer["inputs"]
        output = answer["outputs"][0]
        datatype, shape = model_input["datatype"], model_input["shape"]
        if not labels:
            labels = tuple(str(label) for label in output["parameters"]["labels"])
        layout = read_layout([int(d) for d in shape])
        names = str(model_input["name"]), str(output["name"])
    except (KeyError, TypeError, IndexError) as error:
        raise OddTensor(f"the model's metadata lacks {error}") from None
    except ValueError as error:
        raise OddTensor(f"the model's metadata is odd: {error}") from None
    if datatype not in ("FP32", "UINT8"):
        raise OddTensor(f"the model takes {datatype}, not FP32 or UINT8")
    if not labels:
        raise OddTensor("no labels are set, and the model's metadata names none")
    return _Model(names[0], datatype, layout, names[1], labels)


def _request(model: _Model, pictures: Sequence[Picture], normalise: Normalise) -> str:
    """The request's JSON. A picture has few distinct values, so each is written as text once: half
    the time and half the bytes that a JSON encoder takes for a million floats."""
    tensor: NDArray[Any]
    if model.datatype == "UINT8":
        tensor = as_bytes(pictures, model.layout)
    else:
        tensor = as_floats(pictures, model.layout, normalise)
    values, places = np.unique(tensor, return_inverse=True)
    texts = np.array([f"{value:.7g}" for value in values.tolist()])
    head = {"name": model.input, "shape": list(tensor.shape), "datatype": model.datatype}
    data = ",".join(texts[places.ravel()].tolist())
    wanted = json.dumps([{"name": model.output}])
    return f'{{"inputs": [{json.dumps(head)[:-1]}, "data": [{data}]}}], "outputs": {wanted}}}'


def _read_output(answer: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    """The named output tensor, or the only one; its data may be flat or nested."""
    try:
        outputs = answer["outputs"]
        output = next((o for o in outputs if o["name"] == name), outputs[0])
        shape = [int(d) for d in output["shape"]]
        return np.array(output["data"], dtype=np.float64).reshape(shape)
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise OddTensor(f"the answer holds no output tensor: {error!r}") from None
