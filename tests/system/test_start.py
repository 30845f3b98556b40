"""Checking a configuration, and starting with it or refusing to: every fault told at once."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile

import pytest

import harness

GOOD = """\
version: 1
node: { id: a, data_dir: @FOLDER@/data }
listeners:
  - { name: web, address: "127.0.0.1:@HTTP@" }
  - name: tls
    address: "127.0.0.1:@HTTPS@"
    tls: { certificates: [{ cert: @CERT@, key: @KEY@ }] }
admin: { listen: "127.0.0.1:@ADMIN@" }
origins: { app: { servers: [{ url: "http://127.0.0.1:1" }] } }
sites: [{ hosts: ["*"] }]
"""

FAULTY = """\
version: 1
nodd: { id: a }
listeners:
  - { name: web, address: "127.0.0.1:80", adress: x }
  - { name: tls, address: "not an address" }
cache: { memory: 12XB, disk: { size: 1 } }
limits:
  connections: 3
  drain: soon
  drain: 5s
origins:
  app: { servers: [{ url: "ftp://127.0.0.1" }], balance: fastest }
sites:
  - { hosts: ["*"], routes: [{ match: { path: relative }, origin: ap }] }
  - { hosts: ["*"] }
geo: { databases: [] }
"""
# line, column (None: not looked at), what the message says
FAULTS = [
    (2, 1, "unknown key \"nodd\", did you mean \"node\""),
    (4, 43, "unknown key \"adress\", did you mean \"address\""),
    (5, 27, "not an address"),
    (6, 18, "12XB"),
    (6, 38, "size"),
    (8, 16, "out of range, 10"),
    (9, 10, "soon"),
    (10, 3, "duplicate key \"drain\""),
    (12, 27, "ftp://127.0.0.1"),
    (12, 58, "fastest"),
    (14, 47, "relative"),
    (14, 67, "there is no origin \"ap\", did you mean \"app\""),
    (15, 15, "\"*\" is taken on line 14"),
    (16, 1, "not built yet"),
]


def check(node):
    return harness.program("check", node.file)


def faults_in(text, file):
    """(line, column, message) of each fault that is told."""
    found = re.findall(r"^%s:(\d+):(\d+): (.*)$" % re.escape(str(file)), text, re.M)
    return [(int(line), int(column), message) for line, column, message in found]


def test_check_accepts_a_good_file(make_node):
    node = make_node(GOOD, start=False)
    got = check(node)
    assert (got.returncode, faults_in(got.stdout + got.stderr, node.file)) == (0, []), got
    assert not (node.folder / "data").exists(), "check leaves no traces"


def test_check_tells_every_fault_with_its_place(make_node):
    node = make_node(FAULTY, start=False)
    got = check(node)
    told = faults_in(got.stdout + got.stderr, node.file)
    for line, column, what in FAULTS:
        assert any(fault[0] == line and column in (None, fault[1]) and what in fault[2]
                   for fault in told), (line, column, what, told)
    assert [fault[0] for fault in told] == [line for line, _, _ in FAULTS], told
    assert got.returncode == 2, got


def test_start_refuses_the_same_file_with_the_same_words(make_node):
    node = make_node(FAULTY, start=False)
    told = check(node)
    node.start(wait=False)
    assert node.wait_exit() not in (0, None)
    for fault in faults_in(told.stdout + told.stderr, node.file):
        assert fault in faults_in(node.log, node.file), (fault, node.log)


@pytest.mark.parametrize("text, why", [
    ("sites: [", "YAML: "),
    ("\tversion: 1\n", "YAML: "),
    ("a: &a [x]\nb: *c\n", "alias without its anchor"),
    ("- 1\n", "map of settings"),
    ("", "the file is empty"),
    ("listeners: \xff\n", "no UTF-8"),
], ids=["open", "tab", "alias", "list", "empty", "bytes"])
def test_check_refuses_what_is_no_configuration(make_node, text, why):
    node = make_node("", start=False)
    node.file.write_bytes(text.encode("latin-1"))
    got = check(node)
    told = faults_in(got.stdout + got.stderr, node.file)
    assert got.returncode == 2 and told and why in told[0][2], got


def test_check_of_no_file(tmp_path):
    got = harness.program("check", tmp_path / "none.yaml")
    said = got.stdout + got.stderr
    assert got.returncode == 2 and "No such file" in said and "none.yaml" in said, got
    got = harness.program("check", tmp_path)
    assert got.returncode == 2 and str(tmp_path) in got.stdout + got.stderr, got


@pytest.mark.parametrize("arguments", [
    [], ["serve"], ["serve", "-c"], ["check"], ["serve", "-x"], ["nonsense"], ["status", "-z"],
    ["purge"], ["cache"], ["config"],
], ids=" ".join)
def test_wrong_usage_is_told(arguments):
    got = harness.program(*arguments)
    assert got.returncode == 2 and "perigee" in got.stderr and not got.stdout, got


def test_help_and_reference():
    got = harness.program("--help")
    assert got.returncode == 0 and "perigee serve" in got.stdout, got
    for word in ("serve", "check", "purge", "status", "reload", "cache", "config reference"):
        assert word in got.stdout, (word, got.stdout)
    page = (harness.ROOT / "docs/configuration.md").read_text()
    assert harness.program("config", "reference").stdout == page


# Certificates and keys


def tls_config(pairs):
    """A configuration with these (certificate, key) files."""
    made = harness.config(1)
    made["listeners"][1]["tls"]["certificates"] = [
        {"cert": str(cert), "key": str(key)} for cert, key in pairs]
    return made


def bad_pairs(certs, folder):
    """name: (certificate, key, what is said of it)."""
    cert, key = certs.localhost
    locked, text = folder / "locked.key", folder / "text.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret",
                    "-out", locked], check=True, timeout=30)
    text.write_text("no certificate\n")
    return {
        "not its key": (cert, certs.other[1], r"does not match"),
        "no key file": (cert, folder / "gone.key", r"gone\.key: No such file"),
        "no certificate file": (folder / "gone.pem", key, r"gone\.pem: No such file"),
        "key with a pass phrase": (cert, locked, r"locked\.key"),
        "text as certificate": (text, key, r"text\.pem holds no certificate"),
        "text as key": (cert, text, r"text\.pem holds no private key"),
        "folder as key": (cert, folder, r"cannot read|holds no private key"),
    }


def test_every_bad_certificate_is_told_by_check_start_and_place(make_node, certs, tmp_path):
    bad = bad_pairs(certs, tmp_path)
    node = make_node(tls_config((cert, key) for cert, key, _ in bad.values()), start=False)
    got = check(node)
    told = faults_in(got.stdout + got.stderr, node.file)
    assert got.returncode == 2, got
    lines = node.file.read_text().splitlines()
    for name, (cert, _, pattern) in bad.items():
        fault = next((f for f in told if re.search(pattern, f[2])), None)
        assert fault, (name, told)
        near = "\n".join(lines[fault[0] - 2:fault[0] + 2])
        assert str(cert) in near or name == "text as key", (name, fault, near)
    node.start(wait=False)
    assert node.wait_exit() not in (0, None)
    assert set(told) <= set(faults_in(node.log, node.file)), node.log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_key_that_may_not_be_read(make_node, certs):
    """As a user without rights: root reads everything."""
    with public_folder() as folder:
        key = os.path.join(folder, "secret.key")
        shutil.copy(certs.localhost[1], key)
        os.chmod(key, 0o600)
        cert = shutil.copy(certs.localhost[0], folder)
        shutil.copy(harness.binary(), os.path.join(folder, "perigee"))
        node = make_node(tls_config([(cert, key)]), start=False)
        file = shutil.copy(node.file, folder)
        os.chmod(file, 0o644)
        got = subprocess.run([os.path.join(folder, "perigee"), "check", file], user="nobody",
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             timeout=20)
        assert got.returncode == 2, got
        assert re.search(r":\d+:\d+: .*secret\.key: Permission denied", got.stdout), got


# What is taken


def test_busy_ports_are_all_told(make_node):
    node = make_node(harness.config(1), start=False)
    with socket.socket() as web, socket.socket() as tls:
        for sock, port in ((web, node.http_port), (tls, node.https_port)):
            # also a socket that would share the port with others of its user
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("127.0.0.1", port))
            sock.listen()
        node.start(wait=False)
        assert node.wait_exit() not in (0, None)
    for port in (node.http_port, node.https_port):
        assert re.search(r":\d+:\d+: .*:%d.*[Aa]ddress already in use" % port, node.log), node.log


def test_busy_admin_port_is_told(make_node):
    node = make_node(harness.config(1), start=False)
    with socket.create_server(("127.0.0.1", node.admin_port)):
        node.start(wait=False)
        assert node.wait_exit() not in (0, None)
    assert re.search(r":%d.*[Aa]ddress already in use" % node.admin_port, node.log), node.log


def test_second_process_on_the_same_folder_is_refused(make_node, origin):
    origin.reply("/a", fields=[("Cache-Control", "max-age=600")], body=b"kept")
    first = make_node(harness.config(origin.port))
    assert first.get("/a").body == b"kept"
    made = harness.config(origin.port)
    made["node"]["data_dir"] = str(first.folder / "data")
    second = make_node(made, start=False)
    for _ in range(2):
        second.start(wait=False)
        assert second.wait_exit() not in (0, None)
        assert re.search(r"error event=\w+ .*%s" % re.escape(str(first.folder / "data")),
                         second.log), second.log
    origin.clear()
    got = first.get("/a")
    assert got.body == b"kept" and "hit" in got.get("cache-status") and not origin.count()
    assert first.restart() == 0
    assert first.get("/a").body == b"kept" and not origin.count()


def test_data_folder_that_cannot_be_made(make_node):
    made = harness.config(1)
    made["node"]["data_dir"] = "/proc/none/data"
    node = make_node(made, start=False)
    node.start(wait=False)
    assert node.wait_exit() not in (0, None)
    assert re.search(r"error event=\w+ .*/proc/none/data", node.log), node.log


# As whom it runs


class public_folder:
    """A folder that other users may enter, unlike pytest's own."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="perigee-test-")
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *exception):
        shutil.rmtree(self.path)


def status_of(task):
    with open(task + "/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
def test_user_drops_rights_after_binding(certs, make_origin):
    """A port below 1024 and a key for root alone, yet it runs as somebody without rights."""
    origin = make_origin()
    origin.reply("/a", fields=[("Cache-Control", "max-age=600")], body=b"kept")
    with public_folder() as folder:
        key = os.path.join(folder, "root.key")
        shutil.copy(certs.localhost[1], key)
        os.chmod(key, 0o600)
        node = harness.Node(folder, "", certs)
        node.http_port = next(p for p in range(700, 1023) if port_is_free(p))
        made = tls_config([(certs.localhost[0], key)])
        made["node"]["user"] = "nobody"
        made["origins"]["app"]["servers"][0]["url"] = "http://127.0.0.1:%d" % origin.port
        made["logs"]["access"]["path"] = "@FOLDER@/data/access.log"
        node.write(made)
        node.start()
        try:
            assert node.get("/a").body == b"kept"
            with node.https() as client:
                assert client.get("/a").body == b"kept"
            check_rights(node.process.pid)
            assert node.restart() == 0, "what it wrote as nobody it can read again"
            origin.clear()
            assert node.get("/a").body == b"kept" and not origin.count()
        finally:
            node.close()


def port_is_free(port):
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def check_rights(pid):
    nobody = pwd.getpwnam("nobody")
    tasks = os.listdir("/proc/%d/task" % pid)
    assert len(tasks) > 2
    for task in tasks:
        status = status_of("/proc/%d/task/%s" % (pid, task))
        assert set(status["Uid"].split()) == {str(nobody.pw_uid)}, status["Name"]
        assert set(status["Gid"].split()) == {str(nobody.pw_gid)}, status["Name"]
        assert "0" not in status["Groups"].split(), status
        for kind in ("CapPrm", "CapEff"):
            assert int(status[kind], 16) == 0, (status["Name"], kind)


def test_user_that_is_none(make_node):
    made = harness.config(1)
    made["node"]["user"] = "no-such-user"
    node = make_node(made, start=False)
    got = check(node)
    assert got.returncode == 2 and "no-such-user" in got.stdout + got.stderr, got
    node.start(wait=False)
    assert node.wait_exit() not in (0, None)
    assert "no-such-user" in node.log, node.log


# Where it listens


def test_ipv6_listener(make_node, origin):
    made = harness.config(origin.port)
    made["listeners"][0]["address"] = "[::1]:@HTTP@"
    node = make_node(made)
    with node.http(host="::1") as client:
        assert client.get("/six", host="[::1]:%d" % node.http_port).status == 200
    assert node.wait_access(lambda x: x["path"] == "/six")["client"] == "::1"
    with pytest.raises(ConnectionRefusedError):
        node.http(host="127.0.0.1")


def test_listener_on_all_addresses(make_node, origin):
    made = harness.config(origin.port)
    made["listeners"][0]["address"] = ":@HTTP@"
    node = make_node(made)
    for host in ("::1", "127.0.0.1"):
        with node.http(host=host) as client:
            assert client.get("/on/" + host).status == 200
        assert node.wait_access(lambda x: x["path"] == "/on/" + host)["client"] == host


def test_smallest_file_of_the_readme(make_node, origin):
    text = re.search(r"```yaml\n(listeners: .*?)```",
                     (harness.ROOT / "README.md").read_text(), re.S).group(1)
    text = text.replace(":8080", "127.0.0.1:@HTTP@").replace("3000", str(origin.port))
    node = make_node(text + "node: { data_dir: @FOLDER@/data }\nadmin: off\n")
    assert node.get("/x").body == b"origin:/x"
    node.wait_log("event=ready node=.* listeners=1 admin=off")
