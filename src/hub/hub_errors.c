/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "hub/endpoint.h"

#define SHOWN_MAX 201 /* of what the Hub says, NUL included */

typedef struct response {
    int status;
    const char *subject;
    const char *said; /* what the Hub says, ready to be put behind a sentence; may be empty */
    bool has_token;
} response;

static bool is(const char *text, const char *other) { return text && strcmp(text, other) == 0; }

static kn_status no_repository(const response *to, kn_error *err) {
    return kni_fail(
        err, KN_ERR_REPOSITORY,
        to->has_token
            ? "%s: the Hub has no such repository, or the token has no access to it; check the "
              "name, and if it is private whether the account of HF_TOKEN may read it%s"
            : "%s: the Hub has no such repository, or it is private; check the name, and if it is "
              "private set HF_TOKEN to a token that may read it%s",
        to->subject, to->said);
}

static kn_status gated(const response *to, kn_error *err) {
    return kni_fail(err, KN_ERR_GATED,
                    to->has_token
                        ? "%s: its owner has to grant access first; ask for it on its page on the "
                          "Hub with the account of HF_TOKEN%s"
                        : "%s: its owner has to grant access first; ask for it on its page on the "
                          "Hub and set HF_TOKEN to a token of that account%s",
                    to->subject, to->said);
}

static kn_status too_many(const response *to, kn_error *err) {
    return kni_fail(err, KN_ERR_NETWORK,
                    to->has_token ? "%s: the Hub says that there were too many requests (429); "
                                    "wait some minutes and try again%s"
                                  : "%s: the Hub says that there were too many requests (429); "
                                    "wait some minutes, or set HF_TOKEN to be allowed more%s",
                    to->subject, to->said);
}

static kn_status forbidden(const response *to, kn_error *err) {
    return kni_fail(err, KN_ERR_NETWORK,
                    to->has_token ? "%s: the Hub does not allow it (403); check what the token of "
                                    "HF_TOKEN may read%s"
                                  : "%s: the Hub does not allow it without a token (403); set "
                                    "HF_TOKEN to one that may read it%s",
                    to->subject, to->said);
}

/* Where the Hub has not said by a code what it means. */
static kn_status fail_by_status(const response *to, kn_error *err) {
    if (to->status == 401) return no_repository(to, err);
    if (to->status == 403) return forbidden(to, err);
    if (to->status == 429) return too_many(to, err);
    if (to->status == 404 || to->status == 410) {
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "%s: the Hub has none (%d); check the name, and HF_ENDPOINT if it is set%s",
                        to->subject, to->status, to->said);
    }
    if (to->status >= 500) {
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: the Hub has a problem of its own (%d); try again later%s", to->subject,
                        to->status, to->said);
    }
    return kni_fail(err, KN_ERR_NETWORK,
                    "%s: the Hub answered %d, which was not expected; check HF_ENDPOINT if it is "
                    "set, and any proxy in between%s",
                    to->subject, to->status, to->said);
}

kn_status kni_response_fail(int http_status, const char *code, const char *message,
                            const char *subject, bool has_token, kn_error *err) {
    char shown[SHOWN_MAX], said[SHOWN_MAX + 32] = "";
    if (message && *message) {
        snprintf(said, sizeof said, ". The Hub says: %s",
                 kni_text_shown(message, shown, sizeof shown));
    }
    response to = {http_status, subject, said, has_token};

    if (is(code, "RepoNotFound")) return no_repository(&to, err);
    if (is(code, "GatedRepo")) return gated(&to, err);
    if (is(code, "RevisionNotFound")) {
        return kni_fail(err, KN_ERR_REVISION,
                        "%s: there is no such branch, tag or commit; check the revision%s", subject,
                        said);
    }
    if (is(code, "EntryNotFound")) {
        return kni_fail(err, KN_ERR_NOT_FOUND,
                        "%s: there is no such file at this revision; check the name and the "
                        "revision%s",
                        subject, said);
    }
    /* No statement about the repository: with a good token, or none, the Hub may well have it. */
    if (is(message, "Invalid credentials in Authorization header")) {
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: the Hub does not accept the token (%d); set HF_TOKEN, or the token "
                        "file, to a valid one, or remove it",
                        subject, http_status);
    }
    if (is(message, "Access to this resource is disabled.")) {
        return kni_fail(err, KN_ERR_NETWORK,
                        "%s: the Hub has disabled access to it (%d) for everyone; use another "
                        "repository",
                        subject, http_status);
    }
    return fail_by_status(&to, err);
}
