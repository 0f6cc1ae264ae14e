#include "worker/runner/lanes.h"

#include <stdio.h>

#include "common/config/config.h"

enum { HIGH, NORMAL, LOW, LANES };

/* The one with work that has waited longest beyond the bound; -1: none. */
static int starving(const struct lanes *lanes, int64_t bound_ms, int64_t now_ms)
{
    int worst = -1;

    for (int i = 0; i < LANES && bound_ms > 0; i++) {
        if (!lanes->served_ms[i] || now_ms - lanes->served_ms[i] < bound_ms)
            continue;
        if (worst < 0 || lanes->served_ms[i] < lanes->served_ms[worst])
            worst = i;
    }
    return worst;
}

static int by_weight(struct lanes *lanes, const int64_t weights[LANES])
{
    int64_t total = 0;
    int first = 0;

    for (int i = 0; i < LANES; i++) {
        lanes->credit[i] += weights[i];
        total += weights[i];
        if (weights[i] > 0 && (weights[first] == 0 || lanes->credit[i] > lanes->credit[first]))
            first = i;
    }
    lanes->credit[first] -= total;
    return first;
}

const char *lanes_next(struct lanes *lanes, const struct ls_config_queue *queue, int64_t now_ms,
                       char out[LANES_ORDER_SIZE])
{
    static const char letters[LANES] = {'h', 'n', 'l'};
    const int64_t weights[LANES] = {queue->lanes.high, queue->lanes.normal, queue->lanes.low};
    unsigned number = lanes->number++;
    int first = starving(lanes, queue->starvation_ms, now_ms);
    char order[LANES + 1], *at = order;

    if (first < 0)
        first = by_weight(lanes, weights);
    lanes->served_ms[first] = now_ms;
    *at++ = letters[first];
    for (int i = 0; i < LANES; i++)
        if (i != first)
            *at++ = letters[i];
    *at = '\0';
    /* What has paid goes first, but not always; what waits behind its account goes last, but not
     * always. */
    if (number % 4 == 3)
        snprintf(out, LANES_ORDER_SIZE, "qr%s", order);
    else if (number % 4 == 1)
        snprintf(out, LANES_ORDER_SIZE, "%srq", order);
    else
        snprintf(out, LANES_ORDER_SIZE, "r%sq", order);
    return out;
}

void lanes_saw(struct lanes *lanes, const int64_t left[LANES], int64_t now_ms)
{
    for (int i = 0; i < LANES; i++)
        if (left[i] == 0 || !lanes->served_ms[i])
            lanes->served_ms[i] = now_ms;
}
