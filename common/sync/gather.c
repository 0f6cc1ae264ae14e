#include "common/sync/gather.h"

#include <string.h>

#include "common/base/mem.h"

#define DEFAULT_FLIGHTS 4
#define SINGLE_FLIGHTS 32 /* where a platform has no batches, more requests may be out */

struct lane;

struct ls_ticket {
    struct lane *lane;
    struct ls_ticket *previous, *next; /* while waiting */
    bool waiting;
    struct flight *flight; /* while its request is out */
    char *id;              /* read: owned */
    struct ls_write write; /* write: what it points to is borrowed */
    bool (*may_leave)(void *arg);
    int *requests;      /* borrowed; NULL: nobody counts */
    ls_gather_cb *done; /* NULL: cancelled */
    void *arg;
};

struct flight {
    struct lane *lane;
    struct flight *previous, *next;
    struct ls_remote_call *call;
    int paid; /* of the call's requests, by those who gave up */
    size_t count;
    struct ls_ticket **tickets;
};

struct lane {
    struct ls_gather *gather;
    bool writes;
    size_t most;        /* in one request */
    size_t flights_max; /* requests out at once */
    size_t waiting, out;
    bool due; /* the wait is over: send what there is as soon as a flight is free */
    struct ls_ticket *first, *last;
    struct flight *flights;
    uint64_t items, requests;
};

struct ls_gather {
    struct ls_gather_options options;
    uv_timer_t *timer; /* frees itself on close */
    struct lane reads, writes;
    struct ls_ticket *refused; /* at departure; not told yet */
};

static struct ls_ticket *add(struct lane *lane, struct ls_ticket *ticket, int *requests,
                             ls_gather_cb *done, void *arg);
static void leave_flight(struct ls_ticket *ticket);
static void on_timer(uv_timer_t *timer);
static void send_waiting(struct lane *lane);
static void tell_refused(struct ls_gather *gather);
static void take_off(struct lane *lane);
static void depart(struct lane *lane, struct ls_ticket **tickets, size_t count);
static void begin_call(struct flight *flight);
static void on_page(void *arg, const struct ls_remote_page *page, const struct ls_err *err);
static void pay(struct flight *flight);
static const struct ls_remote *find_item(const struct flight *flight, size_t index,
                                         const struct ls_remote_page *page);
static void unlink_waiting(struct ls_ticket *ticket);
static void unlink_flight(struct flight *flight);
static void free_ticket(struct ls_ticket *ticket);
static void free_flight(struct flight *flight);
static void free_timer(uv_handle_t *handle);

struct ls_gather *ls_gather_new(const struct ls_gather_options *options)
{
    const struct ls_capabilities *can =
        ls_connector_capabilities(options->connector, options->mapping->entity);
    struct ls_gather *gather = LS_NEW(struct ls_gather);
    size_t flights = options->flights ? options->flights : DEFAULT_FLIGHTS;
    size_t page = can && can->page_max ? can->page_max : 1;
    size_t batch = can && can->batch_max ? can->batch_max : 1;

    if (options->wait_ms < 0)
        page = batch = 1;
    gather->options = *options;
    gather->reads = (struct lane){.gather = gather, .most = page};
    gather->writes = (struct lane){.gather = gather, .writes = true, .most = batch};
    gather->reads.flights_max = page > 1 ? flights : SINGLE_FLIGHTS;
    gather->writes.flights_max = batch > 1 ? flights : SINGLE_FLIGHTS;
    gather->timer = LS_NEW(uv_timer_t);
    uv_timer_init(options->loop, gather->timer);
    gather->timer->data = gather;
    return gather;
}

void ls_gather_free(struct ls_gather *gather)
{
    struct lane *lanes[2];

    if (!gather)
        return;
    lanes[0] = &gather->reads;
    lanes[1] = &gather->writes;
    for (int i = 0; i < 2; i++) {
        while (lanes[i]->first) {
            struct ls_ticket *ticket = lanes[i]->first;
            unlink_waiting(ticket);
            free_ticket(ticket);
        }
        while (lanes[i]->flights) {
            struct flight *flight = lanes[i]->flights;
            ls_remote_cancel(&flight->call);
            unlink_flight(flight);
            free_flight(flight);
        }
    }
    while (gather->refused) {
        struct ls_ticket *ticket = gather->refused;
        gather->refused = ticket->next;
        free_ticket(ticket);
    }
    uv_close((uv_handle_t *)gather->timer, free_timer);
    free(gather);
}

struct ls_ticket *ls_gather_get(struct ls_gather *gather, const char *id, int *requests,
                                ls_gather_cb *done, void *arg)
{
    struct ls_ticket *ticket = LS_NEW(struct ls_ticket);

    ticket->id = ls_xstrdup(id);
    return add(&gather->reads, ticket, requests, done, arg);
}

struct ls_ticket *ls_gather_write(struct ls_gather *gather, const struct ls_write *write,
                                  bool (*may_leave)(void *arg), int *requests, ls_gather_cb *done,
                                  void *arg)
{
    struct ls_ticket *ticket = LS_NEW(struct ls_ticket);

    ticket->write = *write;
    ticket->may_leave = may_leave;
    return add(&gather->writes, ticket, requests, done, arg);
}

void ls_gather_cancel(struct ls_ticket **ticket)
{
    struct ls_ticket *taken = *ticket;

    if (!taken)
        return;
    *ticket = NULL;
    if (taken->waiting) {
        unlink_waiting(taken);
        free_ticket(taken);
        return;
    }
    if (taken->flight && taken->flight->call)
        leave_flight(taken);
    else
        taken->done = NULL;
}

static size_t count_wanted(const struct flight *flight)
{
    size_t wanted = 0;

    for (size_t i = 0; i < flight->count; i++)
        wanted += flight->tickets[i]->done != NULL;
    return wanted;
}

/* It pays its part of what was sent so far. A request that nobody waits for any more goes no further: what it would still send would
 * be paid for by nobody. */
static void leave_flight(struct ls_ticket *ticket)
{
    struct flight *flight = ticket->flight;
    struct lane *lane = flight->lane;
    size_t wanted = count_wanted(flight);
    int part = (ls_remote_requests(flight->call) - flight->paid) / (int)wanted;

    if (ticket->requests)
        *ticket->requests += part;
    flight->paid += part;
    ticket->done = NULL;
    if (wanted > 1)
        return;
    ls_remote_cancel(&flight->call);
    unlink_flight(flight);
    free_flight(flight);
    lane->out--;
    if (lane->waiting) /* not from here: whoever gives up may be in the middle of something */
        uv_timer_start(lane->gather->timer, on_timer, 0, 0);
}

struct ls_gather_stats ls_gather_stats(const struct ls_gather *gather)
{
    return (struct ls_gather_stats){.reads = gather->reads.items,
                                    .read_requests = gather->reads.requests,
                                    .writes = gather->writes.items,
                                    .write_requests = gather->writes.requests};
}

static struct ls_ticket *add(struct lane *lane, struct ls_ticket *ticket, int *requests,
                             ls_gather_cb *done, void *arg)
{
    struct ls_gather *gather = lane->gather;

    ticket->lane = lane;
    ticket->requests = requests;
    ticket->done = done;
    ticket->arg = arg;
    ticket->waiting = true;
    ticket->previous = lane->last;
    if (lane->last)
        lane->last->next = ticket;
    else
        lane->first = ticket;
    lane->last = ticket;
    lane->waiting++;
    if (gather->options.wait_ms <= 0)
        lane->due = true;
    else if (!lane->due && !uv_is_active((uv_handle_t *)gather->timer))
        uv_timer_start(gather->timer, on_timer, (uint64_t)gather->options.wait_ms, 0);
    send_waiting(lane);
    return ticket;
}

static void on_timer(uv_timer_t *timer)
{
    struct ls_gather *gather = timer->data;

    tell_refused(gather);
    gather->reads.due = gather->reads.waiting > 0;
    gather->writes.due = gather->writes.waiting > 0;
    send_waiting(&gather->reads);
    send_waiting(&gather->writes);
}

static void send_waiting(struct lane *lane)
{
    while (lane->waiting && lane->out < lane->flights_max &&
           (lane->due || lane->waiting >= lane->most))
        take_off(lane);
    if (!lane->waiting)
        lane->due = false;
}

/* Told on the next turn of the loop: its owner may still be in the call that brought it here. */
static void refuse(struct ls_ticket *ticket)
{
    struct ls_gather *gather = ticket->lane->gather;

    ticket->next = gather->refused;
    gather->refused = ticket;
    if (!uv_is_active((uv_handle_t *)gather->timer))
        uv_timer_start(gather->timer, on_timer, 0, 0);
}

static void tell_refused(struct ls_gather *gather)
{
    struct ls_err err = LS_ERR_INIT;

    ls_fail(&err, LS_E_CANCELLED, "the claim is in doubt, nothing was written");
    while (gather->refused) {
        struct ls_ticket *ticket = gather->refused;
        ls_gather_cb *done = ticket->done;
        void *arg = ticket->arg;
        gather->refused = ticket->next;
        free_ticket(ticket);
        if (done)
            done(arg, NULL, 0, &err);
    }
}

static void take_off(struct lane *lane)
{
    struct ls_ticket **tickets = ls_xcalloc(lane->most, sizeof(struct ls_ticket *));
    size_t count = 0;

    while (lane->first && count < lane->most) {
        struct ls_ticket *ticket = lane->first;
        unlink_waiting(ticket);
        if (ticket->may_leave && !ticket->may_leave(ticket->arg))
            refuse(ticket);
        else
            tickets[count++] = ticket;
    }
    if (count)
        depart(lane, tickets, count);
    else
        free(tickets);
}

/* tickets are the flight's from here on. */
static void depart(struct lane *lane, struct ls_ticket **tickets, size_t count)
{
    struct flight *flight = LS_NEW(struct flight);

    flight->lane = lane;
    flight->tickets = tickets;
    flight->count = count;
    for (size_t i = 0; i < count; i++)
        tickets[i]->flight = flight;
    flight->next = lane->flights;
    if (lane->flights)
        lane->flights->previous = flight;
    lane->flights = flight;
    lane->out++;
    lane->requests++;
    lane->items += count;
    begin_call(flight);
}

static void begin_call(struct flight *flight)
{
    const struct ls_gather_options *options = &flight->lane->gather->options;

    if (!flight->lane->writes) {
        const char **ids = ls_xcalloc(flight->count, sizeof *ids);
        for (size_t i = 0; i < flight->count; i++)
            ids[i] = flight->tickets[i]->id;
        flight->call = ls_connector_get(options->connector, options->mapping, ids, flight->count,
                                        on_page, flight);
        free(ids);
    } else if (flight->count == 1) {
        flight->call = ls_connector_write(options->connector, options->mapping,
                                          &flight->tickets[0]->write, on_page, flight);
    } else {
        struct ls_write *writes = ls_xcalloc(flight->count, sizeof *writes);
        for (size_t i = 0; i < flight->count; i++)
            writes[i] = flight->tickets[i]->write;
        flight->call = ls_connector_write_batch(options->connector, options->mapping, writes,
                                                flight->count, on_page, flight);
        free(writes);
    }
}

static bool is_refusal(const struct ls_err *err)
{
    return err->code == LS_E_PERMANENT || err->code == LS_E_INVALID || err->code == LS_E_TOO_BIG;
}

static void send_singly(struct flight *flight)
{
    for (size_t i = 0; i < flight->count; i++) {
        struct ls_ticket **one = ls_xcalloc(1, sizeof(struct ls_ticket *));
        *one = flight->tickets[i];
        if ((*one)->done) {
            depart(flight->lane, one, 1);
        } else {
            free_ticket(*one);
            free(one);
        }
    }
    flight->count = 0;
    free_flight(flight);
}

static void on_page(void *arg, const struct ls_remote_page *page, const struct ls_err *err)
{
    struct flight *flight = arg;
    struct lane *lane = flight->lane;

    pay(flight);
    flight->call = NULL;
    unlink_flight(flight);
    lane->out--;
    if (err && flight->count > 1 && is_refusal(err)) {
        send_singly(flight);
        return;
    }
    for (size_t i = 0; i < flight->count; i++) {
        struct ls_ticket *ticket = flight->tickets[i];
        ls_gather_cb *done = ticket->done;
        const struct ls_remote *item = err ? NULL : find_item(flight, i, page);
        struct ls_err missing = LS_ERR_INIT;

        ticket->done = NULL;
        if (!done)
            continue;
        if (err) {
            done(ticket->arg, NULL, 0, err);
        } else if (!item && lane->writes && flight->count > 1) {
            ls_fail(&missing, LS_E_LOST, "the answer to a batch of %zu writes leaves one out",
                    flight->count);
            done(ticket->arg, NULL, page->remote_ms, &missing);
        } else if (item && item->error.code != LS_E_NONE && lane->writes) {
            done(ticket->arg, NULL, page->remote_ms, &item->error);
        } else {
            done(ticket->arg, item, page->remote_ms, NULL);
        }
    }
    free_flight(flight);
    send_waiting(lane);
}

/* Before anybody is told: those who hear of the end may give up on others of the same request. */
static void pay(struct flight *flight)
{
    int left = ls_remote_requests(flight->call) - flight->paid;
    int wanted = (int)count_wanted(flight), payers = 0;

    for (size_t i = 0; i < flight->count; i++) {
        struct ls_ticket *ticket = flight->tickets[i];
        if (!ticket->done)
            continue;
        if (ticket->requests)
            *ticket->requests += left / wanted + (payers < left % wanted);
        payers++;
    }
}

static const struct ls_remote *find_item(const struct flight *flight, size_t index,
                                         const struct ls_remote_page *page)
{
    if (flight->lane->writes)
        return index < page->count ? &page->items[index] : NULL;
    for (size_t i = 0; i < page->count; i++)
        if (page->items[i].id && strcmp(page->items[i].id, flight->tickets[index]->id) == 0)
            return &page->items[i];
    return NULL;
}

static void unlink_waiting(struct ls_ticket *ticket)
{
    struct lane *lane = ticket->lane;

    if (ticket->previous)
        ticket->previous->next = ticket->next;
    else
        lane->first = ticket->next;
    if (ticket->next)
        ticket->next->previous = ticket->previous;
    else
        lane->last = ticket->previous;
    ticket->previous = ticket->next = NULL;
    ticket->waiting = false;
    lane->waiting--;
}

static void unlink_flight(struct flight *flight)
{
    if (flight->previous)
        flight->previous->next = flight->next;
    else
        flight->lane->flights = flight->next;
    if (flight->next)
        flight->next->previous = flight->previous;
}

static void free_ticket(struct ls_ticket *ticket)
{
    free(ticket->id);
    free(ticket);
}

static void free_flight(struct flight *flight)
{
    for (size_t i = 0; i < flight->count; i++)
        free_ticket(flight->tickets[i]);
    free(flight->tickets);
    free(flight);
}

static void free_timer(uv_handle_t *handle)
{
    free(handle);
}
