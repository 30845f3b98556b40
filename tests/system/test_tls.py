"""TLS towards clients: certificates by name, versions, protocols, tickets; and IPv6."""

import socket
import ssl
import subprocess

import pytest

import harness
import h2client


@pytest.fixture(scope="module")
def back(make_module_origin):
    return make_module_origin()


def listener(certs, *names, **more):
    tls = {"certificates": [{"cert": getattr(certs, n)[0], "key": getattr(certs, n)[1]}
                            for n in names], **more.pop("tls", {})}
    return {"name": "tls", "address": "127.0.0.1:@HTTPS@", "tls": tls, **more}


@pytest.fixture(scope="module")
def node(make_module_node, back, certs):
    return make_module_node(harness.config(
        back.port, listeners=[listener(certs, "localhost", "wild", "other")]))


def common_name(sock):
    """Of the certificate the server showed."""
    der = sock.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject"],
                          input=der, capture_output=True, check=True, timeout=30).stdout
    return text.decode().strip().rpartition("=")[2].strip()


@pytest.mark.parametrize("name,expected", [
    ("localhost", "localhost"), ("other.test", "other.test"), ("OTHER.test", "other.test"),
    ("a.wild.test", "wild.test"), ("B.WILD.TEST", "wild.test"),
    ("a.b.wild.test", "localhost"), ("wild.test", "localhost"), ("unknown.test", "localhost"),
    ("xother.test", "localhost"), ("x.other.test", "localhost"), (None, "localhost")])
def test_certificates_by_server_name(node, name, expected):
    with harness.connect(node.https_port, tls=True, sni=name) as sock:
        assert common_name(sock) == expected


def test_the_certificate_verifies(node, certs):
    with node.https(context=harness.client_context(ca=certs.ca), sni="a.wild.test") as client:
        assert client.get("/x", host="a.wild.test").status == 200


@pytest.mark.parametrize("offered,chosen", [
    (("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"),
    (("h2",), "h2"), (("http/1.0", "http/1.1"), "http/1.1"), ((), None)])
def test_protocols(node, offered, chosen):
    with harness.connect(node.https_port, context=harness.client_context(offered)) as sock:
        assert sock.selected_alpn_protocol() == chosen
        if chosen != "h2":
            sock.sendall(b"GET /alpn HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("protocols,chosen", [(["http/1.1"], "http/1.1"), (["h2"], "h2")])
def test_protocols_of_the_listener(make_node, back, certs, protocols, chosen):
    node = make_node(harness.config(
        back.port, listeners=[listener(certs, "localhost", protocols=protocols)]))
    context = harness.client_context(("h2", "http/1.1"))
    with harness.connect(node.https_port, context=context) as sock:
        assert sock.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(node, version):
    context = harness.client_context(minimum=version, maximum=version)
    with node.https(context=context) as client:
        assert client.get("/v").status == 200
        assert client.sock.version() in ("TLSv1.2", "TLSv1.3")
        name = client.sock.version()
    line = node.wait_access(lambda x: x["path"] == "/v" and x["tls"] == name)
    assert line["http"] == "1.1"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(node):
    context = harness.client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        harness.connect(node.https_port, context=context).close()


def test_the_least_version_of_a_listener(make_node, back, certs):
    node = make_node(harness.config(
        back.port, listeners=[listener(certs, "localhost", tls={"min": "1.3"})]))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        harness.connect(node.https_port, context=harness.client_context(
            maximum=ssl.TLSVersion.TLSv1_2)).close()
    with node.https() as client:
        assert client.get("/x").status == 200 and client.sock.version() == "TLSv1.3"


def session_of(port, context, name):
    """A session that may be resumed, of one request."""
    with harness.Http1(port, context=context, sni=name) as client:
        assert client.get("/ticket", host=name).status == 200
        return client.sock.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_resume_for_their_own_name_only(node, version):
    """CVE-2025-23419: a session of one virtual host is not another's."""
    context = harness.client_context(minimum=version, maximum=version)
    session = session_of(node.https_port, context, "a.wild.test")
    assert session.has_ticket

    def is_resumed(name):
        with harness.Http1(node.https_port, context=context, sni=name, session=session) as c:
            assert c.get("/resumed", host=name).status == 200
            return c.sock.session_reused

    assert is_resumed("a.wild.test")
    for other in ("other.test", "b.wild.test", "localhost"):
        assert not is_resumed(other), other


def test_tickets_do_not_resume_after_a_restart(make_node, back, certs):
    """Their keys live in memory alone; a full handshake follows, not an error."""
    node = make_node(harness.config(back.port, listeners=[listener(certs, "localhost")]))
    context = harness.client_context()
    session = session_of(node.https_port, context, "localhost")
    node.restart()
    with harness.Http1(node.https_port, context=context, session=session) as client:
        assert client.get("/x").status == 200
        assert not client.sock.session_reused


def test_clear_text_on_a_tls_port(node, back):
    before = back.count()
    reply = harness.raw(node.https_port, b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reply.closed and not reply.startswith(b"HTTP/1.1 2")
    assert back.count() == before


def test_a_handshake_that_stalls_is_ended(make_node, back, certs):
    node = make_node(harness.config(back.port, listeners=[listener(certs, "localhost")],
                                    limits={"timeouts": {"header": "500ms"}}))
    hello = ssl.MemoryBIO()
    tls = harness.client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    first = hello.read()
    for data in (b"", first[:1], first[:50], first):
        assert harness.raw(node.https_port, data).closed, len(data)
    with harness.connect(node.https_port, tls=True) as sock:  # done, and then no request
        sock.settimeout(10)
        assert sock.recv(100) == b""


def test_garbage_instead_of_a_handshake(node):
    for data in (b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x80" * 100,
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        assert harness.raw(node.https_port, data, finish=True).closed
    with node.https() as client:
        assert client.get("/fine").status == 200


def test_many_names_on_one_listener_share_no_answers(node, back):
    """The key has scheme and host in it, whatever the connection was opened for."""
    @back.on("/mine")
    def answer(x):
        x.respond(fields=[("Cache-Control", "max-age=60")],
                  body=x.request.get("host").encode())

    for name in ("a.wild.test", "other.test", "a.wild.test", "other.test"):
        with node.https(sni=name) as client:
            assert client.get("/mine", host=name).body == name.encode()
    with h2client.H2(node.https_port, sni="other.test") as client:
        assert client.get("/mine", authority="a.wild.test").body == b"a.wild.test"


# IPv6


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine's loopback")
def test_ipv6(make_node, make_origin):
    origin = make_origin(host="::1")
    config = harness.config(1, listeners=[
        {"name": "six", "address": "[::1]:@HTTP@"},
        {"name": "six-tls", "address": "[::1]:@HTTPS@",
         "tls": {"certificates": [{"cert": "@CERT@", "key": "@KEY@"}]}}])
    config["origins"]["app"]["servers"] = [{"url": "http://[::1]:%d" % origin.port}]
    node = make_node(config)
    with harness.Http1(node.http_port, host="::1") as client:
        assert client.get("/six", host="[::1]:%d" % node.http_port).status == 200
    with harness.Http1(node.https_port, host="::1", tls=True) as client:
        assert client.get("/six-tls").status == 200
    request = origin.last("/six")
    assert request.get("x-forwarded-for") == "::1"
    assert request.get("host") == "[::1]:%d" % node.http_port
    with pytest.raises(OSError):
        harness.connect(node.http_port, host="127.0.0.1").close()
    assert node.wait_access(lambda x: x["path"] == "/six")["client"] == "::1"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine's loopback")
def test_an_address_without_host_is_both(make_node, back):
    node = make_node(harness.config(back.port, listeners=[{"address": ":@HTTP@"}]))
    for host in ("127.0.0.1", "::1"):
        with harness.Http1(node.http_port, host=host) as client:
            assert client.get("/both").status == 200
    assert back.seen("/both")[0].get("x-forwarded-for") == "127.0.0.1"
