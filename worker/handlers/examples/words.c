/* A handler to start from: kind `count-words` counts the words of a file, however long it is.
 *
 *     cc -shared -fPIC -o words.so words.c -ljansson
 *
 *     handlers:                        # in lockstep.yaml
 *       count-words: {library: ./words.so, timeout: 10m}
 *
 * Data: {"path": "/var/log/big.txt"}. After each piece it notes how far it is, so that a killed
 * process, a redeploy or a failure costs one piece and not the whole file. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <lockstep/handler.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES 65536

struct count {
    const char *path;
    json_int_t offset, words;
    int inside; /* of a word */
};

static json_t *read_data(struct lockstep_run *run, struct count *count)
{
    json_t *data = run->data ? json_loadb(run->data, run->data_length, 0, NULL) : NULL;

    if (json_unpack(data, "{s:s, s?:I, s?:I, s?:b}", "path", &count->path, "offset", &count->offset,
                    "words", &count->words, "inside", &count->inside) == 0)
        return data;
    json_decref(data);
    return NULL;
}

/* From now on the job is this: {"path", "offset", "words", "inside"}. */
static void keep(struct lockstep_run *run, const struct count *count)
{
    json_t *data = json_pack("{s:s, s:I, s:I, s:b}", "path", count->path, "offset", count->offset,
                             "words", count->words, "inside", count->inside);
    char *text = json_dumps(data, JSON_COMPACT);

    lockstep_run_checkpoint(run, text, strlen(text));
    free(text);
    json_decref(data);
}

static void count_piece(struct count *count, const char *bytes, size_t length)
{
    size_t i;

    for (i = 0; i < length; i++) {
        int inside = !isspace((unsigned char)bytes[i]);
        count->words += inside && !count->inside;
        count->inside = inside;
    }
    count->offset += (json_int_t)length;
}

static int count_file(struct lockstep_run *run, struct count *count, FILE *file)
{
    char bytes[PIECE_BYTES], result[64];
    size_t length;
    long size;

    fseek(file, 0, SEEK_END);
    size = ftell(file);
    fseek(file, (long)count->offset, SEEK_SET);
    while ((length = fread(bytes, 1, sizeof(bytes), file)) > 0) {
        count_piece(count, bytes, length);
        keep(run, count);
        lockstep_run_progress(run, count->offset, size, "bytes read");
        if (lockstep_run_is_cancelled(run))
            return lockstep_run_stopped(run);
    }
    if (ferror(file))
        return lockstep_run_retry(run, 0, "cannot read '%s': %s", count->path, strerror(errno));
    snprintf(result, sizeof(result), "{\"words\":%lld}", (long long)count->words);
    lockstep_run_result(run, result, strlen(result));
    return lockstep_run_ok(run);
}

static int count_words(struct lockstep_run *run, void *self)
{
    struct count count = {0};
    json_t *data = read_data(run, &count);
    FILE *file;
    int end;

    (void)self;
    if (!data)
        return lockstep_run_permanent(run, "data is not {\"path\": \"...\"}");
    file = fopen(count.path, "rb");
    if (!file && errno == ENOENT)
        end = lockstep_run_permanent(run, "there is no file '%s'", count.path);
    else if (!file)
        end = lockstep_run_retry(run, 0, "cannot open '%s': %s", count.path, strerror(errno));
    else
        end = count_file(run, &count, file);
    if (file)
        fclose(file);
    json_decref(data);
    return end;
}

const struct lockstep_handler lockstep_handlers[] = {LOCKSTEP_HANDLER("count-words", count_words),
                                                     LOCKSTEP_HANDLERS_END};
