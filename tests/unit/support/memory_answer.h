/* SPDX-License-Identifier: Apache-2.0 */
/* A response of the Hub in memory, between what it has and the transport. */
#ifndef TEST_MEMORY_ANSWER_H
#define TEST_MEMORY_ANSWER_H

#include "support/memory_hub.h"

typedef struct hub_answer {
    int status;
    kn_http_header headers[4]; /* values are copies */
    size_t header_count;
    char *body;
    size_t length;
} hub_answer;

void hub_answer_header(hub_answer *answer, const char *name, const char *value);
void hub_answer_bytes(hub_answer *answer, const void *bytes, size_t length);
void hub_answer_text(hub_answer *answer, const char *format, ...) KN_PRINTF(2, 3);
void hub_answer_clear(hub_answer *answer);

/* What the Hub says to a GET of `url`; the Hub is locked. */
void memory_hub_answer(memory_hub *hub, const char *url, hub_answer *answer);

#endif
