"""Another node as a test speaks for it: TLS 1.3 by `openssl s_client` with the key of a pair
(node/io/tls_peer.h), HTTP/2 by python3-h2 on top of its pipes."""

import base64
import hashlib
import hmac
import os
import select
import subprocess
import time

import h2.config
import h2.connection
import h2.events

import harness


def hkdf(secret, info, length):
    """HKDF-SHA256 (RFC 5869) without salt."""
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    out, block = b"", b""
    for i in range(1, -(-length // 32) + 1):
        block = hmac.new(key, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
    return out[:length]


def identity(secret, client, server):
    """What the client calls the key, and the key."""
    raw = base64.b64decode(secret)
    hint = hkdf(raw, b"peer hint", 8).hex()
    info = b"peer" + bytes([len(client)]) + client.encode() + bytes([len(server)]) \
        + server.encode()
    return "%s/%s/%s" % (hint, client, server), hkdf(raw, info, 32)


class Refused(Exception):
    """The other side did not take the handshake."""


class Peer:
    """A connection to the port of node `server`; speaks as `client`."""

    def __init__(self, host, port, secret, client, server, name=None, arguments=()):
        name_, key = identity(secret, client, server)
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "%s:%d" % (host, port), "-quiet", "-no_ign_eof",
             "-nocommands", "-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-alpn", "h2",
             "-psk_identity", name or name_, "-psk", key.hex(), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.answers, self.over = {}, False
        self.flush()
        self.settled = False
        self.pump(lambda: self.settled or self.over)
        if self.over:
            said = self.process.stderr.read().decode(errors="replace")
            self.close()
            raise Refused(said)

    def flush(self):
        data = self.h2.data_to_send()
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.over = True

    def pump(self, done, deadline_s=harness.DEADLINE_S):
        """Takes what comes until done() is true."""
        end = time.monotonic() + deadline_s
        out = self.process.stdout.fileno()
        while not done():
            assert time.monotonic() < end, "the node did not answer"
            if not select.select([out], [], [], 0.1)[0]:
                continue
            data = os.read(out, 65536)
            if not data:
                self.over = True
                return
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled = True
        stream = getattr(event, "stream_id", None)
        if stream not in self.answers:
            return
        answer = self.answers[stream]
        if isinstance(event, h2.events.ResponseReceived):
            answer["fields"] = dict(event.headers)
            answer["status"] = int(answer["fields"][":status"])
        elif isinstance(event, h2.events.DataReceived):
            answer["body"] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            answer["reset"] = isinstance(event, h2.events.StreamReset)
            answer["over"] = True

    def begin(self, method, path, body=b"", fields=(), authority="node"):
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = {"status": None, "body": b"", "over": False, "reset": False}
        self.h2.send_headers(stream, [(":method", method), (":scheme", "https"),
                                      (":authority", authority), (":path", path), *fields],
                             end_stream=not body)
        while body:
            self.flush()
            self.pump(lambda: self.h2.local_flow_control_window(stream) > 0 or self.over)
            room = min(self.h2.local_flow_control_window(stream),
                       self.h2.max_outbound_frame_size)
            if self.over or self.answers[stream]["over"]:
                break
            self.h2.send_data(stream, body[:room], end_stream=room >= len(body))
            body = body[room:]
        self.flush()
        return stream

    def end(self, stream):
        self.pump(lambda: self.answers[stream]["over"] or self.over)
        return self.answers[stream]

    def ask(self, method, path, body=b"", **how):
        return self.end(self.begin(method, path, body, **how))

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
