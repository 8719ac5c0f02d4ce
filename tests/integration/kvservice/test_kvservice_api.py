"""What clients of a running pod see."""

import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

KINDS = "https://kvcluster.dev/problems/"


SETTINGS = {
    "KV_BUILD": "b7",
    "KV_MAX_VALUE_BYTES": "100000",
    "KV_MAX_ID_BYTES": "64",
    "KV_LATENCY_EDGES_S": "0.123",
}
_namespaces = itertools.count()


@pytest.fixture(scope="module")
def pod(start_shared_pod: Any) -> Any:
    return start_shared_pod(**SETTINGS)


@pytest.fixture
def fresh_pod(start_pod: Any) -> Any:
    return start_pod(**SETTINGS)


@pytest.fixture
def client(pod: Any) -> Iterator[httpx.Client]:
    """Its paths are ids in a namespace that no other test uses."""
    with httpx.Client(base_url=f"{pod.url}/v1/kv/demo{next(_namespaces)}", timeout=10) as client:
        yield client


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return response.status_code, body["type"].removeprefix(KINDS)


def exchange(pod: Any, request: bytes) -> bytes:
    """Sends bytes and gives what comes back until the pod closes the connection."""
    with socket.create_connection((pod.address, 8080), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_value_comes_back_as_it_was_written(client: httpx.Client) -> None:
    value = bytes(range(256)) * 300
    written = client.put("/a", content=value, headers={b"content-type": 'image/x; q="\xe9"'.encode("latin-1")})
    read = client.get("/a")

    assert (written.status_code, read.status_code) == (201, 200)
    assert read.content == value
    assert read.headers.raw.count((b"content-type", 'image/x; q="\xe9"'.encode("latin-1"))) == 1
    assert read.headers["etag"] == written.headers["etag"]


def test_a_value_without_a_content_type_is_octets(client: httpx.Client) -> None:
    client.put("/a", content=b"")

    assert client.get("/a").headers["content-type"] == "application/octet-stream"


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    client.put("/a", content=b"hello")
    got, head = client.get("/a"), client.head("/a")

    assert head.content == b""
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


def test_replacing_answers_204_and_a_higher_version(client: httpx.Client) -> None:
    one = client.put("/a", content=b"1")
    two = client.put("/a", content=b"2")

    assert two.status_code == 204
    assert int(two.headers["etag"].strip('"')) > int(one.headers["etag"].strip('"'))


def test_a_known_version_is_not_sent_again(client: httpx.Client) -> None:
    tag = client.put("/a", content=b"1").headers["etag"]
    answer = client.get("/a", headers={"if-none-match": tag})

    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


def test_a_condition_that_does_not_hold_answers_412_with_the_present_version(client: httpx.Client) -> None:
    tag = client.put("/a", content=b"1").headers["etag"]
    for method in ("PUT", "DELETE", "GET"):
        answer = client.request(method, "/a", headers={"if-match": '"1"'})

        assert problem(answer) == (412, "precondition-failed")
        assert answer.headers["etag"] == tag
        assert answer.json()["version"] == tag.strip('"')
    assert client.get("/a").content == b"1"


def test_create_only_writes_once(client: httpx.Client) -> None:
    answers = [client.put("/a", headers={"if-none-match": "*"}).status_code for _ in range(2)]

    assert answers == [201, 412]


def test_a_deleted_record_is_gone_and_deleting_again_is_fine(client: httpx.Client) -> None:
    client.put("/a", content=b"1")

    assert [client.delete("/a").status_code for _ in range(2)] == [204, 204]
    assert problem(client.get("/a")) == (404, "record-not-found")


@pytest.mark.parametrize("segment", ["a%2Fb", "a%2Fitems%2Fb", "%C3%BC%20%25", "..%2F..", "a%3Fb", "+"])
def test_an_id_is_one_encoded_segment(client: httpx.Client, segment: str) -> None:
    client.put(f"/{segment}", content=segment.encode())

    assert client.get(f"/{segment}").content == segment.encode()


def test_an_encoded_and_a_plain_letter_are_the_same(client: httpx.Client) -> None:
    client.put("/%61b", content=b"1")

    assert client.get("/ab").content == b"1"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/kv/Demo/a", "namespace 'Demo'"),
        ("/v1/kv/demo%0A/a", "namespace"),
        ("/v1/kv/demo/" + "a" * 65, "65 bytes"),
        ("/v1/kv/demo/" + "%C3%BC" * 33, "66 bytes"),
        ("/v1/kv/demo/%FF", "UTF-8"),
        ("/v1/kv/demo/a%2", "%25"),
        ("/v1/kv/demo/%00", "NUL"),
    ],
)
def test_a_name_that_breaks_a_rule_is_refused_in_words(pod: Any, path: str, says: str) -> None:
    answer = exchange(pod, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 422 ")
    assert says.encode() in answer


@pytest.mark.parametrize(
    "headers",
    [{"if-match": "5"}, {"content-encoding": "gzip"}, {"content-range": "bytes 0-1/2"}, {"content-type": "x" * 256}],
)
def test_a_header_that_breaks_a_rule_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    assert problem(client.put("/a", content=b"1", headers=headers)) == (422, "invalid-request")
    assert client.get("/a").status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/v1/kv/demo", "/v1/kv/demo/", "/v1/kv/demo/a/b", "/metrics", "/healthz", "/readyz", "/docs"]
)
def test_an_unknown_address_is_a_problem(pod: Any, path: str) -> None:
    assert problem(httpx.get(pod.url + path)) == (404, "unknown-route")


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_an_unknown_method_is_a_problem_that_lists_the_known(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/a")

    assert problem(answer) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"


def test_a_value_at_the_limit_is_kept(client: httpx.Client) -> None:
    assert client.put("/a", content=bytes(100000)).status_code == 201


def test_a_value_over_the_limit_is_refused_by_its_declared_length(pod: Any) -> None:
    answer = exchange(pod, b"PUT /v1/kv/demo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"value-too-large" in answer


def test_a_value_over_the_limit_is_refused_while_it_streams(pod: Any) -> None:
    chunk = b"ea60\r\n" + bytes(60000) + b"\r\n"  # two of them are too much; the end never comes
    head = b"PUT /v1/kv/demo/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert exchange(pod, head + chunk * 2).startswith(b"HTTP/1.1 413 ")
    assert httpx.get(f"{pod.url}/v1/kv/demo/a").status_code == 404


def test_a_value_cut_short_is_not_written(fresh_pod: Any) -> None:
    with socket.create_connection((fresh_pod.address, 8080), timeout=10) as connection:
        connection.sendall(b"PUT /v1/kv/demo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)

    assert httpx.get(f"{fresh_pod.url}/v1/kv/demo/a").status_code == 404
    assert fresh_pod.metric('kv_http_requests_total{code="499",method="PUT",route="record"}') == 1
    assert "trace" not in fresh_pod.log()


def test_every_answer_names_the_build(pod: Any) -> None:
    assert {httpx.get(pod.url + path).headers["server"] for path in ("/v1/kv/demo/a", "/nowhere")} == {"kvservice/b7"}


def test_openapi_is_the_one_that_is_checked_in_but_for_the_limits(fresh_pod: Any, start_pod: Any) -> None:
    checked_in = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())

    assert httpx.get(f"{start_pod().url}/openapi.json").json() == checked_in
    assert httpx.get(f"{fresh_pod.url}/openapi.json").json() != checked_in


def test_a_patch_is_merged_and_keeps_the_content_type(client: httpx.Client) -> None:
    kind = {"content-type": "application/merge-patch+json"}
    made = client.patch("/a", content=b'{"name": "Ada", "nick": "A"}', headers=kind)
    merged = client.patch("/a", content=b'{"nick": null, "born": 1815}', headers=kind)
    read = client.get("/a")

    assert (made.status_code, merged.status_code) == (201, 204)
    assert read.json() == {"name": "Ada", "born": 1815}
    assert read.headers["content-type"] == "application/json"


def test_a_write_with_the_same_key_is_the_same_write(client: httpx.Client) -> None:
    one, two = (client.put("/a", content=b"1", headers={"idempotency-key": "k"}) for _ in range(2))
    other = client.put("/a", content=b"2", headers={"idempotency-key": "k"})

    assert (one.status_code, one.headers["etag"]) == (two.status_code, two.headers["etag"])
    assert (one.headers.get("idempotency-replayed"), two.headers["idempotency-replayed"]) == (None, "true")
    assert problem(other) == (422, "idempotency-mismatch")


def test_a_record_ends_when_it_was_told_to(client: httpx.Client) -> None:
    client.put("/a", content=b"1", headers={"kv-ttl": "100"})
    client.put("/b", content=b"1", headers={"kv-ttl": "0"})

    assert 90 <= int(client.get("/a").headers["kv-ttl"]) <= 100
    assert "kv-ttl" not in client.get("/b").headers


def test_a_session_goes_from_answer_to_request(client: httpx.Client) -> None:
    token = client.put("/a", content=b"1").headers["kv-session"]
    answer = client.get("/a", headers={"kv-session": token})

    assert (answer.content, "kv-session" in answer.headers) == (b"1", True)
    assert problem(client.get("/a", headers={"kv-session": "x"})) == (422, "invalid-session")


def test_metrics_are_at_zero_before_the_first_request(fresh_pod: Any) -> None:
    page = httpx.get(f"{fresh_pod.admin}/metrics").text.splitlines()
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        for code in ("200", "201", "204", "304", "404", "412", "413", "500", "503"):
            assert f'kv_http_requests_total{{code="{code}",method="{method}",route="record"}} 0.0' in page


def test_requests_are_counted_by_method_route_and_code(fresh_pod: Any) -> None:
    httpx.put(f"{fresh_pod.url}/v1/kv/demo/a", content=b"1")
    for path in ("/v1/kv/demo/a", "/v1/kv/demo/b", "/nowhere"):
        httpx.get(fresh_pod.url + path)

    assert fresh_pod.metric('kv_http_requests_total{code="201",method="PUT",route="record"}') == 1
    assert fresh_pod.metric('kv_http_requests_total{code="200",method="GET",route="record"}') == 1
    assert fresh_pod.metric('kv_http_requests_total{code="404",method="GET",route="record"}') == 1
    assert fresh_pod.metric('kv_http_requests_total{code="404",method="GET",route="other"}') == 1
    assert fresh_pod.metric('kv_http_request_duration_seconds_count{method="GET",route="record"}') == 2
    assert fresh_pod.metric('kv_http_request_duration_seconds_bucket{le="0.123",method="PUT",route="record"}') <= 1
    assert fresh_pod.metric('kv_build_info{build="b7",region="local",revision="local",version="0.1.0"}') == 1


def test_the_second_port_has_nothing_else(pod: Any) -> None:
    assert httpx.get(f"{pod.admin}/healthz").status_code == 200
    assert httpx.get(f"{pod.admin}/v1/kv/demo/a").status_code == 404


def test_a_store_that_fails_is_a_problem_and_makes_the_pod_unready(fresh_pod: Any, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"x" * 100)  # what a broken disk may do
    answer = httpx.get(f"{fresh_pod.url}/v1/kv/demo/a")

    assert problem(answer) == (503, "store-unavailable")
    assert answer.headers["retry-after"] == "1"
    assert not fresh_pod.ready()


def run(*arguments: str, **settings: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "kvservice.main", *arguments]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_wrong_settings_end_it_with_a_sentence_each() -> None:
    code, _, errors = run("serve", KV_PORT="x", KV_BIND="y")

    assert code == 2
    assert [line.split("=")[0] for line in errors.splitlines()] == ["KV_BIND", "KV_PORT"]


def test_a_port_that_is_taken_ends_it_with_a_sentence(pod: Any) -> None:
    code, _, errors = run("serve", KV_BIND=pod.address)

    assert code == 1
    assert errors == f"cannot listen on {pod.address} port 8080: Address already in use; see KV_BIND and KV_PORT\n"


def test_a_store_that_cannot_be_had_ends_it_with_a_sentence(pod: Any, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is a text of more than a hundred bytes, and no database at all" * 3)
    address = pod.address.replace("127.201.", "127.202.")
    for path in ("/nowhere/store.db", str(tmp_path / "no.db")):
        code, _, errors = run("serve", KV_BIND=address, KV_STORE_PATH=path)

        assert code == 1
        assert errors.startswith(f"KV_STORE_PATH={path}: ")
        assert "Traceback" not in errors


def test_help_and_version_answer() -> None:
    assert "KV_STORE_PATH" in run("serve", "--help")[1]
    assert run("--version", KV_BUILD="b9")[1] == "kvservice 0.1.0 (build b9)\n"
