# Every target sets up what it needs and does again only what has changed.
# Variables: PYTHON (default python3), KERNELS_TORCH_INDEX (see tools/venv.sh), KERNELS_DEPS (where the wheel's static
# libraries are made, default build/deps), KERNELS_DEPS_SOURCES (see tools/static_deps.sh), ARGS (further arguments to pytest).
PYTHON ?= python3
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK = 1

BIN := .venv/bin
PIP_WHEEL = $(BIN)/pip wheel --quiet --no-deps --no-build-isolation
PLATFORM := manylinux_2_34_x86_64
# Libraries that are there when a kernel is loaded.
NOT_INSIDE := --exclude 'libtorch*' --exclude libtvm_ffi.so --exclude 'libcudart.so*'
DEPS := $(or $(KERNELS_DEPS),build/deps)
SOURCES := $(shell find CMakeLists.txt VERSION README.md LICENSE pyproject.toml cmake include src cli python builtin \
             -not -name '*.pyc' -not -name __pycache__ 2>/dev/null)
TEST_OPTIONS := -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DKN_BUILD_TESTS=ON -DKN_WERROR=ON \
                -DKN_SANITIZE=address,undefined
THREAD_OPTIONS := -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DKN_BUILD_TESTS=ON -DKN_BUILD_BUILTIN=OFF \
                  -DKN_WERROR=ON -DKN_SANITIZE=thread
LINT_OPTIONS := -DCMAKE_BUILD_TYPE=Debug -DKN_BUILD_TESTS=ON -DKN_BUILD_PYTHON=ON
KERNEL_OPTIONS = -DKN_BUILTIN_OUTPUT=$(CURDIR)/build/kernels/out -DKN_BUILTIN_CUDA=$(if $(shell command -v nvcc),ON,OFF)
TEST_ENV := KN_PEER_PYTHON=$(CURDIR)/.venv-peer/bin/python KN_HUB1_PYTHON=$(CURDIR)/.venv-hub1/bin/python \
            KN_ECOSYSTEM_PYTHON=$(CURDIR)/.venv-ecosystem/bin/python KN_TVM_FFI_PYTHON=$(CURDIR)/.venv-tvm/bin/python \
            KN_SHARED_LIB=$(CURDIR)/build/wheel/libkernels.so KN_TEST_HUB=$(CURDIR)/build/test-hub/test_hub
PEERS := .venv-peer/.peer .venv-hub1/.hub1 .venv-tvm/.tvm build/test-hub/test_hub
TESTED := .venv/.demo .venv/.model .venv/.test .venv-ecosystem/.ecosystem $(PEERS)

.PHONY: help demo test test-c test-python test-sanitized test-large test-emulated test-tsan test-valgrind test-free-threaded \
        test-upstream test-wheel test-wheel-cuda test-deb test-cuda test-cuda-sanitized fuzz bench build wheel wheel-cuda install deb \
        kernels docs lint \
        format clean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: build .venv/.demo .venv/.model ## kernelize a real model and compare
	$(BIN)/python examples/demo.py

test: test-c test-python ## run every test

test-c: build/.system ## run the C tests, with sanitizers
	cmake -S . -B build/test -G Ninja --log-level=WARNING $(TEST_OPTIONS)
	cmake --build build/test
	ctest --test-dir build/test --output-on-failure -j 2

test-python: build $(TESTED) ## run the Python tests
	$(TEST_ENV) $(BIN)/pytest -n 2 --dist worksteal $(ARGS)

test-sanitized: build $(TESTED) ## run them over a sanitized extension
	$(TEST_ENV) tools/test_sanitized.sh $(ARGS)

test-tsan: build/.system ## run the C tests that use threads under a thread sanitizer
	cmake -S . -B build/tsan -G Ninja --log-level=WARNING $(THREAD_OPTIONS)
	cmake --build build/tsan --target threaded_tests
	ctest --test-dir build/tsan --output-on-failure -L threads

test-valgrind: build ## run every type of the extension under valgrind
	tools/test_valgrind.sh

test-free-threaded: build ## run them with the free-threaded Python in FREE_THREADED (default python3.13t)
	tools/test_free_threaded.sh $(or $(FREE_THREADED),python3.13t)

test-upstream: build .venv/.demo .venv/.test build/test-hub/test_hub ## run upstream's own tests against this package
	$(TEST_ENV) $(BIN)/python tests/upstream/run.py $(ARGS)

test-emulated: build/.system ## run the kernels' C tests on CPUs that qemu-user emulates
	cmake -S tests/builtin -B build/emulated -G Ninja --log-level=WARNING "-DKN_BUILTIN_CPUS=Nehalem=serial;Haswell=avx2"
	cmake --build build/emulated
	ctest --test-dir build/emulated --output-on-failure -j 2

test-large: build .venv/.demo .venv/.test ## run the kernels on more than 2^31 elements (10 GiB)
	$(BIN)/python tests/builtin/check_large.py

test-wheel: wheel .venv/.demo .venv/.test build/test-hub/test_hub build/bare/.made ## install the wheel in a bare Debian (root) and use it
	$(TEST_ENV) KN_BARE=$(CURDIR)/build/bare/root $(BIN)/pytest -s tests/wheel/check_wheel.py $(ARGS)

install: build/.system ## build the C library and install it below DESTDIR and PREFIX (default /usr/local)
	cmake -S . -B build/install -G Ninja --log-level=WARNING -DCMAKE_INSTALL_PREFIX=$(or $(PREFIX),/usr/local)
	cmake --build build/install
	DESTDIR=$(DESTDIR) cmake --install build/install

deb: build/.system ## build Debian packages for C programs: build/deb/*.deb
	cmake -S . -B build/deb -G Ninja --log-level=WARNING -DCMAKE_INSTALL_PREFIX=/usr
	cmake --build build/deb
	rm -f build/deb/*.deb
	cd build/deb && cpack -G DEB

test-deb: deb build/bare-c/.made .venv/.test ## install them in a bare Debian without Python (root) and use them
	tests/wheel/check_deb.sh build/deb build/bare-c/root $(BIN)/../lib/python3*/site-packages/tvm_ffi/lib/libtvm_ffi.so

fuzz: build/.system ## fuzz what reads outside bytes, with clang, for SECONDS each (default 60)
	tools/fuzz.sh $(SECONDS)

bench: build .venv/.demo .venv/.model .venv/.test $(PEERS) ## measure against upstream
	set -e; for program in bench/bench_*.py; do $(TEST_ENV) $(BIN)/python $$program; done

build: .venv/.kernels ## build the wheel and install it into .venv

kernels: build/.system ## build the first-party kernels as repositories in build/kernels/out, for CUDA too where nvcc is
	cmake -S builtin -B build/kernels -G Ninja --log-level=WARNING $(KERNEL_OPTIONS)
	cmake --build build/kernels

test-cuda: ## test them on the CUDA device of this machine, with the torch of PYTHON
	KN_BUILTIN_DIR=$(CURDIR)/build/kernels/out $(PYTHON) -m pytest -q tests/builtin/test_cuda_*.py $(ARGS)

test-cuda-sanitized: ## run them there under compute-sanitizer
	tools/test_sanitized_cuda.sh

wheel: dist/.built ## build dist/kernels-*.whl

# Shares its build with the target kernels.
wheel-cuda: .venv/.build .venv/.wheel ## build dist/kernels_cuda-*.whl, which adds builds for CUDA to an installed kernels; needs nvcc
	rm -rf build/dist-cuda dist/kernels_cuda-*.whl
	$(PIP_WHEEL) --wheel-dir build/dist-cuda --config-settings=build-dir=$(CURDIR)/build/kernels \
	    --config-settings=cmake.define.KN_BUILTIN_OUTPUT=$(CURDIR)/build/kernels/out ./builtin
	PATH=$(CURDIR)/$(BIN):$$PATH auditwheel repair --plat $(PLATFORM) $(NOT_INSIDE) --wheel-dir dist \
	    build/dist-cuda/kernels_cuda-*.whl

test-wheel-cuda: wheel-cuda build .venv/.test ## install that wheel beside kernels and look for what it brings
	$(BIN)/pytest tests/wheel/check_wheel_cuda.py $(ARGS)

docs: build .venv/.docs ## render the documentation into build/docs/html
	$(BIN)/python tools/docs/build.py

lint: .venv/.demo .venv/.lint ## check format and types, run the static checks
	cmake -S . -B build/lint -G Ninja --log-level=WARNING $(LINT_OPTIONS)
	tools/lint.sh

format: .venv/.lint ## lay out all sources
	tools/lint.sh --fix

clean: ## remove all that was made here
	rm -rf build dist .venv .venv-peer .venv-hub1 .venv-ecosystem .venv-tvm .hypothesis

build/.system: tools/setup.sh
	tools/setup.sh
	@mkdir -p $(@D) && touch $@

.venv/.%: tools/requirements-%.txt | build/.system
	tools/venv.sh .venv $*
	@touch $@

.venv-peer/.%: tools/requirements-%.txt | build/.system
	tools/venv.sh .venv-peer $*
	@touch $@

.venv-hub1/.%: tools/requirements-%.txt | build/.system
	tools/venv.sh .venv-hub1 $*
	@touch $@

.venv-tvm/.%: tools/requirements-%.txt | build/.system
	tools/venv.sh .venv-tvm $*
	@touch $@

.venv-ecosystem/.%: tools/requirements-%.txt | build/.system
	tools/venv.sh .venv-ecosystem $*
	@touch $@

build/test-hub/test_hub: $(wildcard tests/support/hub/*) $(shell find src/base src/os src/serve include src/codec src/net -name "*.[ch]") cmake/options.cmake | build/.system
	cmake -S tests/support/hub -B build/test-hub -G Ninja --log-level=WARNING -DKN_WERROR=ON
	cmake --build build/test-hub
	@touch $@

# What .venv gets is linked with this machine's libraries; what is given away brings its own.
build/dist/.built: $(SOURCES) | .venv/.build
	rm -rf build/dist
	$(PIP_WHEEL) --wheel-dir build/dist --config-settings=build-dir=build/wheel .
	@touch $@

.venv/.kernels: build/dist/.built
	$(BIN)/pip install --quiet --no-index --no-deps --force-reinstall build/dist/kernels-*.whl
	@touch $@

$(DEPS)/.built: tools/static_deps.sh tools/static_deps.pins | build/.system
	tools/static_deps.sh $(DEPS)
	@touch $@

# Without Python: what the packages depend on, and what it takes to build a program with them.
build/bare-c/.made: tests/wheel/bare.sh
	tests/wheel/bare.sh build/bare-c/root gcc,libc6-dev,pkgconf,libcurl4,libssl3,libjansson-dev,libmicrohttpd12
	@touch $@

build/bare/.made: tests/wheel/bare.sh
	tests/wheel/bare.sh build/bare/root python3
	@touch $@

# auditwheel refuses what an older glibc lacks, and writes the tag.
dist/.built: $(SOURCES) $(DEPS)/.built | .venv/.build .venv/.wheel
	rm -rf build/dist-static dist
	$(PIP_WHEEL) --wheel-dir build/dist-static --config-settings=build-dir=build/static \
	    --config-settings=cmake.define.KN_STATIC_DEPS=$(abspath $(DEPS)/prefix) .
	PATH=$(CURDIR)/$(BIN):$$PATH auditwheel repair --plat $(PLATFORM) $(NOT_INSIDE) --wheel-dir dist \
	    build/dist-static/kernels-*.whl
	@touch $@

