#include "tests/unit/node/origin/stage.h"

#include "base/counter.h"
#include "cache/memory/fill.h"
#include "node/io/certs.h"
#include "node/io/listen_ev.h"
#include "node/io/stream_ev.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n"

static void assert_field(const struct memory_object *o, const char *name, const char *value)
{
    const struct http_field *f = http_fields_find_text(&o->block.fields, span_text(name));
    if (!f || !span_equal(f->value, span_text(value)))
        fail_msg("%s: %.*s", name, SPAN_ARG(f ? f->value : SPAN("none")));
}

/* Reads a head and all of its body, chunks up to a trailer "x-sum: 1"; how many bytes that
 * has, with its frame. */
static size_t swallow(struct server *s, int64_t declared)
{
    char tail[6] = "";
    size_t head = 0, got = 0;
    for (bool over = false; !over;) {
        UNTIL(server_read(s) && s->got_len > 0);
        char *end = head ? NULL : strstr(s->got, "\r\n\r\n");
        if (end)
            head = (size_t)(end - s->got) + 4;
        for (size_t i = s->got_len < 5 ? 0 : s->got_len - 5; i < s->got_len; i++) {
            memmove(tail, tail + 1, 4);
            tail[4] = s->got[i];
        }
        got += s->got_len;
        over = declared > 0 ? got >= head + (size_t)declared : strcmp(tail, "1\r\n\r\n") == 0;
        s->got_len = 0;
    }
    assert_true(head > 0);
    return got - head;
}

static void one_answer(void **state)
{
    (void)state;
    struct asked a, b;
    stage_origin(1, 1);
    scene_purge(&scene, PURGE_URL, PURGE_HARD, "http://h.x/one?x=1"); /* what comes is newer */
    asked_open(&a, HTTP_GET, "/one?x=1", CACHE_LEAD);
    asked_begin(&a, 0);
    /* What the exchange had is gone. */
    arena_fini(&a.client->arena);
    arena_init(&a.client->arena, 1 << 20);
    memset(&a.client->request, 'x', sizeof(a.client->request));
    memset(&a.client->key, 'x', sizeof(a.client->key));
    server_asked(&servers[0]);
    assert_true(span_starts(span_text(servers[0].got), SPAN("GET /one?x=1 HTTP/1.1\r\n")));
    assert_true(server_holds(&servers[0], origin->conf.servers[0].authority));
    assert_true(server_holds(&servers[0], "\r\naccept: */*\r\n"));
    assert_true(server_holds(&servers[0], "\r\nx-out: own\r\n"));
    assert_false(server_holds(&servers[0], "content-length"));
    assert_int_equal(atomic_load(&origin->servers[0].in_flight), 1);
    assert_non_null(a.fetch);
    server_say(&servers[0], OK_HEAD);
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    UNTIL(a.lefts == 1); /* the head is enough for the figures */
    server_say(&servers[0], "hello");
    UNTIL(fetches.count == 0);
    assert_int_equal(a.figures.status, 200);
    assert_int_equal(a.figures.attempts, 1);
    assert_true(a.figures.first_byte_ms >= 0);
    assert_string_equal(a.figures.server, origin->conf.servers[0].authority);
    ASSERT_READS(a.client, "hello");
    assert_field(a.client->reader.object, "x-in", "1");
    assert_int_equal(a.lefts, 1);
    assert_int_equal(a.rooms, 0);
    asked_close(&a);
    asked_open(&b, HTTP_GET, "/one?x=1", CACHE_HIT);
    asked_close(&b);
    assert_int_equal(atomic_load(&origin->servers[0].requests), 1);
    assert_int_equal(atomic_load(&origin->servers[0].errors), 0);
}

/* What the first server does; the second one answers when it is asked. */
enum trouble {
    REFUSES,
    CLOSES, /* when it has the head, and the body */
    IS_SILENT,
    SPEAKS_SSH,
    HINTS_AND_CLOSES,
    BREAKS_OFF, /* within the head */
};

static void play_trouble(enum trouble trouble, size_t body_bytes)
{
    struct server *s = &servers[0];
    if (trouble == REFUSES)
        return;
    server_asked(s);
    UNTIL(server_read(s) &&
          s->got_len >= body_bytes + (size_t)(strstr(s->got, "\r\n\r\n") - s->got) + 4);
    if (trouble == IS_SILENT)
        return;
    if (trouble == SPEAKS_SSH)
        server_say(s, "SSH-2.0-OpenSSH\r\n\r\n");
    if (trouble == HINTS_AND_CLOSES)
        server_say(s, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    if (trouble == BREAKS_OFF)
        server_say(s, "HTTP/1.1 200 OK\r\nContent-Le");
    server_hang_up(s);
}

static void failing_over(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum http_method method;
        int64_t body_bytes;
        uint32_t retry_max;
        enum trouble trouble;
        enum cache_failure failure; /* NONE: the second server's answer comes */
    } rows[] = {
        {"GET, refused", HTTP_GET, 0, 1, REFUSES, CACHE_FAILURE_NONE},
        {"POST, refused", HTTP_POST, 0, 1, REFUSES, CACHE_FAILURE_NONE},
        {"POST with a body, refused", HTTP_POST, 1000, 1, REFUSES, CACHE_FAILURE_NONE},
        {"GET, refused, no retries", HTTP_GET, 0, 0, REFUSES, CACHE_FAILURE_REFUSED},
        {"GET, closed", HTTP_GET, 0, 1, CLOSES, CACHE_FAILURE_NONE},
        {"HEAD, closed", HTTP_HEAD, 0, 1, CLOSES, CACHE_FAILURE_NONE},
        {"POST, closed", HTTP_POST, 0, 1, CLOSES, CACHE_FAILURE_REFUSED},
        {"POST with a body, closed", HTTP_POST, 1000, 1, CLOSES, CACHE_FAILURE_REFUSED},
        {"PUT, closed", HTTP_PUT, 0, 1, CLOSES, CACHE_FAILURE_NONE},
        {"PUT with a body, closed", HTTP_PUT, 1000, 1, CLOSES, CACHE_FAILURE_REFUSED},
        {"GET, silence", HTTP_GET, 0, 1, IS_SILENT, CACHE_FAILURE_NONE},
        {"GET, silence, no retries", HTTP_GET, 0, 0, IS_SILENT, CACHE_FAILURE_TIMEOUT},
        {"GET, no HTTP", HTTP_GET, 0, 1, SPEAKS_SSH, CACHE_FAILURE_PROTOCOL},
        {"GET, closed after a hint", HTTP_GET, 0, 1, HINTS_AND_CLOSES, CACHE_FAILURE_REFUSED},
        {"GET, half a head", HTTP_GET, 0, 1, BREAKS_OFF, CACHE_FAILURE_REFUSED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        char target[32];
        bool passes = rows[i].failure == CACHE_FAILURE_NONE;
        uint64_t retries = counter_sum(COUNTER_ORIGIN_RETRIES);
        uint64_t errors = counter_sum(COUNTER_ORIGIN_ERRORS);
        print_message("  %s\n", rows[i].why);
        server_close(&servers[0]);
        server_bind(&servers[0], rows[i].trouble != REFUSES);
        stage_origin(2, rows[i].retry_max);
        limits.origin_first_byte_ms = rows[i].trouble == IS_SILENT ? 200 : 60000;
        snprintf(target, sizeof(target), "/row%zu", i);
        bool leads = rows[i].method == HTTP_GET || rows[i].method == HTTP_HEAD;
        asked_open(&a, rows[i].method, target, leads ? CACHE_LEAD : CACHE_PASS);
        a.upload = (size_t)rows[i].body_bytes;
        a.upload_ends = true;
        asked_begin(&a, rows[i].body_bytes);
        asked_give(&a); /* as an exchange may: nothing is taken before a server is there */
        assert_int_equal(a.given, 0);
        play_trouble(rows[i].trouble, (size_t)rows[i].body_bytes);
        if (passes) {
            server_asked(&servers[1]);
            limits.origin_first_byte_ms = 60000;
            if (rows[i].body_bytes) { /* all of it */
                assert_true(server_holds(&servers[1], "\r\ncontent-length: 1000\r\n"));
                UNTIL(server_read(&servers[1]) && servers[1].got_len > 1000);
            }
            assert_int_equal(server_holds(&servers[1], "GET /row"), leads); /* a HEAD, too */
            server_say(&servers[1], OK_HEAD "hello");
        }
        UNTIL(fetches.count == 0);
        enum memory_head head = asked_head(&a);
        if (head != (passes ? MEMORY_HEAD_READY : MEMORY_HEAD_FAILED) ||
            (!passes && memory_reader_failure(&a.client->reader) != rows[i].failure))
            fail_msg("%s: %d %u", rows[i].why, head, memory_reader_failure(&a.client->reader));
        assert_int_equal(a.lefts, 1);
        assert_int_equal(a.figures.attempts, passes ? 2 : 1);
        assert_int_equal(a.figures.status, passes ? 200 : 0);
        assert_int_equal(a.figures.first_byte_ms >= 0, passes);
        assert_string_equal(a.figures.server, origin->conf.servers[passes].authority);
        assert_int_equal(counter_sum(COUNTER_ORIGIN_RETRIES) - retries, passes);
        assert_int_equal(counter_sum(COUNTER_ORIGIN_ERRORS) - errors, 1);
        assert_int_equal(atomic_load(&origin->servers[0].errors), 1);
        asked_close(&a);
        server_hang_up(&servers[1]);
        io_links_drop_idle(links);
    }
}

static void all_fail(void **state)
{
    (void)state;
    static const struct {
        uint32_t servers, retry_max, attempts;
        enum cache_failure failure;
    } rows[] = {
        {1, 10, 1, CACHE_FAILURE_REFUSED},     {3, 10, 3, CACHE_FAILURE_REFUSED},
        {3, 1, 2, CACHE_FAILURE_REFUSED},      {3, 0, 1, CACHE_FAILURE_REFUSED},
        {0, 10, 0, CACHE_FAILURE_UNAVAILABLE},
    };
    for (int i = 0; i < SERVERS; i++) {
        server_close(&servers[i]);
        server_bind(&servers[i], false);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        stage_origin(rows[i].servers, rows[i].retry_max);
        asked_open(&a, HTTP_GET, "/none", CACHE_LEAD);
        asked_begin(&a, 0);
        assert_int_equal(asked_head(&a), MEMORY_HEAD_FAILED);
        assert_int_equal(memory_reader_failure(&a.client->reader), rows[i].failure);
        UNTIL(a.lefts == 1);
        assert_int_equal(a.figures.attempts, rows[i].attempts);
        assert_int_equal(*a.figures.server != 0, rows[i].attempts > 0);
        asked_close(&a);
    }
}

/* A resolver whose server never answers. */
static int silent_names(void)
{
    char text[32];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(sa.sin_port));
    io_resolver_use(resolver, text, 200);
    return fd;
}

/* Offers the body all the time, and nobody may take it, until that attempt. */
static void offer_until(struct asked *a, uint32_t attempt)
{
    for (;;) {
        origin_fetch_figures(a->fetch, &a->figures);
        if (a->figures.attempts == attempt)
            return;
        asked_give(a);
        assert_int_equal(a->given, 0);
        loop_turn();
    }
}

/* A body is not taken by a server that is not there yet, so that another one can have it. */
static void before_it_is_sent(void **state)
{
    (void)state;
    struct asked a;
    int fd = silent_names();
    names[0] = "slow.example";
    stage_origin(2, 1);
    asked_open(&a, HTTP_POST, "/name", CACHE_PASS);
    a.upload = 1000;
    a.upload_ends = true;
    asked_begin(&a, 1000);
    offer_until(&a, 2);
    server_accept(&servers[1]);
    assert_int_equal(swallow(&servers[1], 1000), 1000);
    server_say(&servers[1], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    assert_int_equal(a.figures.attempts, 2);
    ASSERT_READS(a.client, "hello");
    asked_close(&a);
    close(fd);
}

/* A body that the client has not begun can still go to another server. */
static void body_not_begun(void **state)
{
    (void)state;
    struct asked a;
    int fd = silent_names();
    names[1] = "slow.example";
    stage_origin(3, 2);
    asked_open(&a, HTTP_PUT, "/later", CACHE_PASS);
    asked_begin(&a, 1000); /* room is told, and nothing comes */
    server_asked(&servers[0]);
    assert_int_equal(a.rooms, 1);
    server_hang_up(&servers[0]);
    UNTIL((origin_fetch_figures(a.fetch, &a.figures), a.figures.attempts == 2));
    a.upload = 1000;
    a.upload_ends = true;
    offer_until(&a, 3);
    server_accept(&servers[2]);
    assert_int_equal(swallow(&servers[2], 1000), 1000);
    assert_int_equal(a.rooms, 2);
    server_say(&servers[2], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    assert_int_equal(a.figures.attempts, 3);
    asked_close(&a);
    close(fd);
}

/* What the request says of its body, and what comes, differ. */
static void bodies_that_do_not_come(void **state)
{
    (void)state;
    stage_origin(1, 1);
    for (int claims = 0; claims < 2; claims++) {
        struct asked a;
        asked_open(&a, HTTP_POST, "/hidden", CACHE_PASS);
        a.hides_body = !claims;
        a.claims_body = claims;
        asked_begin(&a, claims ? 0 : 1000);
        server_asked(&servers[0]);
        assert_true(server_holds(&servers[0], "\r\ncontent-length: 0\r\n"));
        assert_int_equal(a.rooms, 0);
        assert_int_equal(origin_fetch_body(a.fetch, SPAN("body")), 4); /* and forgotten */
        origin_fetch_body_end(a.fetch, NULL);
        server_say(&servers[0], OK_HEAD "hello");
        UNTIL(fetches.count == 0);
        ASSERT_READS(a.client, "hello");
        asked_close(&a);
        io_links_drop_idle(links);
    }
}

/* Each request begins with the next server. */
static void takes_turns(void **state)
{
    (void)state;
    stage_origin(2, 1);
    for (int i = 0; i < 4; i++) {
        struct asked a;
        asked_open(&a, HTTP_POST, "/turns", CACHE_PASS);
        asked_begin(&a, 0);
        server_asked(&servers[i % 2]);
        server_say(&servers[i % 2], OK_HEAD "hello");
        UNTIL(a.lefts == 1);
        asked_close(&a);
    }
}

/* A request answered, so that its connection is kept. */
static void warm_up(const char *target)
{
    struct asked a;
    asked_open(&a, HTTP_GET, target, CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    server_say(&servers[0], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    asked_close(&a);
    servers[0].got_len = 0;
}

static void a_kept_connection_was_closed(void **state)
{
    (void)state;
    struct asked a;
    stage_origin(1, 0);
    warm_up("/warm");
    uint64_t errors = counter_sum(COUNTER_ORIGIN_ERRORS);
    uint64_t retries = counter_sum(COUNTER_ORIGIN_RETRIES);
    asked_open(&a, HTTP_GET, "/kept", CACHE_LEAD);
    asked_begin(&a, 0);
    UNTIL(has_head(&servers[0]));
    server_hang_up(&servers[0]); /* as if it had come too late */
    server_asked(&servers[0]);
    server_say(&servers[0], OK_HEAD "again");
    UNTIL(fetches.count == 0);
    ASSERT_READS(a.client, "again");
    assert_int_equal(a.figures.attempts, 2);
    assert_int_equal(servers[0].accepted, 2);
    assert_int_equal(counter_sum(COUNTER_ORIGIN_ERRORS), errors);
    assert_int_equal(counter_sum(COUNTER_ORIGIN_RETRIES), retries);
    assert_int_equal(atomic_load(&origin->servers[0].errors), 0);
    asked_close(&a);
    /* A fresh one that is closed is an error, and not tried for ever. */
    io_links_drop_idle(links);
    asked_open(&a, HTTP_GET, "/fresh", CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    server_hang_up(&servers[0]);
    assert_int_equal(asked_head(&a), MEMORY_HEAD_FAILED);
    UNTIL(a.lefts == 1);
    assert_int_equal(a.figures.attempts, 1);
    asked_close(&a);
}

/* After a kept connection that was closed, not even another kept one is tried. */
static void two_kept_connections(void **state)
{
    (void)state;
    struct asked a, b;
    struct server older = {.fd = -1};
    stage_origin(1, 0);
    asked_open(&a, HTTP_GET, "/a", CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    older.fd = servers[0].fd;
    servers[0].fd = -1;
    asked_open(&b, HTTP_GET, "/b", CACHE_LEAD);
    asked_begin(&b, 0);
    server_asked(&servers[0]);
    server_say(&older, OK_HEAD "hello");
    UNTIL(fetches.count == 1);
    server_say(&servers[0], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    asked_close(&a);
    asked_close(&b);
    servers[0].got_len = 0;
    asked_open(&a, HTTP_GET, "/c", CACHE_LEAD);
    asked_begin(&a, 0);
    UNTIL(has_head(&servers[0])); /* the newer one */
    server_asked(&servers[0]);
    server_say(&servers[0], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    ASSERT_READS(a.client, "hello");
    assert_int_equal(a.figures.attempts, 2);
    assert_int_equal(servers[0].accepted, 3);
    assert_true(server_read(&older));
    assert_int_equal(older.got_len, 0);
    asked_close(&a);
    server_hang_up(&older);
}

/* What may not be sent twice gets a connection of its own. */
static void fresh_connections(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum http_method method;
        int64_t body_bytes;
        bool fresh;
    } rows[] = {
        {"GET", HTTP_GET, 0, false},
        {"POST", HTTP_POST, 0, true},
        {"PUT", HTTP_PUT, 0, false},
        {"PUT with a body", HTTP_PUT, 10, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        char target[32];
        stage_origin(1, 1);
        snprintf(target, sizeof(target), "/warm%zu", i);
        warm_up(target);
        asked_open(&a, rows[i].method, "/fresh",
                   rows[i].method == HTTP_GET ? CACHE_LEAD : CACHE_PASS);
        a.upload = (size_t)rows[i].body_bytes;
        a.upload_ends = true;
        asked_begin(&a, rows[i].body_bytes);
        UNTIL(a.client->scene && (rows[i].fresh ? servers[0].got_len || try_accept(&servers[0])
                                                : has_head(&servers[0])));
        if (rows[i].fresh)
            UNTIL(has_head(&servers[0]));
        server_say(&servers[0], OK_HEAD "hello");
        UNTIL(fetches.count == 0);
        if (asked_head(&a) != MEMORY_HEAD_READY)
            fail_msg("%s", rows[i].why);
        asked_close(&a);
        io_links_drop_idle(links);
        server_hang_up(&servers[0]);
    }
}

/* The stored object is what everybody gets, and the connection lives on. */
static void validation(void **state)
{
    (void)state;
    struct asked a;
    stage_origin(1, 1);
    scene_store(&scene, "/old", "", "cache-control: max-age=10\nage: 100\netag: \"v1\"",
                "stored");
    asked_open(&a, HTTP_GET, "/old", CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    assert_true(server_holds(&servers[0], "\r\nif-none-match: \"v1\"\r\n"));
    server_say(&servers[0], "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n"
                            "Cache-Control: max-age=60\r\nContent-Length: 1000000\r\n\r\n");
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    ASSERT_READS(a.client, "stored");
    UNTIL(fetches.count == 0);
    assert_int_equal(a.figures.status, 304);
    asked_close(&a);
    servers[0].got_len = 0;
    asked_open(&a, HTTP_GET, "/new", CACHE_LEAD);
    asked_begin(&a, 0);
    UNTIL(has_head(&servers[0])); /* over the same connection */
    server_say(&servers[0], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    asked_close(&a);
    assert_int_equal(servers[0].accepted, 1);
}

/* An error answered with the stale object: what follows its head is read, if it is short. */
static void draining(void **state)
{
    (void)state;
    static const struct {
        const char *why, *head;
        size_t chunks; /* of 16 KiB */
        bool kept;
    } rows[] = {
        {"a short body", "HTTP/1.1 503 No\r\nContent-Length: 16384\r\n\r\n", 1, true},
        {"a short body of unknown length",
         "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", 3, true},
        {"a long body", "HTTP/1.1 503 No\r\nContent-Length: 1000000\r\n\r\n", 0, false},
        {"a body without end", "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", 5,
         false},
    };
    static char chunk[16384 + 1];
    memset(chunk, 'x', sizeof(chunk) - 1);
    stage_origin(1, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        char target[32];
        bool chunked = strstr(rows[i].head, "chunked") != NULL;
        snprintf(target, sizeof(target), "/drain%zu", i);
        scene_store(&scene, target, "",
                    "cache-control: max-age=10, stale-if-error=1000\nage: 100", "stored");
        asked_open(&a, HTTP_GET, target, CACHE_LEAD);
        asked_begin(&a, 0);
        server_asked(&servers[0]);
        server_say(&servers[0], rows[i].head);
        assert_int_equal(asked_head(&a), MEMORY_HEAD_STALE);
        UNTIL(a.lefts == 1);
        for (size_t n = 0; n < rows[i].chunks; n++) {
            if (chunked)
                server_say(&servers[0], "4000\r\n");
            server_say(&servers[0], chunk);
            if (chunked)
                server_say(&servers[0], "\r\n");
        }
        if (rows[i].kept && chunked)
            server_say(&servers[0], "0\r\n\r\n");
        UNTIL(fetches.count == 0);
        servers[0].got_len = 0;
        if (!rows[i].kept)
            server_left(&servers[0]);
        else if (loop_turn(), !server_read(&servers[0]))
            fail_msg("%s", rows[i].why);
        asked_close(&a);
        io_links_drop_idle(links);
    }
}

static void uploads(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        size_t upload;
        int64_t declared;
    } rows[] = {
        {"counted", 32000000, 32000000},
        {"chunked", 32000000, HTTP_LENGTH_UNKNOWN},
        {"chunked and empty", 0, HTTP_LENGTH_UNKNOWN},
    };
    struct http_field sum = {.name = SPAN("x-sum"), .value = SPAN("1")};
    struct http_fields trailers = {.at = &sum, .count = 1, .room = 1};
    stage_origin(1, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        asked_open(&a, HTTP_POST, "/up", CACHE_PASS);
        a.upload = rows[i].upload;
        a.upload_ends = true;
        a.trailers = rows[i].declared < 0 ? &trailers : NULL;
        asked_begin(&a, rows[i].declared);
        if (rows[i].upload == 0)
            asked_give(&a); /* its end is known at once */
        server_accept(&servers[0]);
        /* Nobody reads: some is taken, and then no more. */
        size_t before = 0;
        for (int still = 0; still < 50 && rows[i].upload > 0; before = a.given) {
            loop_turn();
            still = a.given > 0 && a.given == before ? still + 1 : 0;
        }
        assert_int_equal(a.upload > 0, rows[i].upload > 0);
        size_t got = swallow(&servers[0], rows[i].declared);
        server_say(&servers[0], OK_HEAD "hello");
        UNTIL(fetches.count == 0);
        assert_int_equal(a.given, rows[i].upload);
        if (rows[i].declared > 0)
            assert_int_equal(got, rows[i].upload);
        else
            assert_true(got >= rows[i].upload + 5);
        assert_int_equal(a.lefts, 1);
        ASSERT_READS(a.client, "hello");
        asked_close(&a);
        io_links_drop_idle(links);
    }
}

/* Answered before all of the body was there. */
static void early_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why, *answer;
        bool left_early; /* at the head */
    } rows[] = {
        {"refused",
         "HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
         true},
        {"accepted", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
         false},
    };
    stage_origin(1, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        asked_open(&a, HTTP_POST, "/early", CACHE_PASS);
        a.upload = 1000;
        asked_begin(&a, 100000);
        server_asked(&servers[0]);
        UNTIL(a.given == 1000);
        server_say(&servers[0], rows[i].answer);
        assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        if (rows[i].left_early) {
            UNTIL(a.lefts == 1);
        } else {
            for (int n = 0; n < 5; n++)
                loop_turn();
            assert_int_equal(a.lefts, 0); /* it may have more of it */
            assert_int_equal(origin_fetch_body(a.fetch, SPAN("more")), 4);
        }
        server_say(&servers[0], "large");
        UNTIL(fetches.count == 0 && a.lefts == 1);
        ASSERT_READS(a.client, "large");
        asked_close(&a);
    }
}

static void leaving(void **state)
{
    (void)state;
    struct asked a;
    stage_origin(1, 1);
    /* With half a body: nobody can give the rest. */
    asked_open(&a, HTTP_POST, "/half", CACHE_PASS);
    a.upload = 10;
    asked_begin(&a, 1000);
    server_asked(&servers[0]);
    UNTIL(a.given == 10);
    origin_fetch_leave(a.fetch);
    a.fetch = NULL;
    server_left(&servers[0]);
    assert_int_equal(asked_head(&a), MEMORY_HEAD_FAILED);
    assert_int_equal(memory_reader_failure(&a.client->reader), CACHE_FAILURE_CANCELLED);
    assert_int_equal(a.lefts, 0);
    asked_close(&a);
    /* At the moment the body is asked for. */
    asked_open(&a, HTTP_POST, "/at-once", CACHE_PASS);
    a.leave_in_room = true;
    asked_begin(&a, 1000);
    server_accept(&servers[0]);
    server_left(&servers[0]);
    UNTIL(fetches.count == 0);
    asked_close(&a);
    /* Before anything was done. */
    asked_open(&a, HTTP_POST, "/before", CACHE_PASS);
    asked_begin(&a, 1000);
    origin_fetch_leave(a.fetch);
    a.fetch = NULL;
    assert_int_equal(asked_head(&a), MEMORY_HEAD_FAILED);
    asked_close(&a);
    /* Without one: it goes on for those who read. */
    asked_open(&a, HTTP_GET, "/on", CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    origin_fetch_leave(a.fetch);
    a.fetch = NULL;
    server_say(&servers[0], OK_HEAD "hello");
    UNTIL(fetches.count == 0);
    ASSERT_READS(a.client, "hello");
    assert_int_equal(a.lefts, 0);
    asked_close(&a);
}

/* Nobody reads any more: the connection is closed, and the exchange hears it. */
static void readers_gone(void **state)
{
    (void)state;
    static const char *const said[] = {
        "", "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 100000\r\n\r\nsome"};
    stage_origin(1, 1);
    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        struct asked a;
        asked_open(&a, HTTP_GET, "/gone", CACHE_LEAD);
        asked_begin(&a, 0);
        server_asked(&servers[0]);
        server_say(&servers[0], said[i]);
        if (*said[i])
            assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        client_close_reader(a.client);
        server_left(&servers[0]);
        UNTIL(fetches.count == 0);
        assert_int_equal(a.lefts, 1);
        asked_close(&a);
    }
    /* Before the first attempt. */
    struct asked a;
    asked_open(&a, HTTP_GET, "/never", CACHE_LEAD);
    asked_begin(&a, 0);
    client_close_reader(a.client);
    UNTIL(fetches.count == 0);
    assert_int_equal(a.lefts, 1);
    assert_int_equal(a.figures.attempts, 0);
    asked_close(&a);
}

/* A reader that does not read holds the origin back; then it gets all of it. */
static void slow_readers(void **state)
{
    (void)state;
    struct asked a;
    char piece[65536 + 1];
    size_t total = 0, bytes;
    memset(piece, 'x', sizeof(piece) - 1);
    piece[sizeof(piece) - 1] = 0;
    stage_origin(1, 1);
    asked_open(&a, HTTP_GET, "/slow", CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    server_say(&servers[0], "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"
                            "Content-Length: 67108864\r\n\r\n");
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    for (int still = 0; still < 50;) { /* as much as all buffers hold */
        ssize_t n = send(servers[0].fd, piece, sizeof(piece) - 1, MSG_NOSIGNAL);
        still = n > 0 ? 0 : still + 1;
        total += n > 0 ? (size_t)n : 0;
        loop_turn();
    }
    struct memory_fill *f = a.client->reader.fill;
    assert_true(total < 67108864);
    assert_true(atomic_load(&f->length) < 4 * MEMORY_WINDOW_PRIVATE_BYTES);
    for (size_t read = 0; read < 67108864; read += bytes) {
        struct span part;
        bytes = 0;
        size_t want =
            67108864 - total < sizeof(piece) - 1 ? 67108864 - total : sizeof(piece) - 1;
        ssize_t n = want ? send(servers[0].fd, piece, want, MSG_NOSIGNAL) : 0;
        total += n > 0 ? (size_t)n : 0;
        enum err e = memory_reader_peek(&a.client->reader, &part);
        if (e == ERR_OK) {
            bytes = part.len;
            memory_reader_consume(&a.client->reader, bytes);
        } else {
            assert_int_equal(e, ERR_AGAIN);
            loop_turn();
        }
    }
    UNTIL(fetches.count == 0);
    asked_close(&a);
}

static void odd_answers(void **state)
{
    (void)state;
    static const struct {
        const char *why, *answer;
        enum memory_head head;
        enum cache_failure failure;
        unsigned status, interims;
    } rows[] = {
        {"another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
         MEMORY_HEAD_FAILED, CACHE_FAILURE_PROTOCOL, 0, 0},
        {"continue is ours to hear", "HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD "hello",
         MEMORY_HEAD_READY, CACHE_FAILURE_NONE, 200, 0},
        {"hints go on", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK_HEAD "hello",
         MEMORY_HEAD_READY, CACHE_FAILURE_NONE, 200, 1},
        {"hints that do not fit",
         "HTTP/1.1 103 Early Hints\r\nX-Too-Long: 1\r\n\r\n" OK_HEAD "hello", MEMORY_HEAD_READY,
         CACHE_FAILURE_NONE, 200, 0},
        {"a head that does not fit", "HTTP/1.1 200 OK\r\nX-Too-Long: 1\r\n\r\nhello",
         MEMORY_HEAD_FAILED, CACHE_FAILURE_PROTOCOL, 200, 0},
        {"not modified, and nobody asked", "HTTP/1.1 304 Not Modified\r\n\r\n",
         MEMORY_HEAD_FAILED, CACHE_FAILURE_PROTOCOL, 304, 0},
        {"no body at all", "HTTP/1.1 204 No Content\r\n\r\n", MEMORY_HEAD_READY,
         CACHE_FAILURE_NONE, 204, 0},
    };
    stage_origin(1, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        char target[32];
        unsigned interims = 0;
        snprintf(target, sizeof(target), "/odd%zu", i);
        asked_open(&a, HTTP_GET, target, CACHE_LEAD);
        asked_begin(&a, 0);
        server_asked(&servers[0]);
        server_say(&servers[0], rows[i].answer);
        enum memory_head head = asked_head(&a);
        UNTIL(fetches.count == 0);
        while (memory_reader_interim(&a.client->reader))
            interims++;
        if (head != rows[i].head || interims != rows[i].interims ||
            a.figures.status != rows[i].status || a.lefts != 1 ||
            (head == MEMORY_HEAD_FAILED &&
             memory_reader_failure(&a.client->reader) != rows[i].failure))
            fail_msg("%s: %d %u %u %u", rows[i].why, head, interims, a.figures.status,
                     memory_reader_failure(&a.client->reader));
        asked_close(&a);
        io_links_drop_idle(links);
    }
}

static void trailers_of_an_answer(void **state)
{
    (void)state;
    struct asked a;
    size_t bytes;
    stage_origin(1, 1);
    asked_open(&a, HTTP_GET, "/trailers", CACHE_LEAD);
    asked_begin(&a, 0);
    server_asked(&servers[0]);
    server_say(&servers[0],
               "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"
               "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    assert_int_equal(asked_read(&a, &bytes), ERR_CLOSED);
    assert_int_equal(bytes, 5);
    const struct http_fields *t = memory_reader_trailers(&a.client->reader);
    assert_true(t && http_fields_find_text(t, SPAN("x-sum")));
    asked_close(&a);
}

static void broken_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        bool silent;
        enum cache_failure failure;
        const char *said;
    } rows[] = {
        {"cut", false, CACHE_FAILURE_INCOMPLETE, OK_HEAD "hel"},
        {"silence", true, CACHE_FAILURE_TIMEOUT, OK_HEAD "hel"},
        {"no chunk", false, CACHE_FAILURE_INCOMPLETE,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"},
    };
    stage_origin(3, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        size_t bytes;
        uint64_t timeouts = counter_sum(COUNTER_ORIGIN_TIMEOUTS);
        limits.origin_idle_ms = rows[i].silent ? 200 : 60000;
        asked_open(&a, HTTP_GET, "/broken", CACHE_LEAD);
        asked_begin(&a, 0);
        server_asked(&servers[i]);
        server_say(&servers[i], rows[i].said);
        assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        if (!rows[i].silent)
            server_hang_up(&servers[i]);
        assert_int_equal(asked_read(&a, &bytes), ERR_SYS);
        assert_true(bytes <= 3);
        assert_int_equal(memory_reader_failure(&a.client->reader), rows[i].failure);
        UNTIL(fetches.count == 0);
        assert_int_equal(a.figures.attempts, 1); /* no second answer after the first head */
        assert_int_equal(counter_sum(COUNTER_ORIGIN_TIMEOUTS) - timeouts, rows[i].silent);
        assert_int_equal(atomic_load(&origin->servers[i].errors), 1);
        asked_close(&a);
        server_hang_up(&servers[i]);
    }
}

static void cannot_begin(void **state)
{
    (void)state;
    struct asked a;
    static char long_text[1000];
    memset(long_text, 'x', sizeof(long_text));
    stage_origin(1, 1);
    /* The owner's copy does not fit. */
    asked_open(&a, HTTP_GET, "/begin", CACHE_LEAD);
    asked_begin_with(&a, (struct copied){.text = span_of(long_text, 1000)}, 0);
    assert_null(a.fetch);
    assert_int_equal(asked_head(&a), MEMORY_HEAD_FAILED);
    assert_int_equal(memory_reader_failure(&a.client->reader), CACHE_FAILURE_UNAVAILABLE);
    assert_int_equal(fetches.count + a.lefts, 0);
    asked_close(&a);
    /* The request of the attempt does not fit, or is none. */
    static const char *const bad[] = {"", "line\r\nend"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        asked_open(&a, HTTP_GET, "/begin", CACHE_LEAD);
        asked_begin_with(&a, (struct copied){.bad = bad[i]}, 0);
        assert_non_null(a.fetch);
        assert_int_equal(asked_head(&a), MEMORY_HEAD_FAILED);
        assert_int_equal(memory_reader_failure(&a.client->reader), CACHE_FAILURE_UNAVAILABLE);
        UNTIL(a.lefts == 1);
        assert_int_equal(a.figures.attempts, 0);
        asked_close(&a);
    }
}

/* Nobody watches: the stale answer was given, and the object is made new. */
static void in_the_background(void **state)
{
    (void)state;
    struct asked a, b;
    stage_origin(1, 1);
    scene_store(&scene, "/swr", "",
                "cache-control: max-age=10, stale-while-revalidate=1000\nage: 100\netag: \"1\"",
                "stored");
    asked_open(&a, HTTP_GET, "/swr", CACHE_STALE);
    assert_non_null(a.client->answer.fill);
    char text[] = "own";
    struct copied copied = {.text = span_of(text, 3), .calls = &outgoing_calls};
    struct origin_fetch_start s = {.loop = loop.loop,
                                   .links = links,
                                   .fetches = &fetches,
                                   .cache = scene.cache,
                                   .answer = &a.client->answer,
                                   .ask = &a.client->ask,
                                   .origin = origin,
                                   .setup = setup,
                                   .limits = &limits,
                                   .functions = &stage_functions,
                                   .copied = &copied,
                                   .copy_bytes = sizeof(copied),
                                   .own = stage_own};
    assert_non_null(origin_fetch_begin(&s));
    ASSERT_READS(a.client, "stored");
    client_destroy(a.client); /* it has its answer */
    server_asked(&servers[0]);
    server_say(&servers[0], OK_HEAD "fresh");
    UNTIL(fetches.count == 0);
    asked_open(&b, HTTP_GET, "/swr", CACHE_HIT);
    ASSERT_READS(b.client, "fresh");
    asked_close(&b);
}

static void the_loop_ends(void **state)
{
    (void)state;
    struct asked a[4];
    stage_origin(1, 1);
    /* One whose letter is out, one that waits for a head, one that fills, one not begun. */
    asked_open(&a[0], HTTP_GET, "/end0", CACHE_LEAD);
    asked_begin(&a[0], 0);
    server_asked(&servers[0]);
    server_say(&servers[0], "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"
                            "Content-Length: 100000\r\n\r\nsome");
    assert_int_equal(asked_head(&a[0]), MEMORY_HEAD_READY);
    int first = servers[0].fd;
    servers[0].fd = -1;
    asked_open(&a[1], HTTP_GET, "/end1", CACHE_LEAD);
    asked_begin(&a[1], 0);
    server_asked(&servers[0]);
    asked_open(&a[2], HTTP_POST, "/end2", CACHE_PASS);
    a[2].upload = 10;
    asked_begin(&a[2], 100);
    UNTIL(a[2].given == 10);
    asked_open(&a[3], HTTP_GET, "/end3", CACHE_LEAD);
    asked_begin(&a[3], 0);
    assert_int_equal(fetches.count, 4);
    client_close_reader(a[0].client); /* the letter to its writer */
    origin_fetch_cancel_all(&fetches);
    assert_int_equal(fetches.count, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(a[i].lefts, 1);
    origin_fetch_cancel_all(&fetches); /* again changes nothing */
    assert_int_equal(fetches.count, 1);
    loop_turn();
    assert_int_equal(fetches.count, 0);
    for (int i = 1; i < 4; i++) {
        assert_int_equal(asked_head(&a[i]), MEMORY_HEAD_FAILED);
        assert_int_equal(memory_reader_failure(&a[i].client->reader), CACHE_FAILURE_CANCELLED);
    }
    for (int i = 0; i < 4; i++)
        asked_close(&a[i]);
    close(first);
}

/* ---- TLS: the server's own name is asked for and checked */

struct tls_server {
    struct io_tls_context *tls;
    struct io_stream *stream;
    bool asked, answered;
};

static void tls_ready(void *core)
{
    (void)core;
}

static size_t tls_input(void *core, struct span bytes)
{
    struct tls_server *s = core;
    s->asked = s->asked || span_contains(bytes, SPAN("\r\n\r\n"));
    if (s->asked)
        io_stream_kick(s->stream);
    return bytes.len;
}

static void tls_input_end(void *core)
{
    (void)core;
}

static size_t tls_output(void *core, struct span *out, size_t max, char *scratch, size_t room)
{
    struct tls_server *s = core;
    (void)max, (void)scratch, (void)room;
    if (!s->asked || s->answered)
        return 0;
    s->answered = true;
    *out = SPAN(OK_HEAD "hello");
    return 1;
}

static void tls_closed(void *core, enum err why)
{
    struct tls_server *s = core;
    (void)why;
    io_stream_destroy(s->stream);
    s->stream = NULL;
}

static const struct io_stream_core tls_functions = {.ready = tls_ready,
                                                    .input = tls_input,
                                                    .input_end = tls_input_end,
                                                    .output = tls_output,
                                                    .closed = tls_closed};

static void tls_accepted(void *user, int fd, const struct addr *peer)
{
    struct tls_server *s = user;
    (void)peer;
    io_stream_destroy(s->stream);
    s->stream = io_stream_accept(loop.loop, fd, s->tls, &tls_functions, s);
}

static void over_tls(void **state)
{
    (void)state;
    static const struct {
        const char *why, *alt;
        enum memory_head head;
    } rows[] = {
        {"its name", "IP:127.0.0.1", MEMORY_HEAD_READY},
        {"another name", "DNS:other.example", MEMORY_HEAD_FAILED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        struct conf_faults faults = {0};
        struct tls_server s = {0};
        fixture_certificate("s", "s", rows[i].alt, NULL);
        struct conf_certificate one = {.cert = fixture_path("s.crt"),
                                       .key = fixture_path("s.key")};
        struct conf_listener web = {.name = "web", .tls = true, .h1 = true, .tls_min = 12};
        struct io_certs *certs = io_certs_create(&one, 1, &faults);
        assert_non_null(certs);
        s.tls = io_tls_server_create(&web, certs, NULL, &faults);
        io_certs_drop(certs);
        struct io_listener *l =
            io_listen_start(loop.loop, servers[0].listener, tls_accepted, &s);
        stage_origin_with(1, 1, fixture_path("s.crt"));
        asked_open(&a, HTTP_GET, "/tls", CACHE_LEAD);
        asked_begin(&a, 0);
        if (asked_head(&a) != rows[i].head)
            fail_msg("%s", rows[i].why);
        if (rows[i].head == MEMORY_HEAD_FAILED)
            assert_int_equal(memory_reader_failure(&a.client->reader), CACHE_FAILURE_TLS);
        UNTIL(fetches.count == 0);
        asked_close(&a);
        io_links_drop_idle(links);
        loop_turn();
        io_stream_destroy(s.stream);
        io_listen_stop(l);
        io_tls_context_drop(s.tls);
        scene_purge(&scene, PURGE_ALL, PURGE_HARD, "");
    }
}

static int clean(void **state)
{
    (void)state;
    fixture_clean();
    return 0;
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(one_answer),
        STAGED(failing_over),
        STAGED(all_fail),
        STAGED(before_it_is_sent),
        STAGED(body_not_begun),
        STAGED(bodies_that_do_not_come),
        STAGED(takes_turns),
        STAGED(a_kept_connection_was_closed),
        STAGED(two_kept_connections),
        STAGED(fresh_connections),
        STAGED(validation),
        STAGED(draining),
        STAGED(uploads),
        STAGED(early_answers),
        STAGED(leaving),
        STAGED(readers_gone),
        STAGED(slow_readers),
        STAGED(odd_answers),
        STAGED(trailers_of_an_answer),
        STAGED(broken_bodies),
        STAGED(cannot_begin),
        STAGED(in_the_background),
        STAGED(the_loop_ends),
        STAGED(over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
