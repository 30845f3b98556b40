/* What one side says, whole and in pieces: the same message or the same fault. What was
 * understood is said again, plain and sealed, and understood as the same. The first byte tells
 * the role and the pieces. */
#include "cluster/wire/stream.h"

#include "cluster/wire/serf.h"

#define CAP (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct wire_stream *s, struct span bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.len; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;
        if (wire_stream_feed(s, span_of(bytes.ptr + at, len)) != WIRE_STREAM_MORE)
            break;
    }
    (void)wire_stream_feed_end(s);
    must(s->status != WIRE_STREAM_MORE);
    must((s->fault == WIRE_FAULT_NONE) == (s->status == WIRE_STREAM_MESSAGE));
}

/* A push/pull, said again. */
static void write_push_pull(struct buf *out, struct wire_push_pull p)
{
    struct wire_node node;
    uint32_t nodes = p.nodes_left;
    must(wire_push_pull_put(out, p.join, nodes, p.user_state.len) == ERR_OK);
    while (wire_push_pull_next(&p, &node)) {
        must(wire_push_pull_put_node(out, &node) == ERR_OK);
        nodes--;
    }
    must(nodes == 0 && p.nodes.len == 0);
    must(buf_append(out, p.user_state) == ERR_OK);
}

static void write_again(struct buf *out, const struct wire_stream *s)
{
    if (s->message.type == WIRE_PUSH_PULL)
        write_push_pull(out, s->push_pull);
}

static bool say(struct wire_stream *to, const struct wire_stream *s, struct span push_pull)
{
    static const uint8_t nonce[WIRE_NONCE_BYTES] = {5};
    if (s->message.type == WIRE_PUSH_PULL)
        return wire_stream_say(to, push_pull, nonce) == ERR_OK;
    return wire_stream_say_message(to, &s->message, nonce) == ERR_OK;
}

static void check_again(const struct wire_stream *s, const struct wire_keyring *ring)
{
    struct wire_stream from, to;
    struct buf first, second;
    buf_init(&first, 0);
    buf_init(&second, 0);
    write_again(&first, s);
    wire_stream_init(&from, WIRE_DIALLER, ring, WIRE_STREAM_MAX);
    wire_stream_init(&to, s->role, ring, WIRE_STREAM_MAX);
    if (say(&from, s, buf_span(&first))) {
        feed(&to, wire_stream_output(&from), 1000);
        must(to.status == WIRE_STREAM_MESSAGE && to.message.type == s->message.type);
        write_again(&second, &to);
        must(span_equal(buf_span(&first), buf_span(&second)));
        if (s->message.type == WIRE_USER)
            must(span_equal(s->message.user, to.message.user));
    }
    wire_stream_fini(&from);
    wire_stream_fini(&to);
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_keyring ring = {.count = 0};
    struct wire_stream whole, pieces, sealed;
    struct wire_serf_message m;
    must(wire_keyring_install(&ring, SPAN("0123456789abcdef")) == ERR_OK);
    if (size == 0)
        return 0;
    enum wire_role role = data[0] & 1 ? WIRE_DIALLER : WIRE_ACCEPTOR;
    size_t piece = 1 + (data[0] >> 1);
    struct span bytes = span_of(data + 1, size - 1);
    wire_stream_init(&whole, role, NULL, CAP);
    wire_stream_init(&pieces, role, NULL, CAP);
    feed(&whole, bytes, bytes.len + 1);
    feed(&pieces, bytes, piece);
    must(whole.status == pieces.status && whole.fault == pieces.fault);
    must(whole.message.type == pieces.message.type);
    must(span_equal(whole.push_pull.user_state, pieces.push_pull.user_state));
    must(span_equal(whole.push_pull.nodes, pieces.push_pull.nodes));
    if (whole.status == WIRE_STREAM_MESSAGE) {
        check_again(&whole, NULL);
        check_again(&whole, &ring);
        (void)!wire_serf_get(whole.push_pull.user_state, &m);
    }
    /* With keys, nothing that nobody sealed is a message. */
    wire_stream_init(&sealed, role, &ring, CAP);
    feed(&sealed, bytes, piece);
    must(sealed.status == WIRE_STREAM_FAULT);
    wire_stream_fini(&whole);
    wire_stream_fini(&pieces);
    wire_stream_fini(&sealed);
    return 0;
}
