import subprocess
import sys

import pytest

from kvservice.core.namespaces import Namespace, WriteMode
from kvservice.errors import SettingsError
from kvservice.settings import Settings, load, table


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KV_{name.upper()}", raising=False)


def test_without_settings_it_is_a_local_server() -> None:
    settings = load()

    assert (settings.bind, settings.port, settings.admin_port) == ("127.0.0.1", 8080, 9090)
    assert (str(settings.store_path), settings.cache_urls) == ("kv.db", ())


def test_latency_edges_are_a_comma_list_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_LATENCY_EDGES_S", "0.1, 0.25")

    assert load().latency_edges_s == (0.1, 0.25)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KV_BIND", "everywhere"),
        ("KV_PORT", "http"),
        ("KV_PORT", "0"),
        ("KV_REGION", "EU West"),
        ("KV_CACHE_URLS", "http://cache"),
        ("KV_CACHE_TTL_S", "0"),
        ("KV_CACHE_TTL_S", "nan"),
        ("KV_MAX_VALUE_BYTES", "-1"),
        ("KV_LATENCY_EDGES_S", "0.1,fast"),
        ("KV_BUILD", "a\r\nb"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}=") as failure:
        load()

    assert repr(value.split(",")[-1]) in str(failure.value)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("KV_NAMESPACES", '[{"name":', "expected a JSON list"),
        ("KV_NAMESPACES", '[{"name": "a"}, {"name": "a"}]', "twice: a"),
        ("KV_PEERS", "us-east", "not so: us-east"),
        ("KV_RELAY_TOKEN", "se cret", "expected letters"),
        ("KV_CASSANDRA_REPLICATION", "eu-west=none", "expected datacenter=copies"),
    ],
)
def test_a_wrong_list_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}=.*{why}"):
        load()


def test_lists_and_pairs_are_written_as_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_NAMESPACES", '[{"name": "a", "writeMode": "cas", "home": "eu", "ttlS": 60}]')
    monkeypatch.setenv("KV_PEERS", "us-east=http://10.0.0.1:8080, ap=https://kv.example")
    monkeypatch.setenv("KV_CASSANDRA_REPLICATION", "eu-west=3,us-east=2")
    settings = load()

    assert settings.namespaces == (Namespace(name="a", write_mode=WriteMode.CAS, home="eu", ttl_s=60),)
    assert settings.peers == {"us-east": "http://10.0.0.1:8080", "ap": "https://kv.example"}
    assert settings.cassandra_replication == {"eu-west": 3, "us-east": 2}


def test_a_certificate_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_TLS_CERTIFICATE", "tls.crt")

    with pytest.raises(SettingsError, match="KV_TLS_KEY"):
        load()


def test_each_wrong_setting_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_PORT", "x")
    monkeypatch.setenv("KV_DRAIN_S", "y")

    with pytest.raises(SettingsError) as failure:
        load()

    assert len(str(failure.value).splitlines()) == 2


@pytest.mark.parametrize(("name", "value"), [("KV_CACHE_URLS", "http://:secret@c"), ("KV_RELAY_TOKEN", "a secret")])
def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as failure:
        load()

    assert "secret" not in str(failure.value)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert all(f"KV_{name.upper()} [" in table() for name in Settings.model_fields)


def test_copies_that_would_outlive_what_sessions_remember_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_CACHE_STALE_S", "86000")

    with pytest.raises(SettingsError, match="86600 s together, at most 86400"):
        load()


def test_a_pod_loads_no_driver_of_a_store_or_cache_that_it_may_not_have() -> None:
    drivers = ("cassandra", "redis")
    program = f"import sys, kvservice.lifecycle; print([name for name in {drivers} if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
