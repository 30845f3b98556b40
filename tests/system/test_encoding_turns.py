"""Many bodies encoded and decoded as they are sent, at once, in one loop: each in its turn."""

import threading

import harness
from form_bench import PROTOCOLS, FormBench, coding_of, content_of

MIB = 1 << 20


def test_many_cold_bodies_at_once(make_node, origin):
    """They share what a turn of the loop has for encoding; none is forgotten in the queue, and
    plain requests are answered meanwhile."""
    node = make_node(harness.config(
        origin.port, node={"id": "n", "workers": 1, "data_dir": "@FOLDER@/data"},
        cache={"memory": "64MiB", "disk": {"size": "256MiB"}}))
    bench = FormBench(node, origin)
    small = bench.page(2000)
    assert bench.ask(small).body == small.body
    work = [(bench.page(2 * MIB), accept, over)
            for accept in ("zstd", "gzip") for over in PROTOCOLS for _ in range(5)]
    work += [(bench.page(2 * MIB, coding="gzip"), None, over)  # decoded
             for over in PROTOCOLS for _ in range(3)]
    failed, threads = [], []

    def client(page, accept, over):
        try:
            response = bench.ask(page, accept, over=over)
            assert coding_of(response) == (accept or "identity")
            assert content_of(response) == page.body
        except BaseException as error:  # told by the test, not by the thread
            failed.append((page.path, accept, over, error))

    for one in work:
        threads.append(threading.Thread(target=client, args=one))
        threads[-1].start()
    while any(thread.is_alive() for thread in threads):
        assert bench.ask(small).body == small.body
        threads[0].join(0.05)
        threads = [thread for thread in threads if thread.is_alive()] or threads[:1]
    assert not failed, failed[:3]


def test_clients_that_leave_while_their_turn_is_awaited(make_node, origin):
    node = make_node(harness.config(origin.port, node={
        "id": "n", "workers": 1, "data_dir": "@FOLDER@/data"}))
    bench = FormBench(node, origin)
    for round_ in range(3):
        pages = [bench.page(2 * MIB) for _ in range(12)]
        clients = [harness.Http1(node.https_port, tls=True) for _ in pages]
        for client, page in zip(clients, pages):
            client.send_head("GET", page.path, [("Accept-Encoding", "gzip")])
        origin.wait_for(1, pages[round_].path)
        for client in clients:
            client.close()
    page = bench.page(2 * MIB)
    assert content_of(bench.ask(page, "gzip")) == page.body
