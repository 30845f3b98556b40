"""Servers that fail: which answer the client gets, what is tried again, what is never reused."""

import socket
import threading

import pytest

import harness

KEEP = [("Cache-Control", "max-age=60")]


def app(*ports, **more):
    servers = [{"url": "http://127.0.0.1:%d" % port} for port in ports]
    return {"app": {"servers": servers, **more}}


@pytest.fixture(scope="module")
def back(make_module_origin):
    return make_module_origin()


@pytest.fixture(scope="module")
def node(make_module_node, back):
    """Does not retry; one worker, so that one pool keeps all connections."""
    limits = {"timeouts": {"origin_first_byte": "700ms", "origin_idle": "700ms",
                           "origin_connect": "700ms"}}
    return make_module_node(harness.config(
        back.port, origins=app(back.port, retries={"max": 0}), limits=limits,
        sites=[{"hosts": ["*"], "routes": [{"match": {"path": "/pass/*"}, "cache": False}, {}]}],
        node={"id": "node1", "workers": 1, "data_dir": "@FOLDER@/data"}))


def failed(response, status, error):
    assert response.status == status, response
    assert response.get("proxy-status").startswith("perigee; error="), response
    if error:
        assert response.get("proxy-status") == "perigee; error=" + error
    assert response.get("age") is None


# Nobody there


def test_a_dead_server_is_502_until_it_lives(make_node, make_origin):
    port = harness.free_port()
    node = make_node(harness.config(port))
    failed(node.get("/x"), 502, "connection_refused")
    line = node.wait_access(lambda x: x["status"] == 502)
    assert line["attempts"] >= 1 and line["origin"] == "127.0.0.1:%d" % port
    origin = make_origin(port=port)
    origin.reply("/x", fields=KEEP, body=b"alive")
    assert node.get("/x").body == b"alive", "the failure was not stored"


def test_a_name_that_does_not_exist(make_node):
    config = harness.config(1, limits={"timeouts": {"origin_connect": "3s"}})
    config["origins"]["app"]["servers"] = [{"url": "http://no-such-host.invalid"}]
    response = make_node(config).get("/x")
    assert response.status in (502, 504), response
    assert response.get("proxy-status").startswith("perigee; error="), response


def test_a_name_is_resolved(make_node, back):
    config = harness.config(1)
    config["origins"]["app"]["servers"] = [{"url": "http://localhost:%d" % back.port}]
    assert make_node(config).get("/named").body == b"origin:/named"


def test_a_server_that_does_not_answer_syn(make_node):
    """A full backlog drops the handshake: the connect timeout ends it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            node = make_node(harness.config(
                address[1], limits={"timeouts": {"origin_connect": "300ms"}}))
            response = node.get("/x")
            assert response.status == 504, response
            assert response.get("proxy-status").startswith("perigee; error="), response
        finally:
            for filler in fillers:
                filler.close()


# Trying again


def test_another_server_is_tried(make_node, back):
    dead = harness.free_port()
    node = make_node(harness.config(1, origins=app(dead, back.port)))
    with node.http() as client:
        for i in range(6):
            assert client.get("/retried/%d" % i).status == 200
        response = client.request("POST", "/retried/post", body=b"body")
        assert response.status == 200, "no byte was sent to the dead one"
    assert back.last("/retried/post").body == b"body"


def test_no_more_tries_than_said(make_node, make_origin):
    origins = [make_origin() for _ in range(4)]
    for origin in origins:
        origin.on("*")(lambda x: x.close())
    node = make_node(harness.config(
        1, origins=app(*(o.port for o in origins), retries={"max": 2})))
    failed(node.get("/x"), 502, None)
    assert sum(o.count() for o in origins) == 3


def test_only_idempotent_requests_are_sent_twice(make_node, make_origin):
    """RFC 9110 9.2.2: the server may have acted before it died."""
    closer, good = make_origin(), make_origin()
    closer.on("*")(lambda x: x.close())
    node = make_node(harness.config(1, origins=app(closer.port, good.port)))
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        for _ in range(2):
            with node.http() as client:
                assert client.request(method, "/i").status == 200, method
    for path, body in (("/p", b"x"), ("/empty", b"")):
        answers = []
        for _ in range(4):
            with node.http() as client:
                answers.append(client.request("POST", path, body=body).status)
        assert sorted(answers) == [200, 200, 502, 502]
        assert closer.count(path) + good.count(path) == 4


def test_a_response_that_began_is_not_tried_again(make_node, make_origin):
    half, good = make_origin(), make_origin()

    @half.on("*")
    def answer(x):
        x.head(200, [("Content-Length", "10")])
        x.send(b"12345")
        x.close()

    node = make_node(harness.config(1, origins=app(half.port, good.port)))
    for i in range(4):
        try:
            assert node.get("/x?%d" % i).body == b"origin:/x?%d" % i
        except harness.Cut as cut:
            assert cut.response.body == b"12345"
    assert half.count() == 2 and good.count() == 2


# Kept connections


def test_connections_are_kept(node, back):
    with node.http() as client:
        client.get("/kept")
        before = back.connections
        for i in range(20):
            assert client.get("/kept?%d" % i).status == 200
        for i in range(5):
            with node.http() as other:
                assert other.head("/kept").status == 200
        assert back.connections == before
        assert len({r.connection for r in back.seen("/kept")}) == 1
        assert client.request("POST", "/kept", body=b"x").status == 200
        assert client.get("/kept").status == 200
    assert back.connections <= before + 1, "only what may not be sent twice takes a fresh one"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_kept_connection_that_died_is_replaced(node, back, how):
    """The server ends it as the next request comes: no byte was answered, so GET goes again."""
    path = "/dying-" + how
    seen = []

    @back.on(path)
    def answer(x):
        seen.append(x.connection.number)
        if seen.count(x.connection.number) == 2:
            getattr(x, how)()
        else:
            x.respond(body=b"fine")

    with node.http() as client:
        for i in range(5):
            response = client.get("%s?%d" % (path, i))
            assert (response.status, response.body) == (200, b"fine")


def test_a_connection_that_the_server_ends_is_not_reused(node, back):
    back.on("/bye")(lambda x: (x.respond(fields=[("Connection", "close")]), x.close()))
    with node.http() as client:
        for _ in range(4):
            assert client.get("/bye").status == 200
            assert client.request("POST", "/after-bye", body=b"x").status == 200


@pytest.mark.parametrize("name,extra", [
    ("response", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    ("bytes", b"evil"), ("newline", b"\r\n"), ("one", b"x")])
def test_bytes_after_a_response_answer_nobody(node, back, name, extra):
    path = "/extra-" + name

    @back.on(path)
    def answer(x):
        x.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + extra)

    with node.http() as client:
        assert client.get(path).body == b"hi"
        used = back.last(path).connection
        for i in range(3):
            response = client.get("/after-extra?%d" % i)
            assert response.body == b"origin:/after-extra?%d" % i
            assert back.last("/after-extra").connection != used


@pytest.mark.parametrize("name,method,status,head", [
    ("head", "HEAD", 200, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    ("204", "GET", 204, b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil"),
    ("204-chunked", "GET", 204,
     b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n"),
])
def test_a_body_where_none_can_be(node, back, name, method, status, head):
    path = "/pass/" + name  # not cached: a HEAD that might be is asked as a GET
    back.on(path)(lambda x: x.send(head))
    with node.http() as client:
        response = client.request(method, path)
        assert response.status == status and response.body == b""
        used = back.last(path).connection
        for i in range(3):
            assert client.get("/after-bodyless?%d" % i).body == b"origin:/after-bodyless?%d" % i
            assert back.last("/after-bodyless").connection != used


def test_bytes_that_nobody_asked_for(node, back):
    """On an idle connection: the next request is not answered with them."""
    release, sent = threading.Event(), threading.Event()

    @back.on("/unasked")
    def answer(x):
        x.respond(body=b"mine")
        x.wait(release)
        x.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        sent.set()
        x.wait_gone()
        x.close()

    with node.http() as client:
        assert client.get("/unasked").body == b"mine"
        release.set()
        assert sent.wait(10)
        for i in range(3):
            assert client.get("/unasked-next?%d" % i).body == b"origin:/unasked-next?%d" % i


# Garbage, lies


GARBAGE = {
    "banner": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "zeros": b"\0" * 100 + b"\r\n\r\n",
    "http09": b"<html>hello</html>\r\n\r\n",
    "version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no-status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "short-status": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "long-status": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status-0": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "lf-in-fields": b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
    "bare-cr": b"HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "fold": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "no-colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
    "space-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "empty-name": b"HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
    "cl-cl": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "cl-list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
    "cl-sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "cl-negative": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
    "cl-hex": b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "cl-huge": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "cl-te": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"5\r\nhello\r\n0\r\n\r\n",
    "te-unknown": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "te-twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "huge-field": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\nContent-Length: 0\r\n\r\n",
    "many-fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000 + b"Content-Length: 0\r\n\r\n",
    "endless-line": b"HTTP/1.1 200 " + b"O" * 100000,
    "interims": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200 +
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(GARBAGE))
def test_garbage_is_502_and_ends_the_connection(node, back, name):
    path = "/garbage-" + name
    back.on(path)(lambda x: x.send(GARBAGE[name]))
    with node.http() as client:
        failed(client.get(path), 502, "http_protocol_error")
        used = back.last(path).connection
        for i in range(2):
            assert client.get("/after-garbage?%d" % i).status == 200
            assert back.last("/after-garbage").connection != used
    back.reply(path, fields=KEEP, body=b"better")
    assert node.get(path).body == b"better", "it was not stored"


BROKEN_BODIES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n"
             b"64\r\n",
}
BROKEN_CHUNKS = {
    "size": b"xyz\r\n", "size-0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "long-size": b"11111111111111111\r\nhello", "no-crlf": b"5\r\nhello0\r\n\r\n",
    "lf": b"5\nhello\n0\n\n", "space": b"5 \r\nhello\r\n0\r\n\r\n",
    "trailer": b"0\r\nContent-Length: 5\r\n\r\n", "eof": b"", "eof-in-end": b"0\r\n",
    "extension": b"5;" + b"x" * 100000 + b"\r\nhello\r\n0\r\n\r\n",
}


def is_cut(node, path):
    """The answer begins, if the fault did not come with it, and does not end well."""
    with node.http() as client:
        with pytest.raises(harness.Cut) as cut:
            client.get(path)
        return cut.value.response or harness.Response()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", sorted(BROKEN_BODIES))
def test_a_body_that_stops_is_cut_and_not_kept(node, back, framing, how):
    path = "/broken-%s-%s" % (framing, how)

    @back.on(path)
    def answer(x):
        x.send(BROKEN_BODIES[framing] + b"hello")
        x.connection.sock.settimeout(0.2)
        try:
            x.wait_gone()  # nothing comes: lets what was sent be read before a reset
        finally:
            getattr(x, how)()

    response = is_cut(node, path)
    assert response.status in (200, None) and b"hello".startswith(response.body)
    back.reply(path, fields=KEEP, body=b"whole")
    again = node.get(path)
    assert again.body == b"whole" and "hit" not in again.get("cache-status")


@pytest.mark.parametrize("name", sorted(BROKEN_CHUNKS))
def test_broken_chunks_are_cut_and_not_kept(node, back, name):
    path = "/chunks-" + name

    @back.on(path)
    def answer(x):
        x.head(200, [*KEEP, ("Transfer-Encoding", "chunked")])
        x.chunk(b"begin")
        x.send(BROKEN_CHUNKS[name])
        if name.startswith("eof"):
            x.close()

    response = is_cut(node, path)
    assert response.status in (200, None)
    assert response.body.startswith(b"begin") or b"begin".startswith(response.body)
    back.reply(path, fields=KEEP, body=b"whole")
    assert node.get(path).body == b"whole"


RESPONSE = (b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n")


def test_a_response_cut_at_each_octet(node, back):
    """502 or a cut, whichever is still possible; never whole, never stored."""
    @back.on("/cut")
    def answer(x):
        x.send(RESPONSE[:int(x.request.target.partition("?")[2])])
        x.close()

    for at in range(len(RESPONSE)):
        for _ in range(2):
            before = back.count("/cut")
            with node.http() as client:
                try:
                    failed(client.get("/cut?%d" % at), 502, None)
                except harness.Cut as cut:
                    assert b"abcde".startswith(cut.response.body if cut.response else b"")
            assert back.count("/cut") > before, "octet %d: answered from the cache" % at


def test_a_response_in_two_pieces(node, back):
    halves = threading.Event()

    @back.on("/halves")
    def answer(x):
        at = int(x.request.target.partition("?")[2])
        x.send(RESPONSE[:at])
        halves.wait(0.002)  # nobody sets it: lets the first piece arrive alone
        x.send(RESPONSE[at:])

    with node.http() as client:
        for at in range(1, len(RESPONSE)):
            response = client.get("/halves?%d" % at)
            assert (response.status, response.body) == (200, b"abcde"), at


def test_a_close_delimited_body_is_whole_when_it_ends(node, back):
    @back.on("/until-close")
    def answer(x):
        x.head(200, KEEP)
        x.send(b"x" * 100000)
        x.close()

    with node.http() as client:
        response = client.get("/until-close")
        assert response.body == b"x" * 100000
        assert response.chunked or response.get("content-length"), "the client can tell the end"
        assert client.get("/still-here").status == 200


def test_a_http10_server(node, back):
    @back.on("/old")
    def answer(x):
        x.send(b"HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nold")
        x.close()

    with node.http() as client:
        response = client.get("/old")
        assert (response.status, response.body) == (200, b"old")
        assert response.get("via") == "1.0 perigee"
        assert client.get("/still-here").status == 200


# Silence


def test_no_head_in_time_is_504(node, back):
    release = threading.Event()
    back.on("/hang")(lambda x: x.wait(release))
    with node.http() as client:
        failed(client.get("/hang"), 504, "http_response_timeout")
        assert client.get("/still-here").status == 200
    release.set()


def test_a_head_that_drips_is_504(node, back):
    """Bytes of a head are no head: the time runs on."""
    stop = threading.Event()

    @back.on("/drip-head")
    def answer(x):
        x.send(b"HTTP/1.1 200 OK\r\n")
        for i in range(10000):
            x.send(b"X: %d\r\n" % i)
            if stop.wait(0.05):
                return

    failed(node.get("/drip-head"), 504, "http_response_timeout")
    stop.set()


def test_interims_are_signs_of_life_but_not_for_ever(node, back):
    stop = threading.Event()

    @back.on("/drip-interims")
    def answer(x):
        while not stop.wait(0.1):
            x.head(102)

    assert node.get("/drip-interims").status in (502, 504)
    stop.set()


def test_a_body_that_stands_still_is_cut(node, back):
    release = threading.Event()

    @back.on("/stall")
    def answer(x):
        x.head(200, [("Content-Length", "10")])
        x.send(b"12345")
        x.wait(release)

    assert is_cut(node, "/stall").body == b"12345"
    release.set()


def test_a_body_that_drips_is_not_cut(node, back):
    """origin_idle is between pieces, not for the whole."""
    @back.on("/drip")
    def answer(x):
        x.head(200, [("Content-Length", "15")])
        for _ in range(15):
            x.send(b"x")
            x.origin.closing.wait(0.1)

    assert node.get("/drip").body == b"x" * 15


def test_close_before_a_head_is_502(node, back):
    back.on("/no-head")(lambda x: x.close())
    failed(node.get("/no-head"), 502, None)
    back.on("/half-head")(lambda x: (x.send(b"HTTP/1.1 200 OK\r\nA: b"), x.close()))
    failed(node.get("/half-head"), 502, None)


# TLS


@pytest.fixture(scope="module")
def secure(make_module_origin, certs):
    return make_module_origin(tls=certs.localhost)


def tls_node(make_node, certs, port, host="localhost", **tls):
    config = harness.config(1)
    config["origins"]["app"] = {"servers": [{"url": "https://%s:%d" % (host, port)}]}
    if tls:
        config["origins"]["app"]["tls"] = tls
    return make_node(config)


def test_a_server_of_an_unknown_authority(make_node, certs, secure):
    before = secure.count()
    response = tls_node(make_node, certs, secure.port).get("/x")
    failed(response, 502, None)
    assert "tls" in response.get("proxy-status")
    assert secure.count() == before, "the request was told to a stranger"


def test_a_server_of_our_authority(make_node, certs, secure):
    node = tls_node(make_node, certs, secure.port, ca=certs.ca)
    with node.https() as client:
        assert client.get("/x").body == b"origin:/x"
        assert client.request("POST", "/y", body=b"12345").status == 200
    assert secure.last("/y").body == b"12345"
    assert secure.server_names[-1] == "localhost"
    assert secure.last("/x").get("host") == "localhost"


def test_a_server_by_its_address(make_node, certs, secure):
    node = tls_node(make_node, certs, secure.port, host="127.0.0.1", ca=certs.ca)
    assert node.get("/x").status == 200
    assert secure.server_names[-1] is None, "an address is no server name (RFC 6066 3)"


def test_verify_off(make_node, certs, make_origin):
    origin = make_origin(tls=certs.selfsigned)
    assert tls_node(make_node, certs, origin.port, verify="off").get("/x").status == 200


@pytest.mark.parametrize("which", ["other", "wild", "selfsigned"])
def test_a_server_by_a_wrong_name(make_node, make_origin, certs, which):
    origin = make_origin(tls=getattr(certs, which))
    response = tls_node(make_node, certs, origin.port, ca=certs.ca).get("/x")
    failed(response, 502, None)
    assert origin.count() == 0


def test_tls_to_a_server_that_speaks_none(make_node, certs):
    def greet():
        sock, _ = listener.accept()
        sock.sendall(b"220 mail.test ESMTP\r\n")
        sock.recv(1)
        sock.close()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=greet)
        thread.start()
        failed(tls_node(make_node, certs, port, verify="off").get("/x"), 502, None)
        thread.join(10)


def test_a_server_that_hangs_in_its_handshake(make_node, certs):
    config = harness.config(1, limits={"timeouts": {"origin_connect": "300ms"}})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        config["origins"]["app"] = {
            "servers": [{"url": "https://127.0.0.1:%d" % listener.getsockname()[1]}]}
        assert make_node(config).get("/x").status == 504


# A crowd


def test_many_at_once_while_servers_fail(make_node, make_origin):
    """Every answer is right or an honest failure, and the node stays in good order."""
    wild, good = make_origin(), make_origin()
    ways = [lambda x: x.close(), lambda x: x.reset(), lambda x: x.send(b"garbage\r\n\r\n"),
            lambda x: x.respond(503, body=b"busy"),
            lambda x: x.respond(body=b"origin:" + x.request.target.encode())]

    @wild.on("*")
    def answer(x):
        ways[int(x.request.target.rpartition("/")[2]) % len(ways)](x)

    node = make_node(harness.config(1, origins=app(wild.port, good.port)))
    wrong = []

    def ask(number):
        with node.http() as client:
            for i in range(30):
                target = "/crowd/%d/%d" % (number, i)
                response = client.get(target)
                if response.status not in (200, 502, 503) or (
                        response.status == 200 and response.body != b"origin:" + target.encode()):
                    wrong.append(response)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert node.get("/crowd/0/4").status == 200


def test_nothing_is_left(node):
    """After all of the above: no fetch and no client hangs on."""
    def is_quiet():
        status = node.status()
        return status["cache"]["fills"] == 0 and status["connections"] <= 1

    harness.wait_until(is_quiet, "all connections and fills are over")
    assert node.get("/fine").status == 200
