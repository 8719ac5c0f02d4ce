import pytest

from kvservice.errors import SettingsError
from kvservice.settings import Settings, load, table


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KV_{name.upper()}", raising=False)


def test_without_settings_it_is_a_local_server() -> None:
    settings = load()

    assert (settings.bind, settings.port, settings.admin_port) == ("127.0.0.1", 8080, 9090)
    assert (str(settings.store_path), settings.cache_url) == ("kv.db", "")


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
        ("KV_CACHE_URL", "http://cache"),
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


def test_each_wrong_setting_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_PORT", "x")
    monkeypatch.setenv("KV_DRAIN_S", "y")

    with pytest.raises(SettingsError) as failure:
        load()

    assert len(str(failure.value).splitlines()) == 2


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_CACHE_URL", "http://:secret@cache")

    with pytest.raises(SettingsError) as failure:
        load()

    assert "secret" not in str(failure.value)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert all(f"KV_{name.upper()} [" in table() for name in Settings.model_fields)
