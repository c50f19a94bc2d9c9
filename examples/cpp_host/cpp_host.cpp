// SPDX-License-Identifier: Apache-2.0
// A C++ program calls a function of a kernel: handles end themselves, and a failure is an
// exception. usage: cpp_host [KERNEL]        default: builtin/norm
#include <kernels/kernels.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// Calls `function(arguments..., &err)`, and throws what it says.
template <typename Function, typename... Arguments>
void check(Function function, Arguments... arguments) {
    kn_error err;
    kn_error_init(&err);
    if (function(arguments..., &err)) throw std::runtime_error(err.message);
}

struct EngineEnd {
    void operator()(kn_engine *engine) const { kn_engine_free(engine, nullptr); }
};

// What a function is given and gives; what it owns is released with it.
class Value {
  public:
    Value() : value_(kn_value_none()) {}
    ~Value() { kn_value_release(&value_); }
    Value(const Value &) = delete;
    Value &operator=(const Value &) = delete;
    kn_value *get() { return &value_; }

  private:
    kn_value value_;
};

// A row-major float32 tensor on the processor.
class Tensor {
  public:
    explicit Tensor(std::vector<int64_t> shape, float value = 0) : shape_(std::move(shape)) {
        int64_t count = 1;
        for (int64_t size : shape_) count *= size;
        data_.assign(static_cast<size_t>(count), value);
        strides_.resize(shape_.size());
        auto ndim = static_cast<int32_t>(shape_.size());
        kn_tensor_pack(shape_.data(), ndim, strides_.data());
        tensor_ = {data_.data(),  {KN_TENSOR_CPU, 0}, ndim, {KN_DTYPE_FLOAT, 32, 1},
                   shape_.data(), strides_.data(),    0};
    }
    Tensor(const Tensor &) = delete;
    Tensor &operator=(const Tensor &) = delete;
    kn_value argument() { return kn_value_tensor(&tensor_); }
    float &operator[](size_t index) { return data_[index]; }

  private:
    std::vector<int64_t> shape_, strides_;
    std::vector<float> data_;
    kn_tensor tensor_;
};

void run(const char *name) {
    kn_engine *made = nullptr;
    check(kn_engine_new, nullptr, &made);
    std::unique_ptr<kn_engine, EngineEnd> engine(made);

    kn_repo_info info = {};
    info.size = sizeof info;
    check(kn_repo_parse, name, &info);
    info.backend = "cpu"; // where the tensors are, whatever GPUs there are
    kn_native *kernel = nullptr;
    const kn_function *rms_norm = nullptr;
    check(kn_engine_get_native, engine.get(), nullptr, &info, &kernel);
    check(kn_native_find, kernel, "rms_norm", &rms_norm);

    Tensor x({2, 4}, 3), out({2, 4}), weight({4}, 2);
    const std::vector<kn_value> arguments = {out.argument(), x.argument(), weight.argument(),
                                             kn_value_float(0)};
    Value result;
    check(kn_function_call, rms_norm, arguments.data(), static_cast<int32_t>(arguments.size()),
          result.get());
    kn_native_info about = {};
    about.size = sizeof about;
    kn_native_get(kernel, &about);
    std::cout << about.name << " (" << about.variant << "): " << out[0] << ' ' << out[7] << '\n';
}

} // namespace

int main(int count, char **arguments) {
    try {
        run(count > 1 ? arguments[1] : "builtin/norm");
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << '\n';
        return 1;
    }
}
