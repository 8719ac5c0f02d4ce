"""Whatever Prometheus answers, a query gives numbers or one line, and never raises."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kvoperator.adapters.prometheus import Prometheus

SERIES = '{"metric": {"kvcluster_dev_region": "eu-west", "kvcluster_dev_revision": "%s"}, "value": [1, "%s"]}'


class Server(ThreadingHTTPServer):
    status, body = 200, ""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        self.send_response(server.status)
        self.end_headers()
        self.wfile.write(server.body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def result(*series: str) -> str:
    return f'{{"status": "success", "data": {{"resultType": "vector", "result": [{", ".join(series)}]}}}}'


def asked(server: Server) -> Prometheus:
    return Prometheus(f"http://127.0.0.1:{server.server_address[1]}")


async def test_numbers_come_by_region_and_revision_and_what_is_no_number_is_left_out(server: Server) -> None:
    server.body = result(SERIES % ("a", "12"), SERIES % ("b", "NaN"), SERIES % ("c", "+Inf"))

    assert await asked(server).query("up") == {("eu-west", "a"): 12.0}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, "busy"),
        (400, '{"error": "parse error"}'),
        (200, "<html>"),
        (200, "{}"),
        (200, '{"data": {"result": [1, "2"]}}'),
    ],
)
async def test_any_other_answer_is_one_line(server: Server, status: int, body: str) -> None:
    server.status, server.body = status, body

    answer = await asked(server).query("up")

    assert isinstance(answer, str)
    assert answer.startswith("Prometheus gave no answer: ")


async def test_nobody_there_is_one_line_too() -> None:
    answer = await Prometheus("http://127.0.0.1:9").query("up")

    assert isinstance(answer, str)
    assert "refused" in answer
