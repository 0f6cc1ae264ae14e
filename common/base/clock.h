/* Clocks. Durations use the monotonic clock; "have I been away" uses the boot clock, which counts suspension; wall time is for
 * people and logs only. Deadlines of leases and schedules are Redis' time and never come from here. */
#ifndef LS_BASE_CLOCK_H
#define LS_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t ls_clock_mono_ms(void);
int64_t ls_clock_mono_us(void);
int64_t ls_clock_boot_ms(void);
int64_t ls_clock_wall_ms(void);

/* The longest time anybody may name, 3,650 days: far from where sums of times overflow. */
#define LS_DURATION_MAX_MS (3650LL * 24 * 3600 * 1000)
/* The monotonic clock in ms from now, at most LS_DURATION_MAX_MS ahead. */
int64_t ls_clock_mono_after_ms(int64_t ms);

/* "2026-11-23T00:51:00.123Z" (24 characters and a NUL); "" for a year that has not four digits. */
#define LS_CLOCK_TEXT_SIZE 25
const char *ls_clock_format(char out[LS_CLOCK_TEXT_SIZE], int64_t wall_ms);
/* The inverse; 0 for anything else. */
int64_t ls_clock_parse(const char *text, size_t length);

/* "250ms", "10s", "5m", "6h", "7d", also "1h30m" and a bare "0"; the value in ms. -1 when it does not parse or is negative. */
int64_t ls_duration_parse(const char *text);
/* The inverse, for people: "1h 30m", "2.5s", "30s", "120ms". */
const char *ls_duration_format(char *out, size_t size, int64_t ms);

#endif
