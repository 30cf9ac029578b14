"""The composition root: it alone names the parts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from api.settings import Settings
from hashdb.errors import BadArgument, BadSetting, Unavailable
from hashdb.exchange.jsonl import FileFeed, HttpFeed
from hashdb.index.descriptors import DescriptorIndex
from hashdb.index.faiss_flat import FaissIndex
from hashdb.index.growing import GrowingIndex
from hashdb.index.landmarks import SoundIndex
from hashdb.index.local import LocalIndex
from hashdb.index.milvus import MilvusIndex
from hashdb.index.milvus_server import MilvusServer
from hashdb.model import Fingerprint, SoundPeaks
from hashdb.ports import IndexBackend
from hashdb.published import PublishedSnapshots
from hashdb.shared import SharedReferences
from hashdb.signals import SIGNAL_TYPES
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from matcher.check import Checker
from matcher.classifiers.onnx import OnnxClassifier
from matcher.classifiers.remote import RemoteClassifier
from matcher.descriptors.onnx import OnnxDescriptor
from matcher.enroll import Enroller
from matcher.hashers import guided, pdq, vpdq
from matcher.judge import Judge
from matcher.landmarks import landmarks, pack_moments
from matcher.lookback import LookBack
from matcher.policy import Policy, load_policy
from matcher.ports import Classifier, DescriptorModel, FingerprintMedia, Limits
from matcher.sandbox import Sandbox
from matcher.stopwatch import Span

log = logging.getLogger(__name__)

_MANY_CODES = 20_000  # from which SEAWALL_INDEX=auto takes the engine for large indices
_MILVUS_VERSION = 1  # of what a collection's rows mean
_HASHED = [name for name, kind in SIGNAL_TYPES.items() if kind.hashed and not kind.exact]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the routes and the commands lean on."""

    settings: Settings
    store: Store
    index: ReferenceIndex
    sandbox: Sandbox
    judge: Judge
    checker: Checker
    enroller: Enroller
    look_back: LookBack
    policy: Policy

    def read_vpdq(self, text: str) -> Fingerprint:
        """A vPDQ list as a fingerprint. Raises `BadFingerprint`."""
        return vpdq.read_vpdq(text)

    def close(self) -> None:
        self.sandbox.close()
        self.index.close()
        self.store.close()


def build(
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
    span: Span = nullcontext,
) -> Parts:
    """Opens the database and the index and makes the parts. `progress` (done, all) is told of a
    rebuild of the index, `span` of the stages of each upload. Raises `BadSetting`, `BadPolicy`,
    `NotUpgraded`, `DatabaseUnavailable`."""
    policy = load_policy(settings.policy)
    descriptor = make_descriptor(settings, policy)
    settings.make_data_dir()
    store = Store.open(settings.database_url)
    _warn_of_unknown_banks(store, policy)
    index = reference_index(settings, store, policy, descriptor)
    index.open(progress)
    sandbox = make_sandbox(settings)
    if "local" in policy.signals:
        guided.warm()
    judge = Judge(
        store,
        index,
        signal_types=sorted(policy.signals),
        orientations=pdq.orientations,
        degenerate=pdq.degenerate,
        descriptor=descriptor,
        guide=guided.sought,
    )
    checker = Checker(
        store,
        judge,
        sandbox,
        policy,
        classifier=_classifier(settings),
        seconds=settings.decode_seconds,
        sampling_key=sampling_key(settings, store),
        span=span,
    )
    enroller = make_enroller(store, sandbox, policy, descriptor)
    look_back = LookBack(store, judge, policy)
    return Parts(settings, store, index, sandbox, judge, checker, enroller, look_back, policy)


def sampling_key(settings: Settings, store: Store) -> str:
    """By which the pictures of uploads are drawn."""
    return settings.sampling_key or store.sampling_key()


def _warn_of_unknown_banks(store: Store, policy: Policy) -> None:
    """A rule for a bank that does not exist may be a slip of the pen, or the bank comes later."""
    with store.read() as tx:
        known = {bank.name for bank in tx.banks.list()}
    for name in sorted(policy.bank_names() - known):
        log.warning("the policy has rules for the bank %r, which does not exist", name)


def reference_index(
    settings: Settings, store: Store, policy: Policy, descriptor: DescriptorModel | None
) -> ReferenceIndex:
    """The index of a database, not yet opened. Local features and sounds are held where the policy
    counts them: they take most of its memory. So are descriptors, where there is a model. Raises
    `BadSetting`."""
    return ReferenceIndex(
        store,
        _engine(settings),
        folder=settings.data_dir / "index",
        signal_types=_HASHED,
        local=LocalIndex if "local" in policy.signals else None,
        sound=(lambda: SoundIndex(_filed)) if "sound" in policy.signals else None,
        neural=None if descriptor is None else DescriptorIndex,
        model="" if descriptor is None else descriptor.model,
        source=_source(settings),
        shared=_shared(settings, store) if settings.index == "milvus" else None,
    )


def _shared(settings: Settings, store: Store) -> SharedReferences:
    """The frame hashes on a Milvus server; nothing is asked of it yet. Of each database, and each
    signal type, there is a collection: several services may use one server."""
    if settings.milvus is None:
        raise BadSetting("SEAWALL_INDEX=milvus needs SEAWALL_MILVUS, the server's address")
    if find_spec("pymilvus") is None:
        raise BadSetting("SEAWALL_INDEX=milvus needs pymilvus: pip install 'seawall[milvus]'")
    server = MilvusServer(settings.milvus, settings.milvus_token)
    names = {kind: f"seawall_{store.identity()}_{kind}_v{_MILVUS_VERSION}" for kind in _HASHED}
    return SharedReferences(
        store,
        {kind: MilvusIndex(SIGNAL_TYPES[kind].bits, server, name) for kind, name in names.items()},
    )


def _engine(settings: Settings) -> Callable[[int], IndexBackend]:
    """The engine for codes. `auto`: few codes are searched as fast by FAISS, which a process has
    loaded sooner."""
    if settings.index == "faiss":
        return FaissIndex
    if find_spec("numba") is None:
        if settings.index == "hamming":
            raise BadSetting("SEAWALL_INDEX=hamming needs numba: pip install 'seawall[fast]'")
        return FaissIndex
    if settings.index == "hamming":
        return _hamming
    return partial(GrowingIndex, small=FaissIndex, large=_hamming, many=_MANY_CODES)


def _hamming(bits: int) -> IndexBackend:
    from hashdb.index.hamming import HammingIndex  # numba may be missing

    return HammingIndex(bits)


def _filed(peaks: SoundPeaks) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """A reference's sound as keys and moments."""
    found = landmarks(peaks)
    return found.keys, pack_moments(found.times, found.pitches)


def make_sandbox(settings: Settings) -> Sandbox:
    """What decodes and hashes media, in child processes."""
    return Sandbox(
        Limits(
            max_bytes=settings.max_upload_mb * 1024 * 1024,
            max_pixels=settings.max_pixels,
            memory_mb=settings.decode_memory_mb,
            cpu_s=settings.decode_seconds,
        ),
        max_children=settings.decoders,
    )


def make_enroller(
    store: Store, sandbox: FingerprintMedia, policy: Policy, descriptor: DescriptorModel | None
) -> Enroller:
    # References carry every signal that is cheap, and descriptors where there is a model, so that a
    # policy can switch one on later.
    always = ["pdq", "card", "phash", "local", "sound", *(["neural"] if descriptor else [])]
    stored = tuple(dict.fromkeys([*always, *sorted(policy.signals)]))
    return Enroller(
        store,
        sandbox,
        signal_types=stored,
        degenerate=pdq.degenerate,
        descriptor=descriptor,
    )


def make_descriptor(settings: Settings, policy: Policy | None = None) -> DescriptorModel | None:
    """The descriptor model of the settings. Raises `BadSetting`, also where the policy wants one
    and there is none."""
    if settings.descriptor is not None:
        return OnnxDescriptor(settings.descriptor)
    if policy is not None and "neural" in policy.signals:
        raise BadSetting("the policy has signals.neural on, and SEAWALL_DESCRIPTOR names no model")
    return None


def published(url: str) -> PublishedSnapshots:
    """Where snapshots are published. Raises `BadSetting`, `Unavailable`."""
    return PublishedSnapshots(url)


def _source(settings: Settings) -> PublishedSnapshots | None:
    """Where a start may fetch a snapshot; it goes on without one that does not answer."""
    if settings.index_source is None:
        return None
    try:
        return published(settings.index_source)
    except Unavailable as error:
        log.warning("no snapshot can be fetched: %s", error)
        return None


read_vpdq = vpdq.read_vpdq
write_vpdq = vpdq.write_vpdq_text


def partner(address: str, key: str | None) -> HttpFeed | FileFeed:
    """The other side of an exchange: another Seawall's address, or a file of JSON lines.
    Raises `BadArgument`."""
    if "://" not in address:
        return FileFeed(Path(address))
    if key is None:
        raise BadArgument("the other side wants a key: SEAWALL_SYNC_KEY or --key-file")
    return HttpFeed(address, key)


def _classifier(settings: Settings) -> Classifier | None:
    if settings.classifier_url and settings.classifier_onnx:
        raise BadSetting("set SEAWALL_CLASSIFIER_URL or SEAWALL_CLASSIFIER_ONNX, not both")
    if settings.classifier_url:
        if not settings.classifier_model:
            raise BadSetting("SEAWALL_CLASSIFIER_URL needs SEAWALL_CLASSIFIER_MODEL")
        return RemoteClassifier(
            settings.classifier_url,
            settings.classifier_model,
            labels=settings.classifier_labels,
            timeout_s=settings.classifier_timeout_s,
        )
    if settings.classifier_onnx:
        return OnnxClassifier(settings.classifier_onnx, labels=settings.classifier_labels)
    return None
