"""A node under test: the real program with a configuration and a folder of its own.

The clients of http1.py are here by name too: most tests need no other import.
Every wait is for a condition and has a deadline.
"""

import copy
import http.client
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import time

from http1 import (Cut, Http1, Reply, Response, client_context, connect, field,  # noqa: F401
                   raw)

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_S = 20
LIVE = []


def binary():
    return os.environ.get("PERIGEE_BIN") or str(ROOT / "build/release/perigee")


def program(*arguments, deadline_s=20, **how):
    """Runs a sub-command to its end: .returncode, .stdout, .stderr (text)."""
    return subprocess.run([binary(), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=deadline_s, **how)


def live_nodes():
    return list(LIVE)


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Polls until `condition()` is true and returns what it gave; else the test fails."""
    end = time.monotonic() + deadline_s
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("not within %s s: %s" % (deadline_s, what))
        time.sleep(0.01)


given_ports = set()


def free_port():
    """A port that nobody has, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(10000, 32000)
        if port in given_ports:
            continue
        with socket.socket() as s:
            try:
                s.bind(("", port))
            except OSError:
                continue
        given_ports.add(port)
        return port


class Certificates:
    """Made once per run with openssl; `ca` has signed all but `selfsigned`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.ca = str(self.folder / "ca.pem")
        self.ca_key = str(self.folder / "ca.key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", self.ca_key, "-out", self.ca, "-days", "30",
                     "-subj", "/CN=test authority",
                     "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign")
        self.localhost = self.make("localhost", "DNS:localhost,IP:127.0.0.1,IP:::1")
        self.wild = self.make("wild.test", "DNS:*.wild.test")
        self.other = self.make("other.test", "DNS:other.test")
        self.selfsigned = self.make("selfsigned.test", "DNS:localhost,IP:127.0.0.1", own=True)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, timeout=60,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)

    def make(self, name, alternatives, own=False):
        """(certificate, key): files for these subjectAltNames."""
        cert, key = str(self.folder / (name + ".pem")), str(self.folder / (name + ".key"))
        signer = [] if own else ["-CA", self.ca, "-CAkey", self.ca_key]
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-keyout", key, "-out", cert, "-days", "30",
                     "-subj", "/CN=" + name,
                     "-addext", "basicConstraints=critical,CA:FALSE",
                     "-addext", "subjectAltName=" + alternatives, *signer)
        return cert, key


def config(origin_port, **sections):
    """The usual configuration as a dict: a clear and a TLS listener, one site for any host.

    Sections given replace the usual ones. Node fills in @HTTP@, @HTTPS@, @ADMIN@ (ports),
    @FOLDER@ and the certificates' paths.
    """
    usual = {
        "version": 1,
        "node": {"id": "node1", "workers": 2, "data_dir": "@FOLDER@/data"},
        "listeners": [
            {"name": "web", "address": "127.0.0.1:@HTTP@"},
            {"name": "tls", "address": "127.0.0.1:@HTTPS@",
             "tls": {"certificates": [{"cert": "@CERT@", "key": "@KEY@"}]}},
        ],
        "cache": {"memory": "64MiB", "disk": {"size": "64MiB"}},
        "admin": {"listen": "127.0.0.1:@ADMIN@"},
        "origins": {"app": {"servers": [{"url": "http://127.0.0.1:%d" % origin_port}]}},
        "sites": [{"name": "all", "hosts": ["*"]}],
        "logs": {"access": {"path": "@FOLDER@/access.log"}},
    }
    made = copy.deepcopy(usual)
    for name, section in sections.items():
        made[name] = section
    return made


class Node:
    """The program, its folder and its ports. The fixture that made it closes it.

    files: how many it may have open (RLIMIT_NOFILE), soft and hard.
    """

    def __init__(self, folder, config_given, certs, environment=None, files=None):
        self.folder = pathlib.Path(folder)
        self.name = self.folder.name
        self.certs = certs
        self.http_port, self.https_port, self.admin_port = (free_port() for _ in range(3))
        self.file = self.folder / "perigee.yaml"
        self.log_file = self.folder / "stderr.log"
        self.stdout_file = self.folder / "stdout.log"
        self.environment = {**os.environ, **(environment or {})}
        self.files = files
        self.process = None
        self.log_file.touch()
        self.write(config_given)

    def write(self, config_given):
        """Puts a configuration (dict, or text with the same @MARKS@) into the file."""
        text = config_given
        if not isinstance(text, str):
            text = json.dumps(text, indent=1)  # JSON is YAML
        marks = {"@HTTP@": self.http_port, "@HTTPS@": self.https_port,
                 "@ADMIN@": self.admin_port, "@FOLDER@": self.folder,
                 "@CERT@": self.certs.localhost[0], "@KEY@": self.certs.localhost[1]}
        for mark, value in marks.items():
            text = text.replace(mark, str(value))
        self.has_admin = str(self.admin_port) in text
        self.file.write_text(text)

    # Its life

    def start(self, wait=True):
        assert self.process is None, "it runs already"
        with open(self.log_file, "ab") as log, open(self.stdout_file, "ab") as out:
            self.process = subprocess.Popen(
                [binary(), "serve", "-c", str(self.file)], stdin=subprocess.DEVNULL,
                stdout=out, stderr=log, env=self.environment, cwd=self.folder,
                preexec_fn=self.limit if self.files else None)
        LIVE.append(self)
        if wait:
            self.wait_ready()
        return self

    def limit(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

    def wait_ready(self):
        def is_ready():
            code = self.process.poll()
            if code is not None:
                raise AssertionError("%s ended with %d at start:\n%s"
                                     % (self.name, code, self.log))
            return self.is_healthy()

        try:
            wait_until(is_ready, "%s is ready" % self.name)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.log)) from None

    def is_healthy(self):
        try:
            if self.has_admin:
                return self.admin("GET", "/v1/health").status == 200
            socket.create_connection(("127.0.0.1", self.http_port), 1).close()
            return True
        except OSError:
            return False

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline_s=DEADLINE_S):
        """Its exit code; negative: the signal that ended it."""
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s still runs after %s s:\n%s"
                                 % (self.name, deadline_s, self.log_tail())) from None
        self.process = None
        LIVE.remove(self)
        return code

    def stop(self, number=signal.SIGTERM, deadline_s=DEADLINE_S):
        self.send_signal(number)
        return self.wait_exit(deadline_s)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def restart(self, number=signal.SIGTERM):
        code = self.stop(number)
        self.start()
        return code

    def close(self):
        """Ends it whatever it does; fails when it had died by itself or dies badly."""
        if self.process is None:
            return
        code = self.process.poll()
        if code is None:
            self.send_signal(signal.SIGINT)
            try:
                code = self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                code = self.process.wait()
        self.process = None
        LIVE.remove(self)
        assert code == 0, "%s ended with %s:\n%s" % (self.name, code, self.log_tail())

    def reload(self, config_given):
        """A new configuration by SIGHUP. True: it is in force; False: it was refused."""
        self.write(config_given)
        serial, refused = self.serial(), self.log.count("event=reload_refused")
        self.send_signal(signal.SIGHUP)
        wait_until(lambda: self.serial() > serial or
                   self.log.count("event=reload_refused") > refused, "a reload's end")
        return self.serial() > serial

    # What it tells

    def admin(self, method, path, value=None, fields=None):
        """Asks the admin API; .status, .fields, .body, .json of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=15)
        try:
            body = None if value is None else json.dumps(value)
            head = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, {**head, **(fields or {})})
            got = connection.getresponse()
            return AdminAnswer(got.status, got.getheaders(), got.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def status(self):
        return self.admin("GET", "/v1/status").json

    def serial(self):
        return self.status()["config"]["serial"]

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    def log_tail(self, lines=60):
        return "\n".join(self.log.splitlines()[-lines:])

    def wait_log(self, pattern, deadline_s=DEADLINE_S):
        """The first line of the log that the pattern is in."""
        def find():
            return next((line for line in self.log.splitlines() if re.search(pattern, line)),
                        None)
        return wait_until(find, "a log line like %r" % pattern, deadline_s)

    def access_log(self):
        """The access log so far, a dict per line; it is written once a second."""
        file = self.folder / "access.log"
        if not file.exists():
            return []
        whole = file.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def wait_access(self, match, deadline_s=DEADLINE_S):
        """The first line of the access log for which match(line) is true."""
        return wait_until(lambda: next((x for x in self.access_log() if match(x)), None),
                          "a line in the access log", deadline_s)

    def memory(self):
        """Anonymous memory in bytes: what it has allocated, mapped files not counted."""
        text = pathlib.Path("/proc/%d/smaps_rollup" % self.process.pid).read_text()
        return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M).group(1)) * 1024

    def open_files(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    # Clients of it

    def http(self, **how):
        return Http1(self.http_port, **how)

    def https(self, **how):
        return Http1(self.https_port, tls=True, **how)

    def get(self, target, **how):
        """One GET on a connection of its own."""
        with self.http() as client:
            return client.get(target, **how)


class AdminAnswer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def json(self):
        return json.loads(self.body)

    def get(self, name):
        return field(self.fields, name)
