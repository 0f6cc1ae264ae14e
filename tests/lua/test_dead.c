/* Dead letters: their way back, their end, their way in from a file; the order of the list. */
#include "tests/lua/harness.h"

#include "common/job/dead.h"

#define LETTERS 64

static struct got got;
static struct ls_turn turn;

static const struct ls_span PLAIN = {0};
static const struct ls_span LINE = {"{\"by\":\"me\"", 10};

/* A letter on the list, by the way of a job that dies. */
static void bury(const char *id, const char *key, const char *group)
{
    struct ls_buf letter = {0};
    const char *job = make("acc", id, key, ",\"attempt\":5");
    struct ls_dead dead = {.id = span(id),
                           .kind = span("t"),
                           .error = span("it broke"),
                           .klass = span("transient"),
                           .failed_at = 1763859600000,
                           .group = span(group),
                           .key = span(key),
                           .job = span(job)};

    ls_dead_write(&letter, &dead);
    push_raw(keys.pending, job);
    take_turn(NULL, "w", 1, &got);
    assert_int_equal(got.count, 1);
    ls_turn_dead(&turn, got.at[0].fence, PLAIN, (struct ls_span){letter.data, letter.length},
                 span(group), span("it broke"));
    take_turn(&turn, "w", 0, &got);
    assert_int_equal(got.settled, 1);
    ls_buf_fini(&letter);
}

/* The letters of a list, to be moved. */
struct letters {
    struct ls_buf text[LETTERS], envelope[LETTERS];
    struct ls_dead parsed[LETTERS];
    struct ls_dead_move moves[LETTERS];
    size_t count;
};

/* From first to last, newest first, or turned round. */
static void read_letters(struct letters *letters, int64_t first, int64_t last, bool oldest_first)
{
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;

    *letters = (struct letters){0};
    ls_dead_list_build(&cmd, &keys, first, last);
    reply = send_cmd();
    assert_true(reply->count <= LETTERS);
    for (size_t i = 0; i < reply->count; i++) {
        struct ls_span bytes =
            ls_reply_span(&reply->items[oldest_first ? reply->count - 1 - i : i]);

        ls_buf_add(&letters->text[i], bytes.data, bytes.length);
        if (ls_dead_parse(&letters->parsed[i], letters->text[i].data, bytes.length, &err) < 0 ||
            ls_dead_revive(&letters->envelope[i], &letters->parsed[i], &err) < 0)
            fail_msg("%s", err.text);
        letters->moves[i] = (struct ls_dead_move){
            .letter = {letters->text[i].data, letters->text[i].length},
            .group = letters->parsed[i].group,
            .envelope = {letters->envelope[i].data, letters->envelope[i].length},
            .key = letters->parsed[i].key,
        };
        letters->count++;
    }
}

static void free_letters(struct letters *letters)
{
    for (size_t i = 0; i < letters->count; i++) {
        ls_dead_fini(&letters->parsed[i]);
        ls_buf_fini(&letters->text[i]);
        ls_buf_fini(&letters->envelope[i]);
    }
}

static struct ls_dead_moved move(bool redrive, const struct ls_dead_place *place,
                                 const struct ls_dead_move *moves, size_t count)
{
    struct ls_dead_moved moved;

    if (redrive)
        ls_dead_redrive_build(&cmd, &keys, place, moves, count);
    else
        ls_dead_discard_build(&cmd, &keys, place, LINE, moves, count);
    assert_int_equal(ls_dead_moved_parse(send_cmd(), &moved, NULL), 0);
    return moved;
}

static const struct ls_dead_place HEAD = {.where = LS_DEAD_HEAD}, TAIL = {.where = LS_DEAD_TAIL},
                                  OLDEST = {.where = LS_DEAD_OLDEST};

/* The ids on the list, newest first, joined by '|'. */
static const char *ids(void)
{
    static char out[4096];
    const struct ls_reply *reply;
    size_t used = 0;

    ls_dead_list_build(&cmd, &keys, 0, -1);
    reply = send_cmd();
    out[0] = '\0';
    for (size_t i = 0; i < reply->count; i++) {
        struct ls_span text = ls_reply_span(&reply->items[i]);
        struct ls_dead letter;

        assert_int_equal(ls_dead_parse(&letter, text.data, text.length, NULL), 0);
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%.*s", i ? "|" : "",
                                 LS_SPAN_ARG(letter.id));
        assert_true(used < sizeof out);
        ls_dead_fini(&letter);
    }
    return out;
}

/* ---- a few, from anywhere ---- */

static void redrive__all__runs_again_with_attempts_reset(void **state)
{
    struct letters letters;
    struct ls_dead_moved moved;

    join("w");
    for (int i = 0; i < 5; i++) {
        char id[8];

        snprintf(id, sizeof id, "d%d", i);
        bury(id, NULL, i < 3 ? "aaaa" : "bbbb");
    }
    read_letters(&letters, 0, -1, false);
    moved = move(true, &HEAD, letters.moves, letters.count);
    assert_int_equal(moved.moved, 5);
    assert_int_equal(moved.left, 0);
    assert_int_equal(redis_int("EXISTS", keys.dead, keys.dead_groups, NULL), 0);
    moved = move(true, &HEAD, letters.moves, letters.count); /* the reply was lost */
    assert_int_equal(moved.moved, 0);
    claim_until("w", 5, &got);
    assert_null(strstr(got.at[0].envelope, "attempt"));
    take_turn(NULL, "w", 5, &got);
    assert_int_equal(got.count, 0);
    assert_string_equal(redis_text("HGET", keys.stats, "redriven", NULL), "5");
    free_letters(&letters);
}

static void redrive__from_the_middle__leaves_the_others_where_they_are(void **state)
{
    struct letters letters;

    join("w");
    bury("a", NULL, "aaaa");
    bury("b", NULL, "aaaa");
    bury("c", NULL, "aaaa");
    read_letters(&letters, 0, -1, false);
    assert_int_equal(move(true, &TAIL, &letters.moves[1], 1).left, 2);
    assert_string_equal(ids(), "c|a");
    assert_non_null(strstr(redis_text("LINDEX", keys.pending, "0", NULL), "\"b\""));
    assert_true(strncmp(redis_text("HGET", keys.dead_groups, "aaaa", NULL), "2 ", 2) == 0);
    free_letters(&letters);
}

static void redrive__keyed__yields_to_a_newer_body(void **state)
{
    struct letters letters;

    join("w");
    bury("d0", "k", "aaaa");
    bury("d1", "r", "aaaa");
    bury("d2", "n", "aaaa");
    push_keyed("k", make("acc", "new", "k", NULL), 0);
    push_keyed("r", make("acc", "run", "r", NULL), 0);
    take_turn(NULL, "w", 1, &got); /* k */
    ls_turn_back(&turn, got.at[0].fence, span("k"), span(got.at[0].envelope));
    take_turn(NULL, "w", 1, &got); /* r runs */
    take_turn(&turn, "w", 0, NULL);
    read_letters(&letters, 0, -1, false);
    assert_int_equal(move(true, &HEAD, letters.moves, 3).moved, 3);
    assert_string_equal(redis_text("HGET", keys.bodies, "k", NULL), make("acc", "new", "k", NULL));
    assert_non_null(strstr(redis_text("HGET", keys.bodies, "r", NULL), "d1"));
    assert_true(strncmp(redis_text("HGET", keys.keys, "r", NULL), "changed w ", 10) == 0);
    assert_non_null(strstr(redis_text("HGET", keys.bodies, "n", NULL), "d2"));
    free_letters(&letters);
}

static void discard__takes_letters_out_and_counts_groups_down(void **state)
{
    struct letters letters;

    join("w");
    bury("a", NULL, "aaaa");
    bury("b", NULL, "aaaa");
    bury("c", NULL, "bbbb");
    read_letters(&letters, 0, -1, false);
    assert_int_equal(move(false, &HEAD, letters.moves, 1).left, 2);
    assert_string_equal(redis_list("HKEYS", keys.dead_groups, NULL), "aaaa");
    assert_int_equal(move(false, &HEAD, letters.moves, 3).moved, 2);
    assert_int_equal(everywhere("w", NULL), 0);
    free_letters(&letters);
}

static void dead__beyond_a_thousand_groups__are_counted_together(void **state)
{
    struct letters letters;
    char group[16];

    join("w");
    for (int i = 0; i < 1000; i++) {
        snprintf(group, sizeof group, "g%d", i);
        redis_int("HSET", keys.dead_groups, group, "1 1 1 x", NULL);
    }
    bury("a", NULL, "fresh");
    bury("b", NULL, "fresh2");
    assert_true(strncmp(redis_text("HGET", keys.dead_groups, "other", NULL), "2 ", 2) == 0);
    read_letters(&letters, 0, -1, false);
    move(false, &HEAD, letters.moves, 2);
    assert_int_equal(redis_int("HLEN", keys.dead_groups, NULL), 1000);
    free_letters(&letters);
}

/* ---- a selection out of many ---- */

/* One slice as the command line moves it: the `n` oldest, those of group "aaaa" taken. Returns the
 * letters that stayed; the last of them is copied into mark. */
static int64_t turn_slice(int n, struct ls_buf *mark, bool redrive, struct ls_dead_moved *moved)
{
    struct ls_dead_place place = {.where = LS_DEAD_OLDEST, .mark = {mark->data, mark->length}};
    struct letters letters;
    int64_t stayed = 0;
    size_t last = 0;

    read_letters(&letters, -n, -1, true);
    for (size_t i = 0; i < letters.count; i++) {
        letters.moves[i].stays = !ls_span_is(letters.moves[i].group, "aaaa");
        stayed += letters.moves[i].stays;
        last = letters.moves[i].stays ? i : last;
    }
    *moved = move(redrive, &place, letters.moves, letters.count);
    assert_false(moved->changed);
    assert_int_equal(moved->moved, (int64_t)letters.count - stayed);
    if (stayed) {
        ls_buf_clear(mark);
        ls_buf_add(mark, letters.text[last].data, letters.text[last].length);
    }
    free_letters(&letters);
    return stayed;
}

static void bury_many(int from, int to)
{
    for (int i = from; i <= to; i++) {
        char id[8];

        snprintf(id, sizeof id, "%d", i);
        bury(id, NULL, i % 3 ? "bbbb" : "aaaa");
    }
}

/* A letter from elsewhere, while jobs that were redriven lie in the lane. */
static void add_letter(const char *id, const char *group)
{
    struct ls_dead_import letter = {
        .group = span(group), .failed_at = 1763859600000, .sample = LS_SPAN("it broke")};
    char text[200];

    snprintf(text, sizeof text, "{\"id\":\"%s\",\"group\":\"%s\",\"job\":{\"kind\":\"t\"}}", id,
             group);
    letter.letter = span(text);
    ls_dead_import_build(&cmd, &keys, &letter, 1);
    send_cmd();
}

static void oldest__a_whole_pass__leaves_the_rest_in_its_order(void **state)
{
    struct ls_dead_moved moved;
    struct ls_buf mark = {0};

    join("w");
    bury_many(1, 21);
    turn_slice(7, &mark, true, &moved);
    assert_true(moved.together);
    add_letter("x", "aaaa"); /* dies while the pass goes on */
    add_letter("y", "bbbb");
    turn_slice(7, &mark, true, &moved);
    assert_true(moved.together);
    add_letter("z", "aaaa");
    turn_slice(7, &mark, true, &moved);
    assert_true(moved.together);
    assert_string_equal(ids(), "z|y|x|20|19|17|16|14|13|11|10|8|7|5|4|2|1");
    assert_int_equal(moved.left, 17);
    assert_non_null(strstr(redis_text("LINDEX", keys.pending, "0", NULL), "\"3\""));
    assert_non_null(strstr(redis_text("LINDEX", keys.pending, "-1", NULL), "\"21\""));
    assert_string_equal(redis_text("HGET", keys.stats, "redriven", NULL), "7");
    assert_true(strncmp(redis_text("HGET", keys.dead_groups, "aaaa", NULL), "2 ", 2) == 0);
    assert_true(strncmp(redis_text("HGET", keys.dead_groups, "bbbb", NULL), "15 ", 3) == 0);
    ls_buf_fini(&mark);
}

static void oldest__all_taken__needs_no_turning(void **state)
{
    struct letters letters;

    join("w");
    bury_many(1, 4);
    read_letters(&letters, -3, -1, true);
    assert_int_equal(move(false, &OLDEST, letters.moves, 3).moved, 3);
    assert_string_equal(ids(), "4");
    free_letters(&letters);
}

static void oldest__not_the_oldest_any_more__is_refused_whole(void **state)
{
    struct letters letters;
    struct ls_dead_moved moved;

    join("w");
    bury_many(1, 6);
    read_letters(&letters, -4, -1, true);
    moved = move(true, &OLDEST, letters.moves + 1, 3); /* not from the very end */
    assert_true(moved.changed);
    moved = move(true, &OLDEST, letters.moves, 4);
    assert_false(moved.changed);
    assert_int_equal(moved.moved, 4);
    moved = move(true, &OLDEST, letters.moves, 4); /* the reply was lost */
    assert_true(moved.changed);
    assert_int_equal(moved.left, 2);
    assert_string_equal(ids(), "6|5");
    assert_int_equal(redis_int("LLEN", keys.pending, NULL), 4);
    free_letters(&letters);
}

static void oldest__ended_early__turns_back_what_it_turned(void **state)
{
    struct ls_dead_moved moved;
    struct ls_buf mark = {0};
    struct ls_span next;
    struct ls_err err = LS_ERR_INIT;
    int64_t stayed;

    join("w");
    bury_many(1, 21);
    stayed = turn_slice(6, &mark, false, &moved);
    bury("x", NULL, "aaaa");
    stayed += turn_slice(6, &mark, false, &moved);
    bury("y", NULL, "bbbb");
    assert_int_equal(stayed, 8);
    ls_dead_rewind_build(&cmd, &keys, (struct ls_span){mark.data, mark.length}, 5);
    assert_int_equal(ls_dead_rewind_parse(send_cmd(), &next, &err), 0);
    ls_buf_clear(&mark);
    ls_buf_add(&mark, next.data, next.length);
    ls_dead_rewind_build(&cmd, &keys, (struct ls_span){mark.data, mark.length}, 3);
    assert_int_equal(ls_dead_rewind_parse(send_cmd(), &next, &err), 0);
    assert_string_equal(ids(), "y|x|21|20|19|18|17|16|15|14|13|11|10|8|7|5|4|2|1");
    ls_dead_rewind_build(&cmd, &keys, span("{nobody}"), 3);
    assert_int_equal(ls_dead_rewind_parse(send_cmd(), &next, &err), 0);
    assert_int_equal(next.length, 0);
    ls_buf_fini(&mark);
}

static void oldest__more_died_than_are_looked_through__says_so(void **state)
{
    struct ls_dead_moved moved;
    struct ls_buf mark = {0};

    join("w");
    bury_many(1, 12);
    turn_slice(3, &mark, true, &moved);
    for (int i = 0; i < 70; i++)
        redis_int("LPUSH", keys.dead, make(NULL, "fresh", NULL, NULL), NULL);
    turn_slice(3, &mark, true, &moved);
    assert_false(moved.together);
    turn_slice(3, &mark, true, &moved); /* from the new mark on */
    assert_true(moved.together);
    assert_int_equal(moved.left, 70 + 12 - 3);
    ls_buf_fini(&mark);
}

/* What makes room must not need any. */
static void oldest__redis_is_full__redrives_and_discards_all_the_same(void **state)
{
    struct ls_dead_moved moved;
    struct ls_buf mark = {0};

    join("w");
    bury_many(1, 12);
    assert_string_equal(redis_text("CONFIG", "SET", "maxmemory", "1", NULL), "OK");
    turn_slice(4, &mark, true, &moved); /* the first of them stays */
    assert_int_equal(moved.moved, 1);
    turn_slice(4, &mark, false, &moved);
    assert_int_equal(moved.moved, 1);
    assert_string_equal(redis_text("CONFIG", "SET", "maxmemory", "0", NULL), "OK");
    ls_buf_fini(&mark);
}

/* ---- the log of what was discarded ---- */

static void discard(const char *line, const struct ls_dead_move *letter)
{
    struct ls_dead_moved moved;

    ls_dead_discard_build(&cmd, &keys, &HEAD, span(line), letter, 1);
    assert_int_equal(ls_dead_moved_parse(send_cmd(), &moved, NULL), 0);
}

static void discarded__slices_of_a_command__are_one_line(void **state)
{
    struct letters letters;

    join("w");
    bury_many(1, 5);
    read_letters(&letters, 0, -1, false);
    discard("{\"run\":\"1\"", &letters.moves[0]);
    discard("{\"run\":\"1\"", &letters.moves[1]);
    discard("{\"run\":\"2\"", &letters.moves[2]); /* somebody else, in between */
    discard("{\"run\":\"1\"", &letters.moves[3]);
    discard("{\"run\":\"1\"", &letters.moves[3]); /* the reply was lost */
    assert_string_equal(redis_list("LRANGE", keys.discarded, "0", "-1", NULL),
                        "{\"run\":\"2\",\"jobs\":1}|{\"run\":\"1\",\"jobs\":3}");
    ls_dead_discarded_build(&cmd, &keys, 1);
    assert_int_equal(send_cmd()->count, 1);
    free_letters(&letters);
}

static void discarded__the_log__keeps_a_thousand_lines(void **state)
{
    struct letters letters;

    join("w");
    bury("a", NULL, "aaaa");
    for (int i = 0; i < 1000; i++)
        redis_int("RPUSH", keys.discarded, "{\"run\":\"old\",\"jobs\":1}", NULL);
    read_letters(&letters, 0, -1, false);
    discard("{\"run\":\"1\"", &letters.moves[0]);
    assert_int_equal(redis_int("LLEN", keys.discarded, NULL), 1000);
    assert_string_equal(redis_text("LINDEX", keys.discarded, "0", NULL),
                        "{\"run\":\"1\",\"jobs\":1}");
    free_letters(&letters);
}

/* ---- from a file ---- */

static int64_t import(const struct ls_dead_import *letters, size_t count)
{
    struct ls_err err = LS_ERR_INIT;
    int64_t imported;

    ls_dead_import_build(&cmd, &keys, letters, count);
    if (ls_dead_import_parse(send_cmd(), &imported, &err) < 0)
        fail_msg("%s", err.text);
    return imported;
}

static void import__letters__lie_in_dead_and_in_their_groups(void **state)
{
    const struct ls_dead_import letters[] = {
        {LS_SPAN("{\"id\":\"1\",\"job\":1}"), LS_SPAN("aaaa"), 3000, LS_SPAN("it broke")},
        {LS_SPAN("{\"id\":\"2\",\"job\":1}"), LS_SPAN("aaaa"), 2000, LS_SPAN("it broke again")},
        {LS_SPAN("{\"id\":\"3\",\"job\":1}"), PLAIN, 5000, LS_SPAN("no group")},
        {LS_SPAN("{\"id\":\"2\",\"job\":1}"), LS_SPAN("aaaa"), 2000, LS_SPAN("twice in the file")},
    };

    assert_int_equal(import(letters, LS_COUNT(letters)), 3);
    assert_string_equal(ids(), "3|2|1");
    assert_string_equal(redis_text("HGET", keys.dead_groups, "aaaa", NULL), "2 2000 3000 it broke");
    assert_string_equal(redis_text("HGET", keys.dead_groups, "other", NULL),
                        "1 5000 5000 groups beyond the first thousand");
    assert_string_equal(redis_text("HGET", keys.stats, "imported", NULL), "3");
    assert_int_equal(import(letters, LS_COUNT(letters)), 0); /* the reply was lost */
    assert_int_equal(redis_int("LLEN", keys.dead, NULL), 3);
    assert_string_equal(redis_text("HGET", keys.stats, "imported", NULL), "3");
}

static void import__a_group_that_is_there__is_joined(void **state)
{
    const struct ls_dead_import one = {LS_SPAN("{\"id\":\"1\",\"job\":1}"), LS_SPAN("aaaa"), 1000,
                                       LS_SPAN("of the file")};
    struct ls_dead_group_row row;
    const char *value;

    join("w");
    bury("now", NULL, "aaaa");
    assert_int_equal(import(&one, 1), 1);
    value = redis_text("HGET", keys.dead_groups, "aaaa", NULL);
    assert_int_equal(ls_dead_group_parse(span(value), &row), 0);
    assert_int_equal(row.count, 2);
    assert_int_equal(row.first_ms, 1000);
    assert_true(row.last_ms > 1763859600000);
    assert_true(ls_span_is(row.sample, "it broke"));
}

static void import__redis_is_full__is_refused_whole(void **state)
{
    const struct ls_dead_import one = {LS_SPAN("{\"id\":\"1\",\"job\":1}"), LS_SPAN("aaaa"), 1000,
                                       LS_SPAN("x")};
    const struct ls_reply *reply;
    struct ls_err err = LS_ERR_INIT;

    assert_string_equal(redis_text("CONFIG", "SET", "maxmemory", "1", NULL), "OK");
    ls_dead_import_build(&cmd, &keys, &one, 1);
    assert_int_equal(ls_redis_sync_send(wire, &cmd, &reply, &err), -1);
    assert_int_equal(err.code, LS_E_TRANSIENT);
    assert_string_equal(redis_text("CONFIG", "SET", "maxmemory", "0", NULL), "OK");
    assert_int_equal(redis_int("DBSIZE", NULL), 0);
}

/* ---- how old a group is ---- */

static void date__a_group__says_when_its_oldest_letter_died(void **state)
{
    const struct ls_dead_date dates[] = {
        {LS_SPAN("a"), 1000, 5000}, {LS_SPAN("b"), 1000, 5000}, {LS_SPAN("gone"), 1000, 5000}};

    redis_int("HSET", keys.dead_groups, "a", "3 1000 9000 it broke 1 2", "b", "3 900 9000 x", NULL);
    ls_dead_date_build(&cmd, &keys, dates, LS_COUNT(dates));
    assert_int_equal(ls_reply_int(ls_reply_item(send_cmd(), 2), -1), 1);
    assert_string_equal(redis_text("HGET", keys.dead_groups, "a", NULL),
                        "3 5000 9000 it broke 1 2");
    assert_string_equal(redis_text("HGET", keys.dead_groups, "b", NULL),
                        "3 900 9000 x"); /* an older one came since it was read */
    ls_dead_date_build(&cmd, &keys, dates, LS_COUNT(dates));
    assert_int_equal(ls_reply_int(ls_reply_item(send_cmd(), 2), -1), 0);
    assert_int_equal(redis_int("HLEN", keys.dead_groups, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(redrive__all__runs_again_with_attempts_reset),
        TEST(redrive__from_the_middle__leaves_the_others_where_they_are),
        TEST(redrive__keyed__yields_to_a_newer_body),
        TEST(discard__takes_letters_out_and_counts_groups_down),
        TEST(dead__beyond_a_thousand_groups__are_counted_together),
        TEST(oldest__a_whole_pass__leaves_the_rest_in_its_order),
        TEST(oldest__all_taken__needs_no_turning),
        TEST(oldest__not_the_oldest_any_more__is_refused_whole),
        TEST(oldest__ended_early__turns_back_what_it_turned),
        TEST(oldest__more_died_than_are_looked_through__says_so),
        TEST(oldest__redis_is_full__redrives_and_discards_all_the_same),
        TEST(discarded__slices_of_a_command__are_one_line),
        TEST(discarded__the_log__keeps_a_thousand_lines),
        TEST(import__letters__lie_in_dead_and_in_their_groups),
        TEST(import__a_group_that_is_there__is_joined),
        TEST(import__redis_is_full__is_refused_whole),
        TEST(date__a_group__says_when_its_oldest_letter_died),
    };
    int failed = cmocka_run_group_tests(tests, harness_open, harness_close);

    ls_turn_fini(&turn);
    return failed;
}
