"""A member's port for other nodes that answers as a test wants: TLS 1.3 with the key of a pair by
libssl (node/io/tls_peer.h), HTTP/2 by python3-h2. The member itself may be a real node that tells
this port as its own (cluster.peer_advertise)."""

import ctypes
import ctypes.util
import socket
import struct
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from peer import identity

SSL = ctypes.CDLL(ctypes.util.find_library("ssl"), use_errno=True)
P, SIZE = ctypes.c_void_p, ctypes.c_size_t
for name, result, *arguments in (
        ("TLS_server_method", P), ("SSL_CTX_new", P, P), ("SSL_CTX_free", None, P),
        ("SSL_CTX_ctrl", ctypes.c_long, P, ctypes.c_int, ctypes.c_long, P),
        ("SSL_CTX_set_ciphersuites", ctypes.c_int, P, ctypes.c_char_p),
        ("SSL_new", P, P), ("SSL_free", None, P), ("SSL_set_fd", ctypes.c_int, P, ctypes.c_int),
        ("SSL_accept", ctypes.c_int, P), ("SSL_read", ctypes.c_int, P, P, ctypes.c_int),
        ("SSL_write", ctypes.c_int, P, P, ctypes.c_int), ("SSL_SESSION_new", P),
        ("SSL_SESSION_set1_master_key", ctypes.c_int, P, P, SIZE),
        ("SSL_SESSION_set_cipher", ctypes.c_int, P, P),
        ("SSL_SESSION_set_protocol_version", ctypes.c_int, P, ctypes.c_int),
        ("SSL_CIPHER_find", P, P, ctypes.c_char_p),
        ("SSL_CTX_set_psk_find_session_callback", None, P, P),
        ("SSL_CTX_set_alpn_select_cb", None, P, P, P)):
    function = getattr(SSL, name)
    function.restype, function.argtypes = result, arguments
FIND = ctypes.CFUNCTYPE(ctypes.c_int, P, ctypes.POINTER(ctypes.c_char), SIZE, ctypes.POINTER(P))
SELECT = ctypes.CFUNCTYPE(ctypes.c_int, P, ctypes.POINTER(P), ctypes.POINTER(ctypes.c_ubyte),
                          P, ctypes.c_uint, P)
TLS1_3, MIN_VERSION = 0x0304, 123
H2 = ctypes.create_string_buffer(b"h2")


class Request:
    def __init__(self, peer, fields):
        self.peer, self.fields, self.body = peer, dict(fields), b""
        self.method, self.path = self.fields[":method"], self.fields[":path"]


class FakePeer:
    """Answers as `name`. answer(request) in a connection's own thread: (status, fields, body),
    where body may be an iterator of pieces; None: never. `shakes` False: no handshake, either."""

    def __init__(self, host, secret, name, answer, shakes=True):
        self.secret, self.name, self.answer, self.shakes = secret, name, answer, shakes
        self.asked, self.socks, self.lock = [], [], threading.Lock()
        self.find, self.select = FIND(self.find_key), SELECT(self.select_h2)
        self.context = SSL.SSL_CTX_new(SSL.TLS_server_method())
        SSL.SSL_CTX_ctrl(self.context, MIN_VERSION, TLS1_3, None)
        SSL.SSL_CTX_set_ciphersuites(self.context, b"TLS_AES_128_GCM_SHA256")
        SSL.SSL_CTX_set_psk_find_session_callback(self.context, self.find)
        SSL.SSL_CTX_set_alpn_select_cb(self.context, self.select, None)
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.run, daemon=True)]
        self.threads[0].start()

    def find_key(self, ssl, named, length, out):
        out[0] = None
        try:
            client = named[:length].decode().split("/")[1]
        except (UnicodeDecodeError, IndexError):
            return 1
        _, key = identity(self.secret, client, self.name)
        session = SSL.SSL_SESSION_new()
        SSL.SSL_SESSION_set1_master_key(session, key, len(key))
        SSL.SSL_SESSION_set_cipher(session, SSL.SSL_CIPHER_find(ssl, b"\x13\x01"))
        SSL.SSL_SESSION_set_protocol_version(session, TLS1_3)
        out[0] = session
        return 1

    @staticmethod
    def select_h2(_ssl, out, out_len, _in, _in_len, _arg):
        out[0], out_len[0] = ctypes.addressof(H2), 2
        return 0

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.socks.append(sock)
            if self.shakes:
                thread = threading.Thread(target=self.serve, args=(sock,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def serve(self, sock):
        ssl = SSL.SSL_new(self.context)
        SSL.SSL_set_fd(ssl, sock.fileno())
        try:
            if SSL.SSL_accept(ssl) == 1:
                Connection(self, ssl).run()
        except (h2.exceptions.ProtocolError, ConnectionError):
            pass
        finally:
            SSL.SSL_free(ssl)
            sock.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # its thread waits in accept
        self.listener.close()
        with self.lock:
            for sock in self.socks:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for thread in self.threads:
            thread.join(10)
        SSL.SSL_CTX_free(self.context)


class Connection:
    def __init__(self, peer, ssl):
        self.peer, self.ssl, self.requests = peer, ssl, {}
        self.room = ctypes.create_string_buffer(65536)
        self.bodies = {}  # stream -> (rest, iterator)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def flush(self):
        data = self.h2.data_to_send()
        if data and SSL.SSL_write(self.ssl, data, len(data)) <= 0:
            raise ConnectionError

    def run(self):
        self.h2.initiate_connection()
        self.flush()
        while True:
            count = SSL.SSL_read(self.ssl, self.room, len(self.room))
            if count <= 0:
                return
            for event in self.h2.receive_data(self.room.raw[:count]):
                self.take(event)
            for stream in list(self.bodies):
                self.go_on(stream)
            self.flush()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = Request(self.peer, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.requests[event.stream_id].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.bodies.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded):
            self.reply(event.stream_id)

    def reply(self, stream):
        request = self.requests.pop(stream)
        self.peer.asked.append(request)
        said = self.peer.answer(request)
        if said is None:
            return
        status, fields, body = said
        self.h2.send_headers(stream, [(":status", str(status)), *fields])
        self.bodies[stream] = [b"", iter([body] if isinstance(body, bytes) else body)]
        self.go_on(stream)

    def go_on(self, stream):
        entry = self.bodies[stream]
        while True:
            if not entry[0]:
                entry[0] = next(entry[1], None)
                if entry[0] is None:
                    self.h2.end_stream(stream)
                    del self.bodies[stream]
                    return
                continue
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            self.h2.send_data(stream, entry[0][:room])
            entry[0] = entry[0][room:]
            self.flush()


# What nodes say to each other about purges (cluster/purge_wire.h)

PUSH, EXCHANGE, PULL = 1, 2, 3


class Asked:
    """A request of /.perigee/sync, read; what is beyond is left."""

    def __init__(self, body):
        self.version, self.kind, self.flags, self.members_hash, length = \
            struct.unpack_from(">BBBQI", body)
        self.vector = dict(struct.iter_unpack(">QQ", body[15:15 + length]))
        rest = body[15 + length:]
        self.stream, self.after = struct.unpack(">QQ", rest) if self.kind == PULL else (0, 0)


def answer_to(asked, vector, floor=0, through=None, records=b"", flags=0, members_hash=None):
    """Bytes of an answer, with this vector; members are never told."""
    rows = b"".join(struct.pack(">QQ", *row) for row in sorted(vector.items()))
    out = struct.pack(">BBQI", 1, flags,
                      asked.members_hash if members_hash is None else members_hash,
                      len(rows)) + rows + struct.pack(">I", 0)
    if asked.kind == PULL:
        out += struct.pack(">QQ", floor, asked.after if through is None else through) + records
    return out
