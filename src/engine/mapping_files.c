/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings from files. */
#include <string.h>

#include "base/error.h"
#include "codec/net.h"
#include "engine/state.h"
#include "layers/mapping_file.h"
#include "os/files.h"

#define FILE_LIMIT ((size_t)1 << 20)

kn_status kn_engine_read_mapping(kn_engine *engine, const char *file, kn_mapping **out,
                                 kn_error *err) {
    *out = NULL;
    const kni_net *net;
    char *bytes = NULL, *json = NULL;
    size_t length = 0;
    kni_json *document = NULL;
    kn_status status = kni_engine_net(engine, &net, err);
    if (!status) status = kni_file_read(engine->alloc, file, FILE_LIMIT, &bytes, &length, err);
    if (!status) status = net->toml_to_places(engine->alloc, bytes, length, file, &json, err);
    if (!status) status = kni_json_parse(json, strlen(json), file, &document, err);
    if (!status) status = kni_mapping_parse(engine->alloc, document, file, out, err);
    kni_json_free(document);
    kni_free(engine->alloc, json);
    kni_free(engine->alloc, bytes);
    return status;
}
