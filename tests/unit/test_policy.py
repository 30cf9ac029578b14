"""The policy file: what it may say, and what is said of a bad one."""

import hashlib
import re
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from api import wiring
from api.settings import Settings
from hashdb.errors import BadPolicy
from hashdb.model import Action, Bank
from matcher.findings import ReasonCode
from matcher.policy import ScoreRule, Signals, Thresholds, load_policy, parse_policy


def bank(name: str = "attacks", action: str = "block", label: str | None = None) -> Bank:
    return Bank("bank_1", name, Action(action), label, True, datetime(2026, 11, 1, tzinfo=UTC))


def policy(text: str = ""):
    return parse_policy(f'version = "t"\n{text}'.encode(), "p.toml")


def test_the_packaged_default_holds_what_its_users_were_promised():
    p = load_policy(None)
    assert p.signals == {"sha256", "md5", "pdq", "card", "phash", "local", "sound"}
    assert p.for_bank(bank()) == Thresholds(Action.BLOCK, 0.65, 0.35, 3.0, 0.5)
    assert p.classifier.labels == {}
    assert (p.combined.review, p.combined.block) == (0.9, None)
    assert p.coverage.min_fraction == 0.8


def test_keys_that_a_file_leaves_out_keep_the_packaged_values():
    default, bare = load_policy(None), policy()
    for part in ("signals", "defaults", "labels", "banks", "coverage", "failures", "combined"):
        assert getattr(bare, part) == getattr(default, part)


def test_the_version_is_the_files_own_and_its_digest(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'version = "2027-01"\n')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_policy(path).version == f"2027-01+{digest[:12]}"
    data = resources.files("matcher").joinpath("policy_default.toml").read_bytes()
    assert load_policy(None).version.endswith("+" + hashlib.sha256(data).hexdigest()[:12])


def test_a_banks_rules_come_from_its_name_then_its_label_then_the_defaults():
    p = policy(
        """
        [defaults]
        min_seconds = 4
        [labels.terror]
        min_seconds = 2.0
        possible = 0.45
        [banks.partner]
        action = "review"
        possible = 0.6
        """
    )
    assert p.for_bank(bank()).min_seconds == 4.0
    assert p.for_bank(bank(label="terror")) == Thresholds(Action.BLOCK, 0.65, 0.45, 2.0, 0.5)
    both = p.for_bank(bank("partner", label="terror"))
    assert both == Thresholds(Action.REVIEW, 0.65, 0.6, 2.0, 0.5)


def test_a_banks_own_action_holds_unless_the_policy_names_one():
    p = policy('[banks.news]\naction = "allow"')
    assert p.for_bank(bank("other", "review")).action is Action.REVIEW
    assert p.for_bank(bank("news", "block")).action is Action.ALLOW


def test_either_of_the_signals_that_look_at_pictures_is_enough():
    others = {"sha256", "md5", "card", "local", "sound"}
    assert policy("[signals]\npdq = false").signals == others | {"phash"}
    assert policy("[signals]\nphash = false").signals == others | {"pdq"}


def test_the_banks_that_it_names():
    assert policy().bank_names() == frozenset()
    named = policy('[banks."attacks-2019"]\naction = "block"\n[banks.news]\npossible = 0.6')
    assert named.bank_names() == {"attacks-2019", "news"}


def test_a_bank_that_does_not_exist_is_warned_of_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "p.toml").write_text(
        'version = "t"\n[banks.attacks]\npossible = 0.6\n[banks."atacks-2019"]\npossible = 0.6'
    )
    url = f"sqlite:///{tmp_path / 'seawall.db'}"
    settings = Settings(tmp_path, url, policy=tmp_path / "p.toml")
    parts = wiring.build(settings)
    with parts.store.begin() as tx:
        tx.banks.create("attacks", Action.BLOCK)
    parts.close()
    caplog.clear()
    wiring.build(settings).close()
    [warning] = [r.getMessage() for r in caplog.records if r.name == "api.wiring"]
    assert warning == "the policy has rules for the bank 'atacks-2019', which does not exist"


@pytest.mark.parametrize(("total_s", "needed"), [(0.0, 0.0), (2.0, 1.0), (6.0, 3.0), (600.0, 3.0)])
def test_how_many_seconds_a_block_needs(total_s: float, needed: float):
    assert load_policy(None).for_bank(bank()).needed_s(total_s) == needed


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("oops", "p.toml: is not TOML"),
        ("nosuch = 1", "p.toml: nosuch: there is no such key"),
        ("[defaults]\nconfidence = 0.5", "defaults.confidence: there is no such key"),
        ("[defaults]\nconfident = 1.5", "defaults.confident: Input should be less than or equal"),
        ("[defaults]\nconfident = nan", "defaults.confident: Input should be a finite number"),
        ("[defaults]\nconfident = true", "defaults.confident: Input should be a valid number"),
        ("[defaults]\nmin_seconds = -1", "defaults.min_seconds: "),
        ('[banks.x]\naction = "blok"', "banks.x.action: "),
        ('[signals]\npdq = "yes"', "signals.pdq: "),
        ("[signals]\ntmk = true", "signals.tmk: there is no such key"),
        (
            "[signals]\npdq = false\nphash = false",
            "signals: pdq or phash must be on: without them no picture is looked at",
        ),
        (
            "[signals]\npdq = false\nphash = false\nvideohash = true",
            "signals: pdq or phash must be on",
        ),
        ('[failures]\nindex = "allow"', "failures.index: "),
        ('[failures]\nindex = "ignore"', "failures.index: "),
        ('[failures]\nclassifier = "allow"', "failures.classifier: "),
        ('[coverage]\nnothing_judged = "allow"', "coverage.nothing_judged: "),
        ("[combined]\nprior = 0.0", "combined.prior: "),
        ("[combined]\nprior = 0.6", "combined.min_score: lies below combined.prior"),
        ("[combined]\nblock = 0.8", "combined: review (0.9) is above block (0.8)"),
        (
            "[classifier.labels.gore]\nreview = 0.9\nblock = 0.8",
            "classifier.labels.gore: review (0.9) is above block (0.8)",
        ),
        ("[defaults]\npossible = 0.9", "defaults: possible (0.9) is above confident (0.65)"),
        (
            "[labels.x]\npossible = 0.7\n[banks.y]\nconfident = 0.6",
            "labels.x with banks.y: possible (0.7) is above confident (0.6)",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_key_and_the_reason(text: str, complaint: str):
    with pytest.raises(BadPolicy) as refused:
        policy(text)
    assert complaint in str(refused.value)
    assert str(refused.value).startswith("p.toml: ")


@pytest.mark.parametrize("version", ["", 'version = ""', 'version = "a b"', "version = 3"])
def test_a_file_must_name_its_version(version: str):
    with pytest.raises(BadPolicy, match=r"p.toml: version: "):
        parse_policy(version.encode(), "p.toml")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path):
    with pytest.raises(BadPolicy, match="none.toml: cannot be read: No such file"):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadPolicy, match="bytes.toml: is not TOML"):
        load_policy(tmp_path / "bytes.toml")


def test_a_failing_classifier_may_be_ignored_only_in_so_many_words():
    assert policy().failure_action("classifier") is Action.REVIEW
    ignoring = policy('[failures]\nclassifier = "ignore"')
    assert ignoring.failure_action("classifier") is Action.ALLOW
    assert ignoring.failure_action("index") is Action.REVIEW
    assert policy('[failures]\nother = "block"').failure_action("matching") is Action.BLOCK


def test_which_labels_of_classifiers_speak_for_a_bank():
    rules = policy('[combined.supports]\ngore = ["terror"]').combined
    assert rules.agree("terror", "terror")
    assert rules.agree("gore", "terror")
    assert not rules.agree("terror", "gore")
    assert not rules.agree("gore", None)


DOCS = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")


def test_the_documentation_has_every_reason_code_in_order():
    table = DOCS.split("## Reason codes")[1].split("## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert documented == [code.value for code in ReasonCode]


@pytest.mark.parametrize(
    "section",
    ["signals", "score", "local", "defaults", "coverage", "failures", "combined", "classifier"],
)
def test_the_documentation_has_every_key_and_its_default(section: str):
    heading = next(h for h in DOCS.split("\n## ") if h.startswith(f"`[{section}"))
    documented = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", heading, flags=re.MULTILINE))
    special = {"signals": Signals(), "classifier": ScoreRule()}
    values = special.get(section, getattr(load_policy(None), section)).model_dump()
    shown = {True: "on", False: "off", None: "off"}
    for key, value in values.items():
        text = documented.pop(key)
        if isinstance(value, float):
            assert float(text) == value, key
        elif isinstance(value, dict):
            assert (text, value) == ("empty", {}), key
        else:
            assert text == shown.get(value, value), key
    documented.pop("action", None)
    assert not documented
