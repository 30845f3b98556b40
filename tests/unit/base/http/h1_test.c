#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/base/http/h1_talk.h"

struct row {
    const char *why;
    const char *in;
    const char *out; /* the transcript; of a fault "!400" is enough */
};

static struct http_h1_limits limits;

/* Feeds `in` in pieces of `piece` octets, the first one `first` octets long. */
static char *transcript(enum http_role role, enum http_method asked, struct span in,
                        size_t first, size_t piece, bool eof)
{
    struct talk t;
    talk_begin(&t, role, asked, &limits);
    for (size_t at = 0; at < in.len;) {
        size_t want = at == 0 && first > 0 ? first : piece;
        size_t len = want < in.len - at ? want : in.len - at;
        talk_feed(&t, role == HTTP_SERVER, span_of(in.ptr + at, len));
        at += len;
    }
    if (eof)
        talk_eof(&t, role == HTTP_SERVER);
    char *text = span_dup(buf_span(&t.text));
    talk_end(&t);
    return text;
}

/* As `want`, or, where that ends in a fault without reason, up to there. */
static bool matches(const char *got, const char *want)
{
    size_t len = strlen(want);
    const char *fault = strchr(want, '!');
    if (!fault || strchr(fault, ' '))
        return strcmp(got, want) == 0;
    return strncmp(got, want, len) == 0 && got[len] == ' ';
}

static void check_row(const struct row *row, enum http_role role, enum http_method asked,
                      bool eof)
{
    struct span in = span_text(row->in);
    char *whole = transcript(role, asked, in, 0, in.len, eof);
    if (!matches(whole, row->out))
        fail_msg("%s:\n got %s\nwant %s", row->why, whole, row->out);
    /* cut at each octet, and octet by octet: the same, but a fault may have been seen sooner
     * and for another reason, with what went before it left out */
    char *fault = strchr(whole, '!');
    for (size_t first = 0; first < in.len; first++) {
        char *cut = transcript(role, asked, in, first, first ? in.len : 1, eof);
        char *cut_fault = strchr(cut, '!');
        if (fault ? !cut_fault || strncmp(cut_fault, fault, 4) != 0 : strcmp(cut, whole) != 0)
            fail_msg("%s, cut at %zu:\n got %s\nwant %s", row->why, first, cut, whole);
        free(cut);
    }
    free(whole);
}

static void check_rows(const struct row *rows, size_t count, enum http_role role,
                       enum http_method asked, bool eof)
{
    limits = http_h1_limits_default;
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i], role, asked, eof);
}

#define GET(fields) "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define POST(fields, body) "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body

static void requests(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"plain", GET(""), "[GET a / 1.1]."},
        {"names to lower case, values trimmed", GET("X-One:\t A b \t\r\nx2:\r\n"),
         "[GET a / 1.1 x-one=A b x2=]."},
        {"every token octet in a name", GET("#$%&'*+-.^_`|~09Az: 1\r\n"),
         "[GET a / 1.1 #$%&'*+-.^_`|~09az=1]."},
        {"octets over 127 in values", GET("x: \xc3\xa4\xff\r\n"),
         "[GET a / 1.1 x=\xc3\xa4\xff]."},
        {"one empty line before it", "\r\n" GET(""), "[GET a / 1.1]."},
        {"two pipelined", GET("a: 1\r\n") "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
         "[GET a / 1.1 a=1].[GET b /2 1.1]."},
        {"pipelined behind bodies",
         POST("Content-Length: 3\r\n", "abc")
             POST("Transfer-Encoding: chunked\r\n", "2\r\nde\r\n0\r\n\r\n") GET(""),
         "[POST a / 1.1 len=3](abc).[POST a / 1.1 len=-1](de).[GET a / 1.1]."},
        {"an empty line between", GET("") "\r\n" GET(""), "[GET a / 1.1].[GET a / 1.1]."},
        {"methods keep their case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "[get a / 1.1]."},
        {"a method nobody knows", "M-X! / HTTP/1.1\r\nHost: a\r\n\r\n", "[M-X! a / 1.1]."},
        {"Host is lower-cased", "GET / HTTP/1.1\r\nHost: A.Example:080\r\n\r\n",
         "[GET a.example:80 / 1.1]."},
        {"Host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "[GET a / 1.1]."},
        {"Host is an IPv6 address", "GET / HTTP/1.1\r\nHost: [::A]:81\r\n\r\n",
         "[GET [::a]:81 / 1.1]."},
        {"target kept as sent", "GET /a/../%7e?B=%2f HTTP/1.1\r\nHost: a\r\n\r\n",
         "[GET a /a/../%7e?B=%2f 1.1]."},
        {"absolute form", "GET http://B/p?q HTTP/1.1\r\nHost: b\r\n\r\n",
         "[GET http://b /p?q 1.1]."},
        {"absolute form, default ports agree", "GET HTTPS://b:443 HTTP/1.1\r\nHost: b\r\n\r\n",
         "[GET https://b:443 / 1.1]."},
        {"absolute form without a path", "GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n",
         "[GET http://b /?q 1.1]."},
        {"absolute form of OPTIONS *", "OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n",
         "[OPTIONS http://b * 1.1]."},
        {"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", "[OPTIONS b * 1.1]."},
        {"CONNECT ends the connection", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nanything",
         "[CONNECT b:443  1.1 last]."},
        {"close", GET("Connection: close\r\n") GET(""), "[GET a / 1.1 last]."},
        {"close among others", GET("Connection: x, Close\r\nX: 1\r\ny: 2\r\n"),
         "[GET a / 1.1 last y=2]."},
        {"fields that Connection names",
         GET("a: 1\r\nConnection: A, b\r\nb: 2\r\nA: 3\r\nc: 4\r\n"), "[GET a / 1.1 c=4]."},
        {"Connection names what frames the message",
         POST("Connection: host, content-length, transfer-encoding\r\nContent-Length: 1\r\n",
              "x"),
         "[POST a / 1.1 len=1](x)."},
        {"1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "[GET  / 1.0 last]."},
        {"1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" GET(""),
         "[GET  / 1.0].[GET a / 1.1]."},
        {"1.0: close is stronger", "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
         "[GET  / 1.0 last]."},
        {"1.0 with a body", "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
         "[POST  / 1.0 len=1 last](x)."},
        {"Expect is taken out", POST("Content-Length: 1\r\nExpect: 100-Continue\r\n", "x"),
         "[POST a / 1.1 len=1 continue](x)."},
        {"Expect without a body", GET("Expect: 100-continue\r\n"), "[GET a / 1.1]."},
        {"Expect in HTTP/1.0 is ignored",
         "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
         "[POST  / 1.0 len=1 last](x)."},
        {"Upgrade is noted and ignored",
         GET("Connection: upgrade\r\nUpgrade: websocket\r\n") GET(""),
         "[GET a / 1.1 upgrade].[GET a / 1.1]."},
        {"TE: trailers", GET("TE: gzip, trailers\r\nConnection: TE\r\n"), "[GET a / 1.1 te]."},
        {"Content-Length 0", POST("Content-Length: 0\r\n", ""), "[POST a / 1.1]."},
        {"zeros before the length", POST("Content-Length: 0000000000000000002\r\n", "ab"),
         "[POST a / 1.1 len=2](ab)."},
        {"a body with any method", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
         "[GET a / 1.1 len=1](x)."},
        {"chunks",
         POST("Transfer-Encoding: Chunked\r\n", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"),
         "[POST a / 1.1 len=-1](abc0123456789)."},
        {"chunk sizes with zeros and upper case",
         POST("Transfer-Encoding: chunked\r\n", "000000000000000a\r\n0123456789\r\n00\r\n\r\n"),
         "[POST a / 1.1 len=-1](0123456789)."},
        {"chunk extensions are dropped",
         POST("Transfer-Encoding: chunked\r\n", "1;a=\"b;\\\"\";c\r\nx\r\n0;y\r\n\r\n"),
         "[POST a / 1.1 len=-1](x)."},
        {"trailers",
         POST("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\nA: 1 \r\nETag: \"e\"\r\n\r\n"),
         "[POST a / 1.1 len=-1](x). a=1 etag=\"e\""},
        {"only trailers", POST("Transfer-Encoding: chunked\r\n", "0\r\nA: 1\r\n\r\n") GET(""),
         "[POST a / 1.1 len=-1]. a=1[GET a / 1.1]."},
    };
    check_rows(rows, ARRAY_LEN(rows), HTTP_SERVER, HTTP_GET, true);
}

#define CHUNKED "Transfer-Encoding: chunked\r\n"

/* What RFC 9112 leaves to choice is refused, line by line. */
static void refused_requests(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"CL with TE", POST("Content-Length: 4\r\n" CHUNKED, "0\r\n\r\n"),
         "!400 content-length with transfer-encoding"},
        {"TE with CL", POST(CHUNKED "Content-Length: 4\r\n", "0\r\n\r\n"),
         "!400 content-length with transfer-encoding"},
        {"several CL", POST("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
         "!400 several content-length"},
        {"differing CL", POST("Content-Length: 1\r\nContent-Length: 2\r\n", "x"),
         "!400 several content-length"},
        {"CL list", POST("Content-Length: 1, 1\r\n", "x"), "!400 malformed content-length"},
        {"CL with plus", POST("Content-Length: +1\r\n", "x"), "!400 malformed content-length"},
        {"CL with minus", POST("Content-Length: -1\r\n", "x"), "!400 malformed content-length"},
        {"CL with a space", POST("Content-Length: 1 1\r\n", "x"),
         "!400 malformed content-length"},
        {"CL in hex", POST("Content-Length: 0x1\r\n", "x"), "!400 malformed content-length"},
        {"CL with a point", POST("Content-Length: 1.0\r\n", "x"),
         "!400 malformed content-length"},
        {"CL empty", POST("Content-Length:\r\n", "x"), "!400 malformed content-length"},
        {"CL of 20 digits", POST("Content-Length: 00000000000000000001\r\n", "x"),
         "!400 malformed content-length"},
        {"CL from 2^63", POST("Content-Length: 9223372036854775808\r\n", "x"),
         "!400 malformed content-length"},
        {"TE gzip", POST("Transfer-Encoding: gzip\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE identity", POST("Transfer-Encoding: identity\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE gzip, chunked", POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
         "!501 unknown transfer coding"},
        {"TE chunked, gzip", POST("Transfer-Encoding: chunked, gzip\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE chunked twice", POST("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
         "!400 malformed transfer-encoding"},
        {"TE on two lines", POST(CHUNKED CHUNKED, "0\r\n\r\n"),
         "!400 several transfer-encoding"},
        {"TE chunked, then another line", POST(CHUNKED "Transfer-Encoding: x\r\n", ""),
         "!400 several transfer-encoding"},
        {"TE xchunked", POST("Transfer-Encoding: xchunked\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE with a parameter", POST("Transfer-Encoding: chunked;q=1\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE with an empty member", POST("Transfer-Encoding: , chunked\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE quoted", POST("Transfer-Encoding: \"chunked\"\r\n", ""),
         "!400 malformed transfer-encoding"},
        {"TE after a vertical tab", POST("Transfer-Encoding: \vchunked\r\n", ""),
         "!400 control octet in a field"},
        {"TE empty", POST("Transfer-Encoding:\r\n", ""), "!400 malformed transfer-encoding"},
        {"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\n" CHUNKED "\r\n0\r\n\r\n",
         "!400 transfer-encoding in HTTP/1.0"},
        {"obs-fold", GET("x: 1\r\n 2\r\n"), "!400 obs-fold"},
        {"obs-fold with a tab", GET("x: 1\r\n\t2\r\n"), "!400 obs-fold"},
        {"white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
         "!400 obs-fold"},
        {"bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "!400 bare LF"},
        {"bare LF after a field", GET("x: 1\ny: 2\r\n"), "!400 bare LF"},
        {"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", "!400 bare LF"},
        {"bare LF before the request", "\n" GET(""), "!400 bare LF"},
        {"bare CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", "!400"},
        {"bare CR in a value", GET("x: 1\r2\r\n"), "!400 bare CR"},
        {"bare CR before CR LF", GET("x: 1\r\r\n"), "!400 bare CR"},
        {"bare CR in a name", GET("x\r: 1\r\n"), "!400 malformed field name"},
        {"CR only, and no LF ever", "GET / HTTP/1.1\rHost: a\r\r", "!400 bare CR"},
        {"a control octet in a value",
         GET("x: a\x01"
             "b\r\n"),
         "!400 control octet in a field"},
        {"DEL in a value", GET("x: a\x7f\r\n"), "!400 control octet in a field"},
        {"space before the colon", GET("x : 1\r\n"), "!400 space before the colon"},
        {"tab before the colon", GET("Content-Length\t: 1\r\n"), "!400 space before the colon"},
        {"empty name", GET(": 1\r\n"), "!400 empty field name"},
        {"no colon", GET("xyz\r\n"), "!400 malformed field name"},
        {"a name that is no token", GET("x(y): 1\r\n"), "!400 malformed field name"},
        {"a name with non-ASCII", GET("x\xc3\xa4: 1\r\n"), "!400 malformed field name"},
        {"no Host", "GET / HTTP/1.1\r\n\r\n", "!400 no host"},
        {"two Host", GET("Host: a\r\n"), "!400 several host"},
        {"two Host in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
         "!400 several host"},
        {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "!400 malformed host"},
        {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400 malformed host"},
        {"Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "!400 malformed host"},
        {"Host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "!400 malformed host"},
        {"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
         "!400 malformed host"},
        {"Host malformed, absolute form", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
         "!400 malformed host"},
        {"no Host, absolute form", "GET http://a/ HTTP/1.1\r\n\r\n", "!400 no host"},
        {"Host differs from the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 host differs from the target"},
        {"port differs from the target", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 host differs from the target"},
        {"userinfo in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 malformed host"},
        {"no host in the target", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 malformed host"},
        {"another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "!400 malformed target"},
        {"a target without slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 malformed target"},
        {"asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "!400 malformed target"},
        {"CONNECT to a path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", "!400 malformed host"},
        {"CONNECT without port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 no port in the target"},
        {"CONNECT with another Host", "CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n",
         "!400 host differs from the target"},
        {"CONNECT with a body",
         "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx",
         "!400 CONNECT with a body"},
        {"HTTP/0.9", "GET /\r\n", "!400 HTTP/0.9"},
        {"HTTP/0.9 with fields", "GET /\r\nHost: a\r\n\r\n", "!400 HTTP/0.9"},
        {"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505 other version"},
        {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "!505 other version"},
        {"HTTP/0.9 spelled out", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", "!505 other version"},
        {"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "!400 malformed version"},
        {"HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", "!400 malformed version"},
        {"HTTP/1,1", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", "!400 malformed version"},
        {"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", "!400 malformed version"},
        {"HTTP/ 1.1", "GET / HTTP/ 1.1\r\nHost: a\r\n\r\n", "!400 malformed version"},
        {"a space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "!400 malformed version"},
        {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "!400 no target"},
        {"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 malformed version"},
        {"a tab for the space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "!400 malformed method"},
        {"a space in front", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "!400"},
        {"a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 malformed method"},
        {"two empty lines before it", "\r\n\r\n" GET(""), "!400 empty line before the head"},
        {"a TLS client hello", "\x16\x03\x01", "!400 no method"},
        {"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 forbidden octet in the target"},
        {"backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 forbidden octet in the target"},
        {"backslash in the target's host", "GET http://a\\@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 forbidden octet in the target"},
        {"non-ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 forbidden octet in the target"},
        {"a control octet in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 forbidden octet in the target"},
        {"%00 in the target", "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n",
         "!400 %00 in the target"},
        {"%00 in the query", "GET /?%00 HTTP/1.1\r\nHost: a\r\n\r\n", "!400 %00 in the target"},
        {"another expectation", POST("Content-Length: 1\r\nExpect: x\r\n", "x"),
         "!417 unknown expectation"},
        {"Expect with more", POST("Content-Length: 1\r\nExpect: 100-continue, x\r\n", "x"),
         "!417 unknown expectation"},
        {"five Connection lines",
         GET("Connection: a\r\nConnection: a\r\nConnection: a\r\nConnection: a\r\n"
             "Connection: a\r\n"),
         "!400 too many connection lines"},
        {"chunk size empty", POST(CHUNKED, "\r\n"), "[POST a / 1.1 len=-1]!400"},
        {"chunk size not hex", POST(CHUNKED, "g\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"chunk size 0x1", POST(CHUNKED, "0x1\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"chunk size with plus", POST(CHUNKED, "+1\r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"chunk size with minus", POST(CHUNKED, "-1\r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"chunk size after a space", POST(CHUNKED, " 1\r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"chunk size before a space", POST(CHUNKED, "1 \r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"white space before an extension", POST(CHUNKED, "1 ;a\r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"chunk size of 17 digits", POST(CHUNKED, "00000000000000001\r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 chunk size too long"},
        {"chunk size from 2^63", POST(CHUNKED, "8000000000000000\r\nx"),
         "[POST a / 1.1 len=-1]!400 chunk size too long"},
        {"bare LF after the size", POST(CHUNKED, "1\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 malformed chunk size"},
        {"bare CR after the size", POST(CHUNKED, "1\rx\r\n"),
         "[POST a / 1.1 len=-1]!400 bare CR in a chunk size"},
        {"bare LF in an extension", POST(CHUNKED, "1;a\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 control octet in a chunk extension"},
        {"bare CR in an extension", POST(CHUNKED, "1;a\rb\r\nx\r\n"),
         "[POST a / 1.1 len=-1]!400 bare CR in a chunk size"},
        {"no CR LF after a chunk", POST(CHUNKED, "1\r\nxy\r\n"),
         "[POST a / 1.1 len=-1](x)!400 no CR LF after a chunk"},
        {"bare LF after a chunk", POST(CHUNKED, "1\r\nx\n0\r\n\r\n"),
         "[POST a / 1.1 len=-1](x)!400 no CR LF after a chunk"},
        {"bare CR after a chunk", POST(CHUNKED, "1\r\nx\r0\r\n\r\n"),
         "[POST a / 1.1 len=-1](x)!400 no CR LF after a chunk"},
        {"trailer Content-Length", POST(CHUNKED, "0\r\nContent-Length: 1\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer Transfer-Encoding", POST(CHUNKED, "0\r\n" CHUNKED "\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer Host", POST(CHUNKED, "0\r\nhost: b\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer Authorization", POST(CHUNKED, "0\r\nAuthorization: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer Cookie", POST(CHUNKED, "0\r\nCookie: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer X-Forwarded-For", POST(CHUNKED, "0\r\nX-Forwarded-For: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer Cache-Control", POST(CHUNKED, "0\r\nCache-Control: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer Range", POST(CHUNKED, "0\r\nRange: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer X-Real-IP", POST(CHUNKED, "0\r\nX-Real-IP: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer X_Forwarded_Host", POST(CHUNKED, "0\r\nX_Forwarded_Host: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"trailer content_length", POST(CHUNKED, "0\r\ncontent_length: x\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 forbidden trailer"},
        {"a folded trailer", POST(CHUNKED, "0\r\na: b\r\n c\r\n\r\n"),
         "[POST a / 1.1 len=-1]!400 obs-fold"},
        {"bare LF ends the trailers", POST(CHUNKED, "0\r\na: b\r\n\n"),
         "[POST a / 1.1 len=-1]!400 bare LF"},
        {"closed within a head", "GET / HTTP/1.1\r\nHost", "!400 closed within a message"},
        {"closed within a length", POST("Content-Length: 2\r\n", "x"),
         "[POST a / 1.1 len=2](x)!400 closed within a message"},
        {"closed within a chunk", POST(CHUNKED, "2\r\nx"),
         "[POST a / 1.1 len=-1](x)!400 closed within a message"},
        {"closed before the last chunk", POST(CHUNKED, "1\r\nx\r\n"),
         "[POST a / 1.1 len=-1](x)!400 closed within a message"},
        {"closed before the trailers end", POST(CHUNKED, "0\r\n"),
         "[POST a / 1.1 len=-1]!400 closed within a message"},
        {"a second request that is none", GET("") "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
         "[GET a / 1.1].!400 space before the colon"},
    };
    check_rows(rows, ARRAY_LEN(rows), HTTP_SERVER, HTTP_GET, true);
}

/* NUL at every place of a request: none is taken. */
static void nul_is_refused_everywhere(void **state)
{
    (void)state;
    static const char text[] = POST(CHUNKED, "1;a\r\nx\r\n0\r\nb: c\r\n\r\n");
    limits = http_h1_limits_default;
    for (size_t at = 0; at < sizeof text - 1; at++) {
        char in[sizeof text];
        memcpy(in, text, sizeof text);
        in[at] = '\0';
        char *got =
            transcript(HTTP_SERVER, HTTP_GET, span_of(in, sizeof in - 1), 0, 4096, true);
        bool data = strstr(text, "\r\nx\r\n") + 2 == text + at; /* where any octet may stand */
        if (!data && !strchr(got, '!'))
            fail_msg("NUL at %zu: %s", at, got);
        free(got);
    }
}

#define OK(fields) "HTTP/1.1 200 OK\r\n" fields "\r\n"

static void responses(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a length", OK("Content-Length: 2\r\nA: b\r\n") "xy", "[200 1.1 declared=2 a=b](xy)."},
        {"length 0", OK("Content-Length: 0\r\n"), "[200 1.1 declared=0]."},
        {"chunked", OK(CHUNKED) "2\r\nxy\r\n0\r\nt: u\r\n\r\n", "[200 1.1 len=-1](xy). t=u"},
        {"until close", OK("") "xyz", "[200 1.1 len=-1 last](xyz)."},
        {"until close, empty", OK(""), "[200 1.1 len=-1 last]."},
        {"204", "HTTP/1.1 204 No Content\r\n\r\n", "[204 1.1 nobody]."},
        {"204 with a body announced", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
         "[204 1.1 nobody last]."},
        {"204 with chunked announced", "HTTP/1.1 204 No Content\r\n" CHUNKED "\r\n",
         "[204 1.1 nobody last]."},
        {"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
         "[304 1.1 declared=9 nobody]."},
        {"304 with chunked announced", "HTTP/1.1 304 Not Modified\r\n" CHUNKED "\r\n",
         "[304 1.1 len=-1 nobody]."},
        {"interim answers",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK(
             "Content-Length: 1\r\n") "x",
         "[100 1.1 nobody][103 1.1 nobody link=x][200 1.1 declared=1](x)."},
        {"no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "[200 1.1 declared=0]."},
        {"no space before the reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
         "[200 1.1 declared=0]."},
        {"any reason", "HTTP/1.1 599 A\tb \xc3\xa4\r\nContent-Length: 0\r\n\r\n",
         "[599 1.1 declared=0]."},
        {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
         "[200 1.0 declared=1 last](x)."},
        {"HTTP/1.0 with keep-alive",
         "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
         "[200 1.0 declared=1](x)."},
        {"close", OK("Connection: close\r\nContent-Length: 0\r\n"),
         "[200 1.1 declared=0 last]."},
        {"named in Connection", OK("Connection: x\r\nx: 1\r\ny: 2\r\nContent-Length: 0\r\n"),
         "[200 1.1 declared=0 y=2]."},
    };
    check_rows(rows, ARRAY_LEN(rows), HTTP_CLIENT, HTTP_GET, true);
    static const struct row head[] = {
        {"HEAD with a length", OK("Content-Length: 5\r\n"), "[200 1.1 declared=5 nobody]."},
        {"HEAD with chunked", OK(CHUNKED), "[200 1.1 len=-1 nobody]."},
        {"HEAD with neither", OK(""), "[200 1.1 len=-1 nobody]."},
        {"HEAD and a body all the same", OK("Content-Length: 1\r\n") "x",
         "[200 1.1 declared=1 nobody].!502 octets without a request"},
    };
    check_rows(head, ARRAY_LEN(head), HTTP_CLIENT, HTTP_HEAD, true);
}

static void refused_responses(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"CL with TE", OK("Content-Length: 1\r\n" CHUNKED),
         "!502 content-length with transfer-encoding"},
        {"several CL", OK("Content-Length: 1\r\nContent-Length: 1\r\n"),
         "!502 several content-length"},
        {"CL list", OK("Content-Length: 1, 1\r\n"), "!502 malformed content-length"},
        {"TE gzip", OK("Transfer-Encoding: gzip\r\n"), "!502 malformed transfer-encoding"},
        {"TE gzip, chunked", OK("Transfer-Encoding: gzip, chunked\r\n"),
         "!502 unknown transfer coding"},
        {"TE in HTTP/1.0", "HTTP/1.0 200 OK\r\n" CHUNKED "\r\n",
         "!502 transfer-encoding in HTTP/1.0"},
        {"obs-fold", OK("a: b\r\n c\r\n"), "!502 obs-fold"},
        {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "!502 bare LF"},
        {"space before the colon", OK("a : b\r\n"), "!502 space before the colon"},
        {"an empty line first", "\r\n" OK(""), "!502 empty line before the head"},
        {"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "!502 101 without Upgrade"},
        {"status 99", "HTTP/1.1 099 X\r\n\r\n", "!502 status out of range"},
        {"status 600", "HTTP/1.1 600 X\r\n\r\n", "!502 status out of range"},
        {"four digits", "HTTP/1.1 2000 X\r\n\r\n", "!502 malformed status line"},
        {"two digits", "HTTP/1.1 20 X\r\n\r\n", "!502"},
        {"no digits", "HTTP/1.1 2x0 X\r\n\r\n", "!502 malformed status"},
        {"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "!502 other version"},
        {"another protocol", "ICY 200 OK\r\n\r\n", "!502 malformed status line"},
        {"lower case", "http/1.1 200 OK\r\n\r\n", "!502 malformed version"},
        {"a control octet in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n",
         "!502 control octet in the reason"},
        {"HTTP/0.9", "<html>\r\n\r\n", "!502 malformed status line"},
        {"octets behind the answer", OK("Content-Length: 1\r\n") "xy",
         "[200 1.1 declared=1](x).!502 octets without a request"},
        {"closed before the answer", "", "!502 closed before the answer"},
        {"closed after an interim answer", "HTTP/1.1 100 C\r\n\r\n",
         "[100 1.1 nobody]!502 closed before the answer"},
        {"closed in the head", "HTTP/1.1 200", "!502 closed within a message"},
        {"closed in the body", OK("Content-Length: 2\r\n") "x",
         "[200 1.1 declared=2](x)!502 closed within a message"},
        {"closed in the chunks", OK(CHUNKED) "1\r\nx\r\n0\r\n",
         "[200 1.1 len=-1](x)!502 closed within a message"},
        {"a forbidden trailer", OK(CHUNKED) "0\r\nSet-Cookie: x\r\n\r\n",
         "[200 1.1 len=-1]!502 forbidden trailer"},
    };
    check_rows(rows, ARRAY_LEN(rows), HTTP_CLIENT, HTTP_GET, true);
}

/* One text, two readers: what comes after the first request must never be read as one where
 * the framing is in doubt. */
static void smuggling_pairs(void **state)
{
    (void)state;
#define EVIL "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    static const char *const pairs[] = {
        POST("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG" EVIL),
        POST("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\nG" EVIL),
        POST("Content-Length: 0\r\nContent-Length: 43\r\n", EVIL),
        POST("Content-Length: 0, 43\r\n", EVIL),
        POST("Content-Length : 43\r\n", EVIL),
        POST(" Content-Length: 43\r\n", EVIL),
        POST("Content-Length:\r\n 43\r\n", EVIL),
        POST("Content-Length: \v43\r\n", EVIL),
        POST("x: y\rContent-Length: 43\r\n", EVIL),
        POST("x: y\nContent-Length: 43\r\n", EVIL),
        POST("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding : chunked\r\n", "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding: cow\r\nTransfer-encoding: chunked\r\n", "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding:\x0b"
             "chunked\r\n",
             "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding\x0b: chunked\r\n", "0\r\n\r\n" EVIL),
        POST("X: X\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" EVIL),
        POST("Transfer-Encoding: chunked\r\n", "1\r\nx\nX" EVIL),
        POST("Transfer-Encoding: chunked\r\n", "0\r\nX: y\n\n" EVIL),
        POST("Transfer-Encoding: chunked\r\n", "2;\nxx\r\n4c\r\n0\r\n\r\n" EVIL),
        POST("Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: 0\r\n\r\n" EVIL),
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" EVIL,
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\n\r\n" EVIL,
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" EVIL,
    };
    limits = http_h1_limits_default;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        for (size_t piece = 1; piece < 4096; piece *= 8) {
            char *got = transcript(HTTP_SERVER, HTTP_GET, span_text(pairs[i]), 0, piece, false);
            if (strstr(got, "evil"))
                fail_msg("%s\n%s", pairs[i], got);
            free(got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(refused_requests),
        cmocka_unit_test(nul_is_refused_everywhere),
        cmocka_unit_test(responses),
        cmocka_unit_test(refused_responses),
        cmocka_unit_test(smuggling_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
