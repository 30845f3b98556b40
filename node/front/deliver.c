#include "node/front/deliver.h"

void front_deliver_text(struct front_deliver *d, struct span text)
{
    *d = (struct front_deliver){.text = text};
}

void front_deliver_nothing(struct front_deliver *d)
{
    *d = (struct front_deliver){.nothing = true};
}

void front_deliver_all(struct front_deliver *d, struct memory_reader *r)
{
    *d = (struct front_deliver){.reader = r};
}

void front_deliver_range(struct front_deliver *d, struct memory_reader *r,
                         const struct policy_range *range)
{
    memory_reader_range(r, range->from, range->to);
    *d = (struct front_deliver){.reader = r};
}

void front_deliver_recoded(struct front_deliver *d, struct memory_reader *r,
                           struct memory_recode *c)
{
    *d = (struct front_deliver){.reader = r, .recode = c};
}

void front_deliver_fini(struct front_deliver *d)
{
    memory_recode_destroy(d->recode);
    d->recode = NULL;
}

/* The head of part d->part, and the reader at its bytes; after the last one what ends it all.
 */
static enum err turn_page(struct front_deliver *d)
{
    if (d->part > d->ranges.count)
        return ERR_CLOSED;
    if (!policy_range_part(&d->multipart, d->part, d->arena, &d->text))
        return ERR_LIMIT;
    if (d->part < d->ranges.count)
        memory_reader_range(d->reader, d->ranges.at[d->part].from, d->ranges.at[d->part].to);
    d->part++;
    return ERR_OK;
}

void front_deliver_ranges(struct front_deliver *d, struct memory_reader *r, struct arena *a)
{
    d->reader = r;
    d->recode = NULL;
    d->arena = a;
    d->text = (struct span){0};
    d->multipart.ranges = &d->ranges;
    d->part = 0;
    d->many = true;
    d->nothing = false;
}

static enum err peek_body(struct front_deliver *d, struct span *out)
{
    return d->recode ? memory_recode_peek(d->recode, out) : memory_reader_peek(d->reader, out);
}

enum err front_deliver_peek(struct front_deliver *d, struct span *out)
{
    if (d->nothing)
        return ERR_CLOSED;
    while (d->text.len == 0) {
        /* The first page has no bytes before it. */
        enum err e = !d->reader || (d->many && d->part == 0) ? ERR_CLOSED : peek_body(d, out);
        if (e != ERR_CLOSED || !d->many)
            return e;
        e = turn_page(d);
        if (e != ERR_OK)
            return e;
    }
    *out = d->text;
    return ERR_OK;
}

void front_deliver_consume(struct front_deliver *d, size_t bytes)
{
    if (d->text.len > 0) {
        must(bytes <= d->text.len);
        d->text = span_from(d->text, bytes);
    } else if (d->recode) {
        memory_recode_consume(d->recode, bytes);
    } else if (bytes > 0) {
        must(d->reader);
        memory_reader_consume(d->reader, bytes);
    }
}
