"""What a node tells of itself: access log, metrics, status, and what they are worth."""

import datetime
import json
import os
import re
import signal
import threading
import time

import h2client
import harness

FIELDS = {
    "time": str, "client": str, "host": str, "method": str, "path": str, "status": int,
    "bytes": int, "cache": str, "site": str, "id": str, "total_us": int, "head_us": int,
    "origin_us": int, "origin": str, "peer": str, "attempts": int, "bytes_in": int, "tls": str,
    "http": str, "whole": bool, "fault": str, "user_agent": str, "referer": str,
}
NULL = {"head_us", "origin_us"}  # where nothing was measured


def line_of(node, path):
    """The only line of that path."""
    line = node.wait_access(lambda x: x["path"] == path)
    assert [x["path"] for x in node.access_log()].count(path) == 1
    return line


def check_shape(line):
    assert list(line) == list(FIELDS), line
    for name, kind in FIELDS.items():
        assert type(line[name]) is kind or (name in NULL and line[name] is None), (name, line)
    at = datetime.datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    age_s = (datetime.datetime.utcnow() - at).total_seconds()
    assert -1 < age_s < 120, line
    assert re.match(r"[0-9a-f]{16}\Z", line["id"]), line


def expect(line, **values):
    check_shape(line)
    for name, value in values.items():
        assert line[name] == value, (name, line)


# Access log


def test_access_log_of_ordinary_requests(make_node, origin):
    origin.reply("/kept", fields=[("Cache-Control", "max-age=60")], body=b"k" * 1000)
    origin.reply("/gone", status=404)
    node = make_node(harness.config(origin.port))
    server = "127.0.0.1:%d" % origin.port
    with node.http() as client, h2client.H2(node.https_port) as h2:
        client.get("/kept?1", [("User-Agent", "agent/1 (x)"), ("Referer", "http://r/")])
        client.request("PUT", "/put", body=b"b" * 500)
        client.head("/kept?2", host="other.test")
        client.get("/gone")
        h2.get("/kept?3")
        h2.get("/kept?3")
    expect(line_of(node, "/kept?1"), client="127.0.0.1", host="localhost", method="GET",
           status=200, bytes=1000, cache="miss", site="all", attempts=1, bytes_in=0, tls="",
           http="1.1", whole=True, fault="", user_agent="agent/1 (x)", referer="http://r/")
    assert server in line_of(node, "/kept?1")["origin"]
    assert line_of(node, "/kept?1")["origin_us"] is not None
    expect(line_of(node, "/put"), method="PUT", bytes_in=500, whole=True)
    expect(line_of(node, "/kept?2"), method="HEAD", bytes=0, host="other.test", whole=True)
    expect(line_of(node, "/gone"), status=404)
    miss, hit = [x for x in node.access_log() if x["path"] == "/kept?3"]
    expect(miss, cache="miss", http="2", bytes=1000, tls="TLSv1.3")
    expect(hit, cache="hit", http="2", bytes=1000, origin="", attempts=0, origin_us=None)
    assert hit["id"] != miss["id"]
    assert 0 <= hit["head_us"] <= hit["total_us"] < 60e6, hit


HOSTILE = [
    b'/"quoted"', b"/back\\slash", b"/<script>alert(1)</script>", b"/%22%0a%0d%00",
    b"/\xff\xfe\x80", b"/\xc3\xa4\xc3", b"/\xed\xa0\x80", b"/\xf0\x9f\x92\xa9", b"/\x7f",
    b"/\x01\x1b[31m", b"/" + b"a" * 6000, b"/" + b'"' * 3000, b"/\xc2\x85\xe2\x80\xa8",
]


def test_access_log_is_json_whatever_clients_send(make_node, origin):
    """Each line parses, and nobody can write one that he did not cause."""
    node = make_node(harness.config(origin.port))
    for i, text in enumerate(HOSTILE):
        head = b"GET %s HTTP/1.1\r\nHost: h\r\nX: %d\r\nConnection: close\r\n\r\n" % (text, i)
        harness.raw(node.http_port, head)
        agent = text.replace(b"/", b"", 1)
        harness.raw(node.http_port, b"GET /agent%d HTTP/1.1\r\nHost: h\r\nUser-Agent: %s\r\n"
                    b"Referer: %s\r\nConnection: close\r\n\r\n" % (i, agent, agent))
    for bad in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
                b"\x16\x03\x01" + b"\0" * 100, b'" / HTTP/1.1\r\nHost: a"b\r\n\r\n'):
        harness.raw(node.http_port, bad, finish=True)
    with h2client.H2(node.https_port) as h2:
        h2.get("/h2", [(b"user-agent", b'a"\\\x80\xff\x85'), (b"referer", b"\xe4" * 3000)])
        h2.get("/last")
    line_of(node, "/last")
    raw = (node.folder / "access.log").read_bytes()
    lines = node.access_log()
    raw.decode("utf-8")  # strictly
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw)
    for line in lines:
        check_shape(line)
        assert all(len(json.dumps(x)) <= 13 * 2048 for x in line.values())
    assert max(map(len, raw.splitlines())) <= 16 * 1024
    # agents are fields like any other where they are visible text
    assert line_of(node, "/agent0")["user_agent"] == '"quoted"'
    assert line_of(node, "/agent1")["user_agent"] == "back\\slash"
    assert line_of(node, "/h2")["referer"].startswith("\ufffd" * 3)
    # every request that was one has its line, refused or not
    assert any(x["path"] == '/"quoted"' for x in lines) or \
        any(x["status"] == 400 for x in lines), lines


def test_access_log_goes_to_standard_output(make_node, origin):
    node = make_node(harness.config(origin.port, logs={"access": {"path": "stdout"}}))
    assert node.get("/out").status == 200

    def lines():
        return [json.loads(x) for x in node.stdout_file.read_text().splitlines()]

    assert harness.wait_until(lines, "a line on stdout")[0]["path"] == "/out"
    node.send_signal(signal.SIGHUP)  # nothing to reopen, and no harm
    node.get("/again")
    harness.wait_until(lambda: len(lines()) == 2, "a second line")
    assert node.stop() == 0
    assert [x["path"] for x in lines()] == ["/out", "/again"]


def test_access_log_reopened_after_a_rename(make_node, origin):
    """logrotate's way: rename, SIGHUP. No line is lost, none is in both, under load."""
    made = harness.config(origin.port)
    node = make_node(made)
    stop, sent = threading.Event(), []

    def load():
        with node.http() as client:
            while not stop.is_set():
                client.get("/%d" % len(sent))
                sent.append(1)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(3):
            node.wait_access(lambda x: True)
            os.rename(node.folder / "access.log", node.folder / ("access.log.%d" % i))
            assert node.reload(made) is True
            harness.wait_until((node.folder / "access.log").exists, "a new file")
    finally:
        stop.set()
        thread.join(20)
    assert node.stop() == 0
    paths = []
    for name in ("access.log.0", "access.log.1", "access.log.2", "access.log"):
        text = (node.folder / name).read_text()
        assert text.endswith("\n") or not text
        paths += [json.loads(line)["path"] for line in text.splitlines()]
    assert sorted(paths) == sorted("/%d" % i for i in range(len(sent)))


def test_access_log_moved_and_switched_by_reload(make_node, origin):
    made = harness.config(origin.port)
    node = make_node(made)
    node.get("/first")
    made["logs"] = {"access": {"path": "@FOLDER@/other.log"}}
    assert node.reload(made) is True
    node.get("/second")
    made["logs"] = {"access": {"path": "off"}}
    assert node.reload(made) is True
    node.get("/third")
    made["logs"] = {"access": {"path": "@FOLDER@/none/x.log"}}
    assert node.reload(made) is False, "a log that cannot be had is a fault"
    made["logs"] = {"access": {"path": "@FOLDER@/access.log"}}
    assert node.reload(made) is True
    node.get("/fourth")
    assert node.stop() == 0
    # what was still in a buffer at a reload is written to the log of then; nothing is lost
    other = [json.loads(x)["path"] for x in (node.folder / "other.log").read_text().splitlines()]
    here = [x["path"] for x in node.access_log()]
    assert "/second" in other and "/fourth" in here
    assert sorted(here + other) == ["/first", "/fourth", "/second"]


# Metrics


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)'
                    r'(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})?'
                    r' ([0-9.eE+-]+|NaN|[+-]Inf)\Z')


def parse_metrics(text):
    """{name or name{labels}: value}; fails on what is not Prometheus' text format."""
    assert text.endswith("\n")
    values, types, helped, finished, current = {}, {}, set(), set(), None
    for line in text[:-1].split("\n"):
        head = re.match(r"# (HELP|TYPE) (\S+) (.+)\Z", line)
        sample = SAMPLE.match(line)
        assert head or sample, line
        name = head.group(2) if head else sample.group(1)
        if name != current:
            finished.add(current)
            assert name not in finished, "%s is scattered" % name
            current = name
        if sample:
            labels = "{%s}" % sample.group(2) if sample.group(2) else ""
            assert name in types and name in helped and name + labels not in values, line
            values[name + labels] = float(sample.group(3))
        elif head.group(1) == "HELP":
            assert name not in helped
            helped.add(name)
        else:
            assert name not in types and head.group(3) in ("counter", "gauge"), line
            assert head.group(3) == "gauge" or name.endswith("_total"), line
            types[name] = head.group(3)
    return values


def metrics(node):
    answer = node.admin("GET", "/metrics")
    assert answer.status == 200
    assert answer.get("content-type").startswith("text/plain; version=0.0.4")
    return parse_metrics(answer.body.decode())


def test_metrics_count_what_happened(make_node, origin):
    origin.reply("/kept", fields=[("Cache-Control", "max-age=60")], body=b"k" * 1000)
    origin.reply("/gone", status=404)
    origin.reply("/bad", status=500)
    node = make_node(harness.config(origin.port))
    before = metrics(node)
    with node.http() as h1, h2client.H2(node.https_port) as h2:
        for _ in range(5):
            assert h1.get("/kept").status == 200
        assert h1.get("/gone").status == 404
        assert h1.get("/bad").status == 500
        assert h1.request("POST", "/post", body=b"x" * 300).status == 200
        for _ in range(3):
            assert h2.get("/kept").status == 200
        assert harness.raw(node.http_port, b"GET / HTTP/1.1\r\n\r\n").status == 400
        purge = {"type": "tag", "selectors": ["a", "b"]}
        assert node.admin("POST", "/v1/purge", purge).status == 200

        wanted = {
            'perigee_requests_total{version="h2"}': 3,
            'perigee_responses_total{class="5xx"}': 1,
            'perigee_cache_requests_total{result="hit"}': 6,
            'perigee_cache_requests_total{result="miss"}': 4,
            "perigee_origin_requests_total": 5,
            "perigee_request_body_bytes_total": 300 + len(json.dumps(purge)),
            "perigee_bad_requests_total": 1,
            "perigee_purges_total": 1,
            "perigee_purge_selectors_total": 2,
            'perigee_tls_handshakes_total{kind="full"}': 1,
        }
        now = metrics(node)
        got = {name: value - before.get(name, 0) for name, value in now.items()}
        assert {name: got[name] for name in wanted} == wanted
        assert got['perigee_responses_total{class="2xx"}'] >= 9, got
        assert got["perigee_response_body_bytes_total"] >= 8000, got
        server = [v for n, v in now.items()
                  if n.startswith("perigee_origin_server_requests_total")]
        assert server == [5.0], now
        assert now["perigee_client_connections"] >= 2
        assert now["perigee_ready"] == 1 and now["perigee_config_serial"] == 1
        assert now["perigee_workers"] == 2 and now["perigee_cache_objects"] >= 2
    # counters only grow, through a reload too
    assert node.reload(harness.config(origin.port)) is True
    later = metrics(node)
    assert later["perigee_config_serial"] == 2
    for name, value in now.items():
        if name.split("{")[0].endswith("_total"):
            assert later[name] >= value, name


def test_metrics_of_odd_names(make_node, origin):
    """Names of origins come from the file; the page stays well formed."""
    made = harness.config(origin.port)
    made["origins"] = {"a-b.c_1": made["origins"]["app"],
                       "six": {"servers": [{"url": "http://[::1]:1"}]}}
    made["sites"] = [{"hosts": ["*"], "routes": [
        {"match": {"path": "/six"}, "origin": "six"}, {"origin": "a-b.c_1"}]}]
    node = make_node(made)
    assert node.get("/x").status == 200
    assert node.get("/six").status in (502, 504)
    now = metrics(node)
    assert any(n.startswith('perigee_origin_up{origin="a-b.c_1"') for n in now), now
    assert [v for n, v in now.items() if 'server_errors_total{origin="six"' in n] >= [1.0]


# Status


def command(node, *arguments):
    return harness.program(*arguments, "--admin", "http://127.0.0.1:%d" % node.admin_port)


def test_status_health_and_their_commands(make_node, origin):
    origin.reply("/kept", fields=[("Cache-Control", "max-age=60")], body=b"k" * 1000)
    node = make_node(harness.config(origin.port))
    node.get("/kept")
    health = node.admin("GET", "/v1/health")
    assert (health.status, health.json) == (200, {"status": "ok"})
    assert health.get("content-type") == "application/json"
    status = node.status()
    assert status["node"] == "node1" and status["ready"] is True and status["workers"] == 2
    assert status["cache"]["objects"] == 1 and status["cache"]["disk_on"] is True
    assert status["purge_log"]["ok"] is True and status["config"]["serial"] == 1
    assert abs(status["config"]["loaded_at"] - time.time()) < 120
    assert [(o["origin"], o["up"], o["requests"]) for o in status["origins"]] == \
        [("app", True, 1)], status
    harness.wait_until(lambda: node.status()["cache"]["queue_bytes"] == 0, "all is on disk")
    got = command(node, "status")
    assert got.returncode == 0 and "node1" in got.stdout and not got.stderr, got
    got = command(node, "status", "--json")
    assert got.returncode == 0 and json.loads(got.stdout)["node"] == "node1", got
    got = command(node, "status", "--quiet")
    assert (got.returncode, got.stdout, got.stderr) == (0, "", ""), got
    assert command(node, "cache", "stat").returncode == 0
    got = command(node, "cache", "get", "http://localhost/kept")
    assert got.returncode == 0 and "fresh" in got.stdout, got
    assert node.stop() == 0
    for arguments in (("status",), ("status", "--quiet"), ("reload",)):
        got = command(node, *arguments)
        assert got.returncode == 1 and not got.stdout, got
        assert "Traceback" not in got.stderr


def test_admin_listener_refuses_what_it_does_not_know(make_node, origin):
    node = make_node(harness.config(origin.port))
    assert node.admin("GET", "/v2/none").status == 404
    answer = node.admin("DELETE", "/v1/status")
    assert answer.status == 405 and answer.get("allow") == "GET, HEAD"
    assert node.admin("POST", "/v1/purge").status == 400
    assert node.admin("POST", "/v1/purge", {"type": "url"}).status == 400
    for text in (b"{", b'{"type":"all","type":"all"}', b'{"type":"all"} x', b'{"type":"\xff"}'):
        got = harness.raw(node.admin_port, b"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n"
                          b"Content-Type: application/json\r\nContent-Length: %d\r\n"
                          b"Connection: close\r\n\r\n%s" % (len(text), text))
        assert got.status == 400, (text, got)
    # a page in a browser on this machine must not reach it
    assert node.admin("GET", "/v1/status", fields={"Origin": "http://evil"}).status == 403
    assert node.admin("GET", "/v1/status", fields={"Host": "evil.test"}).status == 403
