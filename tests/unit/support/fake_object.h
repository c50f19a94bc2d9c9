/* SPDX-License-Identifier: Apache-2.0 */
/* What the fake host's own files share. */
#ifndef TEST_FAKE_OBJECT_H
#define TEST_FAKE_OBJECT_H

#include "support/fake_host.h"

/* With one reference; `size` is that of the struct that begins with a fake_object. */
void *fake_object_new(fake_host *host, fake_kind kind, size_t size);
/* The host gives that reference back in fake_host_free. */
void fake_host_own(fake_host *host, void *object);
void fake_release_or_null(void *object);

void fake_state_clear(fake_state *state);
fake_state fake_state_copy(const fake_state *state);

/* A copy for free(); NULL for NULL. */
char *fake_text_copy(const char *text);

#endif
