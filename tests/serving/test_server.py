import http.client
import json
import socket
import threading

import pytest
import uvicorn

import playlist_pipeline.serving.app
from playlist_pipeline.errors import UserError
from playlist_pipeline.serving import run
from playlist_pipeline.serving.server import list_names


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "::1", "127.0.0.2"])
def test_loopback_goes_by_its_names(host):
    assert {"127.0.0.1", "localhost", "[::1]"} <= set(list_names(host))


@pytest.mark.parametrize(("host", "names"), [("192.0.2.7", ("192.0.2.7",)), ("2001:db8::1", ("[2001:db8::1]",))])
def test_another_address_goes_by_its_own_name_alone(host, names):
    assert list_names(host) == names


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_at_once_is_refused(host):
    with pytest.raises(UserError, match="give the one address"):
        list_names(host)


def test_a_taken_port_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1, port {port} .*: give another port"):
            run(tmp_path, port=port)
    with pytest.raises(UserError, match="port = 70000 is not allowed"):
        run(tmp_path, port=70_000)
    with pytest.raises(UserError, match="cannot listen on no such host"):
        run(tmp_path, host="no such host")


def test_a_missing_model_is_one_line(tmp_path):
    with pytest.raises(UserError, match="holds no trained model"):
        run(tmp_path, port=0)


def test_it_listens_on_loopback_only_by_default(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: given.update(options, app=app))
    monkeypatch.setattr("playlist_pipeline.generation.recommender.Recommender.load", lambda _: None)
    monkeypatch.setattr(playlist_pipeline.serving.app, "create_app", lambda _, settings: settings)
    run(tmp_path, port=0)
    assert given["host"] == "127.0.0.1"
    assert set(given["app"].allowed_hosts) == {"127.0.0.1", "localhost", "[::1]"}
    # h11 bounds the size of a request's head.
    assert given["http"] == "h11"
    assert given["server_header"] is False


def ask(server, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_what_is_at_work_is_finished_before_the_server_ends(live_server, recommender):
    recommender.gate.clear()
    answers = []
    asker = threading.Thread(target=lambda: answers.append(ask(live_server, "POST", "/api/complete", {})))
    asker.start()
    assert recommender.has_begun.wait(20)
    port = live_server.port
    live_server.stop(wait=False)
    recommender.gate.set()
    asker.join(20)
    live_server.stop()
    ((status, body),) = answers
    assert status == 200
    assert len(json.loads(body)["tracks"]) == 30
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_an_endless_head_is_refused(live_server):
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        try:
            for _ in range(1000):
                connection.sendall(b"X-Long: " + b"x" * 1000 + b"\r\n")
        except (BrokenPipeError, ConnectionResetError):
            return
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_closed_connection_leaves_the_server_well(live_server):
    lines = ("POST /api/complete HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", "Content-Length: 100")
    head = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n{"
    with socket.create_connection(("127.0.0.1", live_server.port), timeout=20) as connection:
        connection.sendall(head)
    assert ask(live_server, "GET", "/health") == (200, b'{"status":"ok"}')
