/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "hub/endpoint.h"
#include "hub/source_list.h"

/* A piece of text, borrowed; not NUL-terminated. */
typedef struct piece {
    const char *at;
    size_t length;
} piece;

typedef struct url_parts {
    bool secure;
    piece host;
    int port;
    piece folder; /* what stands before `path` in the path: "/a/" where "b" was found at "/a/x" */
    piece path;   /* up to the query */
    piece query;  /* with its '?'; empty where there is none */
} url_parts;

static char to_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alphanumeric(char c) {
    return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'z');
}

static bool starts_with(const char *text, const char *lower_start) {
    for (; *lower_start; text++, lower_start++) {
        if (to_lower(*text) != *lower_start) return false;
    }
    return true;
}

/* Up to the first of `ends`, or all of `text`. */
static piece piece_until(const char *text, const char *ends) {
    return (piece){text, strcspn(text, ends)};
}

/* Neither too long nor with characters that one reader of an address takes otherwise than another.
 */
static bool is_acceptable(const char *url) {
    size_t length = 0;
    for (; url[length]; length++) {
        unsigned char c = (unsigned char)url[length];
        if (c < 0x20 || c == 0x7F || c == '\\' || length >= KNI_URL_MAX) return false;
    }
    return length > 0;
}

/* ":8000", ":" and "" */
static bool parse_port(const char *text, const char *end, bool secure, int *out) {
    *out = secure ? 443 : 80;
    if (text == end) return true;
    if (*text != ':' || end - text > 6) return false;
    if (++text == end) return true;
    int port = 0;
    for (; text < end; text++) {
        if (!is_digit(*text)) return false;
        port = port * 10 + (*text - '0');
    }
    *out = port;
    return port >= 1 && port <= 65535;
}

/* The bytes of the host at `text`, an IPv6 address in brackets or a name; 0: none. */
static size_t host_length(const char *text) {
    size_t length = 0;
    if (*text == '[') {
        length = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        return length > 1 && text[length] == ']' ? length + 1 : 0;
    }
    while (is_alphanumeric(text[length]) || (text[length] && strchr("-._", text[length]))) length++;
    return length;
}

/* `text` follows the scheme's "//". Credentials ("user:password@host") fail as no host or port. */
static bool split_behind_scheme(bool secure, const char *text, url_parts *out) {
    piece authority = piece_until(text, "/?#");
    *out = (url_parts){.secure = secure, .host = {text, host_length(text)}};
    const char *end = text + authority.length;
    if (out->host.length == 0 || out->host.length > authority.length ||
        !parse_port(text + out->host.length, end, secure, &out->port)) {
        return false;
    }
    out->path = piece_until(end, "?#");
    out->query = piece_until(end + out->path.length, "#");
    return true;
}

static bool split(const char *url, url_parts *out) {
    if (!is_acceptable(url)) return false;
    if (starts_with(url, "https://")) return split_behind_scheme(true, url + 8, out);
    return starts_with(url, "http://") && split_behind_scheme(false, url + 7, out);
}

static bool has_scheme(const char *reference) {
    size_t length = 0;
    while (is_alphanumeric(reference[length]) ||
           (length > 0 && reference[length] && strchr("+-.", reference[length]))) {
        length++;
    }
    return length > 0 && !is_digit(reference[0]) && reference[length] == ':';
}

/* What `reference` means at `base` (RFC 3986, section 5.2.2). */
static bool resolve(const url_parts *base, const char *reference, url_parts *out) {
    if (has_scheme(reference)) return split(reference, out);
    if (reference[0] == '/' && reference[1] == '/')
        return split_behind_scheme(base->secure, reference + 2, out);

    *out = *base;
    if (reference[0] == '#') return true;
    piece path = piece_until(reference, "?#");
    out->query = piece_until(reference + path.length, "#");
    if (path.length == 0) return true;
    out->path = path;
    if (reference[0] == '/') return true;
    out->folder = base->path;
    while (out->folder.length && out->folder.at[out->folder.length - 1] != '/')
        out->folder.length--;
    return true;
}

static void add_byte_encoded(kni_text *out, char c) {
    static const char digits[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;
    char encoded[3] = {'%', digits[byte >> 4], digits[byte & 15]};
    kni_text_add_n(out, encoded, 3);
}

/* A part of an address as it was given; servers do send blanks and UTF-8 as they are. */
static void add_given(kni_text *out, piece given) {
    for (size_t i = 0; i < given.length; i++) {
        if (given.at[i] == ' ' || (unsigned char)given.at[i] >= 0x80)
            add_byte_encoded(out, given.at[i]);
        else
            kni_text_add_n(out, given.at + i, 1);
    }
}

/* Removes the parts "." and ".." of a path that begins with '/' (RFC 3986, section 5.2.4); returns
 * its new length. */
static size_t remove_dots(char *path, size_t length) {
    size_t out = 0;
    for (size_t in = 0, end; in < length; in = end) {
        end = in + 1;
        while (end < length && path[end] != '/') end++;
        bool one = end - in == 2 && path[in + 1] == '.';
        bool two = end - in == 3 && path[in + 1] == '.' && path[in + 2] == '.';
        if (!one && !two) {
            memmove(path + out, path + in, end - in);
            out += end - in;
            continue;
        }
        if (two && out > 0) {
            do out--;
            while (path[out] != '/');
        }
        if (end == length) path[out++] = '/';
    }
    return out;
}

static void add_path(kni_text *out, const url_parts *parts) {
    kni_text_add_n(out, "", 0);
    size_t start = out->length;
    if (parts->folder.length == 0 && (parts->path.length == 0 || parts->path.at[0] != '/'))
        kni_text_add(out, "/");
    add_given(out, parts->folder);
    add_given(out, parts->path);
    if (out->failed) return;
    out->length = start + remove_dots(out->bytes + start, out->length - start);
    out->bytes[out->length] = '\0';
}

char *kni_url_join(const kn_alloc *alloc, const char *base, const char *location) {
    url_parts from, to;
    if (!is_acceptable(location) || !split(base, &from) || !resolve(&from, location, &to))
        return NULL;
    kni_text out;
    kni_text_init(&out, alloc);
    kni_text_add(&out, to.secure ? "https://" : "http://");
    kni_text_add_n(&out, to.host.at, to.host.length);
    if (to.port != (to.secure ? 443 : 80)) kni_text_addf(&out, ":%d", to.port);
    add_path(&out, &to);
    add_given(&out, to.query);
    return kni_text_take(&out);
}

bool kni_url_same_origin(const char *a, const char *b) {
    url_parts one, other;
    if (!split(a, &one) || !split(b, &other) || one.secure != other.secure ||
        one.port != other.port || one.host.length != other.host.length) {
        return false;
    }
    for (size_t i = 0; i < one.host.length; i++) {
        if (to_lower(one.host.at[i]) != to_lower(other.host.at[i])) return false;
    }
    return true;
}

bool kni_url_is_endpoint(const char *text) {
    url_parts parts;
    return split(text, &parts) && !strpbrk(text, " ?#");
}

/* Percent-encodes all but letters, digits, "-._~" and `safe`. */
static void add_encoded(kni_text *out, const char *text, size_t length, char safe) {
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (is_alphanumeric(c) || (c && strchr("-._~", c)) || (c && c == safe))
            kni_text_add_n(out, text + i, 1);
        else
            add_byte_encoded(out, c);
    }
}

/* "<endpoint>/api/kernels/<repo_id><action>" */
static void begin_api(kni_text *out, const kn_alloc *alloc, const char *endpoint,
                      kni_repo_type type, const char *repo_id, const char *action) {
    kni_text_init(out, alloc);
    kni_text_add(out, endpoint);
    kni_text_add(out, type == KNI_REPO_KERNEL ? "/api/kernels/" : "/api/models/");
    add_encoded(out, repo_id, strlen(repo_id), '/');
    kni_text_add(out, action);
}

char *kni_url_publisher(const kn_alloc *alloc, const char *endpoint, const char *repo_id) {
    kni_text out;
    kni_text_init(&out, alloc);
    kni_text_add(&out, endpoint);
    kni_text_add(&out, "/api/organizations/");
    add_encoded(&out, repo_id, strcspn(repo_id, "/"), '\0');
    kni_text_add(&out, "/overview");
    return kni_text_take(&out);
}

char *kni_url_refs(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                   const char *repo_id) {
    kni_text out;
    begin_api(&out, alloc, endpoint, type, repo_id, "/refs");
    return kni_text_take(&out);
}

char *kni_url_revision(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                       const char *repo_id, const char *revision) {
    kni_text out;
    begin_api(&out, alloc, endpoint, type, repo_id, "/revision/");
    add_encoded(&out, revision, strlen(revision), '\0');
    return kni_text_take(&out);
}

char *kni_url_tree(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                   const char *repo_id, const char *commit) {
    kni_text out;
    begin_api(&out, alloc, endpoint, type, repo_id, "/tree/");
    add_encoded(&out, commit, strlen(commit), '\0');
    kni_text_add(&out, "?recursive=true&expand=false");
    return kni_text_take(&out);
}

char *kni_url_file(const kn_alloc *alloc, const char *endpoint, kni_repo_type type,
                   const char *repo_id, const char *commit, const char *path) {
    kni_text out;
    kni_text_init(&out, alloc);
    kni_text_add(&out, endpoint);
    kni_text_add(&out, type == KNI_REPO_KERNEL ? "/kernels/" : "/");
    add_encoded(&out, repo_id, strlen(repo_id), '/');
    kni_text_add(&out, "/resolve/");
    add_encoded(&out, commit, strlen(commit), '\0');
    kni_text_add(&out, "/");
    add_encoded(&out, path, strlen(path), '/');
    return kni_text_take(&out);
}

/* The folder's name is the cache's: see kni_cache_open. */
char *kni_url_mirror(const kn_alloc *alloc, const char *address, kni_repo_type type,
                     const char *repo_id, const char *path) {
    kni_text out;
    kni_text_init(&out, alloc);
    size_t organization = strcspn(repo_id, "/");
    kni_text_addf(&out, "%s/%s--%.*s--%s/", address, type == KNI_REPO_KERNEL ? "kernels" : "models",
                  (int)organization, repo_id,
                  repo_id + organization + (repo_id[organization] == '/'));
    if (kni_url_is_directory(address))
        kni_text_add(&out, path);
    else
        add_encoded(&out, path, strlen(path), '/');
    return kni_text_take(&out);
}
