/* SPDX-License-Identifier: Apache-2.0 */
#include "load/minver.h"

#include "base/error.h"

/* The number at `*at`, which is moved behind it and the dot that follows; 0 where there is none. */
static uint64_t next_number(const char **at) {
    uint64_t number = 0;
    while (**at >= '0' && **at <= '9') {
        unsigned digit = (unsigned)(**at - '0');
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
        (*at)++;
    }
    if (**at == '.' && (*at)[1] >= '0' && (*at)[1] <= '9') (*at)++;
    return number;
}

static bool has_number(const char *at) { return *at >= '0' && *at <= '9'; }

bool kni_release_is_at_least(const char *release, const char *minimum) {
    while (has_number(release) || has_number(minimum)) {
        uint64_t have = next_number(&release), wanted = next_number(&minimum);
        if (have != wanted) return have > wanted;
    }
    return true;
}

kn_status kni_minver_check(const kn_metadata_info *metadata, const char *variant, kn_error *err) {
    const char *minimum = metadata->kernels_minver;
    if (!minimum || kni_release_is_at_least(kn_version(), minimum)) return KN_OK;
    return kni_fail(err, KN_ERR_RUNTIME,
                    "Kernel '%s' variant '%s' requires kernels>=%s, but version %s is installed. "
                    "Upgrade with: pip install --upgrade kernels",
                    metadata->name, variant, minimum, kn_version());
}
