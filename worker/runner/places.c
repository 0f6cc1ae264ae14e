/* Places: how many jobs a seat may have in hand. Each queue has its own number; where the runner has a
 * common one (`concurrency`), queues with work share it by weight, or the earlier ones of the
 * configuration take what they need (`queue_order: strict`). */
#include <string.h>

#include "common/base/clock.h"
#include "worker/runner/runner_internal.h"

static int used(const struct ls_runner *runner)
{
    int sum = 0;

    for (size_t i = 0; i < runner->seat_count; i++)
        sum += runner->seats[i].running + runner->seats[i].asked;
    return sum;
}

/* Was it kept waiting for so long that it goes first once? */
static bool starves(const struct seat *seat)
{
    return seat->passed_ms && seat->config->starvation_ms > 0 &&
           ls_clock_mono_ms() - seat->passed_ms >= seat->config->starvation_ms;
}

/* Places that the others keep free, one for each that starves. */
static int kept_for_others(const struct seat *seat)
{
    const struct ls_runner *runner = seat->runner;
    int kept = 0;

    for (size_t i = 0; i < runner->seat_count; i++)
        kept += &runner->seats[i] != seat && runner->seats[i].hungry && starves(&runner->seats[i]);
    return kept;
}

static bool earlier_ones_hunger(const struct seat *seat)
{
    for (const struct seat *other = seat->runner->seats; other < seat; other++)
        if (other->hungry && other->running < other->config->concurrency)
            return true;
    return false;
}

/* By weight among the queues that have work: at least one place each. */
static int64_t weighted(const struct seat *seat)
{
    const struct ls_runner *runner = seat->runner;
    int64_t sum = seat->config->weight, part;

    for (size_t i = 0; i < runner->seat_count; i++)
        if (&runner->seats[i] != seat && runner->seats[i].hungry)
            sum += runner->seats[i].config->weight;
    if (sum == seat->config->weight)
        return runner->config->concurrency;
    part = runner->config->concurrency * seat->config->weight / sum;
    return part > 0 ? part : 1;
}

int places_free(const struct seat *seat)
{
    const struct ls_config *config = seat->runner->config;
    int64_t own = seat->config->concurrency - seat->running - seat->asked, common, part;

    if (!config || config->concurrency == 0)
        return own > 0 ? (int)own : 0;
    common = config->concurrency - used(seat->runner);
    if (starves(seat) && common > 0)
        return own > 0 ? 1 : 0;
    common -= kept_for_others(seat);
    if (config->queue_order == LS_CONFIG_ORDER_STRICT)
        part = earlier_ones_hunger(seat) ? 0 : common;
    else
        part = weighted(seat) - seat->running - seat->asked;
    if (part < common)
        common = part;
    if (common < own)
        own = common;
    return own > 0 ? (int)own : 0;
}

void places_freed(struct ls_runner *runner)
{
    if (!runner->config || runner->config->concurrency == 0)
        return;
    for (size_t i = 0; i < runner->seat_count; i++) {
        struct seat *seat = &runner->seats[i];

        if (seat->hungry && seat->state == SEAT_READY && !seat->in_flight && places_free(seat) > 0)
            seat_want(seat);
    }
}
