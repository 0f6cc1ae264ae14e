/* A shop in memory behind the connector's interface: objects with ids and stamps, pages, a clock of its own, and trouble on demand. */
#ifndef LS_TEST_SYNC_SHOP_H
#define LS_TEST_SYNC_SHOP_H

#include "common/platform/connector_internal.h"

#define SHOP_FIELDS 8
#define SHOP_MAX 4096

struct shop_object {
    int64_t id;
    int64_t modified_ms;
    char *fields[SHOP_FIELDS]; /* by the mapping's fields; NULL: null */
    char *marker;
    bool gone, trashed;
};

/* What happens to a write (or, the first three, to any request). */
enum shop_trouble {
    SHOP_WELL,
    SHOP_REFUSED,      /* LS_E_NETWORK: nothing left */
    SHOP_BUSY,         /* LS_E_THROTTLED */
    SHOP_LOST_BEFORE,  /* no answer, no effect */
    SHOP_LOST_AFTER,   /* no answer, but it took effect */
    SHOP_LATE,         /* no answer, and the effect comes many requests later */
    SHOP_FAILED_AFTER, /* LS_E_TRANSIENT, but it took effect */
    SHOP_SILENT        /* reads alone: no answer until shop_speak */
};

struct shop_late {
    int64_t id; /* 0: a create */
    char *values[SHOP_FIELDS];
    uint64_t given;
    char *marker;
    int due; /* requests from now */
};

struct shop {
    struct ls_capabilities can;
    struct shop_object objects[SHOP_MAX];
    size_t count;
    int64_t now_ms;   /* the shop's clock */
    int64_t stamp_ms; /* granularity of modified stamps */
    int64_t next_id;
    int gets, lists, finds, writes, batches, creates, updates, requests;
    int silent;   /* calls that were left without an answer */
    int get_cost; /* requests that a get takes; 0: one */
    int tangled;  /* objects with the same match value, ever */
    enum shop_trouble (*trouble)(struct shop *shop,
                                 bool write); /* asked for each request; NULL: well */
    const char *refuse; /* match value of an object whose content is refused */
    bool refuse_whole;  /* and with it the batch it is in */
    int ignore_field;   /* accepted and not stored; -1 none */
    int rounding_field; /* stored with its first 4 characters only; -1 none */
    struct shop_late late[16];
    size_t late_count;
    int match; /* index of the match field */
    void *arg;
};

void shop_init(struct shop *shop);
void shop_fini(struct shop *shop);
/* A connector on it; the shop outlives it. */
struct ls_connector *shop_connector(struct shop *shop, uv_loop_t *loop);

/* What people in the shop do. values: by field; NULL: null. Returns the object. */
struct shop_object *shop_add(struct shop *shop, const char *const *values, size_t count);
void shop_edit(struct shop *shop, struct shop_object *object, int field, const char *value,
               bool silently);
struct shop_object *shop_find(struct shop *shop, const char *match);
struct shop_object *shop_get(struct shop *shop, int64_t id);
/* Answer what was left without an answer. */
void shop_speak(struct ls_connector *connector);
/* Bring home the late effects now. */
void shop_flush(struct shop *shop);

#endif
