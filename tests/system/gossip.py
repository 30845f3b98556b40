"""Members of a cluster under test: nodes on 127.0.0.x, and serf's own agents."""

import base64
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess

import harness
from harness import wait_until

FAILED_S = 60  # until a silent member is declared dead, with the lan profile
given_hosts = set()


def free_host():
    """An address of this machine that no other test has, for one member."""
    while True:
        host = "127.%d.%d.%d" % tuple(random.randrange(1, 255) for _ in range(3))
        if host not in given_hosts:
            given_hosts.add(host)
            return host


def free_port():
    """A port that nobody has, neither by TCP nor by UDP."""
    while True:
        port = harness.free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.bind(("", port))
                return port
            except OSError:
                continue


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
            return True
    except OSError:
        return False


def new_key(length=32):
    return base64.b64encode(os.urandom(length)).decode()


def secret(folder, *keys, name="secret"):
    """A file of these lines."""
    file = pathlib.Path(folder) / name
    file.write_text("".join(key + "\n" for key in keys))
    file.chmod(0o600)
    return str(file)


def member(name, host, port, join=(), node=None, **cluster):
    """The configuration of a member that serves nothing."""
    return {
        "version": 1,
        "node": {"id": name, "workers": 1, "data_dir": "@FOLDER@/data", **(node or {})},
        "cache": {"memory": "16MiB", "disk": {"size": "0B"}},
        "admin": {"listen": "127.0.0.1:@ADMIN@"},
        "cluster": {"listen": "%s:%d" % (host, port), "profile": "lan", "join": list(join),
                    "purge_log": {"max": "16MiB"}, **cluster},
    }


def nodes(node):
    """What it knows of the cluster: id: what is told of it."""
    return {one["id"]: one for one in node.admin("GET", "/v1/nodes").json["nodes"]}


def states(node):
    return {name: one["state"] for name, one in nodes(node).items()}


def wait_states(node, wanted, deadline_s=harness.DEADLINE_S):
    """Until it knows exactly these: id: state."""
    last = {}

    def same():
        last.clear()
        last.update(states(node))
        return last == wanted

    try:
        wait_until(same, "%s sees %s" % (node.name, wanted), deadline_s)
    except AssertionError as error:
        raise AssertionError("%s, but %s" % (error, last)) from None


def metric(node, name):
    """The value of one line of /metrics; 0 when it is not there."""
    for line in node.admin("GET", "/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.rpartition(" ")[2])
    return 0


class Member:
    """A node of a cluster with an address of its own."""

    def __init__(self, make_node, name, host=None, port=None, join=(), start=True, **how):
        self.id, self.host, self.port = name, host or free_host(), port or free_port()
        self.node = make_node(member(name, self.host, self.port, join, **how), start=start)

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def __getattr__(self, name):
        return getattr(self.node, name)


def has_serf():
    return shutil.which("serf") is not None


class Agent:
    """`serf agent`. Its events go line by line into a file: name, user event or query, payload."""

    def __init__(self, folder, name, join=(), key=None, host=None, port=None, arguments=()):
        self.name, self.host = name, host or free_host()
        self.port = port or free_port()
        self.rpc = "127.0.0.1:%d" % free_port()
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(exist_ok=True)
        self.log_file, self.events_file = self.folder / "agent.log", self.folder / "events"
        self.events_file.touch()
        handler = self.folder / "handler"
        handler.write_text("#!/bin/sh\nread -r payload\n"
                           "echo \"$SERF_EVENT $SERF_USER_EVENT$SERF_QUERY_NAME $payload\""
                           " >>%s\necho seen $payload\n" % self.events_file)
        handler.chmod(0o755)
        self.command = ["serf", "agent", "-node=" + name, "-bind=" + self.address,
                        "-rpc-addr=" + self.rpc, "-profile=lan", "-log-level=debug",
                        "-event-handler=%s" % handler, *["-join=" + one for one in join],
                        *(["-encrypt=" + key] if key else []), *arguments]
        self.process = None

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.folder)
        try:
            wait_until(lambda: self.process.poll() is not None or self.serf("info").returncode == 0,
                       "the agent %s answers" % self.name)
            assert self.process.poll() is None, "the agent %s ended" % self.name
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.log)) from None
        return self

    def serf(self, command, *arguments, deadline_s=30):
        """Runs `serf COMMAND` against it."""
        return subprocess.run(["serf", command, "-rpc-addr=" + self.rpc, *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=deadline_s)

    def members(self):
        """name: what `serf members` tells of it."""
        got = self.serf("members", "-format=json")
        if got.returncode:
            return {}
        return {one["name"]: one for one in json.loads(got.stdout)["members"]}

    def states(self):
        return {name: one["status"] for name, one in self.members().items()}

    def wait_states(self, wanted, deadline_s=harness.DEADLINE_S):
        wait_until(lambda: self.states() == wanted,
                   "%s sees %s (now %s)" % (self.name, wanted, self.states()), deadline_s)

    @property
    def log(self):
        return self.log_file.read_text(errors="replace")

    def events(self):
        return self.events_file.read_text(errors="replace").splitlines()

    def stop(self, number=signal.SIGTERM, deadline_s=harness.DEADLINE_S):
        self.process.send_signal(number)
        code = self.process.wait(deadline_s)
        self.process = None
        return code

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
