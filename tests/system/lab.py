"""Machines in network namespaces of their own, and a bad network between them.

Needs root and /dev/net/tun; nothing stays behind, for the namespaces have no names and end with
this process and those that it started in them. A machine's one interface is a tun device: what
the machine sends, a thread here reads, and writes to the device of the machine that it is meant
for, late or never. (The kernel's own netem is not in every kernel.) IPv4 only.
"""

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import threading
import time

import harness

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_MAX = 65536
BURST = 64
TCP, UDP = 6, 17

libc = ctypes.CDLL(None, use_errno=True)


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def this_network():
    """The calling thread's network namespace, as an open file."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL, timeout=20)


class Machine:
    """A network namespace with one address, and what it has sent so far (IP headers included)."""

    def __init__(self, name, host):
        self.name, self.host = name, host
        self.packets = self.bytes = self.datagram_bytes = 0
        home = this_network()
        try:
            called(libc.unshare(CLONE_NEWNET))
            self.namespace = this_network()
            self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tun, TUNSETIFF,
                        struct.pack("16sH22x", b"lab0", IFF_TUN | IFF_NO_PI))
            ip("link", "set", "lo", "up")
            ip("address", "add", host + "/24", "dev", "lab0")
            ip("link", "set", "lab0", "up")
        finally:
            called(libc.setns(home, CLONE_NEWNET))
            os.close(home)

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is there: sockets and processes made meanwhile stay there."""
        back = this_network()
        called(libc.setns(self.namespace, CLONE_NEWNET))
        try:
            yield
        finally:
            called(libc.setns(back, CLONE_NEWNET))
            os.close(back)

    def count(self, packet):
        self.packets += 1
        self.bytes += len(packet)
        if packet[9] == UDP:
            self.datagram_bytes += len(packet)

    def close(self):
        os.close(self.tun)
        os.close(self.namespace)


class Way:
    """How packets fare from one machine to another: one way, in seconds and parts of 1."""

    def __init__(self, delay_s, jitter_s, loss):
        self.delay_s, self.jitter_s, self.loss = delay_s, jitter_s, loss
        self.usual_loss = loss
        self.lost = self.carried = 0


class Network:
    """Carries packets between machines; a context, which ends with all of them.

    way(from, to) -> Way says how, at first; self.ways[from name, to name] may be changed at any
    time. Packets on one way may overtake each other when it has a jitter.
    """

    def __init__(self, names, way, seed):
        self.random = random.Random(seed)
        self.machines = {name: Machine(name, "10.9.0.%d" % (i + 1))
                         for i, name in enumerate(names)}
        self.by_address = {bytes(map(int, m.host.split("."))): m
                           for m in self.machines.values()}
        self.ways = {(a, b): way(a, b) for a in names for b in names if a != b}
        self.under_way, self.order = [], 0
        self.closing = False
        self.blocked = None  # (address, port) of TCP
        self.thread = threading.Thread(target=self.run, name="network")
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing = True
        self.thread.join()
        for machine in self.machines.values():
            machine.close()

    # The thread

    def run(self):
        with selectors.DefaultSelector() as selector:
            for machine in self.machines.values():
                selector.register(machine.tun, selectors.EVENT_READ, machine)
            while not self.closing:
                for key, _ in selector.select(self.wait_s()):
                    self.take(key.data)
                self.deliver()

    def wait_s(self):
        if not self.under_way:
            return 0.1
        return min(0.1, max(0, self.under_way[0][0] - time.monotonic()))

    def take(self, sender):
        for _ in range(BURST):
            try:
                packet = os.read(sender.tun, PACKET_MAX)
            except BlockingIOError:
                return
            receiver = self.by_address.get(packet[16:20])
            if packet[0] >> 4 == 4 and receiver is not None:
                sender.count(packet)
                self.send(self.ways[sender.name, receiver.name], receiver, packet)

    def send(self, way, receiver, packet):
        if self.random.random() < way.loss or self.is_blocked(packet):
            way.lost += 1
            return
        due = time.monotonic() + way.delay_s + way.jitter_s * self.random.random()
        self.order += 1
        heapq.heappush(self.under_way, (due, self.order, way, receiver, packet))

    def deliver(self):
        now = time.monotonic()
        while self.under_way and self.under_way[0][0] <= now:
            _, _, way, receiver, packet = heapq.heappop(self.under_way)
            way.carried += 1
            os.write(receiver.tun, packet)

    # Its faults

    def lose(self, ways, loss=1.0):
        """From now on so much is lost on these ways: (from, to), names."""
        for pair in ways:
            self.ways[pair].loss = loss

    def block(self, name, port):
        """From now on no TCP packet from or to this port of that machine arrives."""
        address = bytes(map(int, self.machines[name].host.split(".")))
        self.blocked = (address, port)

    def unblock(self):
        self.blocked = None

    def is_blocked(self, packet):
        if self.blocked is None or packet[9] != TCP:
            return False
        address, port = self.blocked
        at = 4 * (packet[0] & 15)
        ends = ((packet[12:16], packet[at:at + 2]), (packet[16:20], packet[at + 2:at + 4]))
        return any(a == address and int.from_bytes(p, "big") == port for a, p in ends)

    def heal(self):
        for way in self.ways.values():
            way.loss = way.usual_loss


class MachineNode(harness.Node):
    """A node on a machine; it is asked from there."""

    def __init__(self, machine, folder, config, certs):
        self.machine = machine
        super().__init__(folder, config, certs)

    def start(self, wait=True):
        with self.machine.inside():
            return super().start(wait)

    def admin(self, *arguments, **how):
        with self.machine.inside():
            return super().admin(*arguments, **how)
