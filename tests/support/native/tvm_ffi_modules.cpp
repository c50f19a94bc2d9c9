// SPDX-License-Identifier: Apache-2.0
// A library that embeds a module, as tvm-ffi packs them (ProcessLibraryBin in its
// library_module.cc): the functions of the kernel are those of the library and, behind it, of the
// module that it imports. FIXTURE_KIND is the kind of module that can be unpacked: "fixture" is
// what there is.
#include <tvm/ffi/extra/c_env_api.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/reflection/registry.h>
#include <tvm/ffi/tvm_ffi.h>

namespace ffi = tvm::ffi;

// Its one function adds what stands in its bytes.
class FixtureModule : public ffi::ModuleObj {
  public:
    explicit FixtureModule(int64_t base) : base_(base) {}
    const char *kind() const final { return "fixture"; }
    ffi::Optional<ffi::Function> GetFunction(const ffi::String &name) final {
        if (name != "imported") return std::nullopt;
        return ffi::Function::FromTyped([base = base_](int64_t more) { return base + more; });
    }

  private:
    int64_t base_;
};

TVM_FFI_STATIC_INIT_BLOCK() {
    ffi::reflection::GlobalDef().def(
        "ffi.Module.load_from_bytes." FIXTURE_KIND, [](const ffi::Bytes &bytes) {
            return ffi::Module(ffi::make_object<FixtureModule>(bytes.data()[0] - '0'));
        });
}

// The number of bytes that follow; which module imports which (from[i] to from[i + 1] are those of
// module i); then the modules: the library itself, and one of the kind "fixture" from one byte.
extern "C" struct __attribute__((packed)) {
    uint64_t size, from_count, from[3], import_count, imports[1], first_length;
    char first[4];
    uint64_t second_length;
    char second[7];
    uint64_t bytes_length;
    char bytes[1];
} const TVM_FFI_DLL_EXPORT __tvm_ffi__library_bin = {
    84, 3,    {0, 1, 1}, 1, {1}, 4, {'_', 'l', 'i', 'b'}, 7, {'f', 'i', 'x', 't', 'u', 'r', 'e'},
    1,  {'5'}};

extern "C" {
TVM_FFI_DLL_EXPORT void *__tvm_ffi__library_ctx = nullptr;
}

static int64_t own(int64_t value) { return value + 1; }

// The module's function, as the code of the library finds it.
static ffi::Any through_context(int64_t value) {
    TVMFFIObjectHandle function = nullptr;
    TVM_FFI_CHECK_SAFE_CALL(
        TVMFFIEnvModLookupFromImports(__tvm_ffi__library_ctx, "imported", &function));
    return ffi::GetRef<ffi::Function>(static_cast<ffi::FunctionObj *>(function))(value);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(own, own);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(through_context, through_context);
