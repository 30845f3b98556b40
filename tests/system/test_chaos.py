"""Random traffic, good and broken, from many clients to an origin that does as it likes.

What comes back is not looked at; the other files do that. Here: the node lives, comes to rest
when the clients are gone, still serves, and ends in good order. The seed is printed on failure;
threads make each run another one all the same.
"""

import os
import random
import signal
import socket
import struct
import threading
import time

import harness
import h2client
import origin
from h2client import (DATA, END_HEADERS, END_STREAM, GOAWAY, PING, RST_STREAM, SETTINGS,
                      WINDOW_UPDATE)

RUN_S = 12
SEED = int(os.environ.get("PERIGEE_SEED") or random.randrange(1 << 32))
TARGETS = ["/a", "/b", "/c?x=1", "/pass", "/said", "/d?0", "/d?1", "/d?2"]
CONTROLS = ["max-age=60", "max-age=0", "no-store", "max-age=1, stale-while-revalidate=5",
            "public, s-maxage=2", "private", "max-age=0, stale-if-error=9"]
FIELDS = ["Range: bytes=0-4,6-9,100-", "Range: bytes=5-", "Range: bytes=-1",
          'If-None-Match: "1"', "TE: trailers", "Cache-Control: no-cache",
          "Cache-Control: max-age=0", "Cache-Control: only-if-cached", "Accept: a", "X-A: 1",
          "X-A: 2", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT", 'If-Range: "1"',
          "Expect: 100-continue", "Connection: close"]


def answer_somehow(x):
    """One of many ways, right and wrong."""
    dice = random.Random()
    fields = [("Cache-Control", dice.choice(CONTROLS)), ("ETag", '"%d"' % dice.randrange(3))]
    if dice.random() < 0.3:
        fields.append(("Vary", dice.choice(["accept", "*", "x-a, accept"])))
    if dice.random() < 0.3:
        fields.append(("Surrogate-Key", "a b c"))
    body = b"z" * dice.choice([0, 1, 10, 5000, 70000, 300000])
    if x.request.get("if-none-match") and dice.random() < 0.5:
        x.respond(304, fields)
        return
    way = dice.randrange(14)
    if way < 6:
        x.respond(dice.choice([200, 200, 200, 301, 404, 500, 503]), fields, body)
    elif way < 8:
        x.chunks([b"a" * dice.randrange(1, 50000) for _ in range(dice.randrange(5))],
                 fields=fields, trailers=[("X-T", "1")])
    elif way == 8:  # shorter than it says
        x.head(200, [*fields, ("Content-Length", len(body) + 10)])
        x.send(body)
        x.close()
    elif way == 9:
        x.reset()
    elif way == 10:
        x.send(bytes(dice.randrange(256) for _ in range(200)) + b"\r\n\r\n")
    elif way == 11:
        x.head(103, [("Link", "a")])
        x.respond(200, fields, body)
    elif way == 12:  # late, perhaps too late
        x.origin.closing.wait(dice.random() * 0.6)
        x.respond(200, fields, body)
    else:
        x.head(200, fields)
        x.send(body)
        x.close()


def handle(x):
    try:
        if random.random() < 0.7:
            x.body()
        else:
            x.keep = False
    except (ValueError, AssertionError):  # the body was cut
        raise origin.Closed() from None
    answer_somehow(x)


def good_request(dice):
    method = dice.choice(["GET", "GET", "GET", "HEAD", "POST", "PURGE", "OPTIONS", "DELETE"])
    lines = ["%s %s HTTP/1.1" % (method, dice.choice(TARGETS)), "Host: localhost",
             *dice.sample(FIELDS, dice.randrange(4))]
    body = dice.choice([None, None, None, b"hello", b"q" * 20000])
    if body and dice.random() < 0.5:
        lines.append("Content-Length: %d" % len(body))
    elif body:
        lines.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def broken(dice, data):
    data = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data))
        way = dice.randrange(3)
        if way == 0:
            data[at] = dice.randrange(256)
        elif way == 1:
            del data[at:at + dice.randrange(1, 8)]
        else:
            data[at:at] = dice.choice([b"\n", b"\0", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"x"])
    return bytes(data)


def talk_http1(node, dice):
    data = b"".join(good_request(dice) for _ in range(dice.randrange(1, 6)))
    if dice.random() < 0.4:
        data = broken(dice, data)
    tls = dice.random() < 0.3
    with harness.connect(node.https_port if tls else node.http_port, tls=tls) as sock:
        at = 0
        while at < len(data) and dice.random() > 0.02:
            piece = dice.choice([1, 10, 100, 100000])
            sock.sendall(data[at:at + piece])
            at += piece
        way = dice.randrange(3)
        if way == 0:
            return
        if way == 1 and not tls:
            sock.shutdown(socket.SHUT_WR)
        sock.settimeout(dice.choice([0.05, 0.5, 1.5]))
        while sock.recv(65536):
            pass


def odd_frame(dice, stream):
    """One that a client may send at any time, or should not."""
    way = dice.randrange(7)
    if way == 0:
        return h2client.frame(RST_STREAM, 0, dice.randrange(1, stream + 2, 2),
                              struct.pack(">I", h2client.CANCEL))
    if way == 1:
        return h2client.frame(WINDOW_UPDATE, 0, dice.choice([0, max(1, stream - 2)]),
                              struct.pack(">I", dice.choice([1, 1000, 65535])))
    if way == 2:
        return h2client.frame(PING, 0, 0, b"12345678")
    if way == 3:
        return h2client.frame(DATA, dice.choice([0, END_STREAM]), max(1, stream - 2),
                              b"y" * dice.choice([0, 5, 16000]))
    if way == 4:
        return h2client.frame(SETTINGS, 0, 0, struct.pack(
            ">HI", dice.choice([1, 3, 4, 5]), dice.choice([0, 16384, 65535, 100000])))
    if way == 5 and dice.random() < 0.2:
        return h2client.frame(GOAWAY, 0, 0, b"\0" * 8)
    if way == 6 and dice.random() < 0.3:
        return h2client.frame(dice.randrange(12), dice.randrange(256), dice.randrange(stream + 3),
                              bytes(dice.randrange(256) for _ in range(dice.randrange(30))))
    return b""


def talk_http2(node, dice):
    settings = dice.choice([b"", struct.pack(">HI", 4, dice.choice([0, 100, 1 << 20])),
                            struct.pack(">HI", 1, 0)])
    with h2client.RawH2(node.https_port, settings=settings) as raw:
        stream = 1
        for _ in range(dice.randrange(1, 40)):
            if dice.random() < 0.4:
                method = dice.choice(["GET", "GET", "HEAD", "POST"])
                body = method == "POST" or dice.random() < 0.1
                fields = [f.lower().split(": ") for f in dice.sample(FIELDS[:-1], 1)]
                raw.headers(stream, END_HEADERS | (0 if body else END_STREAM), method=method,
                            path=dice.choice(TARGETS), fields=map(tuple, fields))
                if body and dice.random() < 0.7:
                    raw.frame(DATA, dice.choice([0, END_STREAM]), stream,
                              b"x" * dice.choice([0, 1, 1000, 16000]))
                stream += 2
            else:
                raw.send(odd_frame(dice, stream))
        end = time.monotonic() + dice.choice([0, 0.2, 1.2])
        while not raw.closed and time.monotonic() < end:
            raw.receive(1)


def administer(node, dice):
    purge = {"type": dice.choice(["url", "tag", "all", "prefix", "host"]),
             "mode": dice.choice(["hard", "soft"])}
    purge["selectors"] = {"url": ["http://localhost/a"], "tag": ["a"], "prefix": ["/d"],
                          "host": ["localhost"], "all": []}[purge["type"]]
    node.admin("POST", "/v1/purge", purge)
    for path in ("/v1/status", "/metrics", "/v1/cache?url=http://localhost/a"):
        node.admin("GET", path)
    if dice.random() < 0.1:
        node.send_signal(signal.SIGHUP)
    threading.Event().wait(0.1)  # a pause between two of these, not a wait for anything


def run_for(seconds, talk, node, seed):
    dice, end = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            talk(node, dice)
        except (OSError, AssertionError):  # refused, closed, cut: as deserved
            pass


def test_chaos(make_node, make_origin):
    back = make_origin()
    back.on("*", reads_body=False)(handle)
    timeouts = {"header": "500ms", "keepalive": "500ms", "body_idle": "500ms",
                "origin_first_byte": "400ms", "origin_idle": "300ms"}
    routes = [{"match": {"path": "/said*"}, "respond": {"status": 410}},
              {"match": {"path": "/pass*"}, "cache": False}, {}]
    node = make_node(harness.config(
        back.port, limits={"timeouts": timeouts},
        cache={"memory": "16MiB", "disk": {"size": "32MiB"}},
        sites=[{"hosts": ["*"], "ttl": {"grace": "5s", "negative": "1s"}, "routes": routes,
                "purge_from": ["127.0.0.1"]}]))
    talks = [talk_http1] * 5 + [talk_http2] * 3 + [administer]
    threads = [threading.Thread(target=run_for, args=(RUN_S, talk, node, SEED + i))
               for i, talk in enumerate(talks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert node.process.poll() is None, "it died; PERIGEE_SEED=%d" % SEED

    def is_quiet():
        status = node.status()
        return status["cache"]["fills"] == 0 and status["connections"] <= 1

    harness.wait_until(is_quiet, "it comes to rest; PERIGEE_SEED=%d" % SEED)
    back.reply("*", body=b"after")
    assert node.get("/after").body == b"after"
    assert node.stop() == 0, "PERIGEE_SEED=%d" % SEED
