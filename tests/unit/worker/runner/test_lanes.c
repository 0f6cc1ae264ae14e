#include "worker/runner/lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/config/config.h"

static const int64_t FULL[] = {9, 9, 9};

/* How often each lane goes first in so many turns, one a ms, all lanes full. */
static void count(const struct ls_config_queue *queue, int turns, int out[3])
{
    struct lanes lanes = {0};
    char order[LANES_ORDER_SIZE];

    memset(out, 0, 3 * sizeof(*out));
    for (int i = 0; i < turns; i++) {
        const char *first = lanes_next(&lanes, queue, 1000 + i, order);

        first += strspn(first, "rq");
        out[*first == 'h' ? 0 : *first == 'n' ? 1 : 2]++;
        lanes_saw(&lanes, FULL, 1000 + i);
    }
}

static void lanes__weights__are_kept_exactly(void **state)
{
    struct ls_config_queue queue = {.lanes = {.high = 12, .normal = 3, .low = 1}};
    int got[3];

    count(&queue, 160, got);
    assert_int_equal(got[0], 120);
    assert_int_equal(got[1], 30);
    assert_int_equal(got[2], 10);
}

static void lanes__weights__are_spread_evenly(void **state)
{
    struct ls_config_queue queue = {.lanes = {.high = 2, .normal = 1, .low = 1}};
    struct lanes lanes = {0};
    char order[LANES_ORDER_SIZE], seen[9] = "";

    for (int i = 0; i < 8; i++) {
        const char *first = lanes_next(&lanes, &queue, 1, order);

        seen[i] = first[strspn(first, "rq")];
    }
    assert_string_equal(seen, "hnlhhnlh");
}

static void lanes__weight_0__goes_first_only_when_it_starves(void **state)
{
    struct ls_config_queue queue = {.lanes = {.high = 1}, .starvation_ms = 100};
    int got[3];

    count(&queue, 1000, got);
    assert_in_range(got[1], 8, 10); /* once in 100 ms */
    assert_in_range(got[2], 8, 10);
    queue.starvation_ms = 0;
    count(&queue, 1000, got);
    assert_int_equal(got[0], 1000);
}

static void lanes__empty_lane__does_not_starve(void **state)
{
    struct ls_config_queue queue = {.lanes = {.high = 1}, .starvation_ms = 100};
    const int64_t empty[] = {9, 0, 0};
    struct lanes lanes = {0};
    char order[LANES_ORDER_SIZE];

    for (int i = 0; i < 1000; i++) {
        const char *first = lanes_next(&lanes, &queue, 1000 + i, order);

        assert_int_equal(first[strspn(first, "rq")], 'h');
        lanes_saw(&lanes, empty, 1000 + i);
    }
}

static void lanes__order__names_each_source_once(void **state)
{
    struct ls_config_queue queue = {.lanes = {.high = 1, .normal = 1, .low = 1}};
    struct lanes lanes = {0};
    char order[LANES_ORDER_SIZE];
    int paid_first = 0, held_first = 0;

    for (int i = 0; i < 8; i++) {
        lanes_next(&lanes, &queue, 1, order);
        assert_int_equal(strlen(order), 5);
        for (const char *letter = "hnlrq"; *letter; letter++)
            assert_non_null(strchr(order, *letter));
        paid_first += order[0] == 'r';
        held_first += order[0] == 'q';
    }
    assert_int_equal(paid_first, 4);
    assert_int_equal(held_first, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes__weights__are_kept_exactly),
        cmocka_unit_test(lanes__weights__are_spread_evenly),
        cmocka_unit_test(lanes__weight_0__goes_first_only_when_it_starves),
        cmocka_unit_test(lanes__empty_lane__does_not_starve),
        cmocka_unit_test(lanes__order__names_each_source_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
