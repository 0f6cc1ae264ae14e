/* Mapping and record. A mapping is the compiled form of one sync's configuration: which columns of which table correspond to which
 * fields of which platform entity, with type, owner and check. A record is one row or one platform object seen through a mapping:
 * values[i] belongs to mapping->fields[i]. Only mapped fields exist: nothing else of a remote object can reach the database. */
#ifndef LS_RECORD_RECORD_H
#define LS_RECORD_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/record/value.h"

struct ls_config_sync; /* common/config/config.h */

enum ls_owner { LS_OWNER_MERGE, LS_OWNER_LOCAL, LS_OWNER_REMOTE };
enum ls_policy {
    LS_POLICY_FIELDS,
    LS_POLICY_LAST_WRITE_WINS,
    LS_POLICY_VERSION,
    LS_POLICY_LOCAL,
    LS_POLICY_REMOTE,
    LS_POLICY_MANUAL
};

struct ls_field {
    char *name;   /* canonical name, unique in the mapping */
    char *column; /* of the application's table */
    char *remote; /* the platform's field path: "regular_price" */
    enum ls_type type;
    enum ls_owner owner;
    char *check;   /* ">= 0", "not empty", ...; NULL when none (grammar: common/record/check.h) */
    bool critical; /* hybrid mode: a change of it goes to the high lane */
};

#define LS_FIELDS_MAX 64

struct ls_mapping {
    char *sync;    /* name of the sync: "products" */
    char *account; /* "shop-eu" */
    char *entity;  /* "product" */
    char *table;
    char *id_column;
    enum ls_policy policy;
    int match; /* index of the field by which unlinked records are matched (sku); -1 when none */
    size_t count;
    struct ls_field *fields;
    char identity[33]; /* hex digest of everything above: a changed mapping is a changed identity */
};

struct ls_record {
    size_t count; /* mapping->count; 0: the record is absent */
    struct ls_value *values;
};

/* Compile a sync's configuration. The caller owns the result. Without `match` a field whose remote path is "sku" matches.
 * NULL: LS_E_CONFIG naming the field. */
struct ls_mapping *ls_mapping_new(const struct ls_config_sync *sync, struct ls_err *err);
void ls_mapping_free(struct ls_mapping *mapping);
/* Index of the field by canonical name, column or remote path; -1 when there is none. */
int ls_mapping_by_name(const struct ls_mapping *mapping, const char *name);
int ls_mapping_by_remote(const struct ls_mapping *mapping, const char *remote);

/* All values MISSING. */
void ls_record_init(struct ls_record *record, const struct ls_mapping *mapping);
void ls_record_fini(struct ls_record *record);
void ls_record_copy(struct ls_record *to, const struct ls_record *from);
bool ls_record_present(const struct ls_record *record);

/* One-line JSON of the canonical values, {"name":"…","price":"12.5","inventory":"7","description":null}; MISSING left out; keys in
 * mapping order. This is what base_json holds. Parsing ignores fields that the mapping no longer has; a value that its field's type
 * does not allow (the mapping changed since) is MISSING. -1: LS_E_CORRUPT. */
void ls_record_to_json(struct ls_buf *out, const struct ls_mapping *mapping,
                       const struct ls_record *record);
int ls_record_from_json(struct ls_record *record, const struct ls_mapping *mapping,
                        const char *json, size_t length, struct ls_err *err);

/* Hex of a 128-bit hash over (mapping-independent) field names and values, length-prefixed: equal records, equal hashes, under any
 * mapping with the same field names. MISSING fields do not count. */
#define LS_RECORD_HASH_SIZE 33
void ls_record_hash(const struct ls_mapping *mapping, const struct ls_record *record,
                    char out[LS_RECORD_HASH_SIZE]);

/* Check each value that is not MISSING against its field's check. -1: LS_E_INVALID, "invalid price '-1': must be >= 0", and the
 * field's name in err->reason. */
int ls_record_validate(const struct ls_mapping *mapping, const struct ls_record *record,
                       struct ls_err *err);

#endif
