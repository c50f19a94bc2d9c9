/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have what. To the anonymous, what is missing and what is hidden look alike. */
#include <string.h>

#include "serve/serve_parts.h"

static bool is_granted(const kni_shelf *shelf, const char *token) {
    const kni_json *grants = kni_json_member(shelf->about, "grants");
    for (size_t at = 0; at < kni_json_length(grants); at++) {
        const char *grant = kni_json_text(kni_json_item(grants, at));
        if (grant && strcmp(grant, token) == 0) return true;
    }
    return false;
}

static void answer_missing(kni_ask *ask, kni_reply *out) {
    if (ask->token) {
        kni_reply_error(ask, out, 404, "RepoNotFound", "Repository not found");
    } else {
        kni_reply_error(ask, out, 401, "RepoNotFound", "Invalid username or password.");
    }
}

bool kni_token_refused(kni_ask *ask, kni_reply *out) {
    if (ask->token && !ask->token_is_valid) {
        kni_reply_error(ask, out, 401, NULL, "Invalid credentials in Authorization header");
        return true;
    }
    if (!ask->token && ask->require_token) {
        answer_missing(ask, out);
        return true;
    }
    return false;
}

static bool gate_is_shut(kni_ask *ask, const kni_shelf *shelf, kni_reply *out) {
    const kni_json *gated = kni_json_member(shelf->about, "gated");
    bool flag = true;
    int kind = (int)strlen(shelf->type) - 1; /* without the plural */
    const char *message;

    if (!gated || kni_json_is_null(gated) || (kni_json_boolean(gated, &flag) && !flag))
        return false;
    if (ask->token && is_granted(shelf, ask->token)) return false;
    if (ask->token) {
        message = kni_scratch_format(ask->scratch,
                                     "Access to %.*s %s is restricted and you are not in the "
                                     "authorized list. Visit %s/%s to ask for access.",
                                     kind, shelf->type, shelf->id, ask->base, shelf->id);
    } else {
        message = kni_scratch_format(ask->scratch,
                                     "Access to %.*s %s is restricted. You must have access to it "
                                     "and be authenticated to access it. Please log in.",
                                     kind, shelf->type, shelf->id);
    }
    kni_reply_error(ask, out, ask->token ? 403 : 401, "GatedRepo", message);
    return true;
}

bool kni_access_refused(kni_ask *ask, const kni_shelf *shelf, bool files, kni_reply *out) {
    if (kni_token_refused(ask, out)) return true;
    bool hidden = false;
    kni_json_boolean(kni_json_member(shelf->about, "private"), &hidden);
    if (hidden && ask->token)
        hidden = kni_json_member(shelf->about, "grants") && !is_granted(shelf, ask->token);
    if (!shelf->exists || hidden) {
        answer_missing(ask, out);
        return true;
    }
    return files && gate_is_shut(ask, shelf, out);
}
