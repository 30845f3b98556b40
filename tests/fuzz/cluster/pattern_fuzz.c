/* An expression, a NUL and a text: some answer, within the steps that are allowed. */
#include "cluster/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size), expression;
    bool match = false, again = true;
    if (!span_split(&text, '\0', &expression))
        return 0;
    enum err err = cluster_pattern_match(expression, text, &match);
    must(err == ERR_OK || err == ERR_SYNTAX || err == ERR_LIMIT);
    must(err == ERR_OK || !match);
    if (err == ERR_OK) /* the same again */
        must(cluster_pattern_match(expression, text, &again) == ERR_OK && again == match);
    return 0;
}
