/* How fast the turn itself is: one connection, nothing pipelined, no handlers; each turn settles
 * what the turn before claimed. What a runner adds comes on top (tests/bench). bare_turn [batch
 * [jobs [keyed|limited]]] */
#include "tests/lua/harness.h"

#include <sys/resource.h>

/* Envelopes of 200 bytes. */
static void fill(int jobs, const char *how)
{
    static struct ls_buf envelopes[LS_PUSH_MAX];
    static char names[LS_PUSH_MAX][16];
    struct ls_push_job batch[LS_PUSH_MAX];

    for (int i = 0; i < jobs; i += LS_PUSH_MAX) {
        for (int j = 0; j < LS_PUSH_MAX; j++) {
            struct ls_buf *out = &envelopes[j];

            snprintf(names[j], sizeof names[j], "k%d", i + j);
            ls_buf_clear(out);
            ls_buf_printf(out, "{\"account\":\"shop-eu\",\"id\":\"%026d\"", i + j);
            if (*how == 'k')
                ls_buf_printf(out, ",\"key\":\"%s\"", names[j]);
            ls_buf_puts(out, ",\"kind\":\"noop\",\"data\":{\"text\":\"");
            while (out->length < 197)
                ls_buf_putc(out, 'x');
            ls_buf_puts(out, "\"}}");
            batch[j] = (struct ls_push_job){.envelope = {out->data, out->length}};
            if (*how == 'k')
                batch[j].key = span(names[j]);
        }
        if (*how == 'k')
            ls_push_keyed_build(&cmd, &keys, NULL, batch, LS_PUSH_MAX);
        else
            ls_push_build(&cmd, &keys, NULL, batch, LS_PUSH_MAX);
        send_cmd();
    }
}

static double cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static void run(void **state)
{
    const char *const *args = *state;
    int batch = args[1] ? (int)strtol(args[1], NULL, 10) : 64;
    int jobs = args[1] && args[2] ? (int)strtol(args[2], NULL, 10) : 200000;
    const char *how = args[1] && args[2] && args[3] ? args[3] : "plain";
    struct ls_turn_options options = {.worker = "bare", .claim = batch};
    struct ls_turn turn = {0};
    struct ls_turn_result result;
    struct ls_err err = LS_ERR_INIT;
    int64_t start, pushed, end;
    const char *stats, *at;
    double cpu;
    int done = 0, turns = 0;

    join("bare");
    if (*how == 'l') {
        ls_limit_set_build(
            &cmd, &keys,
            &(struct ls_limit_change){
                .account = span("shop-eu"), .rate = 1e6, .burst = 1000000, .park_ms = -1});
        send_cmd();
    }
    start = ls_clock_mono_us();
    fill(jobs, how);
    pushed = ls_clock_mono_us();
    redis_text("CONFIG", "RESETSTAT", NULL);
    cpu = cpu_s();
    do {
        turns++;
        ls_turn_build(&turn, &cmd, &keys, &options);
        ls_turn_clear(&turn);
        if (ls_turn_parse(send_cmd(), &result, &err) < 0)
            fail_msg("%s", err.text);
        done += (int)result.settled;
        for (size_t i = 0; i < result.claims.count; i++) {
            struct ls_claim claim = ls_claims_at(&result.claims, i);
            char name[16] = "";

            if (claim.keyed) {
                const char *key = strstr(claim.envelope.data, "\"key\":\"") + 7;

                snprintf(name, sizeof name, "%.*s", (int)strcspn(key, "\""), key);
            }
            ls_turn_ack(&turn, claim.fence, span(name));
        }
    } while (done < jobs);
    end = ls_clock_mono_us();
    cpu = cpu_s() - cpu;
    stats = redis_text("INFO", "commandstats", NULL);
    at = strstr(stats, "cmdstat_evalsha:");
    printf("%s, batch %d: %.0f jobs/s, %.1f us a turn, redis %.1f us a turn, client cpu %.2f s per "
           "100k; pushed at %.0f jobs/s\n",
           how, batch, jobs / ((double)(end - pushed) / 1e6), (double)(end - pushed) / turns,
           at ? strtod(strstr(at, "usec_per_call=") + 14, NULL) : 0, cpu / jobs * 1e5,
           jobs / ((double)(pushed - start) / 1e6));
    ls_turn_fini(&turn);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(run, argv)};

    return cmocka_run_group_tests(tests, harness_open, harness_close);
}
