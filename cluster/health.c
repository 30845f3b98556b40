#include "cluster/health.h"

#include <stdio.h>

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '_' || c == '-';
}

static uint8_t percent(uint8_t v)
{
    return v <= 100 ? v : 100;
}

struct span cluster_health_put(struct span name, const struct cluster_health *h,
                               char room[CLUSTER_HEALTH_TEXT_MAX])
{
    static const char hex[] = "0123456789ABCDEF";
    size_t used = 0;
    must(name.len <= 128);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = (uint8_t)name.ptr[i];
        if (plain(name.ptr[i])) {
            room[used++] = name.ptr[i];
            continue;
        }
        room[used++] = '%';
        room[used++] = hex[byte >> 4];
        room[used++] = hex[byte & 15];
    }
    int n = snprintf(room + used, CLUSTER_HEALTH_TEXT_MAX - used, " load=%u shed=%u drain=%u",
                     percent(h->load), percent(h->shed), h->drain ? 1u : 0u);
    return span_of(room, used + (size_t)n);
}

static enum err get_name(struct span text, char *room, struct span *out)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++, used++) {
        uint64_t byte = (uint8_t)text.ptr[i];
        if (byte == '%') {
            if (text.len - i < 3 || !span_hex_to_u64(span_of(text.ptr + i + 1, 2), &byte))
                return ERR_SYNTAX;
            i += 2;
        } else if (!plain((char)byte)) {
            return ERR_SYNTAX;
        }
        room[used] = (char)(uint8_t)byte;
    }
    *out = span_of(room, used);
    return used > 0 ? ERR_OK : ERR_SYNTAX;
}

static enum err get_word(struct span word, struct cluster_health *out)
{
    struct span key;
    uint64_t value;
    if (!span_split(&word, '=', &key))
        return ERR_OK;
    bool load = span_equal(key, SPAN("load")), shed = span_equal(key, SPAN("shed"));
    if (!load && !shed && !span_equal(key, SPAN("drain")))
        return ERR_OK;
    if (!span_to_u64(word, &value) || value > (load || shed ? 100 : 1))
        return ERR_SYNTAX;
    if (load)
        out->load = (uint8_t)value;
    else if (shed)
        out->shed = (uint8_t)value;
    else
        out->drain = value == 1;
    return ERR_OK;
}

enum err cluster_health_get(struct span text, char room[CLUSTER_HEALTH_TEXT_MAX],
                            struct span *out_name, struct cluster_health *out)
{
    struct cluster_health h = {.load = 0};
    struct span name, word;
    if (text.len > CLUSTER_HEALTH_TEXT_MAX || !span_split(&text, ' ', &word))
        return ERR_SYNTAX;
    enum err err = get_name(word, room, &name);
    while (err == ERR_OK && span_split(&text, ' ', &word))
        err = get_word(word, &h);
    if (err == ERR_OK) {
        *out_name = name;
        *out = h;
    }
    return err;
}
