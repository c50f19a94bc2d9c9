/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.toml, of the user and of the site: read once an engine, when it is first needed. */
#ifndef KNI_ENGINE_CONFIG_H
#define KNI_ENGINE_CONFIG_H

#include <kernels/hub.h>

#include "hub/source_list.h"
#include "trust/policy.h"

#define KNI_CONFIG_NAME "kernels.toml"
#define KNI_CONFIG_FILES 3 /* the user's, the environment's, the machine's */

/* Immutable. The files stand in the order in which they count; those that are not there are left
 * out. */
typedef struct kn_config {
    const kn_alloc *alloc;
    char *files[KNI_CONFIG_FILES];
    size_t file_count;
    kni_policy policy;
    char *order_text;    /* "cache, hub"; NULL: no file has an order */
    kni_sources sources; /* the user's before the site's; none: the Hub */
} kni_config;

/* Adds what a file says, which is read behind those that count more. Its name is borrowed. Pure.
 * KN_ERR_VALUE as below; then the config is of no use. */
kn_status kni_config_parse(kni_config *config, const kni_json *document, const char *file,
                           kn_error *err);

/* *out lives as long as the engine. KN_ERR_VALUE, with file, line and column, for a file that makes
 * no sense; it is read again at the next call. */
kn_status kni_engine_config(kn_engine *engine, const kni_config **out, kn_error *err);
void kni_config_init(kni_config *config, const kn_alloc *alloc);
void kni_config_clear(kni_config *config);
void kni_config_free(kni_config *config);

#endif
