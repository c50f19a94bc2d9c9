/* SPDX-License-Identifier: Apache-2.0 */
/* TOML texts as the network module reads them. */
#ifndef TEST_TOML_TEXT_H
#define TEST_TOML_TEXT_H

#include "codec/placed.h"

/* The document with its places, freed with kni_json_free; the test fails where it is not TOML. */
kni_json *toml_document(const char *toml, const char *file);

#endif
