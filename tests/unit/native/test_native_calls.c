/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into the functions of a native kernel, what comes out, and what is said where one
 * fails. */
#include <kernels/native.h>
#include <pthread.h>
#include <stdio.h>

#include "support/native_scene.h"
#include "support/unit.h"

#define THREADS 4
#define CALLS 2000

static kn_native *plain_kernel(native_scene *scene) {
    native_scene_write(scene, "plain", NATIVE_VARIANT, KN_FIXTURE_PLAIN);
    return native_scene_open(scene, "plain");
}

static kn_native *linked_kernel(native_scene *scene) {
    native_scene_name_tvm_ffi(KN_FAKE_TVM_FFI);
    native_scene_write(scene, "linked", NATIVE_VARIANT, KN_FIXTURE_LINKED);
    return native_scene_open(scene, "linked");
}

static kn_value call(kn_native *native, const char *name, const kn_value *args, int32_t count) {
    kn_value result;
    kn_error err = KN_ERROR_INIT;
    if (kn_function_call(native_scene_find(native, name), args, count, &result, &err))
        fail_msg("%s", err.message);
    return result;
}

static void call_fails(kn_native *native, const char *name, const kn_value *args, int32_t count,
                       kn_status status, const char *message) {
    kn_value result = kn_value_int(7);
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_function_call(native_scene_find(native, name), args, count, &result, &err),
                     status);
    assert_int_equal(err.status, status);
    assert_string_equal(err.message, message);
    assert_int_equal(result.type, KN_VALUE_NONE);
}

/* ---- values ---- */

static void test_a_function_works_on_tensors(void **state) {
    float x[6] = {0, 1, 2, 3, 4, 5}, y[6] = {0};
    int64_t shape[2] = {2, 3}, strides[2];
    kn_tensor_pack(shape, 2, strides);
    assert_int_equal(strides[0], 3);
    assert_int_equal(strides[1], 1);
    kn_tensor in = {.data = x,
                    .device = {KN_TENSOR_CPU, 0},
                    .ndim = 2,
                    .dtype = {KN_DTYPE_FLOAT, 32, 1},
                    .shape = shape,
                    .strides = strides};
    kn_tensor out = in;
    out.data = y;
    const kn_value args[] = {kn_value_tensor(&in), kn_value_tensor(&out)};
    kn_value result = call(plain_kernel(*state), "add_one", args, 2);
    assert_int_equal(result.type, KN_VALUE_NONE);
    for (int i = 0; i < 6; i++) assert_true(y[i] == (float)(i + 1));
}

static void test_numbers_come_back_as_they_went_in(void **state) {
    kn_native *native = plain_kernel(*state);
    kn_value arg = kn_value_int(-5), result = call(native, "echo", &arg, 1);
    assert_int_equal(result.type, KN_VALUE_INT);
    assert_int_equal(result.as.integer, -5);
    arg = kn_value_float(0.25);
    result = call(native, "echo", &arg, 1);
    assert_int_equal(result.type, KN_VALUE_FLOAT);
    assert_true(result.as.number == 0.25);
    arg = kn_value_bool(true);
    result = call(native, "echo", &arg, 1);
    assert_int_equal(result.type, KN_VALUE_BOOL);
    assert_int_equal(result.as.integer, 1);
    arg = kn_value_dtype((kn_dtype){KN_DTYPE_BFLOAT, 16, 1});
    result = call(native, "echo", &arg, 1);
    assert_int_equal(result.type, KN_VALUE_DTYPE);
    assert_int_equal(result.as.integer, 0x00011004); /* and nothing behind it */
    arg = kn_value_device((kn_tensor_device){KN_TENSOR_CUDA, 3});
    result = call(native, "echo", &arg, 1);
    assert_int_equal(result.as.device.place, 2);
    assert_int_equal(result.as.device.index, 3);
    assert_int_equal(call(native, "count", NULL, 0).as.integer, 0);
}

static void test_texts_are_read_in_each_of_their_forms(void **state) {
    (void)state;
    kn_bytes text;
    kn_value value = kn_value_text("a text");
    assert_true(kn_value_as_text(&value, &text));
    assert_int_equal(text.length, 6);
    const kn_bytes raw = {"a\0b", 3};
    value = kn_value_bytes(&raw);
    assert_true(kn_value_as_text(&value, &text));
    assert_memory_equal(text.at, "a\0b", 3);
    value = (kn_value){.type = KN_VALUE_SMALL_TEXT, .length = 3, .as.bytes = "small"};
    assert_true(kn_value_as_text(&value, &text));
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.at, "sma", 3);
    value = kn_value_int(1);
    assert_false(kn_value_as_text(&value, &text));
}

static void test_a_shape_is_the_callers_until_it_is_released(void **state) {
    native_scene *scene = *state;
    kn_native *native = plain_kernel(scene);
    const int64_t dimensions[] = {2, 3, 5};
    kn_value shape, result;
    kn_error err = KN_ERROR_INIT;
    native_scene_find(native, "sum_shape");
    native_scene_find(native, "echo");
    size_t live = scene->memory.live;
    assert_int_equal(kn_value_new_shape(&scene->memory.alloc, dimensions, 3, &shape, &err), KN_OK);
    result = call(native, "sum_shape", &shape, 1);
    assert_int_equal(result.as.integer, 10);
    result = call(native, "echo", &shape, 1); /* the kernel takes a reference of its own */
    kn_value_release(&shape);
    assert_int_equal(shape.type, KN_VALUE_NONE);
    const int64_t *read;
    size_t count;
    assert_true(kn_value_as_shape(&result, &read, &count));
    assert_int_equal(count, 3);
    assert_int_equal(read[2], 5);
    kn_value again = kn_value_retain(&result);
    kn_value_release(&result);
    assert_true(kn_value_as_shape(&again, &read, &count));
    kn_value_release(&again);
    assert_int_equal(scene->memory.live, live);
}

static void test_a_text_is_a_value_or_an_object_by_its_length(void **state) {
    native_scene *scene = *state;
    kn_native *native = plain_kernel(scene);
    const char *const texts[] = {"", "7 bytes", "8 bytes."};
    for (size_t i = 0; i < 3; i++) {
        kn_value text, result;
        kn_bytes read;
        kn_error err = KN_ERROR_INIT;
        assert_int_equal(
            kn_value_new_text(&scene->memory.alloc, texts[i], strlen(texts[i]), &text, &err),
            KN_OK);
        assert_int_equal(text.type, i < 2 ? KN_VALUE_SMALL_TEXT : KN_VALUE_TEXT_OBJECT);
        result = call(native, "echo", &text, 1);
        kn_value_release(&text);
        assert_true(kn_value_as_text(&result, &read));
        assert_int_equal(read.length, strlen(texts[i]));
        assert_memory_equal(read.at, texts[i], read.length + 1); /* with its NUL */
        kn_value_release(&result);
    }
}

static void count_done(void *ctx) { ++*(int *)ctx; }

static void test_a_tensor_of_its_own_is_kept_and_handed_on(void **state) {
    native_scene *scene = *state;
    const kn_alloc *alloc = &scene->memory.alloc;
    kn_native *native = plain_kernel(scene);
    float data[6] = {0};
    int64_t shape[] = {3, 2};
    int done = 0;
    const kn_tensor tensor = {.data = data,
                              .device = {KN_TENSOR_CPU, 0},
                              .ndim = 2,
                              .dtype = {KN_DTYPE_FLOAT, 32, 1},
                              .shape = shape};
    kn_value value;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_value_new_tensor(alloc, &tensor, count_done, &done, &value, &err), KN_OK);
    shape[0] = 99; /* it was copied */
    kn_value kept = call(native, "echo", &value, 1);
    kn_value_release(&value);
    assert_int_equal(kn_value_as_tensor(&kept)->shape[0], 3);
    assert_int_equal(kn_value_as_tensor(&kept)->strides[0], 2);
    assert_ptr_equal(kn_value_as_tensor(&kept)->data, data);

    kn_managed_tensor *managed;
    kn_managed_tensor_old *old;
    assert_int_equal(kn_value_to_dlpack(alloc, &kept, &managed, &err), KN_OK);
    assert_int_equal(kn_value_to_dlpack_old(alloc, &kept, &old, &err), KN_OK);
    kn_value_release(&kept);
    assert_int_equal(managed->major, 1);
    assert_ptr_equal(old->tensor.data, data);
    old->deleter(old);
    assert_int_equal(done, 0);

    kn_value back;
    assert_int_equal(kn_value_from_dlpack(alloc, managed, &back, &err), KN_OK);
    assert_int_equal(kn_value_as_tensor(&back)->shape[1], 2);
    kn_value_release(&back);
    assert_int_equal(done, 1);
    kn_managed_tensor later = {.major = 2};
    assert_int_equal(kn_value_from_dlpack(alloc, &later, &back, &err), KN_ERR_UNSUPPORTED);
    value = kn_value_int(1);
    assert_int_equal(kn_value_to_dlpack(alloc, &value, &managed, &err), KN_ERR_TYPE);
}

/* ---- functions as arguments ---- */

typedef struct adder {
    int64_t base;
    int done;
} adder;

static kn_status add(void *ctx, const kn_value *args, int32_t count, kn_value *result,
                     kn_error *err) {
    (void)err;
    int64_t sum = ((adder *)ctx)->base;
    for (int32_t i = 0; i < count; i++) sum += args[i].as.integer;
    *result = kn_value_int(sum);
    return KN_OK;
}

static kn_status refuse(void *ctx, const kn_value *args, int32_t count, kn_value *result,
                        kn_error *err) {
    (void)ctx, (void)args, (void)count;
    *result = kn_value_int(1);
    snprintf(err->message, sizeof err->message, "not today");
    return KN_ERR_TYPE;
}

/* Whose failure the program knows more of than a message says. */
static kn_status fail_here(void *ctx, const kn_value *args, int32_t count, kn_value *result,
                           kn_error *err) {
    (void)ctx, (void)args, (void)count, (void)result, (void)err;
    return KN_ERR_HOST;
}

static kn_status lend(void *ctx, const kn_value *args, int32_t count, kn_value *result,
                      kn_error *err) {
    (void)ctx, (void)args, (void)count, (void)err;
    *result = kn_value_text("not to be kept");
    return KN_OK;
}

static void done(void *ctx) { ((adder *)ctx)->done++; }

static void test_a_kernel_calls_a_function_of_the_program(void **state) {
    native_scene *scene = *state;
    kn_native *native = plain_kernel(scene);
    adder ctx = {.base = 100};
    kn_value function;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_value_new_function(&scene->memory.alloc, add, &ctx, done, &function, &err),
                     KN_OK);
    const kn_value args[] = {function, kn_value_int(20), kn_value_int(3)};
    assert_int_equal(call(native, "apply", args, 3).as.integer, 123);
    kn_value result;
    assert_int_equal(kn_value_call(&function, args + 1, 2, &result, &err), KN_OK);
    assert_int_equal(result.as.integer, 123);
    assert_int_equal(ctx.done, 0);
    kn_value_release(&function);
    assert_int_equal(ctx.done, 1);
    kn_value number = kn_value_int(1);
    assert_int_equal(kn_value_call(&number, NULL, 0, &result, &err), KN_ERR_TYPE);
}

static void test_a_kernels_function_is_an_argument_for_another(void **state) {
    native_scene *scene = *state;
    kn_native *native = plain_kernel(scene);
    kn_value function;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_function_value(native_scene_find(native, "count"), &function, &err), KN_OK);
    const kn_value args[] = {function, kn_value_int(1), kn_value_none()};
    assert_int_equal(call(native, "apply", args, 3).as.integer, 2);
    kn_value_release(&function);

    kn_native *linked = linked_kernel(scene);
    assert_int_equal(kn_function_value(native_scene_find(linked, "raise"), &function, &err), KN_OK);
    const kn_value failing[] = {function, kn_value_text("OurOwnError"), kn_value_text("words")};
    call_fails(native, "apply", failing, 3, KN_ERR_RUNTIME, "apply: OurOwnError: words");
    kn_value_release(&function);
}

static void test_the_failure_of_a_callback_comes_back_through_the_kernel(void **state) {
    native_scene *scene = *state;
    kn_native *native = linked_kernel(scene);
    kn_value function;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(
        kn_value_new_function(&scene->memory.alloc, refuse, NULL, NULL, &function, &err), KN_OK);
    call_fails(native, "apply", &function, 1, KN_ERR_TYPE, "apply: TypeError: not today");
    kn_value_release(&function);
    const kn_native_callback callbacks[] = {fail_here, lend};
    const char *const messages[] = {
        "apply: a callback of the program failed",
        "apply: TypeError: a callback returned a value that it borrows",
    };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            kn_value_new_function(&scene->memory.alloc, callbacks[i], NULL, NULL, &function, &err),
            KN_OK);
        call_fails(native, "apply", &function, 1, i ? KN_ERR_TYPE : KN_ERR_HOST, messages[i]);
        kn_value_release(&function);
    }
}

/* ---- errors ---- */

static void test_an_error_of_the_kernel_has_its_words_and_its_kind(void **state) {
    kn_native *native = linked_kernel(*state);
    const struct {
        const char *kind;
        kn_status status;
        const char *message;
    } cases[] = {
        {"ValueError", KN_ERR_VALUE, "raise: ValueError: x must be contiguous"},
        {"TypeError", KN_ERR_TYPE, "raise: TypeError: x must be contiguous"},
        {"RuntimeError", KN_ERR_RUNTIME, "raise: RuntimeError: x must be contiguous"},
        {"MemoryError", KN_ERR_NOMEM, "raise: MemoryError: x must be contiguous"},
        {"NotImplementedError", KN_ERR_UNSUPPORTED,
         "raise: NotImplementedError: x must be contiguous"},
        {"OurOwnError", KN_ERR_RUNTIME, "raise: OurOwnError: x must be contiguous"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const kn_value args[] = {kn_value_text(cases[i].kind),
                                 kn_value_text("x must be contiguous")};
        call_fails(native, "raise", args, 2, cases[i].status, cases[i].message);
    }
}

static void test_an_error_can_be_had_whole(void **state) {
    kn_native *native = linked_kernel(*state);
    const kn_value args[] = {kn_value_text("KeyError"), kn_value_text("a\nb")};
    kn_value result;
    assert_int_equal(kn_function_try(native_scene_find(native, "raise"), args, 2, &result),
                     KN_ERR_RUNTIME);
    kn_native_error error = {.size = sizeof error};
    assert_true(kn_value_as_error(&result, &error));
    assert_int_equal(error.kind.length, 8);
    assert_memory_equal(error.kind.at, "KeyError", 8);
    assert_int_equal(error.message.length, 3);
    assert_memory_equal(error.message.at, "a\nb", 3);
    assert_int_equal(error.backtrace.length, 0);
    kn_value_release(&result);
}

#define SILENT                                                                              \
    "fail_silently: the kernel says that it failed, and not why; it may need arguments of " \
    "other types or another number of them"

static void test_a_failure_without_an_error_is_told_as_such(void **state) {
    call_fails(plain_kernel(*state), "fail_silently", NULL, 0, KN_ERR_RUNTIME, SILENT);
    kn_native *linked = linked_kernel(*state);
    const kn_value args[] = {kn_value_text("ValueError"), kn_value_text("before")};
    call_fails(linked, "raise", args, 2, KN_ERR_VALUE, "raise: ValueError: before");
    call_fails(linked, "fail_silently", NULL, 0, KN_ERR_RUNTIME, SILENT); /* it was taken */
}

/* ---- streams ---- */

static void test_a_kernel_sees_the_stream_of_its_thread(void **state) {
    native_scene *scene = *state;
    kn_native *native = linked_kernel(scene);
    const kn_tensor_device device = {KN_TENSOR_CUDA, 1};
    const kn_value arg = kn_value_device(device);
    int mine, other;
    void *previous = &other;
    kn_error err = KN_ERROR_INIT;
    assert_int_equal(kn_engine_set_stream(scene->engine, device, &mine, &previous, &err), KN_OK);
    assert_null(previous);
    assert_ptr_equal(call(native, "stream_of", &arg, 1).as.pointer, &mine);
    assert_int_equal(kn_engine_set_stream(scene->engine, device, NULL, &previous, &err), KN_OK);
    assert_ptr_equal(previous, &mine);
    assert_null(call(native, "stream_of", &arg, 1).as.pointer);
    const kn_tensor_device nowhere = {KN_TENSOR_CUDA, 99};
    assert_int_equal(kn_engine_set_stream(scene->engine, nowhere, NULL, NULL, &err), KN_ERR_VALUE);
    assert_string_equal(err.message, "TVMFFIEnvSetStream: ValueError: no such device");
}

/* ---- threads ---- */

typedef struct caller {
    kn_native *native;
    const char *failed;
} caller;

static void *find_and_call(void *ctx) {
    caller *c = ctx;
    for (int i = 0; i < CALLS && !c->failed; i++) {
        const kn_function *function;
        kn_value result, args[] = {kn_value_text("ValueError"), kn_value_text("mine")};
        if (kn_native_find(c->native, i % 2 ? "raise" : "count", &function, NULL))
            c->failed = "find";
        kn_error err;
        kn_error_init(&err);
        kn_status status = kn_function_call(function, args, 2, &result, &err);
        if (i % 2 && (status != KN_ERR_VALUE || !strstr(err.message, "mine"))) c->failed = "raise";
        if (i % 2 == 0 && (status || result.as.integer != 2)) c->failed = "count";
    }
    return NULL;
}

static void test_threads_find_and_call_side_by_side(void **state) {
    kn_native *native = linked_kernel(*state);
    pthread_t threads[THREADS];
    caller callers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (caller){native, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, find_and_call, &callers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (callers[i].failed) fail_msg("%s", callers[i].failed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        native_test(test_a_function_works_on_tensors),
        native_test(test_numbers_come_back_as_they_went_in),
        cmocka_unit_test(test_texts_are_read_in_each_of_their_forms),
        native_test(test_a_shape_is_the_callers_until_it_is_released),
        native_test(test_a_text_is_a_value_or_an_object_by_its_length),
        native_test(test_a_tensor_of_its_own_is_kept_and_handed_on),
        native_test(test_a_kernel_calls_a_function_of_the_program),
        native_test(test_a_kernels_function_is_an_argument_for_another),
        native_test(test_the_failure_of_a_callback_comes_back_through_the_kernel),
        native_test(test_an_error_of_the_kernel_has_its_words_and_its_kind),
        native_test(test_an_error_can_be_had_whole),
        native_test(test_a_failure_without_an_error_is_told_as_such),
        native_test(test_a_kernel_sees_the_stream_of_its_thread),
        native_test(test_threads_find_and_call_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
