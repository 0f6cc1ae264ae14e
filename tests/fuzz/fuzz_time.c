/* Time zone files and cron expressions on any bytes: what is accepted must answer for every moment,
 * and the ticks of an expression only grow. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/time/cron_expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void follow(const struct ls_cron_expr *expr, const struct ls_zone *zone)
{
    int64_t tick = 1772000000000;

    for (int i = 0; i < 20; i++) {
        int64_t next = ls_cron_expr_next(expr, zone, tick);

        if (next < 0)
            return;
        ls_assert(next > tick);
        tick = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ls_zone *zone = ls_zone_parse(bytes, length, NULL);
    struct ls_cron_expr expr;

    if (zone) {
        for (int64_t s = -5000000000; s < 20000000000; s += 1234567891) {
            struct ls_zone_stretch stretch = ls_zone_at(zone, s);

            ls_assert(stretch.begin_s <= s && s < stretch.end_s);
        }
        ls_assert(ls_cron_expr_parse(&expr, "30 1-2 * * *", NULL) == 0);
        follow(&expr, zone);
        ls_zone_free(zone);
    } else if (length < 1000 && !memchr(bytes, 0, length)) {
        char *text = ls_xstrndup((const char *)bytes, length);

        if (ls_cron_expr_parse(&expr, text, NULL) == 0) {
            zone = ls_zone_open("UTC", NULL);
            follow(&expr, zone);
            ls_zone_free(zone);
        }
        free(text);
    }
    return 0;
}
