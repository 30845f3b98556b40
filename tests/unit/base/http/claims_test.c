#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/http/claims.h"

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool claim, head_only;
    } rows[] = {
        {"", false, false},
        {"x", false, false},
        {"etag", false, false},
        {"server-timing", false, false},
        {"grpc-status", false, false},
        {"x-request-id", false, false},
        {"x_sum", false, false},
        {"x-real", false, false},
        {"x-real-ip-x", false, false},
        {"x-http-method-override-and-a-long-tail-behind-it", false, false},
        {"forwarded", true, true},
        {"x-forwarded", true, true},
        {"x-forwarded-for", true, true},
        {"x-forwarded-anything-however-long-the-name-of-the-field-may-be", true, true},
        {"x_forwarded_host", true, true},
        {"x-forwarded_proto", true, true},
        {"x-real-ip", true, true},
        {"x_real_ip", true, true},
        {"x-original-url", true, true},
        {"x-rewrite-url", true, true},
        {"x-http-method-override", true, true},
        {"x-method-override", true, true},
        {"x-client-ip", true, true},
        {"true-client-ip", true, true},
        {"cf-connecting-ip", true, true},
        {"x-cluster-client-ip", true, true},
        {"front-end-https", true, true},
        {"content-length", false, true},
        {"content_length", false, true},
        {"transfer_encoding", false, true},
        {"host", false, true},
        {"cache-control", false, true},
        {"range", false, true},
        {"vary", false, true},
        {"if-none-match", false, true},
        {"max-forwards", false, true},
        {"authorization", false, true},
        {"www-authenticate", false, true},
        {"cookie", false, true},
        {"set-cookie", false, true},
        {"content-type", false, true},
        {"cdn-loop", false, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct span name = span_text(rows[i].name);
        print_message("  %s\n", rows[i].name);
        assert_int_equal(http_name_is_claim(name), rows[i].claim);
        assert_int_equal(http_name_is_head_only(name), rows[i].head_only);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
