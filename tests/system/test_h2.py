"""HTTP/2 (RFC 9113): streams side by side, flow control both ways, and what abuse gets."""

import hashlib
import signal
import struct
import threading

import h2.settings
import pytest

import harness
import h2client
from h2client import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING,
                      PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE)

KIB, MIB = 1024, 1024 * 1024
KEEP = [("Cache-Control", "max-age=600")]
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


@pytest.fixture(scope="module")
def back(make_module_origin):
    origin = make_module_origin()
    origin.reply("/hit", fields=KEEP, body=b"hit")
    origin.reply("/big", fields=KEEP, body=b"0123456789abcdef" * (MIB // 16))
    return origin


@pytest.fixture(scope="module")
def node(make_module_node, back):
    return make_module_node(harness.config(
        back.port, limits={"timeouts": {"header": "2s", "body_idle": "2s"}}))


@pytest.fixture
def client(node):
    with h2client.H2(node.https_port) as client:
        yield client


@pytest.fixture
def raw(node):
    with h2client.RawH2(node.https_port) as raw:
        yield raw


def is_well(node):
    """Whatever was done to it, it serves others."""
    with h2client.H2(node.https_port) as client:
        assert client.get("/hit").body == b"hit"


# Exchanges


def test_get(client, back, node):
    response = client.get("/plain?q=1", [("x-mine", "1")])
    assert response.status == 200 and response.body == b"origin:/plain?q=1"
    request = back.last("/plain")
    assert request.get("host") == "localhost" and request.get("x-mine") == "1"
    assert request.get("via") == "2.0 perigee" and request.version == "HTTP/1.1"
    assert request.get("x-forwarded-proto") == "https"
    line = node.wait_access(lambda x: x["path"] == "/plain?q=1")
    assert line["http"] == "2" and line["tls"] == "TLSv1.3" and line["whole"] is True


def test_hit(client, back):
    client.get("/hit")
    for _ in range(3):
        response = client.get("/hit")
        assert response.body == b"hit" and response.get("age") is not None
        assert "hit" in response.get("cache-status")
    assert back.count("/hit") == 1


def test_one_object_for_both_protocols(node, back):
    back.reply("/both", fields=KEEP, body=b"both")
    with h2client.H2(node.https_port) as two, node.https() as one:
        assert one.get("/both").body == two.get("/both").body == b"both"
    assert back.count("/both") == 1


def test_head(client, back):
    for path in ("/hit", "/head-miss"):
        response = client.request("HEAD", path)
        assert response.status == 200 and response.body == b"" and response.ended
        assert int(response.get("content-length")) > 0
    assert client.get("/hit").body == b"hit"


@pytest.mark.parametrize("status", [204, 304, 404, 503])
def test_statuses(client, back, status):
    back.reply("/status", status, [("ETag", '"a"')])
    assert client.get("/status", [("cache-control", "no-store")]).status in (status, 200)


def test_streams_side_by_side(client, back):
    """A slow one holds nobody up."""
    release = threading.Event()

    @back.on("/slow")
    def answer(x):
        x.head(200, [("Content-Length", "8")])
        x.send(b"slow")
        x.wait(release)
        x.send(b"slow")

    slow = client.open("GET", "/slow")
    for i in range(20):
        assert client.get("/quick/%d" % i).body == b"origin:/quick/%d" % i
    client.wait(lambda: client.responses[slow].body == b"slow", "the first half")
    release.set()
    assert client.response(slow).body == b"slowslow"


def test_a_hundred_at_once(client, back):
    release = threading.Event()

    @back.on("/crowd")
    def answer(x):
        x.wait(release)
        x.respond(body=x.request.target.encode())

    streams = {i: client.open("GET", "/crowd?%d" % i) for i in range(100)}
    back.wait_for(100, "/crowd")
    release.set()
    for i, stream in streams.items():
        assert client.response(stream).body == b"/crowd?%d" % i


def test_more_streams_than_allowed(make_node, back):
    """Over the limit a stream is refused; refused is not failed: the rest goes on."""
    node = make_node(harness.config(back.port, limits={"h2": {"streams": 10}}))
    release = threading.Event()

    @back.on("/few")
    def answer(x):
        x.wait(release)
        x.respond(body=b"few")

    with h2client.RawH2(node.https_port) as raw:
        for stream in range(1, 21, 2):
            raw.headers(stream, path="/few?%d" % stream)
        back.wait_for(10, "/few")
        raw.headers(21, path="/few?21")
        code, = struct.unpack(">I", raw.wait_frame(RST_STREAM, 21)[3])
        assert code == h2client.REFUSED_STREAM
        release.set()
        for stream in range(1, 21, 2):
            assert raw.wait_frame(DATA, stream)[3] == b"few"
        settings = raw.find(SETTINGS)[3]
        assert struct.pack(">HI", 3, 10) in settings
    assert back.count("/few") == 10


def test_cookie_crumbs_are_joined(client, back):
    client.get("/crumbs", [("cookie", "a=1"), ("cookie", "b=2"), ("x", "y"), ("cookie", "c=3")])
    assert back.last("/crumbs").all("cookie") == ["a=1; b=2; c=3"]


def test_bytes_of_bodies_are_exact(client, back):
    body = hashlib.shake_128(b"h2").digest(3 * MIB + 17)
    back.on("/exact")(lambda x: x.chunks([body[i:i + 33333]
                                          for i in range(0, len(body), 33333)]))
    assert client.get("/exact").body == body
    response = client.request("POST", "/exact-up", body=body)
    assert response.status == 200 and back.last("/exact-up").body == body
    assert back.last("/exact-up").get("transfer-encoding") == "chunked"
    client.request("POST", "/exact-up", [("content-length", str(len(body)))], body=body)
    assert back.last("/exact-up").body == body
    assert back.last("/exact-up").get("content-length") == str(len(body))


def test_trailers_both_ways(client, back):
    back.on("/trailers")(lambda x: x.chunks([b"body"], trailers=[("X-Sum", "1")]))
    response = client.request("POST", "/trailers", [("te", "trailers")], body=b"up",
                              trailers=[("x-up", "2")])
    assert (response.body, response.trailers) == (b"body", [("x-sum", "1")])
    request = back.last("/trailers")
    assert request.body == b"up"
    assert [(n.lower(), v) for n, v in request.trailers] in ([("x-up", "2")], [])


def test_interim_answers(client, back):
    @back.on("/hints")
    def answer(x):
        x.head(103, [("Link", "<a>"), ("Connection", "x-gone"), ("X-Gone", "1")])
        x.respond(body=b"final")

    response = client.get("/hints")
    assert response.body == b"final"
    assert response.interim == [(103, [("link", "<a>"), ("via", "1.1 perigee")])]


def test_expect_continue(client, back):
    stream = client.open("POST", "/continue", [("expect", "100-continue")], end=False)
    client.wait(lambda: client.responses[stream].interim, "100")
    assert client.responses[stream].interim[0][0] == 100
    client.data(stream, b"12345")
    assert client.response(stream).status == 200
    assert back.last("/continue").body == b"12345"
    assert back.last("/continue").get("expect") is None


def test_hop_by_hop_fields_of_the_origin_end_here(client, back):
    """RFC 9113 8.2.2: one of these would kill the stream at the client; python3-h2 checks."""
    back.reply("/hops", fields=[("Connection", "keep-alive, X-Theirs"), ("X-Theirs", "1"),
                                ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "x"),
                                ("Upgrade", "h2c"), ("X-Kept", "1"), ("Server", "s")])
    response = client.get("/hops")
    names = {n for n, _ in response.fields}
    assert response.status == 200 and "x-kept" in names
    assert not names & {"connection", "keep-alive", "proxy-connection", "upgrade", "x-theirs",
                        "transfer-encoding"}
    back.on("/hops-chunked")(lambda x: x.chunks([b"a", b"b"]))
    response = client.get("/hops-chunked")
    assert response.body == b"ab" and response.get("transfer-encoding") is None


def test_failures_are_told(make_node):
    node = make_node(harness.config(harness.free_port()))
    with h2client.H2(node.https_port) as client:
        for _ in range(3):
            response = client.get("/x")
            assert response.status == 502
            assert response.get("proxy-status") == "perigee; error=connection_refused"


def test_an_answer_that_breaks_resets_its_stream_only(client, back):
    @back.on("/broken")
    def answer(x):
        x.head(200, [("Content-Length", "10")])
        x.send(b"12345")
        x.close()

    response = client.get("/broken")
    assert response.reset is not None and not response.ended
    assert client.get("/hit").body == b"hit"


def test_routing_is_the_same(make_node, back):
    node = make_node(harness.config(back.port, sites=[{"hosts": ["a.test"], "routes": [
        {"match": {"path": "/no/*"}, "respond": {"status": 451}},
        {"match": {"path": "/yes/*"}}]}]))
    before = back.count()
    with h2client.H2(node.https_port) as client:
        assert client.get("/yes/x", authority="b.test").status == 421
        assert client.get("/x", authority="a.test").status == 404
        assert client.get("/no/x", authority="a.test").status == 451
        assert client.request("POST", "/no/x", body=b"x" * 100000,
                              authority="a.test").status == 451
        assert back.count() == before
        assert client.get("/yes/x", authority="A.test:443").status == 200


# Requests that are not right


BAD = {  # what is added to a good head, or put instead of it
    "upper-case": [("X-Upper", "1")], "connection": [("connection", "close")],
    "keep-alive": [("keep-alive", "1")], "proxy-connection": [("proxy-connection", "x")],
    "transfer-encoding": [("transfer-encoding", "chunked")], "upgrade": [("upgrade", "h2c")],
    "te": [("te", "gzip")], "nul": [("a", "b\0c")], "lf": [("a", "b\nc: d")],
    "cr": [("a", "b\rc")], "name-space": [("a b", "c")], "name-colon": [("a:b", "c")],
    "name-lf": [("a\nb", "c")], "empty-name": [("", "c")], "pseudo-late": [(":path", "/y")],
    "pseudo-unknown": [(":x", "y")], "status": [(":status", "200")],
    "host-differs": [("host", "other.test")], "length-text": [("content-length", "x")],
    "length-two": [("content-length", "0"), ("content-length", "1")],
    "length-lies": [("content-length", "5")],
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_malformed_requests_reach_no_origin(node, back, name):
    """RFC 9113 8.1.1: reset or 400, and the connection lives on or ends in good order."""
    before = back.count("/bad")
    with h2client.RawH2(node.https_port) as raw:
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                (":path", "/bad"), *BAD[name]]
        raw.frame(HEADERS, END_STREAM | END_HEADERS, 1, raw.encoder.encode(head, huffman=False))
        raw.frame(PING, 0, 0, b"12345678")
        wait_verdict(raw, 1)
    assert back.count("/bad") == before
    is_well(node)


def wait_verdict(raw, stream):
    """RST_STREAM, a 4xx or GOAWAY: else the test fails."""
    while True:
        if raw.find(RST_STREAM, stream) or raw.find(GOAWAY):
            return
        if raw.find(HEADERS, stream):
            assert 400 <= raw.status(stream) < 500
            return
        assert raw.receive(), "closed without a word"


HEADS = {
    "no-method": [(":scheme", "https"), (":authority", "localhost"), (":path", "/bad")],
    "no-scheme": [(":method", "GET"), (":authority", "localhost"), (":path", "/bad")],
    "no-path": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")],
    "no-authority": [(":method", "GET"), (":scheme", "https"), (":path", "/bad")],
    "empty-path": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                   (":path", "")],
    "relative": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                 (":path", "bad")],
    "absolute": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                 (":path", "https://evil.test/bad")],
    "fragment": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                 (":path", "/bad#x")],
    "space": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
              (":path", "/bad HTTP/1.1\r\nx: y")],
    "nul": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
            (":path", "/bad%00")],
    "backslash": [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                  (":path", "/bad\\x")],
    "method-space": [(":method", "GET /bad"), (":scheme", "https"),
                     (":authority", "localhost"), (":path", "/bad")],
    "authority-user": [(":method", "GET"), (":scheme", "https"),
                       (":authority", "a@localhost"), (":path", "/bad")],
    "authority-path": [(":method", "GET"), (":scheme", "https"),
                       (":authority", "localhost/x"), (":path", "/bad")],
    "authority-lf": [(":method", "GET"), (":scheme", "https"),
                     (":authority", "localhost\r\nx: y"), (":path", "/bad")],
    "twice": [(":method", "GET"), (":method", "POST"), (":scheme", "https"),
              (":authority", "localhost"), (":path", "/bad")],
    "pseudo-behind": [(":method", "GET"), (":scheme", "https"), ("a", "b"),
                      (":authority", "localhost"), (":path", "/bad")],
    "connect": [(":method", "CONNECT"), (":authority", "localhost:80")],
    "connect-path": [(":method", "CONNECT"), (":scheme", "https"),
                     (":authority", "localhost:80"), (":path", "/bad")],
}


@pytest.mark.parametrize("name", sorted(HEADS))
def test_malformed_heads_reach_no_origin(node, back, name):
    before = back.count()
    with h2client.RawH2(node.https_port) as raw:
        raw.frame(HEADERS, END_STREAM | END_HEADERS, 1,
                  raw.encoder.encode(HEADS[name], huffman=False))
        while not (raw.find(RST_STREAM, 1) or raw.find(GOAWAY)):
            if raw.find(HEADERS, 1):
                assert 400 <= raw.status(1) < 600
                break
            assert raw.receive()
    assert back.count() == before
    is_well(node)


@pytest.mark.parametrize("body,length", [(b"123", "5"), (b"1234567", "5"), (b"x", "0")])
def test_a_body_of_another_length(node, back, body, length):
    whole = []

    def answer(x):
        x.body()
        whole.append(x.request)
        x.respond()

    back.on("/length", reads_body=False)(answer)
    with h2client.RawH2(node.https_port) as raw:
        raw.headers(1, END_HEADERS, method="POST", path="/length",
                    fields=[("content-length", length)])
        raw.frame(DATA, END_STREAM, 1, body)
        wait_verdict(raw, 1)
    assert not any(r.body != body[:int(length)] for r in whole)
    if length != "0":
        assert not whole, "a body that is not what its length says looked whole"


def test_heads_have_limits(client, back):
    assert client.get("/f", [("a", "b" * 8000)]).status == 200
    before = back.count()
    assert client.get("/f", [("a", "b" * 9000)]).status == 431
    assert client.get("/f", [("a%d" % i, "b" * 7000) for i in range(5)]).status == 431
    assert client.get("/f", [("a%d" % i, "b") for i in range(120)]).status == 431
    assert client.get("/" + "p" * 9000).status == 414
    assert back.count() == before
    assert client.get("/hit").body == b"hit", "the connection lives on"


# Flow control


def test_a_window_of_the_client_is_kept(node, back):
    """Not a byte more than granted; python3-h2 would raise, and so it goes on when granted."""
    with h2client.H2(node.https_port, credit=False, settings={WINDOW: 1000}) as client:
        stream = client.open("GET", "/big")
        client.wait(lambda: client.responses[stream].body_bytes == 1000, "the first window")
        client.ping()
        client.wait(lambda: client.pongs == 1, "a pong")
        assert client.responses[stream].body_bytes == 1000
        client.grant(500, stream)
        client.wait(lambda: client.responses[stream].body_bytes == 1500, "the next 500")
        other = client.open("GET", "/hit")
        assert client.response(other).body == b"hit", "another stream has a window of its own"


def test_the_connection_window_is_kept(node):
    with h2client.H2(node.https_port, credit=False, settings={WINDOW: MIB}) as client:
        streams = [client.open("GET", "/big") for _ in range(2)]
        client.wait(lambda: sum(client.responses[s].body_bytes for s in streams) == 65535,
                    "the connection's window")
        client.credit = True
        client.grant(65535)
        for stream in streams:
            client.grant(MIB - 1, stream)
            assert client.response(stream).body_bytes == MIB


def test_a_changed_window(node):
    """SETTINGS may shrink a window below zero (RFC 9113 6.9.2)."""
    with h2client.H2(node.https_port, credit=False, settings={WINDOW: 5000}) as client:
        stream = client.open("GET", "/big")
        client.wait(lambda: client.responses[stream].body_bytes == 5000, "the window")
        client.core.update_settings({WINDOW: 1000})
        client.flush()
        client.ping()
        client.wait(lambda: client.pongs == 1, "a pong")
        client.core.update_settings({WINDOW: 7000})
        client.flush()
        client.wait(lambda: client.responses[stream].body_bytes == 7000, "two thousand more")


def test_a_window_that_never_opens(node, back):
    """A client that does not credit is ended within body_idle (2 s here)."""
    with h2client.H2(node.https_port, credit=False, settings={WINDOW: 10}) as client:
        stream = client.open("GET", "/big?never")
        client.wait(lambda: client.responses[stream].over or client.closed, "its end", 15)
    line = node.wait_access(lambda x: x["path"] == "/big?never")
    assert line["bytes"] <= 10 and line["whole"] is False
    is_well(node)


def test_windows_of_zero_hold_no_memory(node, back):
    """Many streams that never move, over a large body: the node holds back, then ends them."""
    total = 16 * MIB

    @back.on("/held")
    def answer(x):
        x.head(200, [("Content-Length", total), ("Cache-Control", "no-store")])
        x.stream(total)

    before = node.memory()
    with h2client.H2(node.https_port, credit=False, settings={WINDOW: 0}) as client:
        streams = [client.open("GET", "/held?%d" % i) for i in range(20)]
        client.wait(lambda: all(client.responses[s].over for s in streams) or client.closed,
                    "their end", 30)
    assert node.memory() - before < 100 * MIB
    is_well(node)


def test_an_upload_is_held_back_by_the_origin(node, back):
    """The node grants no more than its origin takes."""
    release = threading.Event()

    def answer(x):
        x.wait(release)
        x.respond(body=b"%d" % sum(len(p) for p in x.pieces()))

    back.on("/slow-up", reads_body=False)(answer)
    total, sent = 32 * MIB, 0
    with h2client.H2(node.https_port) as client:
        stream = client.open("PUT", "/slow-up", end=False)
        back.wait_for(1, "/slow-up")
        core = client.core
        while True:  # until the window has been shut for a round trip
            room = min(core.local_flow_control_window(stream), core.max_outbound_frame_size)
            if room > 0:
                core.send_data(stream, b"x" * room)
                client.flush()
                sent += room
                continue
            pongs = client.pongs
            client.ping()
            client.wait(lambda: client.pongs > pongs, "a pong")
            if core.local_flow_control_window(stream) <= 0:
                break
        assert sent < 20 * MIB, "it took %d MiB that nobody reads" % (sent // MIB)
        other = client.open("GET", "/hit")
        assert client.response(other).body == b"hit", "the connection is not stuck"
        release.set()
        client.data(stream, b"x" * (total - sent))
        assert client.response(stream).body == b"%d" % total


def test_an_upload_over_the_window(node, back):
    """RFC 9113 6.9.1: FLOW_CONTROL_ERROR, for the stream here."""
    release = threading.Event()
    back.on("/over", reads_body=False)(lambda x: (x.wait(release), x.close()))
    with h2client.RawH2(node.https_port) as raw:
        raw.headers(1, END_HEADERS, method="POST", path="/over")
        for _ in range(2000):  # more than all buffers on the way to the origin
            raw.frame(DATA, 0, 1, b"x" * 16384)
        code, = struct.unpack(">I", raw.wait_frame(RST_STREAM, 1)[3])
        assert code == h2client.FLOW_CONTROL_ERROR
    release.set()
    is_well(node)


def test_a_large_answer(node, back):
    total = 128 * MIB

    @back.on("/large")
    def answer(x):
        x.head(200, [("Content-Length", total), ("Cache-Control", "no-store")])
        x.stream(total)

    before = node.memory()
    with h2client.H2(node.https_port, settings={WINDOW: 4 * MIB}) as client:
        client.grant(16 * MIB)
        stream = client.open("GET", "/large")
        response = client.responses[stream]
        while not response.over:
            assert client.receive()
            response.body = b""
        assert response.body_bytes == total and response.ended
    assert node.memory() - before < 48 * MIB


# Streams that end early


def test_reset_by_the_client_ends_the_fetch(client, back):
    gone = threading.Event()

    @back.on("/reset")
    def answer(x):
        x.head(200, [("Transfer-Encoding", "chunked"), ("Cache-Control", "no-store")])
        try:
            while True:
                x.chunk(b"x" * 10000)
        finally:
            gone.set()

    stream = client.open("GET", "/reset")
    client.wait(lambda: client.responses[stream].body_bytes > 0, "a beginning")
    client.reset(stream)
    assert gone.wait(15)
    assert client.get("/hit").body == b"hit"


def test_an_upload_that_is_reset_never_looks_whole(client, back):
    ends = []

    def answer(x):
        try:
            x.body()
            ends.append("whole")
        except Exception as error:
            ends.append(type(error).__name__)
            raise

    back.on("/reset-up", reads_body=False)(answer)
    stream = client.open("POST", "/reset-up", end=False)
    client.data(stream, b"x" * 1000, end=False)
    back.wait_for(1, "/reset-up")
    client.reset(stream)
    harness.wait_until(lambda: ends, "the origin's end")
    assert ends == ["Closed"]


def test_an_answer_before_the_upload_ends(client, back):
    def answer(x):
        x.respond(413, [("Connection", "close")], b"too much")
        x.close()

    back.on("/refused", reads_body=False)(answer)
    stream = client.open("POST", "/refused", end=False)
    client.data(stream, b"x" * 1000, end=False)
    response = client.response(stream)
    assert (response.status, response.body) == (413, b"too much")
    assert client.get("/hit").body == b"hit"


def test_bodies_that_nobody_reads(make_node, back):
    """Answered without an origin: the body's credit comes back to the connection."""
    node = make_node(harness.config(back.port, sites=[{
        "hosts": ["*"], "routes": [{"respond": {"status": 410}}]}]))
    with h2client.H2(node.https_port) as client:
        for _ in range(30):
            assert client.request("POST", "/said", body=b"x" * 100000).status == 410


def test_a_get_with_a_body(client, back):
    """No hit for it (the body is no part of the key), and nothing is stored of it."""
    back.on("/fat")(lambda x: x.respond(fields=KEEP, body=b"for:" + x.request.body))
    assert client.request("GET", "/fat", body=b"poison").status == 200
    assert client.get("/fat").body == b"for:"
    assert client.request("GET", "/fat", body=b"mine").body in (b"for:mine", b"for:")


# Abuse


def calmed(raw, node, deadline_s=20):
    assert raw.wait_end(deadline_s) == h2client.ENHANCE_YOUR_CALM
    is_well(node)


def flood(raw, pieces):
    for piece in pieces:
        if not raw.send(piece):
            return


def test_rapid_reset(raw, node, back):
    """CVE-2023-44487. Neither endless resets nor a fetch for each."""
    release = threading.Event()
    back.on("/rapid")(lambda x: x.wait(release))
    before = back.count()

    def pieces():
        for stream in range(1, 20001, 2):
            block = raw.block(path="/rapid?%d" % stream)
            yield h2client.frame(HEADERS, END_STREAM | END_HEADERS, stream, block) + \
                h2client.frame(RST_STREAM, 0, stream, struct.pack(">I", h2client.CANCEL))

    flood(raw, pieces())
    calmed(raw, node)
    release.set()
    assert back.count() - before < 1000, "each reset stream cost the origin a request"
    node.wait_log("calm|reset")


def test_resets_that_we_are_made_to_send(raw, node):
    """MadeYouReset (CVE-2025-8671): the same by frames that provoke RST_STREAM."""
    def pieces():
        for stream in range(1, 20001, 2):
            yield h2client.frame(HEADERS, END_STREAM | END_HEADERS, stream,
                                 raw.block(path="/hit")) + \
                h2client.frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0")

    flood(raw, pieces())
    code = raw.wait_end()
    assert code in (h2client.ENHANCE_YOUR_CALM, h2client.PROTOCOL_ERROR,
                    h2client.STREAM_CLOSED)
    is_well(node)


def test_continuation_flood(raw, node):
    before = node.memory()
    raw.frame(HEADERS, END_STREAM, 1, raw.block())
    flood(raw, (h2client.frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 500)
                for _ in range(20000)))
    calmed(raw, node)
    assert node.memory() - before < 32 * MIB


def test_empty_continuations(raw, node):
    raw.frame(HEADERS, END_STREAM, 1, raw.block())
    flood(raw, (h2client.frame(CONTINUATION, 0, 1) * 100 for _ in range(1000)))
    calmed(raw, node)


def test_a_header_bomb(raw, node):
    """One table entry, named again and again: small on the wire, large when decoded."""
    before = node.memory()
    first = raw.block([("x-bomb", "b" * 3900)])
    raw.frame(HEADERS, END_STREAM | END_HEADERS, 1, first)
    index = bytes([0x80 | 62])
    for i in range(200):
        stream = 3 + 2 * i
        block = raw.block() + index * 16000
        if not raw.frame(HEADERS, END_STREAM | END_HEADERS, stream, block):
            break
    calmed(raw, node)
    assert node.memory() - before < 64 * MIB


@pytest.mark.parametrize("name,piece", [
    ("settings", h2client.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))),
    ("settings-empty", h2client.frame(SETTINGS, 0, 0)),
    ("ping", h2client.frame(PING, 0, 0, b"12345678")),
    ("priority", h2client.frame(PRIORITY, 0, 1, b"\0\0\0\0\0")),
    ("unknown", h2client.frame(0x42, 0, 0, b"x")),
    ("window", h2client.frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1")),
])
def test_floods_of_small_frames(raw, node, name, piece):
    flood(raw, (piece * 100 for _ in range(2000)))
    calmed(raw, node)


def test_floods_of_empty_data(raw, node, back):
    back.on("/empty-data", reads_body=False)(lambda x: x.body())
    raw.headers(1, END_HEADERS, method="POST", path="/empty-data")
    flood(raw, (h2client.frame(DATA, 0, 1) * 100 for _ in range(1000)))
    calmed(raw, node)


def test_pings_that_nobody_reads(node):
    """Answers pile up at us: bounded, then over."""
    before = node.memory()
    with h2client.RawH2(node.https_port, receive_bytes=4096) as raw:
        raw.sock.settimeout(20)
        flood(raw, (h2client.frame(PING, 0, 0, b"12345678") * 1000 for _ in range(2000)))
    assert node.memory() - before < 32 * MIB
    is_well(node)


def test_a_busy_client_is_no_abuser(client):
    """A thousand good requests with their window updates and some pings."""
    for i in range(1000):
        assert client.get("/hit").body == b"hit"
        if i % 50 == 0:
            client.ping()
    for _ in range(50):
        client.reset(client.open("GET", "/hit"))
    assert client.get("/hit").body == b"hit"


# Connection errors


def code_for(node, *frames):
    with h2client.RawH2(node.https_port) as raw:
        for piece in frames:
            if callable(piece):
                piece = piece(raw)
            raw.send(piece)
        code = raw.wait_end()
    is_well(node)
    return code


def get(stream, path="/hit"):
    return lambda raw: h2client.frame(HEADERS, END_STREAM | END_HEADERS, stream,
                                      raw.block(path=path))


def test_frames_on_a_closed_stream(node):
    """RFC 9113 5.1: STREAM_CLOSED, also when the answer has long been sent."""
    for late in (h2client.frame(DATA, END_STREAM, 1, b"x"), get(1)):
        with h2client.RawH2(node.https_port) as raw:
            raw.headers(1, path="/hit")
            raw.wait_frame(DATA, 1)
            raw.send(late(raw) if callable(late) else late)
            assert raw.wait_end() == h2client.STREAM_CLOSED
    is_well(node)


@pytest.mark.parametrize("name,frames,codes", [
    ("data-on-0", [h2client.frame(DATA, 0, 0, b"x")], [1]),
    ("data-on-idle", [h2client.frame(DATA, 0, 5, b"x")], [1, 5]),
    ("headers-on-0", [get(0)], [1]),
    ("headers-on-2", [get(2)], [1]),
    ("numbers-fall", [get(5), get(3)], [1, 5]),
    ("settings-on-1", [h2client.frame(SETTINGS, 0, 1)], [1]),
    ("settings-length", [h2client.frame(SETTINGS, 0, 0, b"12345")], [6]),
    ("settings-push", [h2client.frame(SETTINGS, 0, 0, struct.pack(">HI", 2, 2))], [1]),
    ("settings-window", [h2client.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31))], [3]),
    ("settings-frame", [h2client.frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 100))], [1]),
    ("ping-length", [h2client.frame(PING, 0, 0, b"1234567")], [6]),
    ("ping-on-1", [h2client.frame(PING, 0, 1, b"12345678")], [1]),
    ("window-0", [h2client.frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")], [1]),
    ("window-over", [h2client.frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")], [3]),
    ("window-idle", [h2client.frame(WINDOW_UPDATE, 0, 7, b"\0\0\0\1")], [1]),
    ("reset-idle", [h2client.frame(RST_STREAM, 0, 7, b"\0\0\0\x08")], [1]),
    ("reset-length", [h2client.frame(RST_STREAM, 0, 1, b"\0\0\0")], [6]),
    ("push", [h2client.frame(5, END_HEADERS, 1, b"\0\0\0\2")], [1]),
    ("continuation", [h2client.frame(CONTINUATION, END_HEADERS, 1, b"")], [1]),
    ("between", [lambda r: h2client.frame(HEADERS, END_STREAM, 1, r.block()),
                 h2client.frame(PING, 0, 0, b"12345678")], [1]),
    ("hpack", [h2client.frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\xff\xff\xff\xff")], [9]),
    ("hpack-index", [h2client.frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xfe")], [9]),
    ("large", [h2client.frame(0x42, 0, 0, b"x" * 16385)], [6]),
    ("padding", [h2client.frame(HEADERS, 0x8 | END_STREAM | END_HEADERS, 1, b"\xff\x82")], [1, 6]),
])
def test_connection_errors(node, name, frames, codes):
    assert code_for(node, *frames) in codes


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 24,
                                   b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + b"\0" * 100])
def test_a_wrong_preface(node, first):
    with h2client.RawH2(node.https_port, preface=False) as raw:
        raw.send(first)
        raw.wait_end()
    is_well(node)


def test_a_preface_that_does_not_come(node):
    for part in (b"", h2client.PREFACE[:10], h2client.PREFACE):
        with h2client.RawH2(node.https_port, preface=False) as raw:
            raw.send(part)
            raw.wait_end()


def test_a_head_that_does_not_end(node):
    """Slow heads: `header` (2 s here) counts from its first octet."""
    with h2client.RawH2(node.https_port) as raw:
        raw.frame(HEADERS, END_STREAM, 1, raw.block())
        raw.wait_end()
    with h2client.RawH2(node.https_port) as raw:
        raw.send(h2client.frame(HEADERS, END_STREAM | END_HEADERS, 1, raw.block())[:-3])
        raw.wait_end()


def test_a_body_that_does_not_come(node):
    with h2client.H2(node.https_port) as client:
        stream = client.open("POST", "/slow-body", end=False)
        client.data(stream, b"abc", end=False)
        client.wait(lambda: client.responses[stream].over or client.closed, "its end", 15)
        response = client.responses[stream]
        assert response.status in (None, 400, 408), response.status


def test_nothing_is_left(node):
    harness.wait_until(lambda: node.status()["cache"]["fills"] == 0 and
                       node.status()["connections"] <= 1, "connections and fills are over")


# The end


def test_goaway_on_sigterm(make_node, make_origin):
    """What is in flight is answered; no new streams; then the node is gone."""
    origin, release = make_origin(), threading.Event()

    @origin.on("/last")
    def answer(x):
        x.head(200, [("Content-Length", "10")])
        x.send(b"first")
        x.wait(release)
        x.send(b"later")

    node = make_node(harness.config(origin.port, limits={"drain": "500ms"}))
    with h2client.H2(node.https_port) as client, h2client.H2(node.https_port) as idle:
        idle.get("/idle")
        stream = client.open("GET", "/last")
        client.wait(lambda: client.responses[stream].body == b"first", "a beginning")
        node.send_signal(signal.SIGTERM)
        client.wait(lambda: client.goaway, "GOAWAY")
        assert client.goaway[0] == h2client.NO_ERROR
        assert idle.wait_closed()[0] == h2client.NO_ERROR
        release.set()
        assert client.response(stream).body == b"firstlater"
    assert node.wait_exit() == 0


def test_an_idle_connection_is_closed(make_node, back):
    node = make_node(harness.config(back.port,
                                    limits={"timeouts": {"keepalive": "500ms"}}))
    with h2client.H2(node.https_port) as client:
        assert client.get("/hit").body == b"hit"
        goaway = client.wait_closed()
        assert goaway and goaway[0] == h2client.NO_ERROR
