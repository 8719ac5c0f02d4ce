"""Who is let in: static keys, JWTs of an issuer, and access lists."""

import asyncio
import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from kvhttp import Service, problem

from kvservice.core.namespaces import Access, Namespace
from kvservice.errors import KeysUnavailable, SettingsError, Unauthenticated
from kvservice.http import auth
from kvservice.http.auth import AGAIN_S, FRESH_S, Authenticator, AuthFile, Issuer, StaticKey

ISSUER, AUDIENCE = "https://issuer.test", "kv"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PUBLIC: dict[str, Any] = {
    "RS256": RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True),
    "ES256": ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True),
    "EdDSA": OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True),
}
PRIVATE: dict[str, Any] = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def signed(algorithm: str = "RS256", *, key: Any = None, kid: str | None = None, **claims: Any) -> str:
    """A good token but for what is given; a claim of None is left out."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "exp": int(time.time()) + 600}
    given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(given, key or PRIVATE[algorithm], algorithm, {"kid": kid or algorithm})


class Now:
    s = 0.0

    def __call__(self) -> float:
        return self.s


class Published:
    """The issuer's keys, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.are("RS256", "ES256", "EdDSA")

    def are(self, *names: str) -> None:
        self.say([{**PUBLIC[name], "kid": name} for name in names])

    def say(self, keys: list[dict[str, Any]]) -> None:
        self.path.write_text(json.dumps({"keys": keys}))

    def vanish(self) -> None:
        self.path.unlink()


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(tmp_path / "jwks.json")


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def authenticator(published: Published, now: Now) -> Authenticator:
    return Authenticator(AuthFile(jwt=Issuer(jwks=str(published.path), issuer=ISSUER, audience=AUDIENCE)), now)


def static(**tokens: str) -> AuthFile:
    return AuthFile(
        keys=tuple(StaticKey(subject=name, sha256=sha256(token.encode()).hexdigest()) for name, token in tokens.items())
    )


async def test_without_a_file_everyone_is_anonymous(now: Now) -> None:
    assert await Authenticator(None, now).subject(None) == "anonymous"
    assert await Authenticator(None, now).subject("Basic nonsense") == "anonymous"


async def test_a_static_key_is_its_subject(now: Now) -> None:
    authenticator = Authenticator(static(web="one", batch="two"), now)

    assert await authenticator.subject("Bearer one") == "web"
    assert await authenticator.subject("bearer two") == "batch"


@pytest.mark.parametrize(
    "header", [None, "", "one", "Bearer", "Bearer  ", "Bearer three", "Basic one", "Bearer one two"]
)
async def test_anything_else_is_unauthenticated(header: str | None, now: Now) -> None:
    with pytest.raises(Unauthenticated):
        await Authenticator(static(web="one"), now).subject(header)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_signed_token_is_its_subject(authenticator: Authenticator, algorithm: str) -> None:
    assert await authenticator.subject(f"Bearer {signed(algorithm)}") == "web"


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"exp": int(time.time()) - 100}, "expired"),
        ({"exp": None}, "exp"),
        ({"iss": "https://other.test"}, "issuer"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "udience"),
        ({"aud": None}, "aud"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "subject is empty"),
        ({"nbf": int(time.time()) + 86_400}, "not yet valid"),
    ],
)
async def test_a_token_whose_claims_do_not_hold_is_refused(
    authenticator: Authenticator, claims: dict[str, Any], says: str
) -> None:
    with pytest.raises(Unauthenticated, match=says):
        await authenticator.subject(f"Bearer {signed(**claims)}")


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize(
    "token",
    [
        signed(key=rsa.generate_private_key(65537, 2048)),  # another's signature
        signed("ES256", kid="RS256"),  # of another algorithm than the key's
        jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "exp": 2**33}, "x" * 32, "HS256", {"kid": "RS256"}),
        jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "exp": 2**33}, "", "none", {"kid": "RS256"}),
        signed()[:-8] + "AAAAAAAA",
        "a.b.c",
        "..",
    ],
    ids=["stranger", "algorithm", "hmac", "none", "broken", "letters", "empty"],
)
async def test_a_token_that_the_issuer_has_not_signed_is_refused(authenticator: Authenticator, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.subject(f"Bearer {token}")


@pytest.mark.parametrize("header", [b'{"alg":"RS256","kid":{}}', b"[" * 6000, b'{"alg":"RS256","kid":null}', b"\xff"])
async def test_a_token_with_an_odd_header_is_refused(authenticator: Authenticator, header: bytes) -> None:
    odd = jwt.utils.base64url_encode(header).decode()
    with pytest.raises(Unauthenticated):
        await authenticator.subject(f"Bearer {odd}.e30.AAAA")


async def test_a_key_of_an_algorithm_that_is_not_ours_is_not_used(
    published: Published, authenticator: Authenticator
) -> None:
    secret = jwt.utils.base64url_encode(b"s" * 32).decode()
    published.say([{"kty": "oct", "k": secret, "kid": "RS256"}])
    token = signed("HS256", key="s" * 32, kid="RS256")

    with pytest.raises(Unauthenticated):
        await authenticator.subject(f"Bearer {token}")


async def test_a_new_key_is_fetched_at_once_but_not_more_often_than_every_few_seconds(
    published: Published, authenticator: Authenticator, now: Now
) -> None:
    published.are("RS256")
    assert await authenticator.subject(f"Bearer {signed()}") == "web"
    published.are("RS256", "ES256")
    with pytest.raises(Unauthenticated, match="does not publish"):
        await authenticator.subject(f"Bearer {signed('ES256')}")
    now.s += AGAIN_S

    assert await authenticator.subject(f"Bearer {signed('ES256')}") == "web"


async def test_a_withdrawn_key_is_good_for_a_few_minutes_only(
    published: Published, authenticator: Authenticator, now: Now
) -> None:
    await authenticator.subject(f"Bearer {signed()}")
    published.are("ES256")
    now.s += FRESH_S
    assert await authenticator.subject(f"Bearer {signed()}") == "web"  # begins a fetch, and does not wait for it

    async def ask_until_it_has_ended() -> None:
        for _ in range(1000):
            await asyncio.sleep(0.005)
            await authenticator.subject(f"Bearer {signed()}")

    with pytest.raises(Unauthenticated):
        await ask_until_it_has_ended()


async def test_while_the_keys_cannot_be_had_known_ones_are_good_and_others_cannot_be_judged(
    published: Published, authenticator: Authenticator, now: Now, caplog: pytest.LogCaptureFixture
) -> None:
    published.are("RS256")
    await authenticator.subject(f"Bearer {signed()}")
    published.vanish()
    now.s += AGAIN_S

    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await authenticator.subject(f"Bearer {signed('ES256')}")
    assert await authenticator.subject(f"Bearer {signed()}") == "web"
    assert [record.message for record in caplog.records] == ["jwks_unreachable"]


async def test_many_requests_at_once_fetch_the_keys_once(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []
    original: Callable[[str], Any] = auth._document

    async def counting(source: str) -> str:
        fetched.append(source)
        return str(await original(source))

    monkeypatch.setattr(auth, "_document", counting)
    subjects = await asyncio.gather(*(authenticator.subject(f"Bearer {signed()}") for _ in range(20)))

    assert (set(subjects), len(fetched)) == ({"web"}, 1)


async def test_a_request_that_may_not_be_let_in_is_told_how(service: Service) -> None:
    answer = await service.serve(auth=static(web="one")).get("/v1/kv/demo/a")

    assert problem(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert service.records.asked == []


async def test_the_use_cases_learn_who_asks(service: Service) -> None:
    client = service.serve(auth=static(web="one"))
    await client.get("/v1/kv/demo/a", headers={"authorization": "Bearer one"})

    assert [context.subject for context in service.records.contexts] == ["web"]


@pytest.mark.parametrize(
    ("token", "method", "status"),
    [
        ("reader", "GET", 404),
        ("reader", "PUT", 403),
        ("writer", "PUT", 204),
        ("writer", "GET", 403),
        ("stranger", "GET", 403),
    ],
)
async def test_access_lists_say_who_may_read_and_who_may_write(
    service: Service, token: str, method: str, status: int
) -> None:
    namespace = Namespace(name="demo", access=Access(read=("reader",), write=("writer",)))
    client = service.serve(namespace, auth=static(reader="reader", writer="writer", stranger="stranger"))
    answer = await client.request(method, "/v1/kv/demo/a", headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == status


@pytest.mark.parametrize("verb", ["batchWrite", "batchGet"])
async def test_a_batch_is_checked_as_its_operations_are(service: Service, verb: str) -> None:
    namespace = Namespace(name="demo", access=Access(read=(), write=()))
    answer = await service.serve(namespace).post(f"/v1/kv/demo:{verb}", json={})

    assert problem(answer) == (403, "forbidden")


async def test_keys_that_cannot_be_had_are_503(service: Service, tmp_path: Path) -> None:
    issuer = Issuer(jwks=str(tmp_path / "none"), issuer=ISSUER, audience=AUDIENCE)
    client = service.serve(auth=AuthFile(jwt=issuer))
    answer = await client.get("/v1/kv/demo/a", headers={"authorization": f"Bearer {signed()}"})

    assert problem(answer) == (503, "keys-unavailable")


async def test_the_description_is_open_to_all(service: Service) -> None:
    assert (await service.serve(auth=static(web="one")).get("/openapi.json")).status_code == 200


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"keys": [{"subject": "web", "sha256": "a" * 64}]}))

    assert auth.load(path).keys[0].subject == "web"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "Invalid JSON"),
        ('{"keys": [{"subject": "web", "sha256": "tooshort"}]}', "keys.0.sha256"),
        ('{"jwt": {"jwks": "x", "issuer": "y"}}', "jwt.audience"),
        ('{"kees": []}', "kees"),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence_that_does_not_quote_it(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(text)

    with pytest.raises(SettingsError, match=rf"KV_AUTH_FILE={path}: .*{says}") as error:
        auth.load(path)
    assert "tooshort" not in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        auth.load(tmp_path / "none")


async def test_tokens_are_not_logged(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    client = service.serve(auth=static(web="one"))
    await client.get("/v1/kv/demo/a", headers={"authorization": "Bearer topsecret"})
    service.records.error = ZeroDivisionError()
    await client.get("/v1/kv/demo/a", headers={"authorization": "Bearer one"})

    assert "topsecret" not in caplog.text
    assert "Bearer" not in caplog.text
