/* What `ps` shows: "lockstep-worker: runner 0". The space of the original argv is reused, so titles
 * are cut to its length. */
#ifndef LS_MASTER_TITLE_H
#define LS_MASTER_TITLE_H

/* Remember where argv lies. Options must have been copied or be done with before the first
 * ls_title_set. */
void ls_title_init(int argc, char **argv);
void ls_title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
