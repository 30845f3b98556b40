/* Fetches that ask another node first: a fake one in the same loop (tests/unit/node/io). */
#include "tests/unit/node/origin/stage.h"

#include "base/counter.h"
#include "cluster/purge_recent.h"
#include "tests/unit/node/io/fake_node.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n"

static struct fake_node other;
static struct io_tls_context *tls;
static struct cluster_recent *recent;
static struct origin_peers *peers;
static struct origin_fetch_peers asked_first;

static struct http_field field_of(const char *name, const char *value)
{
    return (struct http_field){span_text(name), span_text(value), HTTP_NAME_OTHER};
}

static int open_all(void **state)
{
    struct io_secrets *secrets = secrets_of(7);
    int failed = stage_open(state);
    tls = io_tls_peer_client_create(secrets, "node-a");
    io_secrets_drop(secrets);
    fake_node_start(&other, loop.loop, "node-b", 7);
    recent = cluster_recent_create();
    const struct cluster_vector none = {0};
    cluster_recent_begin(recent, &none);
    stage_origin(1, 1);
    return failed;
}

static int close_all(void **state)
{
    io_links_drop_idle(links);
    loop_turn();
    fake_node_stop(&other);
    io_tls_context_drop(tls);
    cluster_recent_destroy(recent);
    origin_peers_drop(peers);
    peers = NULL;
    return stage_close(state);
}

static struct http_field fields[4];

/* The other node answers with this vector (NULL: without one). */
static void other_says(const char *vector)
{
    fields[0] =
        (struct http_field){SPAN("cache-control"), SPAN("max-age=60"), HTTP_NAME_CACHE_CONTROL};
    fields[1] = field_of("surrogate-key", "news");
    fields[1].id = HTTP_NAME_SURROGATE_KEY;
    fields[2] = field_of(ORIGIN_PEER_VECTOR, vector ? vector : "");
    other.fields = (struct http_fields){.at = fields, .count = vector ? 3 : 2, .room = 4};
}

static void other_bears(const char *etag)
{
    fields[3] = (struct http_field){SPAN("etag"), span_text(etag), HTTP_NAME_ETAG};
    other.fields.count = 4;
}

static void fetch(struct asked *a, const char *target)
{
    const struct origin_peer_told told = {
        .id = SPAN("node-b"), .address = other.address, .capacity = 1, .near = true};
    struct origin_peers *next = origin_peers_create(peers, &told, 1);
    origin_peers_drop(peers);
    peers = next;
    asked_open(a, HTTP_GET, target, CACHE_LEAD);
    asked_first = (struct origin_fetch_peers){.tls = tls, .recent = recent};
    asked_first.count =
        origin_peers_choose(peers, span_text(target), 0, loop.loop->now_ms, asked_first.at);
    a->peers = &asked_first;
    asked_begin(a, 0);
}

static void origin_answers(struct asked *a)
{
    server_asked(&servers[0]);
    server_say(&servers[0], OK_HEAD "hello");
    assert_int_equal(asked_head(a), MEMORY_HEAD_READY);
    ASSERT_READS(a->client, "hello");
    UNTIL(a->fetch == NULL);
    assert_string_equal(a->figures.peer, "");
    assert_int_equal(a->figures.attempts, 1);
}

static void test_its_answer_is_taken(void **state)
{
    (void)state;
    struct asked a, b;
    uint64_t taken = counter_sum(COUNTER_PEER_FETCHES_TAKEN);
    other_says("");
    other.signs = true;
    fetch(&a, "/from-peer");
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    ASSERT_READS(a.client, "hhhhh");
    UNTIL(a.fetch == NULL);
    assert_string_equal(a.figures.peer, "node-b");
    assert_int_equal(a.figures.status, 200);
    assert_int_equal(servers[0].accepted, 0);
    const struct http_fields *sent = &a.client->reader.object->block.fields;
    assert_non_null(http_fields_find_text(sent, SPAN("x-from-peer")));
    assert_null(http_fields_find_text(sent, SPAN(ORIGIN_PEER_VECTOR)));
    assert_int_equal(a.client->reader.object->tag_count, 1);
    assert_int_equal(counter_sum(COUNTER_PEER_FETCHES_TAKEN), taken + 1);
    asked_close(&a);
    assert_int_equal(atomic_load(&peers->at[0]->open), 0);
    asked_open(&b, HTTP_GET, "/from-peer", CACHE_HIT);
    asked_close(&b);
}

static void test_the_origin_has_the_last_word(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        enum fake_mood mood;
        bool signs;
        const char *vector;
        bool rests; /* and is left alone then */
    } rows[] = {
        {"an answer of its own, about a failure", FAKE_BY_PATH, false, NULL, false},
        {"no base64", FAKE_BY_PATH, false, "!!!", false},
        {"no vector", FAKE_BY_PATH, false, "AAAA", false},
        {"it does not say a word", FAKE_SILENT, false, "", true},
        {"it waits, it says, and then no more", FAKE_SILENT, true, "", true},
        {"it closes", FAKE_CLOSE, false, "", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        char target[16];
        snprintf(target, sizeof target, "/row%zu", i);
        other.mood = rows[i].mood;
        other.signs = rows[i].signs;
        other_says(rows[i].vector);
        unsigned heads = other.heads;
        origin_peers_drop(peers); /* nobody rests */
        peers = NULL;
        fetch(&a, target);
        origin_answers(&a);
        if (other.heads == heads)
            fail_msg("%s: it was not asked", rows[i].why);
        if ((atomic_load(&peers->at[0]->rests_until_ms) != 0) != rows[i].rests)
            fail_msg("%s: rests", rows[i].why);
        asked_close(&a);
        assert_int_equal(atomic_load(&peers->at[0]->open), 0);
    }
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct asked a;
    io_listen_stop(other.listener);
    close(other.fd);
    fetch(&a, "/nobody");
    origin_answers(&a);
    asked_close(&a);
    fake_node_listen(&other);
    other.listener = io_listen_start(loop.loop, other.fd, on_accepted, &other);
}

/* A purge that counts here, and that it does not know, names its answer. */
static void test_what_it_does_not_know(void **state)
{
    (void)state;
    static const struct {
        const char *why, *target;
        enum purge_kind kind;
        const char *selector;
        bool refused;
    } rows[] = {
        {"another name", "/u0", PURGE_URL, "http://h.x/other", false},
        {"its URL", "/u1", PURGE_URL, "http://h.x/u1", true},
        {"its tag", "/u2", PURGE_TAG, "news", true},
        {"another tag", "/u3", PURGE_TAG, "sports", false},
    };
    other_says("");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        struct cache_figures f;
        cluster_recent_destroy(recent);
        recent = cluster_recent_create();
        const struct cluster_vector none = {0};
        cluster_recent_begin(recent, &none);
        scene_purge(&scene, rows[i].kind, PURGE_HARD, rows[i].selector);
        cache_figures(scene.cache, &f);
        cluster_recent_add_unnumbered(recent, 1, f.apply_no, io_loop_us());
        fetch(&a, rows[i].target);
        if (rows[i].refused) {
            origin_answers(&a);
        } else {
            assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
            ASSERT_READS(a.client, "hhhhh");
        }
        asked_close(&a);
    }
}

static char got[32];
static size_t got_len;

static enum err read_some(struct asked *a)
{
    enum err end;
    struct span piece = client_read(a->client, &end);
    assert_true(got_len + piece.len <= sizeof got);
    if (piece.len)
        memcpy(got + got_len, piece.ptr, piece.len);
    got_len += piece.len;
    return end;
}

static enum err read_all(struct asked *a)
{
    enum err end;
    UNTIL((end = read_some(a)) != ERR_AGAIN);
    return end;
}

/* Of a body of ten octets it sends five. */
static void test_it_dies_in_the_middle(void **state)
{
    (void)state;
    static const struct {
        const char *why, *etag, *said; /* by the origin; NULL: it is not asked */
        bool whole;
    } rows[] = {
#define HTTP "HTTP/1.1 "
#define REST "\r\nContent-Length: 5\r\nContent-Range: bytes 5-9/10\r\n\r\nHHHHH"
#define ALL "\r\nContent-Length: 10\r\n\r\nxxxxxHHHHH"
        {"the rest", "\"1\"", HTTP "206 Partial Content\r\nETag: \"1\"" REST, true},
        {"the whole again", "\"1\"", HTTP "200 OK\r\nETag: \"1\"" ALL, true},
        {"after a hint", "\"1\"",
         HTTP "103 Early Hints\r\n\r\n" HTTP "200 OK\r\nETag: \"1\"" ALL, true},
        {"a part of another thing", "\"1\"", HTTP "206 Partial Content\r\nETag: \"2\"" REST,
         false},
        {"another thing", "\"1\"", HTTP "200 OK\r\nETag: \"2\"" ALL, false},
        {"an error", "\"1\"", HTTP "500 No\r\nETag: \"1\"" ALL, false},
        {"another protocol", "\"1\"", HTTP "101 Switch\r\n\r\n", false},
        {"no HTTP", "\"1\"", "what?\r\n\r\n", false},
        {"nobody can tell", "W/\"1\"", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asked a;
        uint64_t resumed = counter_sum(COUNTER_PEER_FETCHES_RESUMED);
        unsigned accepted = servers[0].accepted;
        other_says("");
        other_bears(rows[i].etag);
        fetch(&a, "/cut");
        assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        if (rows[i].said) {
            server_asked(&servers[0]);
            assert_true(server_holds(&servers[0], "\r\nrange: bytes=5-\r\n"));
            assert_true(server_holds(&servers[0], "\r\nif-range: \"1\"\r\n"));
            server_say(&servers[0], rows[i].said);
        }
        got_len = 0;
        enum err end = read_all(&a);
        struct span want = rows[i].whole ? SPAN("hhhhhHHHHH") : SPAN("hhhhh");
        if (end != (rows[i].whole ? ERR_CLOSED : ERR_SYS) ||
            !span_equal(span_of(got, got_len), want))
            fail_msg("%s: %.*s, %s", rows[i].why, (int)got_len, got, err_text(end));
        UNTIL(fetches.count == 0);
        assert_int_equal(servers[0].accepted - accepted, rows[i].said != NULL);
        assert_int_equal(counter_sum(COUNTER_PEER_FETCHES_RESUMED) - resumed,
                         rows[i].said != NULL);
        assert_int_equal(atomic_load(&peers->at[0]->open), 0);
        asked_close(&a);
        server_hang_up(&servers[0]);
        if (rows[i].whole) { /* and is stored as any other */
            asked_open(&a, HTTP_GET, "/cut", CACHE_HIT);
            asked_close(&a);
            scene_purge(&scene, PURGE_URL, PURGE_HARD, "http://h.x/cut");
        }
    }
}

/* The server that was asked for the rest goes, too: the next one, from where it went. */
static void test_the_rest_is_cut_again(void **state)
{
    (void)state;
    struct asked a;
    stage_origin(2, 1);
    other_says("");
    other_bears("\"1\"");
    for (unsigned alive = 2; alive-- > 0;) {
        fetch(&a, "/cut");
        assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        UNTIL(try_accept(&servers[0]) || try_accept(&servers[1]));
        struct server *first = &servers[servers[0].fd < 0];
        struct server *second = &servers[servers[0].fd >= 0];
        UNTIL(has_head(first));
        server_say(first, "HTTP/1.1 206 P\r\nETag: \"1\"\r\nContent-Length: 5\r\n"
                          "Content-Range: bytes 5-9/10\r\n\r\nHH");
        got_len = 0;
        UNTIL(((void)read_some(&a), got_len == 7));
        server_hang_up(first);
        server_asked(second);
        assert_true(server_holds(second, "\r\nrange: bytes=7-\r\n"));
        if (alive)
            server_say(second, "HTTP/1.1 200 OK\r\nETag: \"1\"\r\n"
                               "Content-Length: 10\r\n\r\n0123456789");
        else
            server_hang_up(second);
        assert_int_equal(read_all(&a), alive ? ERR_CLOSED : ERR_SYS);
        assert_true(
            span_equal(span_of(got, got_len), alive ? SPAN("hhhhhHH789") : SPAN("hhhhhHH")));
        UNTIL(fetches.count == 0);
        asked_close(&a);
        server_hang_up(second);
        scene_purge(&scene, PURGE_URL, PURGE_HARD, "http://h.x/cut");
    }
}

/* The first has another thing, or fails: the next one is asked, as often as `retry.max` says.
 */
static void test_the_first_has_it_not(void **state)
{
    (void)state;
    static const char *const said[] = {
        HTTP "206 Partial Content\r\nETag: \"2\"" REST, HTTP "200 OK\r\nETag: \"2\"" ALL,
        HTTP "503 No\r\nContent-Length: 0\r\n\r\n", HTTP "416 No\r\nContent-Length: 0\r\n\r\n"};
    for (size_t i = 0; i < 2 * ARRAY_LEN(said); i++) {
        struct asked a;
        unsigned max = i % 2;
        stage_origin(2, max);
        uint64_t retries = counter_sum(COUNTER_ORIGIN_RETRIES);
        other_says("");
        other_bears("\"1\"");
        fetch(&a, "/cut");
        assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        UNTIL(try_accept(&servers[0]) || try_accept(&servers[1]));
        struct server *first = &servers[servers[0].fd < 0];
        struct server *second = &servers[servers[0].fd >= 0];
        unsigned accepted = second->accepted;
        UNTIL(has_head(first));
        server_say(first, said[i / 2]);
        if (max) {
            server_asked(second);
            assert_true(server_holds(second, "\r\nrange: bytes=5-\r\n"));
            server_say(second, HTTP "206 Partial Content\r\nETag: \"1\"" REST);
        }
        got_len = 0;
        assert_int_equal(read_all(&a), max ? ERR_CLOSED : ERR_SYS);
        assert_true(
            span_equal(span_of(got, got_len), max ? SPAN("hhhhhHHHHH") : SPAN("hhhhh")));
        UNTIL(fetches.count == 0);
        assert_int_equal(counter_sum(COUNTER_ORIGIN_RETRIES) - retries, max);
        assert_int_equal(second->accepted - accepted, max);
        asked_close(&a);
        server_hang_up(first);
        if (max)
            server_hang_up(second);
        scene_purge(&scene, PURGE_URL, PURGE_HARD, "http://h.x/cut");
    }
}

/* More than is missing, of no told length; and nothing missing, but the end. */
static void test_octets_are_counted(void **state)
{
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct asked a;
        other_says("");
        other_bears("\"1\"");
        fetch(&a, over ? "/cut" : "/last");
        assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
        unsigned accepted = servers[0].accepted;
        if (over) {
            server_asked(&servers[0]);
            server_say(&servers[0], HTTP "206 Partial Content\r\nETag: \"1\"\r\n"
                                         "Content-Range: bytes 5-9/10\r\n"
                                         "Transfer-Encoding: chunked\r\n\r\n"
                                         "6\r\nHHHHHH\r\n0\r\n\r\n");
        }
        got_len = 0;
        assert_int_equal(read_all(&a), over ? ERR_SYS : ERR_CLOSED);
        assert_true(span_equal(span_of(got, got_len), SPAN("hhhhh")));
        UNTIL(fetches.count == 0);
        assert_int_equal(servers[0].accepted - accepted, over);
        asked_close(&a);
        if (over)
            server_hang_up(&servers[0]);
        scene_purge(&scene, PURGE_PREFIX, PURGE_HARD, "h.x/");
    }
}

/* Who reads leaves before the origin answers. */
static void test_nobody_waits_for_the_rest(void **state)
{
    (void)state;
    struct asked a;
    other_says("");
    other_bears("\"1\"");
    fetch(&a, "/cut");
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    server_asked(&servers[0]);
    origin_fetch_cancel_all(&fetches);
    UNTIL(fetches.count == 0);
    server_left(&servers[0]);
    asked_close(&a);
}

/* A kept connection that it had closed is not its fault. */
static void test_kept_connection_that_went(void **state)
{
    (void)state;
    struct asked a, b;
    other_says("");
    fetch(&a, "/kept1");
    assert_int_equal(asked_head(&a), MEMORY_HEAD_READY);
    asked_close(&a);
    other.mood = FAKE_CLOSE_OLD; /* then it echoes nothing, for ever */
    fetch(&b, "/kept2");
    UNTIL(other.accepted == 2);
    assert_int_equal(atomic_load(&peers->at[0]->rests_until_ms), 0);
    origin_fetch_cancel_all(&fetches); /* once its head is here it would wait for the body */
    UNTIL(fetches.count == 0);
    asked_close(&b);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct asked a;
    other.mood = FAKE_SILENT;
    fetch(&a, "/cancelled");
    UNTIL(other.heads == 1);
    origin_fetch_cancel_all(&fetches);
    UNTIL(fetches.count == 0);
    assert_int_equal(atomic_load(&peers->at[0]->open), 0);
    asked_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_its_answer_is_taken, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_the_origin_has_the_last_word, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_nobody_there, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_what_it_does_not_know, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_it_dies_in_the_middle, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_the_rest_is_cut_again, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_the_first_has_it_not, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_octets_are_counted, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_the_rest, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_kept_connection_that_went, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_cancelled, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
