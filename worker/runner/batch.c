/* Batches: what is settled, collected into the turns that will carry it. The first is under way or
 * goes next, the last one collects; each stays until its turn is confirmed. */
#include <string.h>

#include "common/base/mem.h"
#include "worker/runner/runner_internal.h"

struct batch *batch_add(struct seat *seat)
{
    struct batch *batch = seat->spare;

    if (batch)
        seat->spare = batch->next;
    else
        batch = LS_NEW(struct batch);
    batch->next = NULL;
    if (seat->batches)
        seat->last->next = batch;
    else
        seat->batches = batch;
    seat->last = batch;
    return batch;
}

/* The first one is confirmed, or void. */
void batch_drop(struct seat *seat)
{
    struct batch *batch = seat->batches;

    seat->batches = batch->next;
    ls_turn_clear(&batch->turn);
    batch->fence_count = batch->extra_count = 0;
    batch->next = seat->spare;
    seat->spare = batch;
}

void batches_free(struct batch *batch)
{
    while (batch) {
        struct batch *next = batch->next;
        ls_turn_fini(&batch->turn);
        for (size_t i = 0; i < batch->extra_capacity; i++)
            ls_cmd_fini(&batch->extras[i]);
        free(batch->extras);
        free(batch->fences);
        free(batch);
        batch = next;
    }
}

bool batches_hold(const struct seat *seat)
{
    const struct batch *batch;

    for (batch = seat->batches; batch; batch = batch->next)
        if (!ls_turn_empty(&batch->turn))
            return true;
    return false;
}

static struct batch *collecting(struct seat *seat)
{
    bool under_way = seat->in_flight && seat->last == seat->batches;

    if (!seat->batches || under_way || ls_turn_full(&seat->last->turn))
        return batch_add(seat);
    return seat->last;
}

struct ls_turn *seat_turn(struct seat *seat)
{
    return &collecting(seat)->turn;
}

struct ls_cmd *seat_extra(struct seat *seat)
{
    struct batch *batch = collecting(seat);

    if (batch->extra_count == batch->extra_capacity) {
        size_t more = batch->extra_capacity ? batch->extra_capacity * 2 : 16;

        batch->extras = ls_xrealloc(batch->extras, more * sizeof(*batch->extras));
        memset(batch->extras + batch->extra_capacity, 0,
               (more - batch->extra_capacity) * sizeof(*batch->extras));
        batch->extra_capacity = more;
    }
    return &batch->extras[batch->extra_count++];
}

void seat_settled(struct seat *seat, int64_t fence)
{
    struct batch *batch = seat->last;

    if (batch->fence_count == batch->fence_capacity) {
        batch->fence_capacity = batch->fence_capacity ? batch->fence_capacity * 2 : 64;
        batch->fences = ls_xrealloc(batch->fences, batch->fence_capacity * sizeof(*batch->fences));
    }
    batch->fences[batch->fence_count++] = fence;
}

bool batches_settle(const struct seat *seat, int64_t fence)
{
    const struct batch *batch;
    size_t i;

    for (batch = seat->batches; batch; batch = batch->next)
        for (i = 0; i < batch->fence_count; i++)
            if (batch->fences[i] == fence)
                return true;
    return false;
}
