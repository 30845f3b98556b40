"""curl and Chromium load compressed pages; each decodes what it was given by itself."""

import hashlib
import shutil
import subprocess

import pytest

import codings
import harness
from form_bench import LASTS, FormBench, Page

PAGE = b"""<!doctype html>
<html><head><meta charset="utf-8"><title>Forms</title>
<link rel="stylesheet" href="/style.css"><script defer src="/page.js"></script></head>
<body><h1 id="said">nothing yet</h1><p>%s</p></body></html>
"""
SCRIPT = b"""/* %s */
addEventListener("load", () => {
  document.getElementById("said").textContent =
    "decoded in colour " + getComputedStyle(document.body).color;
});
"""
STYLE = b"/* %s */\nbody { color: rgb(1, 2, 3) }\n"


@pytest.fixture
def site(make_node, origin):
    """A bench, and the page, script and style of a small site."""
    bench = FormBench(make_node(harness.config(origin.port)), origin)
    bench.host, pages = "localhost:%d" % bench.node.https_port, []
    for path, kind, frame in (("/", "text/html", PAGE), ("/page.js", "text/javascript", SCRIPT),
                              ("/style.css", "text/css", STYLE)):
        body = frame % codings.text(40000, path)
        origin.reply(path, fields=[LASTS, ("Content-Type", kind), ("ETag", '"x"')], body=body)
        pages.append(Page(path, body, '"x"'))
    origin.reply("/favicon.ico", status=404, fields=[LASTS])
    return bench, pages


def sizes_sent(node, path):
    """Bytes of bodies in the access log, in order."""
    return [line["bytes"] for line in node.access_log() if line["path"] == path]


def wait_sent(bench, page, count):
    bench.wait(lambda: len(sizes_sent(bench.node, page.path)) >= count,
               "%d lines of %s" % (count, page.path))
    return sizes_sent(bench.node, page.path)


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl(site, version, tmp_path):
    bench, pages = site
    node, page = bench.node, pages[0]
    for turn in range(3):
        out = tmp_path / ("body%d" % turn)
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", "--compressed", version, "--cacert",
             node.certs.ca, "-D", "-", "-o", out,
             "https://localhost:%d%s" % (node.https_port, page.path)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        said = done.stdout.lower()
        assert "content-encoding: " in said, said
        assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(page.body).digest()
        if turn == 0:
            bench.wait(lambda: len(bench.forms(page)) > 1, "a form")
        else:
            assert "content-length: " in said and "cache-status: perigee; hit" in said, said
    assert bench.origin.count(page.path) == 1


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_chromium(site, tmp_path):
    """Over HTTP/2, twice: it shows the page both times, the second time from stored zstd."""
    bench, pages = site
    node = bench.node
    for turn in range(2):
        profile = tmp_path / ("profile%d" % turn)
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-sync",
             "--ignore-certificate-errors", "--user-data-dir=%s" % profile,
             "--virtual-time-budget=10000", "--dump-dom",
             "https://localhost:%d/" % node.https_port],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=90)
        assert b"decoded in colour rgb(1, 2, 3)" in done.stdout, (done.stdout[:300], done.stderr)
        assert codings.text(40000, "/")[:200] in done.stdout
        for page in pages:
            bench.wait_made(page, "zstd")
    for page in pages:
        first, second = wait_sent(bench, page, 2)
        assert first < len(page.body) / 2, "encoded as it was sent"
        assert second == bench.forms(page)["zstd"]["bytes"], "the stored form"
        assert bench.origin.count(page.path) == 1
    lines = [line for line in node.access_log() if line["path"] == "/"]
    assert all(line["http"] == "2" and line["status"] == 200 for line in lines), lines
