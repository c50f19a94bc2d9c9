/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors that come from, or go to, somebody else by DLPack's structs. */
#include "base/alloc.h"
#include "base/error.h"
#include "native/ffi_abi.h"

#define DLPACK_MAJOR 1
#define DLPACK_MINOR 1 /* what is used of it */

static void delete_managed(void *ctx) {
    kn_managed_tensor *from = ctx;
    if (from->deleter) from->deleter(from);
}

static void delete_old(void *ctx) {
    kn_managed_tensor_old *from = ctx;
    if (from->deleter) from->deleter(from);
}

kn_status kn_value_from_dlpack(const kn_alloc *alloc, kn_managed_tensor *from, kn_value *out,
                               kn_error *err) {
    *out = kn_value_none();
    if (from->major > DLPACK_MAJOR) {
        return kni_fail(err, KN_ERR_UNSUPPORTED,
                        "a tensor of DLPack %u.%u: versions up to %d are known here", from->major,
                        from->minor, DLPACK_MAJOR);
    }
    return kn_value_new_tensor(alloc, &from->tensor, delete_managed, from, out, err);
}

kn_status kn_value_from_dlpack_old(const kn_alloc *alloc, kn_managed_tensor_old *from,
                                   kn_value *out, kn_error *err) {
    return kn_value_new_tensor(alloc, &from->tensor, delete_old, from, out, err);
}

/* What is handed out: it has the tensor until its deleter is called, from whatever thread. */
typedef struct handed {
    union {
        kn_managed_tensor managed;
        kn_managed_tensor_old old;
    } as;
    const kn_alloc *alloc;
    kn_value value;
} handed;

static void take_back(handed *made) {
    kn_value_release(&made->value);
    kni_free(made->alloc, made);
}

static void give_back(kn_managed_tensor *self) { take_back(self->ctx); }

static void give_back_old(kn_managed_tensor_old *self) { take_back(self->ctx); }

static kn_status hand_out(const kn_alloc *alloc, const kn_value *value, handed **out,
                          kn_error *err) {
    *out = NULL;
    if (value->type != KN_VALUE_TENSOR_OBJECT)
        return kni_fail(err, KN_ERR_TYPE, "a value of type %d is no tensor of its own",
                        value->type);
    alloc = kni_alloc_or_default(alloc);
    *out = kni_new(alloc, sizeof **out);
    if (!*out) return kni_no_memory(err, "handing out a tensor");
    (*out)->alloc = alloc;
    (*out)->value = kn_value_retain(value);
    return KN_OK;
}

kn_status kn_value_to_dlpack(const kn_alloc *alloc, const kn_value *value, kn_managed_tensor **out,
                             kn_error *err) {
    handed *made;
    *out = NULL;
    kn_status status = hand_out(alloc, value, &made, err);
    if (!made) return status;
    made->as.managed = (kn_managed_tensor){.major = DLPACK_MAJOR,
                                           .minor = DLPACK_MINOR,
                                           .ctx = made,
                                           .deleter = give_back,
                                           .tensor = *kn_value_as_tensor(value)};
    *out = &made->as.managed;
    return KN_OK;
}

kn_status kn_value_to_dlpack_old(const kn_alloc *alloc, const kn_value *value,
                                 kn_managed_tensor_old **out, kn_error *err) {
    handed *made;
    *out = NULL;
    kn_status status = hand_out(alloc, value, &made, err);
    if (!made) return status;
    made->as.old = (kn_managed_tensor_old){
        .tensor = *kn_value_as_tensor(value), .ctx = made, .deleter = give_back_old};
    *out = &made->as.old;
    return KN_OK;
}
