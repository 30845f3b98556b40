"""HTTP/1.1 without mercy: what RFC 9112 forbids is refused, and nothing is smuggled past us.

Each refused request is followed by a whole one for /smuggled: had the node taken the first
one's end elsewhere than its text says, the origin would see it.
"""

import socket
import threading

import pytest

import harness

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
GET = b"GET /x HTTP/1.1\r\n" + HOST
POST = b"POST /x HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def back(make_module_origin):
    origin = make_module_origin()
    origin.reply("/hit", fields=[("Cache-Control", "max-age=600")], body=b"hit")
    return origin


@pytest.fixture(scope="module")
def node(make_module_node, back):
    return make_module_node(harness.config(back.port))


@pytest.fixture(scope="module")
def hasty(make_module_node, back):
    """Short times, few connections."""
    return make_module_node(harness.config(
        back.port, limits={"connections": 10, "timeouts": {
            "header": "500ms", "keepalive": "700ms", "body_idle": "500ms"}}))


def refused(node, back, data, statuses):
    """Refused with one of the statuses, closed in good order, and the origin saw none of it."""
    before = back.count()
    reply = harness.raw(node.http_port, data)
    assert reply.status in statuses, (data[:300], reply[:300])
    assert len(reply.statuses) == 1, ("more than one answer", reply)
    assert reply.closed, "still open"
    assert not reply.reset, "the answer might be lost to a reset"
    assert b"\r\nconnection: close\r\n" in reply.lower(), reply
    assert back.count() == before, back.last()


# Message framing


FRAMING = {
    "cl-te": POST + b"Content-Length: 6\r\n" + CHUNKED + b"\r\n0\r\n\r\nX",
    "te-cl": POST + CHUNKED + b"Content-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
    "cl-0-te": POST + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "cl-cl-differ": POST + b"Content-Length: 0\r\nContent-Length: 30\r\n\r\n",
    "cl-cl-same": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "cl-list": POST + b"Content-Length: 0, 0\r\n\r\n",
    "cl-list-differ": POST + b"Content-Length: 0,30\r\n\r\n",
    "cl-plus": POST + b"Content-Length: +0\r\n\r\n",
    "cl-minus": POST + b"Content-Length: -1\r\n\r\n",
    "cl-minus-0": POST + b"Content-Length: -0\r\n\r\n",
    "cl-space": POST + b"Content-Length: 1 0\r\n\r\n",
    "cl-hex": POST + b"Content-Length: 0x0\r\n\r\n",
    "cl-fraction": POST + b"Content-Length: 0.0\r\n\r\n",
    "cl-exponent": POST + b"Content-Length: 1e1\r\n\r\n",
    "cl-underscore": POST + b"Content-Length: 1_0\r\n\r\n",
    "cl-empty": POST + b"Content-Length:\r\n\r\n",
    "cl-comma": POST + b"Content-Length: ,\r\n\r\n",
    "cl-text": POST + b"Content-Length: chunked\r\n\r\n",
    "cl-20-digits": POST + b"Content-Length: 18446744073709551616\r\n\r\n",
    "cl-20-zeros": POST + b"Content-Length: 00000000000000000000\r\n\r\n",
    "cl-2-63": POST + b"Content-Length: 9223372036854775808\r\n\r\n",
    "cl-arabic": POST + b"Content-Length: \xd9\xa1\r\n\r\n",
    "cl-vt": POST + b"Content-Length: \x0b0\r\n\r\n",
    "cl-on-get": GET + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "cl-tab-name": POST + b"Content-Length\t: 5\r\n\r\n",
    "te-10": b"POST /x HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
}
CODINGS = {
    "identity": b"identity", "gzip": b"gzip", "gzip-chunked": b"gzip, chunked",
    "chunked-gzip": b"chunked, gzip", "twice": b"chunked, chunked", "x": b"xchunked",
    "quoted": b'"chunked"', "parameter": b"chunked;a=b", "empty": b"", "comma": b",",
    "leading-comma": b",chunked,gzip", "space": b"chun ked", "vt": b"\x0bchunked",
    "nul": b"chunked\x00", "semicolon": b"chunked;", "cl": b"chunked, 5",
    "identity-chunked": b"identity, chunked", "chunked-identity": b"chunked, identity",
    "nbsp": b"\xa0chunked", "ff": b"chunked\x0c",
}


@pytest.mark.parametrize("name", sorted(FRAMING))
def test_framing_in_doubt_is_refused(node, back, name):
    refused(node, back, FRAMING[name] + SMUGGLED, (400,))


@pytest.mark.parametrize("name", sorted(CODINGS))
def test_other_transfer_codings_are_refused(node, back, name):
    data = POST + b"Transfer-Encoding: " + CODINGS[name] + b"\r\n\r\n0\r\n\r\n"
    refused(node, back, data + SMUGGLED, (400, 501))
    both = POST + b"Content-Length: 5\r\nTransfer-Encoding: " + CODINGS[name] + b"\r\n\r\n0\r\n\r\n"
    refused(node, back, both + SMUGGLED, (400, 501))


@pytest.mark.parametrize("lines", [
    CHUNKED + CHUNKED, CHUNKED + b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: identity\r\n" + CHUNKED, b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding\x0b: chunked\r\n", b" Transfer-Encoding: chunked\r\n",
    b"X: y\r\n Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding\r\n : chunked\r\n", b"X: y\rTransfer-Encoding: chunked\r\n",
    b"X: y\nTransfer-Encoding: chunked\r\n", b"\x00Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\n", b"X:\x00\r\nTransfer-Encoding: x\r\n"])
def test_hidden_transfer_encodings_are_refused(node, back, lines):
    refused(node, back, POST + lines + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
            (400, 501))


CHUNKS = {
    "no-size": b"\r\nabc\r\n0\r\n\r\n", "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "minus": b"-3\r\nabc\r\n0\r\n\r\n", "plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "space-before": b" 3\r\nabc\r\n0\r\n\r\n", "space-behind": b"3 \r\nabc\r\n0\r\n\r\n",
    "space-extension": b"3 ;a\r\nabc\r\n0\r\n\r\n", "tab": b"3\t\r\nabc\r\n0\r\n\r\n",
    "text": b"xyz\r\nabc\r\n0\r\n\r\n", "underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "17-digits": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "16-f": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "size-lf": b"3\nabc\r\n0\r\n\r\n", "size-cr": b"3\rabc\r\n0\r\n\r\n",
    "data-lf": b"3\r\nabc\n0\r\n\r\n", "data-long": b"3\r\nabcd\r\n0\r\n\r\n",
    "data-no-end": b"3\r\nabc0\r\n\r\n", "end-lf": b"3\r\nabc\r\n0\r\n\n",
    "extension-long": b"3;" + b"a" * 9000 + b"\r\nabc\r\n0\r\n\r\n",
    "extension-nul": b"3;a\x00\r\nabc\r\n0\r\n\r\n", "extension-lf": b"3;a\nabc\r\n0\r\n\r\n",
    "extension-cr": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "trailer-cl": b"0\r\nContent-Length: 5\r\n\r\n",
    "trailer-te": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer-host": b"0\r\nHost: evil.test\r\n\r\n",
    "trailer-forwarded": b"0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
    "trailer-authorization": b"0\r\nAuthorization: x\r\n\r\n",
    "trailer-cookie": b"0\r\nCookie: x\r\n\r\n", "trailer-fold": b"0\r\nA: b\r\n c\r\n\r\n",
    "trailer-space": b"0\r\nA : b\r\n\r\n", "trailer-no-colon": b"0\r\nnonsense\r\n\r\n",
    "trailer-lf": b"0\r\nA: b\n\r\n", "trailer-request": b"0\r\n" + SMUGGLED,
    "trailer-long": b"0\r\nA: " + b"b" * 10000 + b"\r\n\r\n",
    "trailer-many": b"0\r\n" + b"A: b\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("name", sorted(CHUNKS))
def test_broken_chunks_end_the_connection(node, back, name):
    """The request may have begun at the origin, but never looks whole there."""
    path = b"/chunks-" + name.encode()
    whole = []

    def answer(x):
        x.body()
        whole.append(x.request.body)
        x.respond()

    back.on(path.decode(), reads_body=False)(answer)
    before = back.count("/smuggled")
    reply = harness.raw(node.http_port, b"POST " + path + b" HTTP/1.1\r\n" + HOST + CHUNKED +
                        b"\r\n" + CHUNKS[name] + SMUGGLED)
    assert reply.closed and reply.statuses in ([400], [431], []), reply
    assert not whole and back.count("/smuggled") == before
    assert node.get("/after").status == 200


@pytest.mark.parametrize("body", [
    b"3\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n00\r\n\r\n", b"3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n",
    b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"0000000000000003\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"])
def test_good_chunks_are_taken(node, back, body):
    with node.http() as client:
        client.send(b"POST /good HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n" + body)
        assert client.response().status == 200
        assert back.last("/good").body == b"abc"
        assert client.get("/good-next").status == 200


# Lines and fields


LINES = {
    "http09": (b"GET /x\r\n\r\n", 400), "http09-lf": (b"GET /x\n\n", 400),
    "http2": (b"GET /x HTTP/2.0\r\n" + HOST + b"\r\n", 400, 505),
    "http12": (b"GET /x HTTP/1.2\r\n" + HOST + b"\r\n", 400, 505),
    "http3": (b"GET /x HTTP/3\r\n" + HOST + b"\r\n", 400, 505),
    "http11-zeros": (b"GET /x HTTP/01.1\r\n" + HOST + b"\r\n", 400, 505),
    "http1.1x": (b"GET /x HTTP/1.1x\r\n" + HOST + b"\r\n", 400, 505),
    "http1.10": (b"GET /x HTTP/1.10\r\n" + HOST + b"\r\n", 400, 505),
    "http1": (b"GET /x HTTP/1\r\n" + HOST + b"\r\n", 400, 505),
    "lower": (b"GET /x http/1.1\r\n" + HOST + b"\r\n", 400, 505),
    "icy": (b"GET /x ICY/1.1\r\n" + HOST + b"\r\n", 400, 505),
    "preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
    "two-spaces": (b"GET  /x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "space-behind": (b"GET /x HTTP/1.1 \r\n" + HOST + b"\r\n", 400, 505),
    "tabs": (b"GET\t/x\tHTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "space-before": (b" GET /x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "space-in-target": (b"GET /x y HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no-target": (b"GET HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "no-method": (b"/x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method-octets": (b"GE(T /x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method-colon": (b"GET: /x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "binary": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "nul-first": (b"\x00GET /x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "bare-lf": (b"GET /x HTTP/1.1\nHost: localhost\n\n", 400),
    "bare-lf-line": (b"GET /x HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare-lf-field": (b"GET /x HTTP/1.1\r\nHost: localhost\n\r\n", 400),
    "bare-lf-end": (b"GET /x HTTP/1.1\r\nHost: localhost\r\n\n", 400),
    "bare-cr-line": (b"GET /x HTTP/1.1\rHost: localhost\r\n\r\n", 400),
    "bare-cr-field": (GET + b"A: b\rc\r\n\r\n", 400),
    "cr-cr-lf": (GET + b"A: b\r\r\n\r\n", 400),
    "fold": (GET + b"A: b\r\n c\r\n\r\n", 400),
    "fold-tab": (GET + b"A: b\r\n\tc\r\n\r\n", 400),
    "fold-first": (b"GET /x HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n", 400),
    "nul-value": (GET + b"A: b\x00c\r\n\r\n", 400),
    "bell-value": (GET + b"A: b\x07c\r\n\r\n", 400),
    "del-value": (GET + b"A: b\x7fc\r\n\r\n", 400),
    "nul-name": (GET + b"A\x00B: c\r\n\r\n", 400),
    "space-colon": (GET + b"A : b\r\n\r\n", 400),
    "tab-colon": (GET + b"A\t: b\r\n\r\n", 400),
    "no-colon": (GET + b"A\r\n\r\n", 400),
    "empty-name": (GET + b": b\r\n\r\n", 400),
    "name-octets": (GET + b"A(B: c\r\n\r\n", 400),
    "name-space": (GET + b"A B: c\r\n\r\n", 400),
    "name-quote": (GET + b'"A": c\r\n\r\n', 400),
    "name-utf8": (GET + b"\xc3\xa4: c\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", sorted(LINES))
def test_malformed_lines_are_refused(node, back, name):
    data, *statuses = LINES[name]
    refused(node, back, data + SMUGGLED, statuses)


HOSTS = {
    "none": b"", "twice": HOST + HOST, "two": HOST + b"Host: other.test\r\n",
    "empty": b"Host:\r\n", "spaces": b"Host: a b\r\n", "comma": b"Host: a, b\r\n",
    "slash": b"Host: localhost/x\r\n", "userinfo": b"Host: user@localhost\r\n",
    "scheme": b"Host: http://localhost\r\n", "query": b"Host: localhost?x\r\n",
    "fragment": b"Host: localhost#x\r\n", "backslash": b"Host: localhost\\x\r\n",
    "port-text": b"Host: localhost:x\r\n", "port-big": b"Host: localhost:65536\r\n",
    "port-zero": b"Host: localhost:0\r\n", "port-minus": b"Host: localhost:-1\r\n",
    "port-two": b"Host: localhost:80:80\r\n", "percent": b"Host: local%68ost\r\n",
    "bracket": b"Host: [::1\r\n", "bracket-text": b"Host: [localhost]\r\n",
    "zone": b"Host: [fe80::1%eth0]\r\n", "dots": b"Host: a..b\r\n", "dot": b"Host: .\r\n",
    "quote": b"Host: localhost\"\r\n", "utf8": b"Host: \xc3\xa4.test\r\n",
    "long": b"Host: " + b"a" * 300 + b"\r\n", "star": b"Host: *\r\n",
}


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_malformed_hosts_are_refused(node, back, name):
    refused(node, back, b"GET /x HTTP/1.1\r\n" + HOSTS[name] + b"\r\n" + SMUGGLED, (400,))


TARGETS = {
    "fragment": b"/x#y", "backslash": b"/x\\y", "raw-utf8": b"/\xc3\xa4", "raw-latin": b"/\xe4",
    "nul": b"/x%00", "nul-middle": b"/x%00.css", "raw-nul": b"/x\x00", "bell": b"/x\x07",
    "del": b"/x\x7f", "query-nul": b"/x?a=%00", "query-fragment": b"/x?a#b",
    "no-slash": b"x", "relative": b"../x", "question": b"?x", "star": b"*",
    "authority": b"localhost:80", "ftp": b"ftp://localhost/x", "scheme-only": b"http://",
    "no-host": b"http:///x", "userinfo": b"http://user@localhost/x", "colon": b"http:/x",
    "other-host": b"http://other.test/x", "other-port": b"http://localhost:81/x",
    "ws": b"ws://localhost/x", "javascript": b"javascript:alert(1)",
}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_malformed_targets_are_refused(node, back, name):
    refused(node, back, b"GET " + TARGETS[name] + b" HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
            (400,))


@pytest.mark.parametrize("target", ["/x%zz", "/x%4", "/x%", "/x?a=%g1", "/x%2g", "/%u0041"])
def test_broken_escapes_are_refused(node, back, target):
    """Where the request ends is in no doubt: the connection may live on."""
    assert node.get("/hit").body == b"hit"
    before = back.count()
    with node.http() as client:
        response = client.get(target)
        assert response.status == 400
        if response.get("connection") != "close":
            assert client.get("/hit").body == b"hit"
    assert back.count() == before


@pytest.mark.parametrize("target", [b"localhost", b"localhost:0", b"localhost:99999", b"/x",
                                    b"http://localhost/", b"*"])
def test_malformed_connects_are_refused(node, back, target):
    refused(node, back, b"CONNECT " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
            (400,))


def test_unusual_but_right(node, back):
    """Strict is not the same as narrow."""
    with node.http() as client:
        for head in (
                b"\r\nGET /r HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"GET /r HTTP/1.1\r\nHOST:localhost\r\n\r\n",
                b"GET /r HTTP/1.1\r\nhost: \t localhost \t\r\n\r\n",
                b"GET /r HTTP/1.1\r\nHost: localhost:\r\nA:\r\nB: \xe4\xff\tx\r\n\r\n",
                b"GET /r HTTP/1.1\r\nHost: localhost\r\n!#$%&'*+-.^_`|~aZ09: x\r\n\r\n",
                b"GET http://localhost/r HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
                b"GET HTTP://LOCALHOST/r HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"POST /r HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0000000000000000003"
                b"\r\n\r\nabc",
                b"POST /r HTTP/1.1\r\nHost: localhost\r\ntransfer-encoding:CHUNKED\r\n\r\n"
                b"0\r\n\r\n"):
            client.send(head)
            response = client.response()
            assert (response.status, response.body) == (200, b"origin:/r"), head


# Limits


def test_the_request_line_has_a_limit(node, back):
    long = b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    with node.http() as client:
        client.send(long)
        assert client.response().status == 200
    refused(node, back, b"GET /" + b"x" * 8200 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414,))
    refused(node, back, b"GET /" + b"x" * 100000, (414,))
    refused(node, back, b"X" * 100000, (400, 414))


def test_fields_have_limits(node, back):
    with node.http() as client:
        assert client.get("/f", [("A", "b" * 8000)]).status == 200
        assert client.get("/f", [("A", "b" * 7000)] * 4).status == 200
        assert client.get("/f", [("A%d" % i, "b") for i in range(98)]).status == 200
    refused(node, back, GET + b"A: " + b"b" * 8200 + b"\r\n\r\n", (431,))
    refused(node, back, GET + (b"A: " + b"b" * 7000 + b"\r\n") * 5 + b"\r\n", (431,))
    refused(node, back, GET + b"A: b\r\n" * 100 + b"\r\n", (431,))
    refused(node, back, GET + b"A: " + b"b" * 1000000, (431,))
    refused(node, back, GET + b"a" * 1000000, (431, 400))
    refused(node, back, GET + b"A: b\r\n" * 100000, (431,))


def test_limits_are_as_configured(make_node, back):
    limits = {"fields": {"line": "300B", "one": "400B", "all": "1KiB", "count": 10}}
    node = make_node(harness.config(back.port, limits=limits))
    assert node.get("/" + "x" * 250).status == 200
    refused(node, back, b"GET /" + b"x" * 300 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414,))
    refused(node, back, GET + b"A: " + b"b" * 400 + b"\r\n\r\n", (431,))
    refused(node, back, GET + (b"A: " + b"b" * 300 + b"\r\n") * 4 + b"\r\n", (431,))
    refused(node, back, GET + b"A: b\r\n" * 10 + b"\r\n", (431,))


def test_connections_have_a_limit(hasty):
    clients = []
    try:
        with pytest.raises((harness.Cut, ConnectionError)):
            for _ in range(40):
                client = hasty.http()
                clients.append(client)
                assert client.get("/hit").status == 200
        assert 3 <= len(clients) <= 12
    finally:
        for client in clients:
            client.close()
    harness.wait_until(lambda: is_served(hasty), "room again")


def is_served(node):
    try:
        return node.get("/hit").status == 200
    except (harness.Cut, ConnectionError):
        return False


# Times


def ends_silently_or_408(reply):
    assert reply.closed
    assert reply.statuses in ([], [408]), reply


@pytest.mark.parametrize("data", [b"", b"G", b"GET /x HTTP/1.1\r\n", GET, GET + b"A: b"])
def test_a_head_that_does_not_come(hasty, back, data):
    before = back.count()
    ends_silently_or_408(harness.raw(hasty.http_port, data))
    assert back.count() == before


def test_a_head_that_drips(hasty):
    """Slowloris: bytes do not buy time."""
    with harness.connect(hasty.http_port, timeout_s=0.05) as sock:
        sock.sendall(GET)
        end = threading.Event()
        closed = False
        for i in range(200):
            try:
                sock.sendall(b"A: %d\r\n" % i)
                closed = sock.recv(1000) == b"" or closed
            except socket.timeout:
                pass
            except ConnectionError:
                closed = True
            if closed:
                break
        end.set()
    assert closed, "10 s of dripping"


def test_a_second_head_that_does_not_come(hasty):
    with hasty.http() as client:
        assert client.get("/hit").status == 200
        client.send(b"GET /hit HTTP/1.1\r\n")
        try:
            assert client.response().status == 408
        except harness.Cut:
            pass
        else:
            assert client.is_closed()


def test_an_idle_connection_is_closed_in_silence(hasty):
    with hasty.http() as client:
        assert client.get("/hit").status == 200
        assert client.is_closed()


def test_a_body_that_does_not_come(hasty):
    for path in (b"/slow-body", b"/hit"):
        reply = harness.raw(hasty.http_port, b"POST " + path + b" HTTP/1.1\r\n" + HOST +
                            b"Content-Length: 100\r\n\r\nabc")
        assert reply.closed
        assert reply.status in (None, 400, 408), reply
    reply = harness.raw(hasty.http_port, b"GET /hit HTTP/1.1\r\n" + HOST +
                        b"Content-Length: 100\r\n\r\nabc")
    assert reply.closed and len(reply.statuses) <= 1


# Cut at each octet


WHOLE = (b"POST /cut?q=1 HTTP/1.1\r\n" + HOST + b"X: y\r\n" + CHUNKED +
         b"\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")


def test_a_request_in_two_pieces(node, back):
    back.on("/cut")(lambda x: x.respond(body=x.request.body))
    with node.http() as client:
        for at in range(1, len(WHOLE)):
            client.send(WHOLE[:at])
            client.send(WHOLE[at:])
            assert client.response().body == b"abcde", at


def test_a_request_octet_by_octet(node, back):
    back.on("/cut")(lambda x: x.respond(body=x.request.body))
    with node.http() as client:
        for octet in WHOLE:
            client.send(bytes([octet]))
        assert client.response().body == b"abcde"


def test_a_request_cut_at_each_octet(node, back):
    """FIN in the middle: no answer but a refusal, and the origin never sees it whole."""
    whole = []

    def answer(x):
        x.body()
        whole.append(x.request)
        x.respond()

    back.on("/cut", reads_body=False)(answer)
    for at in range(len(WHOLE)):
        reply = harness.raw(node.http_port, WHOLE[:at], finish=True)
        assert reply.closed and reply.statuses in ([], [400], [408]), (at, reply)
    assert not whole
    assert node.get("/fine").status == 200


# The request's body is out of the way before the next one is read


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("body", [
    b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
    CHUNKED + b"\r\n%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
    b"Content-Length: 200000\r\n\r\n" + SMUGGLED * (200000 // len(SMUGGLED)) +
    SMUGGLED[:200000 % len(SMUGGLED)]])
def test_a_hit_drains_the_body_first(node, back, method, body):
    """CVE-2025-4366: the body of a request that was answered from the cache is no request."""
    assert node.get("/hit").body == b"hit"
    before = back.count("/smuggled")
    with node.http() as client:
        client.send(method.encode() + b" /hit HTTP/1.1\r\n" + HOST + body)
        response = client.response(method)
        assert response.status == 200 and response.body in (b"hit", b"")
        try:
            assert client.get("/after-hit").body == b"origin:/after-hit"
        except (harness.Cut, ConnectionError):
            pass  # closed instead: also right
    assert back.count("/smuggled") == before


def test_an_answer_while_the_body_still_comes(make_node, back):
    """The rest comes after the answer, and belongs to the first request still."""
    node = make_node(harness.config(back.port, sites=[{
        "hosts": ["*"], "routes": [{"match": {"path": "/said"}, "respond": {"status": 410}}, {}]}]))
    before = back.count("/smuggled")
    with node.http() as client:
        client.send(b"POST /said HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" %
                    (2 * len(SMUGGLED)) + SMUGGLED)
        assert client.response().status == 410
        try:
            client.send(SMUGGLED)
            assert client.get("/after-half").body == b"origin:/after-half"
        except (harness.Cut, ConnectionError):
            pass
    assert back.count("/smuggled") == before


def test_a_fat_get_does_not_reach_the_cache(node, back):
    """A body is no part of the key: what it may have changed is not stored for others."""
    @back.on("/fat")
    def answer(x):
        x.respond(fields=[("Cache-Control", "max-age=60")], body=b"for:" + x.request.body)

    with node.http() as client:
        client.request("GET", "/fat", body=b"poison")
        response = client.get("/fat")
    assert response.body == b"for:"


@pytest.mark.parametrize("target,status", [("/nowhere", 421), ("/x", 421)])
def test_refusals_drain_too(make_node, back, target, status):
    node = make_node(harness.config(back.port, sites=[{"hosts": ["a.test"]}]))
    before = back.count("/smuggled")
    with node.http() as client:
        client.send(b"POST " + target.encode() + b" HTTP/1.1\r\n" + HOST +
                    b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
        assert client.response().status == status
        try:
            assert client.get("/next", host="a.test").body == b"origin:/next"
        except (harness.Cut, ConnectionError):
            pass
    assert back.count("/smuggled") == before


# Upgrades


@pytest.mark.parametrize("token", ["websocket", "h2c", "TLS/1.0", "x"])
def test_upgrades_are_not_begun(node, back, token):
    """CVE-2026-2833: what follows goes nowhere before a 101, and there is none here."""
    path = "/upgrade-" + token[:3].lower()
    early = b"\x81\x05hello" * 10
    reply = harness.raw(node.http_port, b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST +
                        b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
                        b"Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
                        b"Upgrade: " + token.encode() + b"\r\n\r\n" + early)
    assert 101 not in reply.statuses and reply.closed
    for request in back.seen(path):
        assert request.get("upgrade") is None and request.body == b""
        assert request.get("http2-settings") is None
        assert "upgrade" not in (request.get("connection") or "").lower()
    assert not any("hello" in r.method + r.target for r in back.seen())


def test_an_upgrade_with_a_request_behind_it(node, back):
    """HTTP goes on after an ignored Upgrade: the next request is one like any other."""
    before = back.count("/smuggled")
    reply = harness.raw(node.http_port, GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                        + SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert reply.statuses[0] == 200 and reply.closed
    assert len(reply.statuses) - 1 == back.count("/smuggled") - before
    for request in back.seen("/smuggled")[before:]:
        assert request.get("via") == "1.1 perigee", "it went through as a request of its own"


# The key


UNKEYED = [("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Scheme", "nothttps"),
           ("X-Forwarded-Proto", "evil"), ("X-Forwarded-Port", "31337"),
           ("X-Forwarded-Prefix", "/evil"), ("X-Original-URL", "/evil"),
           ("X-Rewrite-URL", "/evil"), ("X-HTTP-Method-Override", "POST"),
           ("Forwarded", "host=evil.test"), ("X-Host", "evil.test"), ("X-Real-IP", "6.6.6.6")]


@pytest.mark.parametrize("name,value", UNKEYED)
def test_unkeyed_inputs_do_not_poison(node, back, name, value):
    """An origin that repeats what it hears: the stored answer has nothing of the attacker's."""
    path = "/echo-" + name.lower()

    @back.on(path)
    def answer(x):
        told = [v for n, v in x.request.fields if n.lower() not in ("x-request-id", "host")]
        x.respond(fields=[("Cache-Control", "max-age=60")], body=repr(told).encode("latin-1"))

    with node.http() as client:
        assert value.encode() not in client.get(path, [(name, value)]).body
        response = client.get(path)
        assert value.encode() not in response.body
        assert "hit" in response.get("cache-status")


def test_what_makes_the_key(node, back):
    """Scheme, host, port, path and query (CVE-2026-2836), and nothing less."""
    @back.on("/key")
    def answer(x):
        told = (x.request.get("x-forwarded-proto"), x.request.get("host"), x.request.target)
        x.respond(fields=[("Cache-Control", "max-age=60")], body=repr(told).encode())

    asked = set()
    for client_of in (node.http, node.https):
        with client_of() as client:
            for host in ("a.test", "b.test", "a.test:81", "a.test:82"):
                for target in ("/key", "/key?a", "/key?b", "/key?", "/key?a&b", "/key?b&a"):
                    asked.add(client.get(target, host=host).body)
    assert len(asked) == 48 == back.count("/key")


def test_one_object_by_all_its_spellings(node, back):
    back.reply("/one/~two", fields=[("Cache-Control", "max-age=60")], body=b"one")
    with node.http() as client:
        for host, target in (("localhost", "/one/~two"), ("LOCALHOST", "/one/%7Etwo"),
                             ("localhost:80", "/%6fne/%7etwo"), ("localhost", "/x/../one/~two"),
                             ("localhost.", "/./one/~two"),
                             ("localhost", "http://localhost/one/~two")):
            response = client.get(target, host=host)
            assert response.body == b"one", target
    assert back.count("/one/~two") <= 2, "a dot at the host's end may make another key"


@pytest.mark.parametrize("target", [
    "/account/x.css", "/account;x.css", "/account%2Fx.css", "/account/..%2fx.css",
    "/account%3Fx.css", "/account%23x.css", "/account/%2e%2e%2fx.css", "/account.css",
    "/account/.css", "/account%0A.css", "/static/..%2Faccount"])
def test_cache_deception(node, back, target):
    """Nothing is stored for its name's sake, and the key is what the origin received."""
    back.on("*")(lambda x: x.respond(body=b"origin:" + x.request.target.encode()))
    with node.http() as client:
        for count in (1, 2):
            before = back.count()
            response = client.get(target)
            if response.status == 400:
                return
            assert "hit" not in response.get("cache-status")
            assert response.body == b"origin:" + back.last().target.encode()
            assert back.count() == before + 1


def test_no_fields_are_made_of_decoded_bytes(node, back):
    """CR LF in escapes stays escaped, towards the origin and in redirects."""
    back.on("/redirect-here")(lambda x: x.respond(302, [("Location", x.request.target)]))
    with node.http() as client:
        response = client.get("/redirect-here?%0d%0aSet-Cookie:%20a=b")
        assert response.get("set-cookie") is None
        assert back.last("/redirect-here").target == "/redirect-here?%0D%0ASet-Cookie:%20a=b"
        assert "%0D%0A" in response.get("location").upper()


# Odds and ends


def test_answers_of_our_own_are_well_formed(node, back):
    """Refusals are strict HTTP too, and say that they are not to be kept."""
    with node.http() as client:
        client.send(b"GET /x HTTP/1.1\r\n\r\n")
        response = client.response()
        assert response.status == 400 and not response.until_close
        assert client.is_closed()


def test_a_flood_of_refusals(node):
    """Nothing is left behind by clients that are turned away."""
    files = node.open_files()
    for i in range(300):
        harness.raw(node.http_port, [b"\r\n\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", POST + CHUNKED +
                                     b"\r\nzz", b"\x00"][i % 4])
    harness.wait_until(lambda: node.open_files() <= files + 4, "descriptors are given back")
    assert node.get("/hit").body == b"hit"
