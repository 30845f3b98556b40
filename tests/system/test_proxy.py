"""Sites, routes, and what happens to fields on their way through (RFC 9110 7.6)."""

import re

import pytest

import harness


def field_names(message):
    return {name.lower() for name, _ in message.fields}


@pytest.fixture(scope="module")
def back(make_module_origin):
    return make_module_origin()


@pytest.fixture(scope="module")
def named(make_module_origin):
    """Stands behind the origin that is asked by another name."""
    return make_module_origin()


@pytest.fixture(scope="module")
def node(make_module_node, back, named):
    server = {"servers": [{"url": "http://127.0.0.1:%d" % back.port}]}
    origins = {
        "app": {**server, "hide": ["Server", "X-Powered-By", "X-AspNet-*"],
                "add": {"X-Edge": "perigee", "X-Second": "2"}},
        "own": {**server, "host": "origin"},
        "named": {"servers": [{"url": "http://127.0.0.1:%d" % named.port}],
                  "host": "backend.internal"},
    }
    routes = [
        {"match": {"path": "/blocked/*"}, "respond": {"status": 451}},
        {"match": {"path": "/gone"}, "respond": {"status": 410}},
        {"match": {"path": "/far/*"}, "allow": ["10.0.0.0/8"], "origin": "app"},
        {"match": {"path": "/near/*"}, "allow": ["10.0.0.0/8", "127.0.0.0/8"], "origin": "app"},
        {"match": {"path": "/reader/*", "methods": ["GET"]}, "origin": "app"},
        {"match": {"path": "/exact"}, "origin": "app"},
        {"match": {"path": "/own/*"}, "origin": "own"},
        {"match": {"path": "/named/*"}, "origin": "named"},
        {"match": {"path": "/api/*"}, "origin": "app", "cache": False},
        {"match": {"path": "/first/*"}, "origin": "named"},
        {"match": {"path": "/first/second/*"}, "origin": "app"},
    ]
    sites = [
        {"name": "a", "hosts": ["a.test", "*.sub.test", "localhost"], "routes": routes},
        {"name": "inner", "hosts": ["x.sub.test", "*.deep.sub.test"],
         "routes": [{"respond": {"status": 299}}]},
        {"name": "timed", "hosts": ["timed.test"], "server_timing": True,
         "routes": [{"origin": "app"}]},
    ]
    listeners = [
        {"name": "web", "address": "127.0.0.1:@HTTP@"},
        {"name": "tls", "address": "127.0.0.1:@HTTPS@",
         "tls": {"certificates": [{"cert": "@CERT@", "key": "@KEY@"}]}},
    ]
    return make_module_node(harness.config(back.port, origins=origins, sites=sites,
                                           listeners=listeners))


@pytest.fixture
def client(node):
    with node.http() as client:
        yield client


def seen(origin, path):
    return origin.seen(path)[-1]


# Hosts


@pytest.mark.parametrize("host", [
    "a.test", "A.Test", "a.test:8080", "a.test.", "localhost", "y.sub.test", "z.y.sub.test",
    "deep.sub.test"])
def test_a_host_that_is_served(client, host):
    assert client.get("/exact", host=host).status == 200


@pytest.mark.parametrize("host", ["x.sub.test", "X.SUB.TEST:80", "any.deep.sub.test"])
def test_the_most_exact_host_wins(client, host):
    assert client.get("/exact", host=host).status == 299


@pytest.mark.parametrize("host", [
    "b.test", "sub.test", "127.0.0.1", "[::1]", "a.test.evil", "xa.test", "xsub.test", "test"])
def test_a_host_that_nobody_serves_is_421(client, back, host):
    before = back.count()
    response = client.get("/exact", host=host)
    assert response.status == 421
    assert back.count() == before
    assert client.get("/exact", host="a.test").status == 200, "the connection lives on"


def test_an_absolute_target_says_the_host(client, back):
    assert client.get("http://x.sub.test/exact", host="x.sub.test").status == 299
    assert client.get("http://b.test/exact", host="b.test").status == 421
    client.get("http://a.test/exact?absolute", host="a.test")
    request = seen(back, "/exact")
    assert request.target == "/exact?absolute" and request.get("host") == "a.test"


# Routes


def test_no_route_is_404(client, back):
    before = back.count()
    for target in ("/nowhere", "/exact/", "/exac", "/EXACT", "/"):
        assert client.get(target).status == 404
    assert back.count() == before


def test_the_first_route_that_matches_wins(client, back, named):
    client.get("/first/second/x")
    assert named.count("/first/second/x") == 1 and back.count("/first/second/x") == 0


def test_answers_without_an_origin(client, back):
    before = back.count()
    assert client.get("/blocked/x").status == 451
    assert client.get("/gone").status == 410
    assert client.request("POST", "/gone", body=b"x" * 1000).status == 410
    assert client.head("/gone").status == 410
    assert back.count() == before


def test_allow(client, back):
    before = back.count()
    assert client.get("/far/x").status == 403
    assert client.request("POST", "/far/x", body=b"abc").status == 403
    assert back.count() == before
    assert client.get("/near/x").status == 200


def test_allow_is_not_got_round(client, back):
    """Another spelling of a path is the same path, for the rule as for the origin."""
    before = back.count()
    for target in ("/near/../far/x", "/near/%2e%2e/far/x", "/f%61r/x", "/./far/x", "/far%2Fx",
                   "/far%2fx", "/near/.%2E/far/x", "http://localhost/far/x"):
        assert client.get(target).status == 403, target
    fields = [("X-Forwarded-For", "10.1.2.3"), ("Forwarded", "for=10.1.2.3"),
              ("X-Real-IP", "10.1.2.3")]
    assert client.get("/far/x", fields).status == 403, "a stranger says who he is"
    fields = [("X-Original-URL", "/near/x"), ("X-Rewrite-URL", "/near/x")]
    assert client.get("/far/x", fields).status == 403
    assert back.count() == before


def test_methods_of_a_route(client):
    assert client.get("/reader/x").status == 200
    assert client.head("/reader/x").status == 200
    assert client.request("POST", "/reader/x", body=b"").status == 404


def test_cache_false_asks_each_time(client, back):
    back.reply("/api/x", fields=[("Cache-Control", "max-age=60")], body=b"x")
    for count in (1, 2, 3):
        response = client.get("/api/x")
        assert response.status == 200 and back.count("/api/x") == count
        assert "hit" not in response.get("cache-status")


def test_methods_pass(client, back):
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-ODD"):
        body = b"body of " + method.encode()
        response = client.request(method, "/near/any", body=body)
        assert response.status == 200
        request = seen(back, "/near/any")
        assert (request.method, request.body) == (method, body)


def test_an_empty_body_keeps_its_length(client, back):
    """RFC 9110 8.6: a POST without content says Content-Length: 0."""
    client.send_head("POST", "/near/empty")
    assert client.response().status == 200
    assert seen(back, "/near/empty").get("content-length") == "0"
    client.get("/near/none")
    request = seen(back, "/near/none")
    assert request.get("content-length") is None and request.get("transfer-encoding") is None


def test_what_the_origin_receives_is_normal(client, back):
    for target, expected in (
            ("/near/a/../b", "/near/b"), ("/near/%7Euser", "/near/~user"),
            ("/near/%2f", "/near/%2F"), ("/near/a//b", "/near/a//b"),
            ("/near/x;y=1/z;", "/near/x;y=1/z;"), ("/near/q?", "/near/q?"),
            ("/near/q?a=%41&b=/../", "/near/q?a=A&b=/../"), ("/near/q?a=1&a=2", "/near/q?a=1&a=2"),
            ("/near/../../../near/e", "/near/e"), ("/near/%3f", "/near/%3F"),
            ("/near/%20%0d%0a", "/near/%20%0D%0A"), ("/near/{}|^`\"<>", "/near/{}|^`\"<>")):
        response = client.get(target)
        assert response.status == 200, target
        assert back.seen()[-1].target == expected, target


@pytest.mark.parametrize("target", ["/near/..%2Ffar/x", "/near/..;/far/x", "/near/%2e%2e%2ffar",
                                    "/near/..%5cfar/x", "/near/x%2f../../far/x"])
def test_dots_that_only_an_origin_would_see(client, back, target):
    before = back.count()
    assert client.get(target).status == 400
    assert back.count() == before


def test_options_star(client):
    """RFC 9110 9.3.7: about the server as a whole; never taken for a path."""
    response = client.request("OPTIONS", "*", host="a.test")
    assert response.status in (200, 204, 404, 405, 501)
    assert client.get("/exact").status == 200


def test_connect_and_trace_open_no_tunnel(node, back):
    before = back.count()
    request = ("CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"
               "GET /tunnelled HTTP/1.1\r\nHost: a.test\r\n\r\n" % (back.port, back.port))
    reply = harness.raw(node.http_port, request.encode())
    assert reply.status >= 400 and reply.closed
    assert back.count() == before


# Redirecting to https


def test_redirect_https(make_node, back):
    listeners = [
        {"name": "web", "address": "127.0.0.1:@HTTP@", "redirect_https": True},
        {"name": "tls", "address": "127.0.0.1:@HTTPS@",
         "tls": {"certificates": [{"cert": "@CERT@", "key": "@KEY@"}]}},
    ]
    node = make_node(harness.config(back.port, listeners=listeners))
    before = back.count()
    with node.http() as client:
        response = client.get("/a/%7Eb/../c?q=1&r", host="a.test:%d" % node.http_port)
        assert response.status == 308
        location = response.get("location")
        assert re.match(r"https://a\.test:%d/a/(c|%%7Eb/\.\./c)\?q=1&r\Z" % node.https_port,
                        location), location
        response = client.request("POST", "/post", body=b"12345", host="a.test")
        assert response.status == 308
        assert client.head("/x", host="[::1]:80").get("location") == \
            "https://[::1]:%d/x" % node.https_port
    assert back.count() == before
    with node.https() as client:
        assert client.get("/a").status == 200


# Host, and the way back


def test_host_passes(client, back):
    client.get("/exact?h", host="a.test:8080")
    assert seen(back, "/exact").get("host") == "a.test:8080"


def test_host_of_the_origin(client, back):
    client.get("/own/x", host="a.test")
    assert seen(back, "/own/x").get("host") == "127.0.0.1:%d" % back.port
    assert seen(back, "/own/x").get("x-forwarded-host") == "a.test"


def test_host_by_name(client, named):
    client.get("/named/x", host="a.test")
    assert seen(named, "/named/x").get("host") == "backend.internal"


def test_host_given_with_the_target_is_one(client, back):
    client.get("http://a.test/exact?one", host="a.test")
    assert len(seen(back, "/exact").all("host")) == 1


@pytest.mark.parametrize("location,expected", [
    ("http://127.0.0.1:%(port)d/next?x=1", "%(scheme)s://a.test/next?x=1"),
    ("//127.0.0.1:%(port)d/next", "%(scheme)s://a.test/next"),
    ("http://127.0.0.1:%(port)d", "%(scheme)s://a.test"),
    ("/relative", "/relative"),
    ("next", "next"),
    ("https://elsewhere.test/x", "https://elsewhere.test/x"),
    ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
    ("http://127.0.0.1:%(port)d.evil.test/", "http://127.0.0.1:%(port)d.evil.test/"),
])
@pytest.mark.parametrize("tls", [False, True])
def test_location_comes_back(node, back, location, expected, tls):
    values = {"port": back.port, "scheme": "https" if tls else "http"}
    back.reply("/own/move", 302, [("Location", location % values),
                                  ("Content-Location", location % values)])
    with (node.https if tls else node.http)() as client:
        response = client.get("/own/move", host="a.test")
    assert response.get("location") == expected % values
    assert response.get("content-location") == expected % values


def test_location_of_a_named_host_comes_back(client, named):
    named.reply("/named/move", 301, [("Location", "http://backend.internal/there"),
                                     ("Set-Cookie", "a=b; Domain=backend.internal; Path=/")])
    response = client.get("/named/move", host="a.test")
    assert response.get("location") == "http://a.test/there"
    assert response.get("set-cookie") == "a=b; Domain=a.test; Path=/"


def test_location_stays_when_the_host_passes(client, back):
    location = "http://127.0.0.1:%d/next" % back.port
    back.reply("/near/move", 302, [("Location", location)])
    assert client.get("/near/move").get("location") == location


# Fields towards the origin


def test_forwarded_fields_say_who_asks(node, client, back):
    client.get("/near/who", host="a.test:81")
    request = seen(back, "/near/who")
    assert request.get("x-forwarded-for") == "127.0.0.1"
    assert request.get("x-forwarded-proto") == "http"
    assert request.get("x-forwarded-host") == "a.test:81"
    with node.https() as secure:
        secure.get("/near/who-tls", host="a.test")
    assert seen(back, "/near/who-tls").get("x-forwarded-proto") == "https"


def test_a_stranger_is_not_believed(client, back):
    lies = [("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Host", "evil.test"),
            ("X-Forwarded-Proto", "https"), ("X-Forwarded-Scheme", "nothttps"),
            ("X-Forwarded-Port", "1"), ("X-Forwarded-Prefix", "/evil"),
            ("X-Forwarded-Server", "evil.test"), ("Forwarded", "for=evil;host=evil.test"),
            ("X-Real-IP", "10.0.0.1"), ("X-Original-URL", "/evil"), ("X-Rewrite-URL", "/evil"),
            ("X-HTTP-Method-Override", "DELETE"), ("X-HTTP-Method", "DELETE"),
            ("X-Method-Override", "DELETE"), ("X-Host", "evil.test"),
            ("X-Request-ID", "evil"), ("X_Forwarded_Host", "evil.test"),
            ("X-Client-IP", "10.0.0.1"), ("X_Other", "evil")]
    client.get("/near/lies", lies, host="a.test")
    request = seen(back, "/near/lies")
    assert request.all("x-forwarded-for") == ["127.0.0.1"]
    assert request.all("x-forwarded-proto") == ["http"]
    assert request.all("x-forwarded-host") == ["a.test"]
    text = repr(request.fields)
    assert "evil" not in text and "10.0.0.1" not in text and "DELETE" not in text, text


def test_fields_are_added_and_not_doubled(client, back):
    client.get("/near/added", [("X-Edge", "mine"), ("x-edge", "too"), ("X-Other", "kept")])
    request = seen(back, "/near/added")
    assert request.all("x-edge") == ["perigee"] and request.all("x-second") == ["2"]
    assert request.get("x-other") == "kept"


def test_via_and_cdn_loop_are_told(client, back):
    client.get("/near/via")
    request = seen(back, "/near/via")
    assert request.get("via") == "1.1 perigee"
    assert request.get("cdn-loop") == "perigee;node=node1"
    client.get("/near/via", [("Via", "1.0 fred, 1.1 p.example"), ("CDN-Loop", "other"),
                             ("CDN-Loop", "perigee;node=node2")])
    request = seen(back, "/near/via")
    assert request.get("via") == "1.0 fred, 1.1 p.example, 1.1 perigee"
    assert request.get("cdn-loop") == "other, perigee;node=node2, perigee;node=node1"


@pytest.mark.parametrize("value", [
    "perigee;node=node1", "other, perigee;node=node1", 'perigee;node="node1"',
    "perigee;a=b;node=node1 , last", "PERIGEE ; node=node1"])
def test_a_loop_is_cut(client, back, value):
    before = back.count()
    response = client.get("/near/loop", [("CDN-Loop", value)])
    assert response.status == 508
    assert "proxy_loop_detected" in response.get("proxy-status")
    assert back.count() == before


def test_through_itself_it_ends(make_node):
    """An origin that is this node: one turn, not one after the other."""
    config = harness.config(1)
    config["origins"]["app"]["servers"] = [{"url": "http://127.0.0.1:@HTTP@"}]
    node = make_node(config)
    response = node.get("/round")
    assert response.status == 508
    assert len(node.access_log()) <= 2


HOP_BY_HOP = [("Connection", "keep-alive, X-Mine"), ("Connection", "close-not, x-second-mine"),
              ("X-Mine", "1"), ("X-Second-Mine", "1"), ("Keep-Alive", "timeout=5"),
              ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "Basic eA=="),
              ("TE", "gzip"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk"),
              ("X-Kept", "yes")]


def test_hop_by_hop_fields_end_here(client, back):
    client.get("/near/hops", [*HOP_BY_HOP, ("Connection", "Upgrade, HTTP2-Settings")])
    names = field_names(seen(back, "/near/hops"))
    assert not names & {"x-mine", "x-second-mine", "keep-alive", "proxy-connection",
                        "proxy-authorization", "upgrade", "http2-settings"}, names
    assert seen(back, "/near/hops").get("te") in (None, "trailers")
    assert "x-kept" in names


def test_connection_cannot_take_what_counts(client, back):
    """Connection: X-Forwarded-For must not remove what we say ourselves, nor our framing."""
    options = "X-Forwarded-For, X-Forwarded-Host, Via, CDN-Loop, Host, Content-Length, X-Edge"
    response = client.request("POST", "/near/strip", [("Connection", options)], b"12345")
    assert response.status in (200, 400)
    if response.status == 200:
        request = seen(back, "/near/strip")
        assert request.body == b"12345" and request.get("host") == "localhost"
        assert request.get("x-forwarded-for") == "127.0.0.1"
        assert request.get("x-edge") == "perigee" and request.get("cdn-loop")


def test_hop_by_hop_fields_of_a_response(client, back):
    back.reply("/near/hops-back", fields=[
        ("Connection", "X-Theirs"), ("X-Theirs", "1"), ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"), ("Proxy-Authentication-Info", "x"),
        ("Proxy-Connection", "close"), ("TE", "x"), ("Upgrade", "h2c"), ("X-Kept", "1")])
    names = field_names(client.get("/near/hops-back"))
    assert not names & {"x-theirs", "keep-alive", "proxy-authenticate", "te", "upgrade",
                        "proxy-authentication-info", "proxy-connection"}, names
    assert "x-kept" in names


def test_expect_is_never_forwarded(client, back):
    client.request("POST", "/near/expect", [("Expect", "100-continue")], b"abc")
    assert seen(back, "/near/expect").get("expect") is None


def test_end_to_end_fields_stay(client, back):
    fields = [("Accept", "a/b;q=0.1, c/d"), ("Accept", "e/f"), ("Cookie", "a=1; b=2"),
              ("Authorization", "Bearer x"), ("X-Bytes", "\xfc\xff"), ("X-Empty", ""),
              ("User-Agent", "test"), ("Referer", "http://x/"), ("Max-Forwards", "10")]
    client.get("/near/kept", fields)
    request = seen(back, "/near/kept")
    for name in dict(fields):
        assert request.all(name) == [v for n, v in fields if n == name], name


def test_every_request_has_its_id(client, back, node):
    for _ in range(3):
        client.get("/near/id")
    ids = [r.get("x-request-id") for r in back.seen("/near/id")]
    assert len(set(ids)) == 3
    for request_id in ids:
        assert re.match(r"[0-9a-f]{16}\Z", request_id)
    node.wait_access(lambda line: line["id"] == ids[-1])


# Fields towards the client


def test_hidden_fields(client, back):
    back.reply("/near/hidden", fields=[
        ("Server", "Apache"), ("X-Powered-By", "PHP"), ("X-AspNet-Version", "4"),
        ("x-aspnetmvc-version", "5"), ("X-AspNet-", "1"), ("X-Other", "kept")])
    names = field_names(client.get("/near/hidden"))
    assert not names & {"server", "x-powered-by", "x-aspnet-version", "x-aspnet-"}, names
    assert {"x-other", "x-aspnetmvc-version"} <= names


def test_via_of_a_response(client, back):
    back.reply("/near/via-back", fields=[("Via", "1.1 inner")])
    assert client.get("/near/via-back").get("via") == "1.1 inner, 1.1 perigee"


def test_fields_for_the_cache_stay_inside(client, back):
    back.reply("/near/inner", fields=[
        ("Surrogate-Key", "a b"), ("Cache-Tag", "c"), ("xkey", "d"), ("X-Magento-Tags", "e"),
        ("CDN-Cache-Control", "max-age=1"), ("Surrogate-Control", "max-age=1")])
    names = field_names(client.get("/near/inner"))
    assert not names & {"surrogate-key", "cache-tag", "xkey", "x-magento-tags",
                        "cdn-cache-control", "surrogate-control"}, names


def test_a_date_is_added(client, back):
    """RFC 9110 6.6.1."""
    assert re.match(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z",
                    client.get("/near/date").get("date"))
    back.reply("/near/dated", fields=[("Date", "Thu, 01 Jan 2026 00:00:00 GMT")])
    assert client.get("/near/dated").all("date") == ["Thu, 01 Jan 2026 00:00:00 GMT"]


def test_fields_of_a_response_stay(client, back):
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Bytes", "\xfc\xff"),
              ("X-Empty", ""), ("Link", "<a>"), ("Link", "<b>"), ("Alt-Svc", "clear")]
    back.reply("/near/out", fields=fields)
    response = client.get("/near/out")
    for name in dict(fields):
        assert response.all(name) == [v for n, v in fields if n == name], name


@pytest.mark.parametrize("status", [200, 201, 202, 203, 205, 299, 300, 303, 307, 400, 401, 404,
                                    418, 422, 499, 500, 501, 503, 599])
def test_statuses_pass(client, back, status):
    back.reply("/near/status", status, [("X-Mark", "1")], b"" if status == 205 else b"body")
    response = client.get("/near/status")
    assert response.status == status and response.get("x-mark") == "1"
    assert response.body == (b"" if status == 205 else b"body")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(client, back, status):
    back.reply("/api/nobody", status, [("ETag", '"x"')])
    response = client.get("/api/nobody", [("If-None-Match", '"x"')])
    assert response.status == status and response.body == b""
    assert client.get("/near/after").status == 200


def test_server_timing(client):
    value = client.get("/t", host="timed.test").get("server-timing")
    assert re.search(r"total;dur=[0-9.]+", value) and re.search(r"origin;dur=[0-9.]+", value)
    assert client.get("/near/untimed").get("server-timing") is None


def test_cache_status_and_hits(client, back):
    back.reply("/near/object", fields=[("Cache-Control", "max-age=60")], body=b"object")
    first, second = client.get("/near/object"), client.get("/near/object")
    assert first.get("cache-status").startswith("perigee; fwd=uri-miss")
    assert second.get("cache-status").startswith("perigee; hit")
    assert second.body == b"object" and int(second.get("age")) <= 60
    assert back.count("/near/object") == 1
    head = client.head("/near/object")
    assert head.status == 200 and head.body == b"" and head.get("content-length") == "6"
    assert back.count("/near/object") == 1


def test_head_gets_the_head_alone(client, back):
    back.reply("/near/headed", body=b"0123456789")
    response = client.head("/near/headed")
    assert response.status == 200 and response.get("content-length") == "10"
    assert client.get("/near/after-head").status == 200, "the connection is in step"


# Who is a trusted proxy


@pytest.fixture(scope="module")
def behind(make_module_node, back):
    """A node that trusts 127.0.0.1 and 10.0.0.0/8 to be proxies."""
    listeners = [{"name": "web", "address": "127.0.0.1:@HTTP@",
                  "trusted_proxies": ["127.0.0.1", "10.0.0.0/8"]}]
    routes = [{"match": {"path": "/only/*"}, "allow": ["203.0.113.0/24"]}, {}]
    return make_module_node(harness.config(
        back.port, listeners=listeners,
        sites=[{"name": "all", "hosts": ["*"], "routes": routes}]))


def test_a_trusted_proxy_is_believed_and_continued(behind, back):
    behind.get("/trust", fields=[
        ("X-Forwarded-For", "198.51.100.9, 203.0.113.7"), ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.example"), ("X-Request-ID", "abc-1"),
        ("Forwarded", 'for=203.0.113.7;proto=https')])
    request = seen(back, "/trust")
    assert request.get("x-forwarded-for").startswith("198.51.100.9, 203.0.113.7, ")
    assert request.get("x-forwarded-proto") == "https"
    assert request.get("x-forwarded-host") == "www.example"
    assert request.get("x-request-id") == "abc-1"
    assert request.get("forwarded").startswith("for=203.0.113.7;proto=https, for=")
    line = behind.wait_access(lambda x: x["path"] == "/trust")
    assert line["client"] == "203.0.113.7"


def test_a_believed_scheme_and_host_are_in_the_key(behind, back):
    back.on("/keyed")(lambda x: x.respond(
        fields=[("Cache-Control", "max-age=60")],
        body=repr((x.request.get("x-forwarded-proto"), x.request.get("host"))).encode()))
    for _ in range(2):
        for proto in "http", "https":
            for host in "a.test", "b.test":
                answer = behind.get("/keyed", fields=[
                    ("X-Forwarded-Proto", proto), ("X-Forwarded-Host", host)])
                assert answer.body == repr((proto, host)).encode()
    assert back.count("/keyed") == 4
    lies = [("X-Original-URL", "/evil"), ("X-HTTP-Method-Override", "EVIL"),
            ("X_Forwarded_Host", "evil.test"), ("X-Forwarded-Prefix", "/evil")]
    behind.get("/trusted-lies", fields=lies)
    assert "evil" not in repr(seen(back, "/trusted-lies").fields).lower()


@pytest.mark.parametrize("chain,status", [
    ("203.0.113.7", 200), ("203.0.113.7, 10.2.3.4", 200), ("198.51.100.1, 203.0.113.7", 200),
    ("203.0.113.7, 198.51.100.1", 403), ("203.0.113.7, 198.51.100.1, 10.0.0.1", 403),
    ("203.0.113.7, garbage", 403), (None, 403)])
def test_the_rightmost_that_is_no_proxy_counts(behind, chain, status):
    fields = [("X-Forwarded-For", chain)] if chain else []
    assert behind.get("/only/x", fields=fields).status == status


def test_several_lines_are_one_chain(behind):
    fields = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "198.51.100.1")]
    assert behind.get("/only/x", fields=fields).status == 403


# The access log


def test_the_access_log_tells(node, client, back):
    client.request("POST", "/near/logged?q=1", [("User-Agent", 'a"\\b'), ("Referer", "http://r/")],
                   b"12345", host="a.test")
    line = node.wait_access(lambda x: x["path"] == "/near/logged?q=1")
    assert (line["client"], line["host"], line["method"], line["status"]) == \
        ("127.0.0.1", "a.test", "POST", 200)
    assert line["bytes_in"] == 5 and line["bytes"] == len(b"origin:/near/logged?q=1")
    assert (line["site"], line["user_agent"], line["referer"]) == ("a", 'a"\\b', "http://r/")
    assert line["attempts"] == 1 and line["origin"] == "127.0.0.1:%d" % back.port
    assert line["whole"] is True and line["http"] == "1.1" and line["tls"] == ""
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", line["time"])
    assert line["total_us"] >= line["head_us"] > 0
