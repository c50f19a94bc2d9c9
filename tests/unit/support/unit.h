/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka with what it needs before it. */
#ifndef TEST_UNIT_H
#define TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka follows those. */
#include <cmocka.h>
#include <string.h>

/* Asserts that `text` holds `part`, and shows both where not. */
#define assert_contains(text, part)                                        \
    do {                                                                   \
        const char *contains_text = (text), *contains_part = (part);       \
        if (!strstr(contains_text, contains_part)) {                       \
            fail_msg("'%s' is not in '%s'", contains_part, contains_text); \
        }                                                                  \
    } while (0)

#endif
