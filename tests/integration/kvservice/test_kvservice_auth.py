"""Who may do what, in a running pod that knows its clients."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

NAMESPACES = [{"name": "mine", "access": {"read": ["*"], "write": ["web"]}}]


@pytest.fixture(scope="module")
def pod(start_shared_pod: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("auth") / "auth.json"
    keys = [{"subject": name, "sha256": sha256(f"{name}-token".encode()).hexdigest()} for name in ("web", "job")]
    path.write_text(json.dumps({"keys": keys}))
    return start_shared_pod(KV_AUTH_FILE=str(path), KV_NAMESPACES=json.dumps(NAMESPACES))


@pytest.mark.parametrize(
    ("method", "namespace", "token", "status"),
    [
        ("PUT", "mine", "web-token", 201),
        ("GET", "mine", "job-token", 200),
        ("PUT", "mine", "job-token", 403),
        ("GET", "mine", "other-token", 401),
        ("GET", "mine", None, 401),
        ("GET", "yours", "web-token", 404),
    ],
)
def test_access_is_by_subject(pod: Any, method: str, namespace: str, token: str | None, status: int) -> None:
    httpx.put(f"{pod.url}/v1/kv/mine/a", content=b"x", headers={"authorization": "Bearer web-token"})
    path = "b" if status == 201 else "a"
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = httpx.request(method, f"{pod.url}/v1/kv/{namespace}/{path}", content=b"x", headers=headers)

    assert answer.status_code == status


def test_no_token_is_in_the_log(pod: Any) -> None:
    httpx.get(f"{pod.url}/v1/kv/mine/a", headers={"authorization": "Bearer very-secret"})

    assert "secret" not in pod.log().replace("own_session_secret", "")


@pytest.mark.parametrize("text", ["{", '{"keys": [{"subject": "web", "sha256": "hunter2"}]}'])
def test_a_wrong_file_is_told_at_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(text)
    environment = {"KV_AUTH_FILE": str(path), "KV_STORE_PATH": str(tmp_path / "kv.db"), "KV_BIND": "127.201.251.1"}
    done = subprocess.run(
        [sys.executable, "-m", "kvservice.main", "serve"], env=environment, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, "Traceback" in done.stderr, "hunter2" in done.stderr) == (2, False, False)
    assert f"KV_AUTH_FILE={path}" in done.stderr
