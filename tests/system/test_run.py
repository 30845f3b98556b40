"""The one command of the README: ./run."""

import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import harness

PORTS = (8080, 8443, 9443)  # those of the README


class Run:
    """./run in a process group of its own, as a terminal starts it."""

    def __init__(self, *arguments):
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(harness.ROOT / "run"), *arguments], cwd="/", stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if members(self.process.pid):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.output.close()

    @property
    def said(self):
        """All that it wrote so far."""
        return os.pread(self.output.fileno(), 1 << 20, 0).decode()

    def wait_said(self, text, deadline_s):
        def is_said():
            over = self.process.poll() is not None
            assert text in self.said or not over, self.said
            return text in self.said
        harness.wait_until(is_said, "%r" % text, deadline_s)

    def interrupt(self):
        """Ctrl-C; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)


def members(session):
    """Processes of a session that are no zombies."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().rpartition(") ")
        except OSError:
            continue
        fields = rest.split()
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(name)
    return found


@pytest.fixture
def ports():
    for port in PORTS:
        with socket.socket(socket.AF_INET6) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("::", port))
            except OSError as error:
                pytest.skip("port %d, which ./run uses, is busy: %s" % (port, error))


def curl(*arguments):
    return subprocess.run(["curl", "-sS", "-k", "--max-time", "20", *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=30).stdout


def test_help_and_usage():
    got = subprocess.run([harness.ROOT / "run", "--help"], cwd="/", timeout=30, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert got.returncode == 0 and got.stdout.startswith("Usage: ./run [ORIGIN_URL]"), got
    for wrong in (["--nonsense"], ["http://a", "http://b"]):
        got = subprocess.run([harness.ROOT / "run", *wrong], cwd="/", timeout=30, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert got.returncode == 2 and "Usage: ./run" in got.stderr, got


def test_build_only():
    got = subprocess.run([harness.ROOT / "run", "--build-only"], cwd="/", timeout=550,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert got.returncode == 0, got.stdout
    built = harness.ROOT / "build/release/perigee"
    got = subprocess.run([built, "--version"], timeout=20, stdout=subprocess.PIPE, text=True)
    assert got.returncode == 0 and got.stdout.startswith("perigee "), got


def test_demo_site(ports):
    """Ready; a miss, then a hit, as the README says; Ctrl-C leaves nothing behind."""
    with Run() as run:
        run.wait_said("perigee: ready", 400)
        assert "-kI --http2 https://localhost:8443/" in run.said
        perigee = harness.ROOT / "build/release/perigee"
        subprocess.run([perigee, "purge", "--all"], check=True, stdout=subprocess.DEVNULL,
                       timeout=20)  # of earlier runs
        answers = [curl("-I", "--http2", "https://localhost:8443/") for _ in range(2)]
        for answer, word in zip(answers, ("fwd=", "hit")):
            assert answer.startswith("HTTP/2 200"), answer
            assert re.search(r"^cache-status: perigee; ?%s" % word, answer, re.M), answer
        assert "<html" in curl("http://127.0.0.1:8080/")
        assert "<html" in curl("http://[::1]:8080/")
        for command, said in ((["cache", "get", "https://localhost:8443/"], "fresh"),
                              (["purge", "--all"], "purged"), (["status"], "local")):
            got = subprocess.run([perigee, *command], stdout=subprocess.PIPE, text=True,
                                 timeout=20)
            assert got.returncode == 0 and said in got.stdout, got
        assert "; hit" not in curl("-I", "--http2", "https://localhost:8443/")
        assert len(members(run.process.pid)) >= 3
        began = time.monotonic()
        assert run.interrupt() == 130, run.said
        assert time.monotonic() - began < 10
        harness.wait_until(lambda: not members(run.process.pid), "all processes are gone")
    for port in PORTS:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_busy_port(ports):
    """Somebody else answers there: no word of being ready."""
    with socket.create_server(("127.0.0.1", PORTS[0])), Run() as run:
        harness.wait_until(lambda: run.process.poll() is not None, "it ends", 400)
        assert run.process.returncode not in (0, None)
        assert "already in use" in run.said and "perigee: ready" not in run.said, run.said
        harness.wait_until(lambda: not members(run.process.pid), "all are gone")


def test_own_origin_and_a_second_start(ports, origin):
    """The cache is there again; a second one beside it is refused."""
    path = "/%d" % random.randrange(1 << 60)  # build/run keeps what earlier runs have stored
    origin.reply(path, fields=[("Cache-Control", "max-age=600")], body=b"from the origin")
    url = "http://127.0.0.1:%d" % origin.port
    for turn in range(2):
        with Run(url) as run:
            run.wait_said("perigee: ready", 400)
            assert "In front of " + url in run.said
            assert curl("https://localhost:8443" + path) == "from the origin"
            assert origin.count(path) == 1, "turn %d" % turn
            if turn:
                with Run(url) as second:
                    harness.wait_until(lambda: second.process.poll() is not None,
                                       "the second one ends", 60)
                    assert second.process.returncode not in (0, None)
                    assert "another ./run" in second.said, second.said
                assert curl("https://localhost:8443" + path) == "from the origin"
            assert run.interrupt() == 130, run.said
            harness.wait_until(lambda: not members(run.process.pid), "all are gone")
