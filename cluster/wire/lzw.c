#include "cluster/wire/lzw.h"

#define CLEAR 256u
#define END 257u
#define WIDTH_MIN 9u
#define WIDTH_MAX 12u
#define CODES (1u << WIDTH_MAX)
#define NO_CODE UINT16_MAX

/* --- reading --- */

struct decoder {
    struct span in;
    size_t at;
    uint32_t bits; /* read and not yet used */
    unsigned held, width;
    unsigned next; /* the code that the next entry gets */
    uint16_t last; /* the code before, NO_CODE after a CLEAR or with a full table */
    uint16_t prefix[CODES];
    uint16_t length[CODES];
    uint8_t suffix[CODES];
    uint8_t first[CODES]; /* the first byte of the entry's text */
};

static void clear(struct decoder *d)
{
    d->width = WIDTH_MIN;
    d->next = END;
    d->last = NO_CODE;
}

/* False: the bytes end. */
static bool read_code(struct decoder *d, unsigned *out_code)
{
    while (d->held < d->width) {
        if (d->at == d->in.len)
            return false;
        d->bits |= (uint32_t)(uint8_t)d->in.ptr[d->at++] << d->held;
        d->held += 8;
    }
    *out_code = d->bits & ((1u << d->width) - 1);
    d->bits >>= d->width;
    d->held -= d->width;
    return true;
}

/* The entry that the code before and the first byte of this one make. */
static void add_entry(struct decoder *d, uint8_t first)
{
    if (d->last == NO_CODE)
        return;
    d->prefix[d->next] = d->last;
    d->suffix[d->next] = first;
    d->first[d->next] = d->first[d->last];
    d->length[d->next] = (uint16_t)(d->length[d->last] + 1);
}

static void advance(struct decoder *d, unsigned code)
{
    d->last = (uint16_t)code;
    d->next++;
    if (d->next < 1u << d->width)
        return;
    if (d->width < WIDTH_MAX) {
        d->width++;
    } else { /* full: the table stays as it is until a CLEAR */
        d->last = NO_CODE;
        d->next--;
    }
}

static enum err put_text(const struct decoder *d, unsigned code, struct buf *out)
{
    size_t len = d->length[code];
    char *text = buf_reserve(out, len);
    if (!text)
        return ERR_LIMIT;
    for (size_t i = len; i > 1; i--) {
        text[i - 1] = (char)d->suffix[code];
        code = d->prefix[code];
    }
    text[0] = (char)code;
    buf_grew(out, len);
    return ERR_OK;
}

enum err wire_lzw_decode(struct span in, struct buf *out)
{
    struct decoder d; /* entries are written before they are read: not zeroed */
    unsigned code;
    d.in = in;
    d.at = 0;
    d.bits = 0;
    d.held = 0;
    for (unsigned i = 0; i < CLEAR; i++) {
        d.first[i] = (uint8_t)i;
        d.length[i] = 1;
    }
    clear(&d);
    while (read_code(&d, &code)) {
        if (code == END)
            return ERR_OK;
        if (code == CLEAR) {
            clear(&d);
            continue;
        }
        if (code > d.next)
            return ERR_SYNTAX;
        /* A code that its own entry makes begins as the code before. */
        bool own = code == d.next && d.last != NO_CODE;
        add_entry(&d, own ? d.first[d.last] : d.first[code]);
        enum err err = put_text(&d, code, out);
        if (err != ERR_OK)
            return err;
        advance(&d, code);
    }
    return ERR_SYNTAX;
}

/* --- writing --- */

#define SLOTS (4 * CODES)

struct encoder {
    struct buf *out;
    enum err err;
    uint32_t bits;
    unsigned held, width;
    unsigned next;         /* the code that the newest entry has */
    uint32_t slots[SLOTS]; /* prefix code, byte and code (20 + 12 bits); 0 = free */
};

static void write_code(struct encoder *e, unsigned code)
{
    e->bits |= code << e->held;
    e->held += e->width;
    while (e->held >= 8 && e->err == ERR_OK) {
        char byte = (char)(e->bits & 255);
        e->err = buf_append(e->out, span_of(&byte, 1));
        e->bits >>= 8;
        e->held -= 8;
    }
}

/* The slot of prefix and byte: taken, or the free one where they belong. */
static uint32_t *find_slot(struct encoder *e, uint32_t key)
{
    uint32_t at = (key >> 12 ^ key) % SLOTS;
    while (e->slots[at] != 0 && e->slots[at] >> 12 != key)
        at = (at + 1) % SLOTS;
    return &e->slots[at];
}

static void start(struct encoder *e)
{
    write_code(e, CLEAR);
    e->width = WIDTH_MIN;
    e->next = END;
    memset(e->slots, 0, sizeof(e->slots));
}

/* Makes room for an entry; false: there was none, and the table was cleared. */
static bool next_code(struct encoder *e)
{
    e->next++;
    if (e->next == 1u << e->width)
        e->width++;
    if (e->next < CODES - 1)
        return true;
    start(e);
    return false;
}

enum err wire_lzw_encode(struct span in, struct buf *out)
{
    struct encoder e = {.out = out, .width = WIDTH_MIN};
    start(&e);
    if (in.len > 0) {
        unsigned code = (uint8_t)in.ptr[0];
        for (size_t i = 1; i < in.len && e.err == ERR_OK; i++) {
            uint8_t byte = (uint8_t)in.ptr[i];
            uint32_t key = code << 8 | byte;
            const uint32_t *known = find_slot(&e, key);
            if (*known != 0) {
                code = *known & (CODES - 1);
                continue;
            }
            write_code(&e, code);
            code = byte;
            if (next_code(&e))
                *find_slot(&e, key) = key << 12 | e.next;
        }
        write_code(&e, code);
        next_code(&e);
    }
    write_code(&e, END);
    if (e.held > 0) {
        e.width = 8 - e.held; /* zeros up to the whole byte */
        write_code(&e, 0);
    }
    return e.err;
}
