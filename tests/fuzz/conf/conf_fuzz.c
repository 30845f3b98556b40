#include <stdlib.h>

#include "conf/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libfyaml 0.7.12 itself loses 4 KiB after some syntax errors in long quoted texts. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

/* Whatever a file says: no crash, and either a configuration or a fault. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf_faults faults = {0};
    struct conf *c = conf_load_text(span_of(data, size), "fuzz.yaml", &faults);
    must((c == NULL) == (faults.errors > 0));
    for (uint32_t i = 0; i < faults.count; i++)
        must(!strchr(faults.at[i].message, '\n'));
    if (c) {
        bool serves = c->listener_count && c->origin_count && c->site_count;
        must(serves ||
             (c->cluster.on && !c->listener_count && !c->origin_count && !c->site_count));
        must(c->cluster.join_count == c->cluster.join_text.count);
        must(c->node.address_count == c->node.address_text.count);
        for (uint32_t i = 0; i < c->site_count; i++)
            for (uint32_t j = 0; j < c->sites[i].route_count; j++) {
                const struct conf_route *r = &c->sites[i].routes[j];
                must(r->respond_status || r->origin_index < c->origin_count);
            }
    }
    conf_destroy(c);
    conf_faults_fini(&faults);
    return 0;
}
