"""Who is sent away by the WebSocket endpoint, when, with which words and code; on a real socket."""

import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from engine.lake import Lake
from serve.client import fetch_health
from serve.closing import error_close
from serve.session import Session
from serve.settings import Limits
from tests.test_serve.server import N_BINS, TOKEN, Running, Serve, closing, finished, listen, listen_more


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"symbol": "ESH4"}, "locked to future_mbo:MNQH6"),
        ({"dt": "2026-02-07"}, "20260206"),
        ({"start_time": "10:00"}, "holds no event"),
        ({"perm_tanh_scale": "0"}, "perm_tanh_scale was 0"),
        ({"projection_horizons_bins": "1,1"}, "projection_horizons_bins"),
        ({"spede": "0"}, "unknown query value 'spede'"),
    ],
)
def test_a_bad_request_gets_its_error_and_1008(serve: Serve, query: dict[str, str], words: str) -> None:
    with serve().connect(**query) as connection:
        heard = listen(connection)
        code, reason = closing(connection)
    (error,) = heard.texts
    assert (error["type"], error["code"]) == ("error", "bad_request")
    assert words in error["message"]
    assert "\n" not in error["message"]
    assert code == 1008
    assert error["message"].startswith(reason)


def test_a_damaged_raw_file_is_named(serve: Serve, lake: Lake) -> None:
    (path,) = lake.raw_dir("MNQ").iterdir()
    path.write_bytes(b"nothing of the kind")
    with serve().connect() as connection:
        heard = listen(connection)
        assert closing(connection)[0] == 1008
    assert "is not a DBN file" in heard.texts[0]["message"]


def test_our_own_fault_is_1011_and_the_next_stream_works(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    running = serve()
    with monkeypatch.context() as patch:
        patch.setattr(Session, "turn", lambda self, n_bins: 1 // 0)
        with running.connect(speed="0") as connection:
            heard = listen(connection)
            assert closing(connection)[0] == 1011
    assert heard.of("error")[0]["code"] == "server_fault"
    assert "ZeroDivisionError" in heard.of("error")[0]["message"]
    with running.connect(speed="0") as connection:
        assert len(listen(connection).bins) == N_BINS


def test_one_client_too_many_is_told_to_try_later_and_let_in_once_another_has_left(serve: Serve) -> None:
    running = serve(limits=Limits(max_clients=2))
    with running.connect() as first:
        listen(first, n_bins=1)
        with running.connect() as second:  # as many as may
            listen(second, n_bins=1)
            (stream,) = [one for one in running.service.streams if one is not stream_of(running, first)]
            with running.connect() as third:
                heard = listen(third, n_bins=1)  # none comes; should one, it need not be the whole day
                assert closing(third)[0] == 1013
            assert heard.texts[0]["code"] == "busy"
            assert "2 clients are connected" in heard.texts[0]["message"]
            assert len(listen_more(second, 1)) == 1
        running.call(finished(stream))
        with running.connect() as fourth:
            assert len(listen(fourth, n_bins=1).bins) == 1
        assert len(listen_more(first, 2)) == 2
    figures = running.service.figures
    assert (figures.streams_opened, figures.streams_refused) == (3, 1)


def stream_of(running: Running, connection: Any) -> Any:
    """The server's stream of a client."""
    port = connection.socket.getsockname()[1]
    (found,) = [one for one in running.service.streams if one._websocket.client.port == port]
    return found


def test_a_foreign_page_is_refused_before_the_handshake(serve: Serve) -> None:
    running = serve()
    with pytest.raises(InvalidStatus) as caught:
        running.connect(headers={"Origin": "https://evil.example"})
    assert caught.value.response.status_code == 403
    with running.connect(headers={"Origin": f"http://localhost:{running.port}"}) as connection:
        assert len(listen(connection, n_bins=1).bins) == 1


def test_a_token_is_wanted_where_one_is_set(serve: Serve) -> None:
    running = serve(token=TOKEN)
    with running.connect() as connection:
        heard = listen(connection)
        assert closing(connection)[0] == 1008
    assert heard.texts[0]["code"] == "unauthorized"
    for headers, query in (({"Authorization": f"Bearer {TOKEN}"}, {}), (None, {"token": TOKEN})):
        with running.connect(headers=headers, **query) as connection:
            assert len(listen(connection, n_bins=1).bins) == 1
    wrong = (
        ({"Authorization": f"Bearer {TOKEN}x"}, {}),
        (None, {"token": TOKEN[:-1]}),
        ({"Authorization": "Bearer x"}, {"token": TOKEN}),
    )
    for headers, query in wrong:
        with running.connect(headers=headers, **query) as connection:
            assert [text["code"] for text in listen(connection, n_bins=1).texts] == ["unauthorized"]
            assert closing(connection)[0] == 1008
    assert fetch_health(running.base, None).keys() == {"status", "service"}
    assert fetch_health(running.base, TOKEN)["streams_refused"] == 4
    assert fetch_health(running.base, TOKEN)["streams_opened"] == 2


@pytest.mark.parametrize(
    ("token", "origin", "is_let_in"),
    [
        (None, "https://listed.example", True),
        (None, "https://listed.example:8443", False),
        (None, "http://listed.example", False),
        (None, "http://127.0.0.1:1", True),  # of this machine
        (None, "null", False),
        (TOKEN, "https://listed.example", True),
        (TOKEN, "https://evil.example", False),  # the token alone opens no foreign page's way
    ],
)
def test_each_origin_is_let_in_or_not(serve: Serve, token: str | None, origin: str, is_let_in: bool) -> None:
    running = serve(token=token, allowed_origins=("https://listed.example",))
    query = {} if token is None else {"token": token}
    if is_let_in:
        with running.connect(headers={"Origin": origin}, **query) as connection:
            assert len(listen(connection, n_bins=1).bins) == 1
    else:
        with pytest.raises(InvalidStatus) as caught:
            running.connect(headers={"Origin": origin}, **query)
        assert caught.value.response.status_code == 403
    assert running.service.figures.streams_refused == (not is_let_in)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * 119, "x" * 119),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120),
        ("ä" * 60, "ä" * 60),
        ("ä" * 61, "ä" * 60),
        ("x" + "ä" * 60, "x" + "ä" * 59),  # never half a letter
    ],
)
def test_a_close_frames_reason_is_the_messages_beginning(text: str, reason: str) -> None:
    close = error_close("bad_request", text, 1008)
    assert (close.code, close.reason) == (1008, reason)
    assert json.loads(close.text) == {"type": "error", "code": "bad_request", "message": text}
