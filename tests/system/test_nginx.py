"""Debian's nginx with a tree of files as the origin: every byte, and no request twice."""

import os
import pathlib
import random
import re
import shutil
import subprocess
import threading
import time
import urllib.parse

import pytest

import h2client
import harness

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
FILES = 2500
STREAMS = 20
ODD = ["a b", "ä ö ü", "日本語", "100%", "x&y=z", "what?", "#mark", "plus+minus", "semi;colon",
       "quote'\"s", "{curly}", "tilde~", "back\\slash", "comma,", "at@", "$1", "[0]", "(x)",
       "%41", "..two", "trailing.", "emoji-🚀", "\u00e9", "e\u0301", "A", "a", "*", "pipe|"]

CONFIG = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    log_format plain '$status $request_uri';
    access_log {folder}/access.log plain;
    types {{ text/html html; image/png png; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/root;
        expires 1h;
        location = /sentinel {{ return 204; }}
    }}
}}
"""


def make_tree(root):
    """{target: body}: nested folders, sizes from nothing to 3 MiB, names of all kinds."""
    chance = random.Random(20)
    noise = chance.randbytes(4 << 20)
    sizes = [0, 1, 1023, 1024, 4079, 4080, 4081, 65535, 65536, 65537, 262144, 1 << 20,
             3 << 20, (3 << 20) - 1, (2 << 20) + 4080]
    tree = {}
    for i in range(FILES):
        name = ODD[i // 7 % len(ODD)] if i % 7 == 0 else "file"
        parts = ["d%d" % (i % 13)] + [ODD[i % len(ODD)]] * (i % 5 == 0)
        parts += ["deep"] * (i % 4) + ["%s-%d.%s" % (name, i, ("html", "png", "bin")[i % 3])]
        size = sizes[i] if i < len(sizes) else int(chance.paretovariate(0.9) * 300)
        size = min(size, 3 << 20)
        at = chance.randrange(len(noise) - size)
        file = pathlib.Path(root, *parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        body = noise[at:at + size]
        file.write_bytes(body)
        tree["/" + "/".join(urllib.parse.quote(part) for part in parts)] = body
    assert len(tree) == FILES
    return tree


class Nginx:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = harness.free_port()
        self.tree = make_tree(self.folder / "root")
        self.marks = 0
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(
            CONFIG.format(folder=self.folder, port=self.port, user=user))
        self.process = subprocess.Popen(
            [NGINX, "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        harness.wait_until(self.answers, "nginx is ready")

    def answers(self):
        assert self.process.poll() is None, (self.folder / "error.log").read_text()
        try:
            self.mark()
            return True
        except OSError:
            return False

    def mark(self):
        with harness.Http1(self.port) as client:
            assert client.get("/sentinel").status == 204
        self.marks += 1

    def asked(self):
        """Status and target of every request for a file so far."""
        self.mark()  # its line comes after those of all requests before

        def lines():
            whole = (self.folder / "access.log").read_text().rpartition("\n")[0].split("\n")
            return whole if whole.count("204 /sentinel") >= self.marks else None

        return [x for x in harness.wait_until(lines, "the sentinel in nginx's log")
                if x != "204 /sentinel"]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    made = Nginx(tmp_path_factory.mktemp("nginx"))
    yield made
    made.close()


@pytest.fixture
def node(make_node, nginx):
    """RAM for a part of the tree only, so that most of a second pass is read from disk."""
    return make_node(harness.config(
        nginx.port, cache={"memory": "16MiB", "disk": {"size": "512MiB"}},
        node={"id": "node1", "workers": 2, "data_dir": "@FOLDER@/data"}))


def pass_h1(node, tree, wrong):
    """Everything over one kept connection; how many were hits."""
    hits = 0
    with node.http() as client:
        for target, body in tree.items():
            hits += judge(client.get(target), target, body, wrong)
    return hits


def pass_h2(node, tree, wrong):
    """Everything over one connection, several streams at a time."""
    hits, waiting, open_now = 0, list(tree.items())[::-1], {}
    with h2client.H2(node.https_port) as client:
        client.grant(16 << 20)
        while waiting or open_now:
            while waiting and len(open_now) < STREAMS:
                target, body = waiting.pop()
                open_now[client.open("GET", target)] = target, body
            client.wait(lambda: any(client.responses[s].over for s in open_now), "a stream")
            for stream in [s for s in open_now if client.responses[s].over]:
                hits += judge(client.responses.pop(stream), *open_now.pop(stream), wrong)
    return hits


def judge(response, target, body, wrong):
    if (response.status, response.body) != (200, body):
        wrong.append((target, response.status, len(response.body), len(body),
                      getattr(response, "reset", None)))
    return "hit" in (response.get("cache-status") or "").split("; ")


def both(node, tree):
    """Both passes at once, as they are independent; (hits over HTTP/1.1, over HTTP/2)."""
    wrong, hits, failed = [], {}, []

    def run(which):
        try:
            hits[which] = which(node, tree, wrong)
        except BaseException as error:  # told by the test, not by the thread
            failed.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in (pass_h1, pass_h2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
        assert not thread.is_alive(), "hangs: %r" % node.status()
    assert not failed and not wrong, (failed, len(wrong), wrong[:10])
    return hits[pass_h1], hits[pass_h2]


def settle(node):
    """Until all that was stored is on disk."""
    harness.wait_until(lambda: node.status()["cache"]["queue_bytes"] == 0, "an empty queue")


def test_every_byte_and_no_request_twice(node, nginx):
    before = len(nginx.asked())
    assert both(node, nginx.tree) == (0, 0)
    asked = nginx.asked()[before:]
    assert len(asked) == 2 * FILES and all(line.startswith("200 ") for line in asked), \
        (len(asked), [line for line in asked if not line.startswith("200 ")][:10])
    # a second pass, and one after a restart in good order: all from the cache
    for restart in (False, True):
        if restart:
            assert node.restart() == 0
        assert both(node, nginx.tree) == (FILES, FILES), restart
        assert nginx.asked()[before + 2 * FILES:] == [], restart


def test_what_was_stored_a_second_before_survives_kill(node, nginx):
    """While other objects are being stored at full speed."""
    before = len(nginx.asked())
    tree = dict(list(nginx.tree.items())[:FILES // 2])
    both(node, tree)
    second_later = time.monotonic() + 1  # the promise
    stop = threading.Event()

    def load():
        number = 0
        while not stop.is_set():
            try:
                with node.http() as client:
                    for target in tree:
                        client.get("%s?%d" % (target, number))
                        if stop.is_set():
                            break
            except (OSError, harness.Cut):
                pass
            number += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        harness.wait_until(lambda: time.monotonic() > second_later, "a second later")
        node.kill()
    finally:
        stop.set()
        thread.join(20)
    asked = [x for x in nginx.asked()[before:] if "?" not in x]
    assert len(asked) == 2 * len(tree)
    node.start()
    hits = both(node, tree)
    assert min(hits) >= 0.99 * len(tree), hits
    again = [x for x in nginx.asked()[before:] if "?" not in x][2 * len(tree):]
    assert len(again) == 2 * len(tree) - sum(hits), "what was no hit was asked for, once"


def test_odd_names_reach_nginx_as_they_were(node, nginx):
    """The escapes of a target are normalised for the key, never changed in meaning."""
    for odd in ODD:
        before = len(nginx.asked())
        target = next(t for t in nginx.tree
                      if re.search(r"/%s-\d+\." % re.escape(urllib.parse.quote(odd)), t))
        lower = re.sub(r"%[0-9A-F]{2}", lambda m: m.group().lower(), target)
        for form in (target, lower):
            assert node.get(form).body == nginx.tree[target], form
        assert len(nginx.asked()) == before + 1, target


def test_conditional_and_range_requests_of_stored_files(node, nginx):
    target, body = max(nginx.tree.items(), key=lambda pair: len(pair[1]))
    first = node.get(target)
    assert first.body == body
    before = len(nginx.asked())
    etag, modified = first.get("etag"), first.get("last-modified")
    for field in (("If-None-Match", etag), ("If-Modified-Since", modified)):
        assert node.get(target, fields=[field]).status == 304
    for low, high in ((0, 0), (4079, 4081), (1 << 20, (2 << 20) - 1), (len(body) - 1, None)):
        got = node.get(target, fields=[
            ("Range", "bytes=%d-%s" % (low, "" if high is None else high))])
        end = len(body) if high is None else high + 1
        assert got.status == 206 and got.body == body[low:end]
    got = node.get(target, fields=[("Range", "bytes=-1000"), ("If-Range", etag)])
    assert got.status == 206 and got.body == body[-1000:]
    assert nginx.asked()[before:] == []
