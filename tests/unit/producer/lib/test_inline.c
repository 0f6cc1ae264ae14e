#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <lockstep/inline.h>

/* What ran, in its order: "kind:data " each. */
static char ran[4096];
static int opened, closed;
static struct lockstep *handle; /* for handlers that use it */

static int note(struct lockstep_run *run)
{
    size_t length = strlen(ran);

    snprintf(ran + length, sizeof ran - length, "%s:%s ", run->kind, run->data ? run->data : "-");
    return lockstep_run_ok(run);
}

static int work(struct lockstep_run *run, void *self)
{
    return note(run);
}

static int fail_some(struct lockstep_run *run, void *self)
{
    note(run);
    if (run->attempt <= 2)
        return lockstep_run_retry(run, 0, "attempt %d", run->attempt);
    return lockstep_run_ok(run);
}

static int always_fail(struct lockstep_run *run, void *self)
{
    note(run);
    return lockstep_run_retry(run, 0, "no such luck");
}

static int refuse(struct lockstep_run *run, void *self)
{
    struct lockstep_ending ending = {
        sizeof ending, LOCKSTEP_RUN_PERMANENT, "bad order", "bad-order", -1, NULL, 0};

    return lockstep_run_end(run, &ending);
}

static int throttled(struct lockstep_run *run, void *self)
{
    note(run);
    return strlen(ran) < 40 ? lockstep_run_throttled(run, 60000, "slow down")
                            : lockstep_run_ok(run);
}

static int number(struct lockstep_run *run, void *self)
{
    return 5;
}

static int steps(struct lockstep_run *run, void *self)
{
    note(run);
    if (strcmp(run->data, "1") == 0)
        return lockstep_run_again(run, 1000, "2", 1);
    return lockstep_run_ok(run);
}

static int checkpoint(struct lockstep_run *run, void *self)
{
    note(run);
    assert_int_equal(lockstep_run_checkpoint(run, "{", 1), -1);
    assert_int_equal(lockstep_run_checkpoint(run, "{\"page\":2}", 10), 0);
    return run->attempt == 1 ? lockstep_run_retry(run, 0, "half way") : lockstep_run_ok(run);
}

static int answer(struct lockstep_run *run, void *self)
{
    assert_int_equal(lockstep_run_result(run, "nonsense", 8), -1);
    assert_int_equal(lockstep_run_result(run, "{\"sum\":3}", 9), 0);
    return lockstep_run_ok(run);
}

static int push_more(struct lockstep_run *run, void *self)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "\"pushed within\"");

    note(run);
    assert_int_equal(lockstep_push(handle, &job, NULL), 1);
    assert_int_equal(lockstep_inline_drain(handle), -1);
    assert_int_equal(lockstep_errcode(handle), LOCKSTEP_E_USAGE);
    return lockstep_run_ok(run);
}

static int for_ever(struct lockstep_run *run, void *self)
{
    return lockstep_run_again(run, 0, NULL, 0);
}

static int own_key(struct lockstep_run *run, void *self)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "\"newer\"");

    note(run);
    job.key = run->key;
    job.mode = "reject";
    assert_int_equal(lockstep_push(handle, &job, NULL), -1);
    assert_int_equal(lockstep_errcode(handle), LOCKSTEP_E_REJECTED);
    job.mode = NULL;
    assert_int_equal(lockstep_push(handle, &job, NULL), 1);
    return lockstep_run_ok(run);
}

static int cancels_itself(struct lockstep_run *run, void *self)
{
    assert_int_equal(lockstep_run_is_cancelled(run), 0);
    assert_int_equal(lockstep_cancel(handle, run->queue, run->id), 1);
    assert_int_equal(lockstep_run_is_cancelled(run), 1);
    return lockstep_run_stopped(run);
}

static int looks(struct lockstep_run *run, void *self)
{
    struct lockstep_queue_stat stat = {.size = sizeof stat};
    int64_t left = lockstep_run_left_ms(run);

    assert_int_equal(lockstep_queue_stat(handle, run->queue, &stat), 0);
    assert_int_equal(stat.running, 1);
    assert_true(lockstep_run_may_write(run));
    assert_true(lockstep_run_fence(run) > 0);
    assert_true(left > 0 && left <= 60000);
    assert_int_equal(lockstep_run_progress(run, 1, 2, "half"), 0);
    assert_int_equal(lockstep_run_wants_result(run), 0);
    assert_string_equal(run->id, "the-id");
    assert_string_equal(run->account, "shop-eu");
    assert_string_equal(run->key, "");
    assert_string_equal(run->queue, "other");
    assert_int_equal(run->data_length, 2);
    return lockstep_run_ok(run);
}

static int open_kind(struct lockstep_opening *opening)
{
    opened++;
    opening->self = &opened;
    return 0;
}

static int refuse_to_open(struct lockstep_opening *opening)
{
    snprintf(opening->error, sizeof opening->error, "no licence");
    return -1;
}

static void close_kind(void *self)
{
    assert_ptr_equal(self, &opened);
    closed++;
}

static int with_self(struct lockstep_run *run, void *self)
{
    assert_ptr_equal(self, &opened);
    return note(run);
}

static const struct lockstep_handler handlers[] = {
    LOCKSTEP_HANDLER("work", work),
    LOCKSTEP_HANDLER("fail-some", fail_some),
    LOCKSTEP_HANDLER("fail", always_fail),
    LOCKSTEP_HANDLER("refuse", refuse),
    LOCKSTEP_HANDLER("throttled", throttled),
    LOCKSTEP_HANDLER("number", number),
    LOCKSTEP_HANDLER("steps", steps),
    LOCKSTEP_HANDLER("checkpoint", checkpoint),
    LOCKSTEP_HANDLER("answer", answer),
    LOCKSTEP_HANDLER("push-more", push_more),
    LOCKSTEP_HANDLER("for-ever", for_ever),
    LOCKSTEP_HANDLER("own-key", own_key),
    LOCKSTEP_HANDLER("cancels-itself", cancels_itself),
    LOCKSTEP_HANDLER("looks", looks),
    LOCKSTEP_HANDLER("http", work),
    {LOCKSTEP_HANDLER_ABI, sizeof(struct lockstep_handler), "with-self", with_self, NULL, NULL,
     NULL, open_kind, close_kind},
    LOCKSTEP_HANDLERS_END,
};

static int setup(void **state)
{
    ran[0] = 0;
    opened = closed = 0;
    handle = lockstep_open("inline:");
    *state = handle;
    return lockstep_inline_handlers(handle, handlers) == 16 ? 0 : -1;
}

static int teardown(void **state)
{
    lockstep_close(*state);
    return 0;
}

static int push(struct lockstep *ls, const char *kind, const char *data)
{
    struct lockstep_job job = LOCKSTEP_JOB(kind, data);

    return lockstep_push(ls, &job, NULL);
}

static int push_keyed(struct lockstep *ls, const char *data, const char *mode, int64_t debounce_ms,
                      int64_t max_wait_ms)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", data);

    job.key = "k";
    job.mode = mode;
    job.debounce_ms = debounce_ms;
    job.max_wait_ms = max_wait_ms;
    return lockstep_push(ls, &job, NULL);
}

static struct lockstep_queue_stat stat_of(struct lockstep *ls, const char *queue)
{
    struct lockstep_queue_stat stat = {.size = sizeof stat};

    assert_int_equal(lockstep_queue_stat(ls, queue, &stat), 0);
    return stat;
}

static int keep_letter(void *arg, const struct lockstep_dead *dead)
{
    snprintf(arg, 400, "%s|%s|%s|%lld|%s", dead->kind, dead->error, dead->error_class,
             (long long)dead->attempts, dead->letter);
    return 0;
}

/* The newest letter as "kind|error|class|attempts|letter". */
static const char *letter(struct lockstep *ls)
{
    static char text[400];

    text[0] = 0;
    lockstep_dead_list(ls, NULL, 0, 1, keep_letter, text);
    return text;
}

static void push__a_job__runs_within_the_call(void **state)
{
    assert_int_equal(push(*state, "work", "{\"n\":1}"), 1);
    assert_string_equal(ran, "work:{\"n\":1} ");
    assert_int_equal(push(*state, "noop", NULL), 1);
    assert_int_equal(stat_of(*state, NULL).depth, 0);
    assert_int_equal(stat_of(*state, NULL).failed, 0);
    assert_string_equal(lockstep_strerror(*state), "");
}

static void push__delays__pass_at_once_in_the_order_of_their_time(void **state)
{
    const struct {
        const char *data, *priority;
        int64_t delay_ms;
    } jobs[] = {
        {"\"c\"", NULL, 5000}, {"\"b\"", NULL, 0}, {"\"a\"", "high", 0}, {"\"d\"", "low", 5000}};
    struct timespec began, ended;

    clock_gettime(CLOCK_MONOTONIC, &began);
    lockstep_inline_defer(*state);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        struct lockstep_job job = LOCKSTEP_JOB("work", jobs[i].data);

        job.priority = jobs[i].priority;
        job.delay_ms = jobs[i].delay_ms;
        assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    }
    assert_int_equal(stat_of(*state, NULL).depth, 2);
    assert_int_equal(stat_of(*state, NULL).delayed, 2);
    assert_int_equal(lockstep_inline_drain(*state), 4);
    assert_string_equal(ran, "work:\"a\" work:\"b\" work:\"c\" work:\"d\" ");
    clock_gettime(CLOCK_MONOTONIC, &ended);
    assert_true(ended.tv_sec - began.tv_sec < 4);
}

static void push__at_a_time__is_by_the_handles_clock(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "1");

    lockstep_inline_defer(*state);
    job.at_ms = ((int64_t)time(NULL) + 3600) * 1000;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    job.at_ms = 1000; /* long ago */
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_int_equal(stat_of(*state, NULL).depth, 1);
    assert_int_equal(stat_of(*state, NULL).delayed, 1);
}

struct listing {
    char text[400];
    int stop_after, count;
};

static int add_to_listing(void *arg, const struct lockstep_inline_job *job)
{
    struct listing *listing = arg;
    size_t length = strlen(listing->text);

    snprintf(listing->text + length, sizeof listing->text - length, "%s/%s/%s/%s/%s/%lld ",
             job->queue, job->kind, job->key, job->data ? job->data : "-", job->priority,
             (long long)job->due_in_ms);
    return ++listing->count == listing->stop_after;
}

static void list__what_was_pushed__in_the_order_in_which_it_would_run(void **state)
{
    struct listing listing = {{0}, 0, 0};
    struct lockstep_job job = LOCKSTEP_JOB("http", "{\"url\":\"http://x\"}");

    lockstep_inline_defer(*state);
    job.queue = "other";
    job.delay_ms = 100;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_int_equal(push_keyed(*state, "1", NULL, 0, 0), 1);
    assert_int_equal(push(*state, "work", NULL), 1);
    assert_int_equal(lockstep_inline_list(*state, add_to_listing, &listing), 3);
    assert_string_equal(listing.text, "default/work/k/1/normal/0 default/work//-/normal/0 "
                                      "other/http//{\"url\":\"http://x\"}/normal/100 ");
    listing = (struct listing){{0}, 1, 0};
    assert_int_equal(lockstep_inline_list(*state, add_to_listing, &listing), 3);
    assert_int_equal(listing.count, 1);
    assert_int_equal(lockstep_inline_list(*state, NULL, NULL), 3);
    assert_string_equal(ran, "");
}

static void push__an_id__is_taken_once(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "1");

    job.id = "order-1";
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_int_equal(lockstep_push(*state, &job, NULL), 0);
    job.queue = "other";
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_string_equal(ran, "work:1 work:1 ");
}

static void push__a_key__coalesces_by_its_mode(void **state)
{
    lockstep_inline_defer(*state);
    assert_int_equal(push_keyed(*state, "1", NULL, 0, 0), 1);
    assert_int_equal(push_keyed(*state, "2", "latest", 0, 0), 0);
    assert_int_equal(push_keyed(*state, "3", "keep", 0, 0), 0);
    assert_int_equal(push_keyed(*state, "4", "reject", 0, 0), -1);
    assert_int_equal(lockstep_errcode(*state), LOCKSTEP_E_REJECTED);
    assert_non_null(strstr(lockstep_strerror(*state), "key 'k' waits or runs"));
    assert_int_equal(lockstep_inline_drain(*state), 1);
    assert_string_equal(ran, "work:2 ");
    assert_int_equal(push_keyed(*state, "5", "reject", 0, 0), 1);
}

static void push__a_key_during_its_run__runs_once_more_and_rejects(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("own-key", "\"older\"");

    job.key = "k";
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_string_equal(ran, "own-key:\"older\" work:\"newer\" ");
}

static void push__debounce__is_put_off_but_not_for_ever(void **state)
{
    struct listing listing = {{0}, 0, 0};

    lockstep_inline_defer(*state);
    push_keyed(*state, "1", NULL, 500, 800);
    push_keyed(*state, "2", NULL, 600, 800);
    lockstep_inline_list(*state, add_to_listing, &listing);
    assert_string_equal(listing.text, "default/work/k/2/normal/600 ");
    push_keyed(*state, "3", NULL, 900, 800);
    listing.text[0] = 0;
    lockstep_inline_list(*state, add_to_listing, &listing);
    assert_string_equal(listing.text, "default/work/k/3/normal/800 ");
}

static void push__a_higher_priority__moves_a_waiting_key_up_never_down(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "1");
    struct listing listing = {{0}, 0, 0};

    lockstep_inline_defer(*state);
    job.key = "k";
    job.priority = "high";
    lockstep_push(*state, &job, NULL);
    job.priority = "low";
    job.data = "2";
    lockstep_push(*state, &job, NULL);
    lockstep_inline_list(*state, add_to_listing, &listing);
    assert_string_equal(listing.text, "default/work/k/2/high/0 ");
}

static void run__a_failed_one__is_tried_again_until_it_works(void **state)
{
    assert_int_equal(push(*state, "fail-some", "1"), 1);
    assert_string_equal(ran, "fail-some:1 fail-some:1 fail-some:1 ");
    assert_int_equal(stat_of(*state, NULL).failed, 0);
}

static void run__max_attempts__makes_it_dead(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("fail", "1");

    job.max_attempts = 3;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_string_equal(ran, "fail:1 fail:1 fail:1 ");
    assert_int_equal(stat_of(*state, NULL).failed, 1);
    assert_memory_equal(letter(*state), "fail|no such luck|transient|3|", 30);
    assert_non_null(strstr(letter(*state), "\"why\":\"max_attempts\""));
}

static void run__that_always_fails__dies_of_its_age(void **state)
{
    assert_int_equal(push(*state, "fail", "1"), 1);
    assert_int_equal(stat_of(*state, NULL).failed, 1);
    assert_non_null(strstr(letter(*state), "\"why\":\"max_age\""));
}

static void run__permanent__is_dead_at_once_with_its_reason(void **state)
{
    assert_int_equal(push(*state, "refuse", NULL), 1);
    assert_memory_equal(letter(*state), "refuse|bad order|permanent|1|", 29);
    assert_non_null(strstr(letter(*state), "\"bad-order\""));
}

static void run__throttled__waits_and_costs_no_attempt(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("throttled", "1");

    job.account = "shop-eu";
    job.max_attempts = 1;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_string_equal(ran, "throttled:1 throttled:1 throttled:1 throttled:1 ");
    assert_int_equal(stat_of(*state, NULL).failed, 0);
}

static void run__a_number_without_an_ending__failed(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("number", NULL);

    job.max_attempts = 1;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_memory_equal(letter(*state), "number|the handler returned 5|transient|1|", 42);
}

static void run__again__goes_on_with_its_new_data(void **state)
{
    assert_int_equal(push(*state, "steps", "1"), 1);
    assert_string_equal(ran, "steps:1 steps:2 ");
}

static void run__checkpoint__is_what_the_next_attempt_finds(void **state)
{
    assert_int_equal(push(*state, "checkpoint", "{\"page\":1}"), 1);
    assert_string_equal(ran, "checkpoint:{\"page\":1} checkpoint:{\"page\":2} ");
}

static void run__pushes_more__it_runs_afterwards(void **state)
{
    assert_int_equal(push(*state, "push-more", NULL), 1);
    assert_string_equal(ran, "push-more:- work:\"pushed within\" ");
    /* What failed within the run is not of this call. */
    assert_string_equal(lockstep_strerror(*state), "");
    assert_int_equal(lockstep_errcode(*state), LOCKSTEP_OK);
}

static void run__for_ever__is_ended_with_a_word(void **state)
{
    assert_int_equal(push(*state, "for-ever", NULL), -1);
    assert_non_null(strstr(lockstep_strerror(*state), "'for-ever'"));
    assert_int_equal(lockstep_inline_list(*state, NULL, NULL), 1);
}

static void run__unknown_kind__is_dead_as_in_a_pool(void **state)
{
    assert_int_equal(push(*state, "unheard", NULL), -1); /* refused at the push */
    lockstep_allow_kind(*state, "unheard");
    assert_int_equal(push(*state, "unheard", NULL), 1);
    assert_memory_equal(letter(*state), "unheard|unknown kind 'unheard'|unknown_kind|0|", 46);
    assert_int_equal(push(*state, "product", NULL), 1); /* lockstep's own, without a handler here */
    assert_int_equal(stat_of(*state, NULL).failed, 2);
}

static void run__what_a_handler_asks__is_told(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("looks", "{}");

    job.id = "the-id";
    job.account = "shop-eu";
    job.queue = "other";
    job.timeout_ms = 60000;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
    assert_int_equal(stat_of(*state, "other").failed, 0);
    assert_int_equal(stat_of(*state, "other").running, 0);
}

static void push_wait__a_result__is_there_at_once(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("answer", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out}, again = {.size = sizeof again};

    assert_int_equal(lockstep_push_wait(*state, &job, 1000, &out), 1);
    assert_int_equal(out.state, LOCKSTEP_DONE);
    assert_string_equal(out.result, "{\"sum\":3}");
    assert_null(out.error);
    assert_int_equal(strlen(out.id), 26);
    assert_int_equal(lockstep_result(*state, NULL, out.id, &again), 1);
    assert_string_equal(again.result, "{\"sum\":3}");
    assert_int_equal(lockstep_result(*state, NULL, "nobody", &again), 0);
    assert_int_equal(again.state, LOCKSTEP_UNKNOWN);
    assert_null(again.result);
}

static void push_wait__dead__says_why(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("refuse", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    assert_int_equal(lockstep_push_wait(*state, &job, 1000, &out), 1);
    assert_int_equal(out.state, LOCKSTEP_DEAD);
    assert_string_equal(out.error, "bad order");
    assert_string_equal(out.error_class, "permanent");
    assert_null(out.result);
}

static void push_wait__deferred__stays_queued(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("answer", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    lockstep_inline_defer(*state);
    assert_int_equal(lockstep_push_wait(*state, &job, 60000, &out), 0);
    assert_int_equal(out.state, LOCKSTEP_PENDING);
    assert_int_equal(lockstep_inline_drain(*state), 1);
    assert_int_equal(lockstep_result(*state, NULL, out.id, &out), 1);
    assert_int_equal(out.state, LOCKSTEP_DONE);
    assert_string_equal(lockstep_state_name(out.state), "done");
}

static void cancel__waiting_and_running__end_as_cancelled(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "1");
    struct lockstep_job_outcome out = {.size = sizeof out};

    lockstep_inline_defer(*state);
    job.id = "a";
    job.status = 1;
    lockstep_push(*state, &job, NULL);
    assert_int_equal(lockstep_cancel(*state, NULL, "a"), 1);
    assert_int_equal(push_keyed(*state, "2", NULL, 0, 0), 1);
    assert_int_equal(lockstep_cancel_key(*state, NULL, "k"), 1);
    assert_int_equal(lockstep_cancel_key(*state, NULL, "k"), 0);
    assert_int_equal(lockstep_cancel(*state, NULL, "b"), 1); /* remembered for when it comes */
    assert_int_equal(lockstep_cancel(*state, NULL, "b"), 0);
    job.id = "b";
    lockstep_push(*state, &job, NULL);
    assert_int_equal(lockstep_inline_drain(*state), 0);
    assert_string_equal(ran, "");
    lockstep_result(*state, NULL, "a", &out);
    assert_int_equal(out.state, LOCKSTEP_CANCELLED);
    lockstep_result(*state, NULL, "b", &out);
    assert_int_equal(out.state, LOCKSTEP_CANCELLED);
    job = (struct lockstep_job)LOCKSTEP_JOB("cancels-itself", NULL);
    job.status = 1;
    job.id = "c";
    lockstep_push(*state, &job, NULL);
    assert_int_equal(lockstep_inline_drain(*state), 1);
    lockstep_result(*state, NULL, "c", &out);
    assert_int_equal(out.state, LOCKSTEP_CANCELLED);
    assert_int_equal(lockstep_cancel(*state, NULL, ""), -1);
}

static void push_many__mixed__run_when_all_are_in(void **state)
{
    struct lockstep_job jobs[] = {LOCKSTEP_JOB("work", "1"), LOCKSTEP_JOB("work", "2"),
                                  LOCKSTEP_JOB("work", "3")};
    size_t pushed = 0;

    jobs[2].priority = "high";
    assert_int_equal(lockstep_push_many(*state, jobs, 3, NULL, &pushed), 3);
    assert_int_equal(pushed, 3);
    assert_string_equal(ran, "work:3 work:1 work:2 ");
    jobs[1].data = "}";
    assert_int_equal(lockstep_push_many(*state, jobs, 3, NULL, &pushed), -1);
    assert_int_equal(pushed, 0);
}

static void push__what_does_not_fit_together__is_refused(void **state)
{
    const struct {
        struct lockstep_job job;
        const char *piece;
    } bad[] = {
        {{.key = "k", .mode = "first"}, "unknown mode 'first'"},
        {{.mode = "keep"}, "a mode without a key"},
        {{.debounce_ms = 5}, "a debounce without a key"},
        {{.key = "k", .max_wait_ms = 5}, "without a debounce"},
        {{.key = "k", .debounce_ms = 5, .delay_ms = 5}, "either a delay or a debounce"},
        {{.key = "k", .debounce_ms = -5}, "a debounce of -5 ms is negative"},
        {{.delay_ms = -1}, "a delay of -1 ms is negative"},
        {{.delay_ms = 315360000001}, "a delay of 315360000001 ms is too long (at most 3650 days)"},
        {{.key = "k", .debounce_ms = INT64_MAX}, "ms is too long"},
        {{.key = "k", .debounce_ms = 1, .max_wait_ms = INT64_MAX}, "ms is too long"},
        {{.at_ms = INT64_MAX}, "ms is too long"},
        {{.at_ms = -1}, "at_ms is negative"},
        {{.priority = "urgent"}, "unknown priority 'urgent'"},
        {{.timeout_ms = -1}, "'timeout' cannot be -1"},
        {{.max_attempts = 1 << 30}, "'max_attempts'"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lockstep_job job = bad[i].job;

        job.size = sizeof job;
        job.kind = "work";
        assert_int_equal(lockstep_push(*state, &job, NULL), -1);
        assert_int_equal(lockstep_errcode(*state), LOCKSTEP_E_USAGE);
        if (!strstr(lockstep_strerror(*state), bad[i].piece))
            fail_msg("'%s' is not in: %s", bad[i].piece, lockstep_strerror(*state));
    }
    assert_string_equal(ran, "");
}

static void push__too_big_or_a_long_key__is_named(void **state)
{
    char *data = malloc(70001), key[514];

    memset(data, 'x', 70000);
    data[0] = data[69999] = '"';
    data[70000] = 0;
    assert_int_equal(push(*state, "work", data), -1);
    assert_int_equal(lockstep_errcode(*state), LOCKSTEP_E_USAGE);
    assert_non_null(strstr(lockstep_strerror(*state), "65536 are allowed"));
    free(data);
    memset(key, 'k', 513);
    key[513] = 0;
    struct lockstep_job job = LOCKSTEP_JOB("work", NULL);
    job.key = key;
    assert_int_equal(lockstep_push(*state, &job, NULL), -1);
    assert_non_null(strstr(lockstep_strerror(*state), "'key' has 513 bytes, 512 are allowed"));
}

static void push__an_older_callers_struct__means_what_it_meant(void **state)
{
    struct lockstep_job job = LOCKSTEP_JOB("work", "1");

    job.size = offsetof(struct lockstep_job, mode); /* as before the struct grew */
    job.mode = (const char *)1;
    job.debounce_ms = -1;
    assert_int_equal(lockstep_push(*state, &job, NULL), 1);
}

static void handlers__their_own_state__is_opened_and_closed(void **state)
{
    struct lockstep *ls = lockstep_open("inline:");

    opened = 0;
    assert_int_equal(lockstep_inline_handlers(ls, handlers), 16);
    assert_int_equal(opened, 1);
    assert_int_equal(push(ls, "with-self", NULL), 1);
    lockstep_close(ls);
    assert_int_equal(closed, 1);
}

static void handlers__that_cannot_be__are_refused(void **state)
{
    struct lockstep *ls = lockstep_open("inline:"), *real = lockstep_open("unix:///nowhere");
    struct lockstep_handler bad[] = {LOCKSTEP_HANDLER("x", work), LOCKSTEP_HANDLERS_END};

    bad[0].abi = 99;
    assert_int_equal(lockstep_inline_handlers(ls, bad), -1);
    assert_non_null(strstr(lockstep_strerror(ls), "another binary interface: 99"));
    bad[0].abi = LOCKSTEP_HANDLER_ABI;
    bad[0].kind = "no such\n";
    assert_int_equal(lockstep_inline_handlers(ls, bad), -1);
    bad[0].kind = "x";
    bad[0].run = NULL;
    assert_int_equal(lockstep_inline_handlers(ls, bad), -1);
    assert_non_null(strstr(lockstep_strerror(ls), "neither of the two forms"));
    bad[0].run = work;
    bad[0].open = refuse_to_open;
    assert_int_equal(lockstep_inline_handlers(ls, bad), -1);
    assert_non_null(strstr(lockstep_strerror(ls), "no licence"));
    assert_int_equal(lockstep_inline_handlers(ls, NULL), -1);
    assert_int_equal(lockstep_inline_handlers(real, handlers), -1);
    assert_int_equal(lockstep_errcode(real), LOCKSTEP_E_USAGE);
    assert_int_equal(lockstep_inline_drain(real), -1);
    assert_int_equal(lockstep_inline_defer(real), -1);
    assert_int_equal(lockstep_inline_list(real, NULL, NULL), -1);
    lockstep_close(ls);
    lockstep_close(real);
}

static void library__a_shared_object__brings_its_kinds(void **state)
{
    struct lockstep *ls = lockstep_open("inline:");
    struct lockstep_job job = LOCKSTEP_JOB("greet", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};

    assert_int_equal(lockstep_inline_library(ls, "./no-such.so"), -1);
    assert_non_null(strstr(lockstep_strerror(ls), "cannot load './no-such.so'"));
    assert_int_equal(lockstep_inline_library(ls, HANDLERS_OBJECT), 1);
    assert_int_equal(lockstep_push_wait(ls, &job, 0, &out), 1);
    assert_string_equal(out.result, "\"hello\"");
    assert_int_equal(push(ls, "later", NULL), -1); /* of the asynchronous form */
    assert_non_null(strstr(lockstep_strerror(ls), "asynchronous form"));
    lockstep_close(ls);
}

/* The handler that the documentation starts from, as a pool loads it. */
static void library__the_example__counts_words(void **state)
{
    struct lockstep *ls = lockstep_open("inline:");
    struct lockstep_job job = LOCKSTEP_JOB("count-words", NULL);
    struct lockstep_job_outcome out = {.size = sizeof out};
    char path[] = "/tmp/ls-inline-XXXXXX", data[100];
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(write(file, "one two\nthree", 13), 13);
    close(file);
    snprintf(data, sizeof data, "{\"path\":\"%s\"}", path);
    job.data = data;
    assert_int_equal(lockstep_inline_library(ls, EXAMPLE_OBJECT), 1);
    assert_int_equal(lockstep_push_wait(ls, &job, 0, &out), 1);
    assert_int_equal(out.state, LOCKSTEP_DONE);
    assert_string_equal(out.result, "{\"words\":3}");
    unlink(path);
    assert_int_equal(lockstep_push_wait(ls, &job, 0, &out), 1);
    assert_int_equal(out.state, LOCKSTEP_DEAD);
    assert_non_null(strstr(out.error, "there is no file"));
    lockstep_close(ls);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(push__a_job__runs_within_the_call),
        TEST(push__delays__pass_at_once_in_the_order_of_their_time),
        TEST(push__at_a_time__is_by_the_handles_clock),
        TEST(list__what_was_pushed__in_the_order_in_which_it_would_run),
        TEST(push__an_id__is_taken_once),
        TEST(push__a_key__coalesces_by_its_mode),
        TEST(push__a_key_during_its_run__runs_once_more_and_rejects),
        TEST(push__debounce__is_put_off_but_not_for_ever),
        TEST(push__a_higher_priority__moves_a_waiting_key_up_never_down),
        TEST(run__a_failed_one__is_tried_again_until_it_works),
        TEST(run__max_attempts__makes_it_dead),
        TEST(run__that_always_fails__dies_of_its_age),
        TEST(run__permanent__is_dead_at_once_with_its_reason),
        TEST(run__throttled__waits_and_costs_no_attempt),
        TEST(run__a_number_without_an_ending__failed),
        TEST(run__again__goes_on_with_its_new_data),
        TEST(run__checkpoint__is_what_the_next_attempt_finds),
        TEST(run__pushes_more__it_runs_afterwards),
        TEST(run__for_ever__is_ended_with_a_word),
        TEST(run__unknown_kind__is_dead_as_in_a_pool),
        TEST(run__what_a_handler_asks__is_told),
        TEST(push_wait__a_result__is_there_at_once),
        TEST(push_wait__dead__says_why),
        TEST(push_wait__deferred__stays_queued),
        TEST(cancel__waiting_and_running__end_as_cancelled),
        TEST(push_many__mixed__run_when_all_are_in),
        TEST(push__what_does_not_fit_together__is_refused),
        TEST(push__too_big_or_a_long_key__is_named),
        TEST(push__an_older_callers_struct__means_what_it_meant),
        TEST(handlers__their_own_state__is_opened_and_closed),
        cmocka_unit_test(handlers__that_cannot_be__are_refused),
        cmocka_unit_test(library__a_shared_object__brings_its_kinds),
        cmocka_unit_test(library__the_example__counts_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
