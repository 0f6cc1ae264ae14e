/* Randomness from the operating system; never fails, safe after fork. */
#ifndef LS_BASE_RAND_H
#define LS_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void ls_rand_bytes(void *out, size_t length);
uint64_t ls_rand_u64(void);
/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t ls_rand_below(uint64_t bound);

#endif
