/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment says. */
#include "core.h"

PyObject *core_is_offline(PyObject *module, PyObject *ignored) {
    (void)module;
    (void)ignored;
    kn_error err;
    kn_error_init(&err);
    kn_settings *settings;
    kn_status status = kn_settings_read(NULL, &settings, &err);
    if (status) return core_raise(status, &err);
    kn_settings_info info = {.size = sizeof info};
    kn_settings_get(settings, &info);
    kn_settings_free(settings);
    return PyBool_FromLong(info.offline);
}
