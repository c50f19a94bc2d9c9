/* SPDX-License-Identifier: Apache-2.0 */
/* /_control: the tests' side door, on both origins and never in the log.
 *
 * - GET /_control: {"port", "cdn_port", "settings", "faults": [{"id", "fired", "rule"}]}
 * - GET /_control/log: JSON lines
 * - POST /_control: any of {<setting>: value, "tokens": [...], "fault": {...}, "clear_faults":
 * true, "reset_log": true, "sever": true, "refuse_ms": 500}; the answer has the "id" of a fault */
#include <stdlib.h>
#include <string.h>

#include "testhub.h"

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {{"latency_ms", offsetof(settings, latency_ms)},
               {"bandwidth", offsetof(settings, bandwidth)},
               {"page_size", offsetof(settings, page_size)},
               {"lfs_threshold", offsetof(settings, lfs_threshold)},
               {"sign_seconds", offsetof(settings, sign_seconds)}};

static const struct {
    const char *name;
    size_t offset;
} flags[] = {{"redirect_small", offsetof(settings, redirect_small)},
             {"redirect_large", offsetof(settings, redirect_large)},
             {"require_token", offsetof(settings, require_token)},
             {"rate_limit_headers", offsetof(settings, rate_limit_headers)}};

enum {
    NUMBER_COUNT = sizeof numbers / sizeof numbers[0],
    FLAG_COUNT = sizeof flags / sizeof flags[0]
};

bool settings_apply(settings *set, const char *key, const json_t *value) {
    char *base = (char *)set;

    for (size_t at = 0; at < NUMBER_COUNT; at++) {
        if (strcmp(key, numbers[at].name) != 0 || !json_is_integer(value)) continue;
        long long number = json_integer_value(value);
        memcpy(base + numbers[at].offset, &number, sizeof number);
        return true;
    }
    for (size_t at = 0; at < FLAG_COUNT; at++) {
        if (strcmp(key, flags[at].name) != 0 || !json_is_boolean(value)) continue;
        bool flag = json_is_true(value);
        memcpy(base + flags[at].offset, &flag, sizeof flag);
        return true;
    }
    return false;
}

static json_t *settings_json(const settings *set) {
    json_t *out = json_object();
    const char *base = (const char *)set;

    for (size_t at = 0; at < NUMBER_COUNT; at++) {
        long long number;
        memcpy(&number, base + numbers[at].offset, sizeof number);
        json_object_set_new(out, numbers[at].name, json_integer(number));
    }
    for (size_t at = 0; at < FLAG_COUNT; at++) {
        bool flag;
        memcpy(&flag, base + flags[at].offset, sizeof flag);
        json_object_set_new(out, flags[at].name, json_boolean(flag));
    }
    return out;
}

bool token_is_valid(testhub *hub, const char *token) {
    const json_t *valid;
    size_t at;
    bool found = false;

    hub_lock(hub);
    if (json_array_size(hub->tokens) == 0) found = true;
    json_array_foreach(hub->tokens, at, valid) {
        found = found || (json_is_string(valid) && strcmp(json_string_value(valid), token) == 0);
    }
    hub_unlock(hub);
    return found;
}

static void answer_state(testhub *hub, reply *out) {
    settings set = hub_settings(hub);
    reply_json(out, 200,
               json_pack("{s:i, s:i, s:o, s:o}", "port", hub->listeners[ORIGIN_HUB].port,
                         "cdn_port", hub->listeners[ORIGIN_CDN].port, "settings",
                         settings_json(&set), "faults", fault_list(hub)));
}

/* One order; false with `problem` when it is not understood. */
static bool obey(testhub *hub, const exchange *request, const char *key, json_t *value,
                 json_t *answer, char **problem) {
    json_int_t id = 0;

    if (strcmp(key, "fault") == 0) {
        if (!fault_add(hub, value, &id, problem)) return false;
        json_object_set_new(answer, "id", json_integer(id));
    } else if (strcmp(key, "clear_faults") == 0) {
        fault_clear(hub);
    } else if (strcmp(key, "reset_log") == 0) {
        log_reset(hub);
    } else if (strcmp(key, "sever") == 0) {
        hub_sever(hub, request->link);
    } else if (strcmp(key, "refuse_ms") == 0 && json_is_number(value)) {
        hub_refuse(hub, ORIGIN_HUB, json_number_value(value) / 1000);
    } else if (strcmp(key, "tokens") == 0 && json_is_array(value)) {
        hub_lock(hub);
        json_decref(hub->tokens);
        hub->tokens = json_incref(value);
        hub_unlock(hub);
    } else {
        hub_lock(hub);
        bool known = settings_apply(&hub->set, key, value);
        hub_unlock(hub);
        if (!known) *problem = text_format("'%s' cannot be set so", key);
        return known;
    }
    return true;
}

static void answer_orders(testhub *hub, exchange *request, reply *out) {
    json_t *orders =
        json_loadb(request->upload ? request->upload : "", request->upload_length, 0, NULL);
    json_t *answer = json_object(), *value;
    char *problem = NULL;
    const char *key;

    if (!json_is_object(orders)) problem = text_copy("the orders must be a JSON object");
    json_object_foreach(orders, key, value) {
        if (!problem && !obey(hub, request, key, value, answer, &problem)) break;
    }
    if (problem) {
        reply_json(out, 400, json_pack("{s:s}", "error", problem));
        json_decref(answer);
        free(problem);
    } else {
        reply_json(out, 200, answer);
    }
    json_decref(orders);
}

void control_answer(testhub *hub, exchange *request, reply *out) {
    if (strcmp(request->path, "/_control/log") == 0) {
        char *lines = log_dump(hub);
        reply_text(out, 200, lines);
        free(lines);
    } else if (request->upload) {
        answer_orders(hub, request, out);
    } else {
        answer_state(hub, out);
    }
}
