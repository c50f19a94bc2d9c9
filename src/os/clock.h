/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNI_OS_CLOCK_H
#define KNI_OS_CLOCK_H

#include <kernels/common.h>

/* Milliseconds of a clock that never goes back. */
int64_t kni_clock_ms(void);
/* Seconds since 1970. */
int64_t kni_clock_seconds(void);
void kni_sleep_ms(int64_t ms);
/* Tells a child from the process that it was forked from. */
int64_t kni_process_id(void);
/* The version of the GNU C library, "2.36"; NULL: another one. Static text. */
const char *kni_libc_version(void);

#endif
