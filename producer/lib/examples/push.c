/* Pushes jobs and looks at the queue: everything that most applications need of liblockstep.
 *
 *     cc push.c $(pkg-config --cflags --libs lockstep) -o push
 *     LOCKSTEP_REDIS=redis://127.0.0.1:6379/0 ./push 1000 */
#include <lockstep/lockstep.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(struct lockstep *ls, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, lockstep_strerror(ls));
    lockstep_close(ls);
    return 1;
}

static int print_dead(void *arg, const struct lockstep_dead *dead)
{
    (void)arg;
    printf("dead %s %s: %s\n", dead->id, dead->kind, dead->error);
    return 0;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
    struct lockstep *ls = lockstep_open(NULL);
    struct lockstep_queue_stat stat = {.size = sizeof stat};
    char id[LOCKSTEP_ID_SIZE];
    int64_t pushed;

    /* One job. An id of our own makes the push safe to repeat: it is taken once. */
    struct lockstep_job job = LOCKSTEP_JOB("noop", "{\"order\": 4711}");
    job.id = "order-4711";
    if (lockstep_push(ls, &job, id) < 0)
        return failed(ls, "cannot push");
    printf("pushed %s\n", id);

    /* A change of a record: with a key, a burst of changes becomes one run. */
    struct lockstep_job change = LOCKSTEP_JOB("noop", "{\"price\": \"19.90\"}");
    change.key = "products/12345";
    change.priority = "high";
    if (lockstep_push(ls, &change, NULL) < 0)
        return failed(ls, "cannot push");

    /* Many at once: a few round trips for all of them. */
    struct lockstep_job *jobs = calloc(count ? count : 1, sizeof *jobs);
    if (!jobs)
        return 1;
    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct lockstep_job)LOCKSTEP_JOB("noop", NULL);
    pushed = lockstep_push_many(ls, jobs, count, NULL, NULL);
    free(jobs);
    if (pushed < 0)
        return failed(ls, "cannot push many");

    if (lockstep_queue_stat(ls, NULL, &stat) < 0)
        return failed(ls, "cannot look");
    printf("pushed %lld more; waiting %lld, running %lld, failed %lld\n", (long long)pushed,
           (long long)stat.depth, (long long)stat.running, (long long)stat.failed);
    if (lockstep_dead_list(ls, NULL, 0, 10, print_dead, NULL) < 0)
        return failed(ls, "cannot list the dead");
    lockstep_close(ls);
    return 0;
}
