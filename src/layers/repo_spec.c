/* SPDX-License-Identifier: Apache-2.0 */
/* A repository as one word. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "layers/repo.h"

static bool is_number(const char *text) {
    size_t length = strspn(text, "0123456789");
    return length && !text[length];
}

/* What stands behind the '@'. */
static void set_request(kn_repo_info *out, char *text) {
    if (strchr("<>=!~", text[0]))
        out->version = text;
    else if (text[0] == 'v' && is_number(text + 1))
        out->version = text + 1;
    else
        out->revision = text;
}

kn_status kn_repo_parse(const char *spec, kn_repo_info *out, kn_error *err) {
    size_t length = strlen(spec);
    char shown[96];
    *out = (kn_repo_info){.size = out->size, .kind = KN_REPO_HUB};
    if (length >= sizeof out->buffer || !length || spec[0] == '@' || spec[length - 1] == '@') {
        return kni_fail(err, KN_ERR_VALUE,
                        "'%s' names no kernel: expected 'org/name', 'org/name@REVISION', "
                        "'org/name@v1' or 'org/name@>=0.1,<0.2'",
                        kni_text_shown(spec, shown, sizeof shown));
    }
    memcpy(out->buffer, spec, length + 1);
    out->id = out->buffer;
    char *at = strchr(out->buffer, '@');
    if (!at) return KN_OK;
    *at = '\0';
    set_request(out, at + 1);
    return KN_OK;
}
