"""Bodies on their way: streamed both ways, in bounded memory, with trailers and interims."""

import hashlib
import signal
import socket
import threading
import time

import pytest

import harness

MIB = 1024 * 1024
SMALL = {"memory": "16MiB", "disk": {"size": "0B"}}
ROOM = 48 * MIB  # what streaming may add to the node's memory, whatever passes through


@pytest.fixture(scope="module")
def back(make_module_origin):
    return make_module_origin()


@pytest.fixture(scope="module")
def node(make_module_node, back):
    """Little memory for the cache and none on disk: bodies must pass, not pile up."""
    node = make_module_node(harness.config(back.port, cache=SMALL))
    node.get("/warm-up")
    return node


@pytest.fixture(scope="module")
def impatient(make_module_node, back):
    """The same, and soon tired of clients that stand still."""
    node = make_module_node(harness.config(
        back.port, cache=SMALL, limits={"timeouts": {"body_idle": "1s"}}))
    node.get("/warm-up")
    return node


class Watch:
    """The node's memory while a block runs."""

    def __init__(self, node):
        self.node = node
        self.before = node.memory()
        self.most = self.before
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, self.node.memory())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.thread.join()
        if exception == (None, None, None):
            grown = self.most - self.before
            assert grown < ROOM, "memory grew by %d MiB" % (grown // MIB)


def wait_stands(read, deadline_s=20):
    """Until a number has not changed for half a second; returns it."""
    end = time.monotonic() + deadline_s
    value, since = read(), time.monotonic()
    while time.monotonic() - since < 0.5:
        assert time.monotonic() < end, "it never stands still"
        time.sleep(0.02)
        now = read()
        if now != value:
            value, since = now, time.monotonic()
    return value


# Down


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_large_answer_streams(node, back, framing):
    total = 256 * MIB
    path = "/large-" + framing

    @back.on(path)
    def answer(x):
        fields = {"length": [("Content-Length", total)], "close": [],
                  "chunked": [("Transfer-Encoding", "chunked")]}[framing]
        x.head(200, [("Cache-Control", "no-store"), *fields])
        if framing == "chunked":
            for _ in range(total // MIB):
                x.chunk(b"0123456789abcdef" * (MIB // 16))
            x.send(b"0\r\n\r\n")
        else:
            x.stream(total)
        if framing == "close":
            x.close()

    with Watch(node), node.http() as client:
        response = client.get(path, keep=False)
    assert response.body_bytes == total


def test_a_gibibyte_streams(node, back):
    total = 1024 * MIB

    @back.on("/gibibyte")
    def answer(x):
        x.head(200, [("Content-Length", total), ("Cache-Control", "max-age=60")])
        x.stream(total, b"0123456789abcdef" * 65536)

    with Watch(node), node.http() as client:
        assert client.get("/gibibyte", keep=False).body_bytes == total


def test_what_streams_is_what_was_sent(node, back):
    body = hashlib.shake_128(b"seed").digest(5 * MIB + 12345)

    @back.on("/exactly")
    def answer(x):
        x.chunks([body[i:i + 77777] for i in range(0, len(body), 77777)])

    for client_of in (node.http, node.https):
        with client_of() as client:
            assert client.get("/exactly").body == body


def test_the_beginning_comes_before_the_end(node, back):
    """Nothing waits for a buffer to fill."""
    release = threading.Event()

    @back.on("/early")
    def answer(x):
        x.head(200, [("Content-Length", "10")])
        x.send(b"first")
        x.wait(release)
        x.send(b"later")

    for client_of in (node.http, node.https):
        release.clear()
        with client_of() as client:
            client.send_head("GET", "/early")
            while not client.buffer.endswith(b"first"):
                client.more()
            release.set()
            assert client.response().body == b"firstlater"


def test_a_reader_that_stops_holds_the_origin_back(node, back):
    """Backpressure: neither memory nor the origin runs ahead; then all of it comes."""
    total, exchanges = 192 * MIB, []

    @back.on("/held-back")
    def answer(x):
        exchanges.append(x)
        x.head(200, [("Content-Length", total), ("Cache-Control", "no-store")])
        x.stream(total)

    with Watch(node), node.http(receive_bytes=65536) as client:
        client.send_head("GET", "/held-back")
        back.wait_for(1, "/held-back")
        sent = wait_stands(lambda: exchanges[0].sent_bytes)
        assert sent < 64 * MIB, "the origin ran ahead to %d MiB" % (sent // MIB)
        assert client.response(keep=False).body_bytes == total


def test_a_reader_that_takes_nothing_is_cut(impatient, back):
    """body_idle ends it, and the origin with it."""
    total, ended = 192 * MIB, threading.Event()

    @back.on("/stuck")
    def answer(x):
        x.head(200, [("Content-Length", total), ("Cache-Control", "no-store")])
        try:
            x.stream(total)
        finally:
            ended.set()

    with Watch(impatient), impatient.http(receive_bytes=65536) as client:
        client.send_head("GET", "/stuck")
        assert ended.wait(15), "the origin was never let go"
        with pytest.raises(harness.Cut):
            client.response(keep=False)
    line = impatient.wait_access(lambda x: x["path"] == "/stuck")
    assert line["whole"] is False


def test_a_client_that_leaves_ends_the_fetch(node, back):
    """Nobody wants an unshared answer any more: the origin need not send on."""
    ended = threading.Event()

    @back.on("/left")
    def answer(x):
        x.head(200, [("Transfer-Encoding", "chunked"), ("Cache-Control", "no-store")])
        try:
            while True:
                x.chunk(b"x" * 65536)
        finally:
            ended.set()

    client = node.http()
    client.send_head("GET", "/left")
    while len(client.buffer) < 300000:
        client.more()
    client.close()
    assert ended.wait(15)


# Up


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_streams(node, back, chunked):
    total, piece = 256 * MIB, b"0123456789abcdef" * (MIB // 16)
    path = "/upload-%d" % chunked
    counted = []

    def count(x):
        counted.append(sum(len(p) for p in x.pieces()))
        x.respond(body=b"done")

    back.on(path, reads_body=False)(count)
    with Watch(node), node.http() as client:
        if chunked:
            response = client.request("PUT", path, body=(piece for _ in range(total // MIB)))
        else:
            client.send_head("PUT", path, [("Content-Length", total)])
            for _ in range(total // MIB):
                client.send(piece)
            response = client.response()
    assert response.body == b"done" and counted == [total]


def test_uploads_are_exact(node, back):
    body = hashlib.shake_128(b"up").digest(3 * MIB + 4321)
    pieces = [body[i:i + 54321] for i in range(0, len(body), 54321)]
    for client_of in (node.http, node.https):
        with client_of() as client:
            assert client.request("POST", "/exact-up", body=body).status == 200
            assert back.last("/exact-up").body == body
            assert client.request("POST", "/exact-up", body=pieces).status == 200
            assert back.last("/exact-up").body == body
    assert back.seen("/exact-up")[0].get("content-length") == str(len(body))
    assert back.seen("/exact-up")[1].get("transfer-encoding") == "chunked"


def test_an_upload_is_not_gathered_first(node, back):
    """The origin has the first bytes while the client still holds the last ones."""
    got = threading.Event()

    def answer(x):
        pieces = x.pieces()
        first = next(pieces)
        got.set()
        x.respond(body=first + b"".join(pieces))

    back.on("/early-up", reads_body=False)(answer)
    with node.http() as client:
        client.send_head("POST", "/early-up", [("Content-Length", "10")])
        client.send(b"first")
        assert got.wait(10)
        client.send(b"later")
        assert client.response().body == b"firstlater"


def test_an_origin_that_does_not_read_holds_the_client_back(node, back):
    release, sent = threading.Event(), [0]

    def answer(x):
        x.wait(release)
        count = sum(len(p) for p in x.pieces())
        x.respond(body=b"%d" % count)

    back.on("/slow-up", reads_body=False)(answer)
    total = 64 * MIB
    client = node.http()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client.sock.settimeout(30)

    def push():
        client.send_head("PUT", "/slow-up", [("Content-Length", total)])
        while sent[0] < total:
            client.send(b"x" * 65536)
            sent[0] += 65536

    thread = threading.Thread(target=push)
    with Watch(node):
        thread.start()
        held = wait_stands(lambda: sent[0])
        assert held < 48 * MIB
        release.set()
        thread.join(30)
        assert client.response().body == b"%d" % total
    client.close()


@pytest.mark.parametrize("how", ["close", "reset", "stall"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_aborted_upload_never_looks_whole(impatient, back, how, chunked):
    path = "/aborted-%s-%d" % (how, chunked)
    ends = []

    def answer(x):
        try:
            x.body()
            ends.append("whole")
        except Exception as error:
            ends.append(type(error).__name__)
            raise

    back.on(path, reads_body=False)(answer)
    client = impatient.http()
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "100000")
    client.send_head("POST", path, [framing])
    if chunked:
        client.send_chunk(b"x" * 5000)
    else:
        client.send(b"x" * 5000)
    back.wait_for(1, path)
    if how == "reset":
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how != "stall":
        client.close()
    harness.wait_until(lambda: ends, "the origin's end of the upload")
    assert ends == ["Closed"]
    if how == "stall":  # body_idle: told so, or closed
        reply = b""
        while True:
            try:
                piece = client.sock.recv(65536)
            except ConnectionError:
                break
            if not piece:
                break
            reply += piece
        assert not reply or harness.Reply(reply).status in (400, 408), reply
        client.close()
    assert impatient.get("/fine-after-abort").status == 200


def test_an_answer_before_the_upload_ends(node, back):
    """413 at once: the client hears it though it is still sending."""
    def answer(x):
        x.respond(413, [("Connection", "close")], b"too much")
        x.close()

    back.on("/refused-up", reads_body=False)(answer)
    with node.http() as client:
        client.send_head("PUT", "/refused-up", [("Content-Length", 64 * MIB)])
        client.send(b"x" * 1000)
        response = client.response()
        assert (response.status, response.body) == (413, b"too much")


def test_an_answer_while_the_upload_goes_on(node, back):
    """A full-duplex origin answers as it reads."""
    def answer(x):
        x.head(200, [("Transfer-Encoding", "chunked")])
        for piece in x.pieces():
            x.chunk(piece.upper())
        x.send(b"0\r\n\r\n")

    back.on("/echo", reads_body=False)(answer)
    with node.http() as client:
        client.send_head("POST", "/echo", [("Transfer-Encoding", "chunked")])
        client.send_chunk(b"abc")
        while b"ABC" not in client.buffer:
            client.more()
        client.send_chunk(b"def")
        client.send(b"0\r\n\r\n")
        assert client.response().body == b"ABCDEF"


def test_an_early_answer_does_not_desync_the_origin(node, back):
    """0.CL: the origin answers and keeps the connection, the body still to come. Whatever the
    client sends as the body must not be read there as a request."""
    back.on("/unread", reads_body=False)(lambda x: x.respond(body=b"early"))
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for fields in ([], [("Expect", "100-continue")]):
        with node.http() as client:
            client.send_head("POST", "/unread", [("Content-Length", len(smuggled)), *fields])
            assert client.response().body == b"early"
            try:
                client.send(smuggled)
                assert client.get("/after-unread").body == b"origin:/after-unread"
            except (harness.Cut, ConnectionError):
                pass
        for i in range(4):
            assert node.get("/others?%d" % i).body == b"origin:/others?%d" % i
    assert back.count("/smuggled") == 0


# 100-continue


def test_continue_is_answered_when_the_body_is_wanted(node, back):
    with node.http() as client:
        client.send_head("POST", "/continue", [("Content-Length", "5"),
                                               ("Expect", "100-continue")])
        while b"\r\n\r\n" not in client.buffer:
            client.more()
        assert client.buffer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"12345")
        response = client.response()
        assert response.status == 200 and [s for s, _ in response.interim] == [100]
        assert client.get("/after-continue").status == 200
    request = back.last("/continue")
    assert request.body == b"12345" and request.get("expect") is None


def test_continue_is_asked_only_once(node, back):
    """An origin's own 100 is not a second one for the client."""
    @back.on("/continue-twice")
    def answer(x):
        x.head(100)
        x.respond(body=b"ok")

    with node.http() as client:
        client.send_head("POST", "/continue-twice", [("Content-Length", "1"),
                                                     ("Expect", "100-continue")])
        client.send(b"x")
        response = client.response()
        assert response.body == b"ok"
        assert [s for s, _ in response.interim].count(100) <= 1
        assert client.get("/in-step").body == b"origin:/in-step"


def test_an_impatient_client_gets_no_extra_answer(node):
    with node.http() as client:
        client.send(b"POST /impatient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
                    b"Expect: 100-continue\r\n\r\n12345"
                    b"GET /behind HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.response().body == b"origin:/impatient"
        assert client.response().body == b"origin:/behind"


def test_a_refusal_instead_of_continue(make_node, back):
    node = make_node(harness.config(back.port, sites=[{
        "hosts": ["*"], "routes": [{"match": {"path": "/no"}, "respond": {"status": 403}}, {}]}]))
    with node.http() as client:
        client.send_head("POST", "/no", [("Content-Length", "1000000"),
                                         ("Expect", "100-continue")])
        response = client.response()
        assert response.status == 403 and not response.interim
        try:  # the body may come or not: what follows it is not taken for a request
            client.send(b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.response()
            raise AssertionError("an answer to a piece of the body")
        except (harness.Cut, ConnectionError):
            pass
        except socket.timeout:
            pass
    assert back.count("/smuggled") == 0


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x"])
def test_other_expectations_are_417(node, back, value):
    before = back.count()
    with node.http() as client:
        client.send_head("POST", "/x", [("Content-Length", "0"), ("Expect", value)])
        assert client.response().status == 417
    assert back.count() == before


# Interim answers and trailers


def test_interim_answers_come_through(node, back):
    @back.on("/hints")
    def answer(x):
        x.head(102)
        x.head(103, [("Link", "</style.css>; rel=preload"), ("X-Hint", "1"),
                     ("Connection", "x-gone"), ("X-Gone", "1")])
        x.respond(fields=[("Cache-Control", "max-age=60")], body=b"final")

    for client_of in (node.http, node.https):
        with client_of() as client:
            response = client.get("/hints?" + client_of.__name__)
            assert response.body == b"final"
            assert [s for s, _ in response.interim] == [102, 103]
            fields = response.interim[1][1]
            assert harness.field(fields, "link") == "</style.css>; rel=preload"
            assert harness.field(fields, "x-gone") is None
            again = client.get("/hints?" + client_of.__name__)
            assert again.body == b"final" and "hit" in again.get("cache-status")


def test_hints_come_before_the_answer(node, back):
    release = threading.Event()

    @back.on("/early-hints")
    def answer(x):
        x.head(103, [("Link", "<a>")])
        x.wait(release)
        x.respond()

    with node.http() as client:
        client.send_head("GET", "/early-hints")
        while b"103" not in client.buffer:
            client.more()
        release.set()
        assert client.response().status == 200


def test_no_interim_answers_for_http10(node, back):
    @back.on("/hints-10")
    def answer(x):
        x.head(103, [("Link", "<a>")])
        x.respond(body=b"final")

    reply = harness.raw(node.http_port, b"GET /hints-10 HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert reply.status == 200 and b" 103 " not in reply and reply.endswith(b"final")


def test_trailers_down(node, back):
    back.on("/trailers")(lambda x: x.chunks([b"body"], trailers=[("X-Sum", "1"), ("X-B", "2")]))
    with node.http() as client:
        response = client.get("/trailers", [("TE", "trailers")])
        assert response.body == b"body" and response.chunked
        assert [(n.lower(), v) for n, v in response.trailers] == [("x-sum", "1"), ("x-b", "2")]
        assert client.get("/after-trailers").status == 200


def test_trailers_up(node, back):
    with node.http() as client:
        client.send_head("POST", "/trailers-up", [("Transfer-Encoding", "chunked")])
        client.send(b"4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert client.response().status == 200
    request = back.last("/trailers-up")
    assert request.body == b"body"
    assert [(n.lower(), v) for n, v in request.trailers] in ([("x-sum", "1")], [])


# HTTP/1.0 clients


def test_http10_gets_no_chunks(node, back):
    back.on("/ten")(lambda x: x.chunks([b"abc", b"def"]))
    reply = harness.raw(node.http_port, b"GET /ten HTTP/1.0\r\nHost: localhost\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert reply.closed and not reply.reset
    assert body == b"abcdef" and b"chunked" not in head.lower()
    assert head.startswith(b"HTTP/1.1 200")


def test_http10_without_host(node):
    reply = harness.raw(node.http_port, b"GET /hostless HTTP/1.0\r\n\r\n")
    assert reply.status in (200, 400, 421) and reply.closed


def test_http10_keeps_alive_when_it_asks(node):
    with node.http() as client:
        for _ in range(2):
            client.send(b"GET /ten-kept HTTP/1.0\r\nHost: localhost\r\n"
                        b"Connection: keep-alive\r\n\r\n")
            response = client.response()
            assert response.status == 200 and response.get("connection") == "keep-alive"


# Many requests on a connection


def test_pipelined_requests_are_answered_in_order(node, back):
    release = threading.Event()

    @back.on("/pipe/0")
    def slow(x):
        x.wait(release)
        x.respond(body=b"origin:/pipe/0")

    with node.http() as client:
        client.send(b"".join(b"GET /pipe/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i
                             for i in range(50)))
        back.wait_for(1, "/pipe/0")
        release.set()
        for i in range(50):
            assert client.response().body == b"origin:/pipe/%d" % i


def test_pipelined_bodies_stay_apart(node, back):
    with node.http() as client:
        client.send(b"POST /p1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
                    b"POST /p2 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"3\r\ndef\r\n0\r\n\r\n"
                    b"GET /p3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for path in (b"/p1", b"/p2", b"/p3"):
            assert client.response().body == b"origin:" + path
        assert client.is_closed()
    assert back.last("/p1").body == b"abc" and back.last("/p2").body == b"def"


def test_a_thousand_requests(node, back):
    back.reply("/often", fields=[("Cache-Control", "max-age=60")], body=b"often")
    with node.http() as client:
        for _ in range(1000):
            assert client.get("/often").body == b"often"


def test_the_client_says_close(node):
    with node.http() as client:
        response = client.get("/closing", [("Connection", "close")])
        assert response.status == 200 and response.get("connection") == "close"
        assert client.is_closed()


def test_a_half_closed_client_is_answered(node):
    """FIN behind the request says only that no more of them come."""
    reply = harness.raw(node.http_port, b"GET /half HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        finish=True)
    assert reply.status in (200, None) and reply.closed


def test_a_refresh_that_nobody_may_share_is_let_go(node, back):
    """Behind a stale answer comes a large private one: no client is there for it."""
    back.reply("/refresh", fields=[("Cache-Control", "max-age=0, stale-while-revalidate=600")],
               body=b"old")
    assert node.get("/refresh").body == b"old"
    back.reply("/refresh", fields=[("Cache-Control", "private")], body=b"x" * (4 * MIB))
    assert node.get("/refresh").body == b"old"
    back.wait_for(2, "/refresh")
    harness.wait_until(lambda: node.status()["cache"]["fills"] == 0, "the fetch is over")


def test_nothing_is_left(node, impatient):
    for one in (node, impatient):
        harness.wait_until(lambda n=one: n.status()["cache"]["fills"] == 0 and
                           n.status()["connections"] <= 1, "connections and fills are over")


# The end of the node


def test_answers_in_flight_outlive_sigterm(make_node, make_origin):
    origin, release = make_origin(), threading.Event()

    @origin.on("/last")
    def answer(x):
        x.head(200, [("Content-Length", "10")])
        x.send(b"first")
        x.wait(release)
        x.send(b"later")

    node = make_node(harness.config(origin.port, limits={"drain": "10s"}))
    with node.http() as client:
        client.send_head("GET", "/last")
        while not client.buffer.endswith(b"first"):
            client.more()
        node.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: node.admin("GET", "/v1/health").status == 503, "503")
        release.set()
        assert client.response().body == b"firstlater"
    with node.http() as late:
        response = late.get("/while-draining")
        assert response.status == 200 and response.get("connection") == "close"
        assert late.is_closed()
    node.send_signal(signal.SIGTERM)  # a second one does not wait for the rest
    assert node.wait_exit() == 0
