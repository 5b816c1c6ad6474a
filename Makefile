# The same commands for people and for CI. `make demo` and `make test` each set up .venv on a bare
# machine: they need Python, a C++20 compiler (GCC 12 or Clang 15), make, and an index of packages.

PYTHON ?= python3
# A folder or file of the STS benchmark: make demo STS=path
STS ?=
# More options for pytest: make test TESTS="tests/ir -x"
TESTS ?=
# A folder where tests keep compiled files, for another run of the same code: make test test-isa ARTIFACTS=new-folder
ARTIFACTS ?=
# The kind of machine that results are of: benchmarks/results/KIND.json
KIND ?= this-machine
# The index with PyTorch's CPU builds, on Linux: the default index's builds bring CUDA along
TORCH_INDEX ?=

VENV := .venv
comma := ,
RUN := $(VENV)/bin/python
# A process for each processor, with one thread for NumPy and for PyTorch: more would only wait for each other.
# The tests of a file stay together, as they share models. Files start in their order: by default those with the
# most tests would come first, and long ones last.
PYTEST := OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 $(RUN) -m pytest \
  --numprocesses auto --dist loadfile --no-loadscope-reorder
INSTALL := $(RUN) -m pip install --quiet --constraint constraints.txt
# The package itself, built here, and the unit tests of its native core beside it
BUILD := --no-build-isolation --config-settings=cmake.define.BERTC_TESTS=ON
SOURCES := pyproject.toml constraints.txt README.md LICENSE $(shell find src native -type f ! -name '*.pyc')
NATIVE := $(shell git ls-files 'native/*.cc' 'native/*.h' 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-isa asan tsan lint format compare plots bench wheel clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.demo  ## compile all-MiniLM-L6-v2 to fp32, bf16, int8; measure and compare them
	$(RUN) benchmarks/demo.py $(if $(STS),--sts "$(STS)")

test: $(VENV)/.test  ## run all tests
	$(PYTEST) $(if $(ARTIFACTS),--artifacts=$(ARTIFACTS)) $(TESTS)

test-isa: $(VENV)/.test  ## run what BERTC_ISA changes again, on each lower instruction set of this processor
	@rm -rf build/test-isa
	@for isa in $$($(RUN) -c "from bertc import _native; print(*_native.supported_isas()[:-1])"); do \
	  echo "BERTC_ISA=$$isa"; \
	  if [ $$isa = scalar ]; then which="native and not whole_data"; else which=native; fi; \
	  BERTC_ISA=$$isa $(PYTEST) -q -m "$$which" --artifacts=$(or $(ARTIFACTS),build/test-isa) $(TESTS) || exit 1; \
	done

# $(call sanitized,FOLDER,SANITIZERS): a copy of the package in build/FOLDER/site, and native_tests
define sanitized
	$(VENV)/bin/cmake -S native -B build/$(1) -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBERTC_SANITIZE=$(2) \
	  -DBERTC_TESTS=ON -DPython_EXECUTABLE=$(abspath $(RUN)) -Dnanobind_DIR=$$($(RUN) -m nanobind --cmake_dir)
	$(VENV)/bin/cmake --build build/$(1)
	rm -rf build/$(1)/site && mkdir build/$(1)/site && cp -r src/bertc build/$(1)/site
	cp build/$(1)/_native*.so build/$(1)/site/bertc
endef

asan: $(VENV)/.test  ## run the tests of native code under AddressSanitizer and UBSan (GCC)
	$(call sanitized,asan,address$(comma)undefined)
	PYTHONPATH=build/asan/site ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
	  $(RUN) -m pytest -q --capture=sys $(TESTS)

tsan: $(VENV)/.test  ## run the tests of threads and forks under ThreadSanitizer (GCC)
	$(call sanitized,tsan,thread)
	build/tsan/native_tests
	PYTHONPATH=build/tsan/site TSAN_OPTIONS=die_after_fork=0:ignore_noninstrumented_modules=1 \
	  LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" $(RUN) -m pytest -q --capture=sys $(or $(TESTS),tests/models/test_sharing.py)

lint: $(VENV)/.lint  ## check style and types, change nothing
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy benchmarks
	$(VENV)/bin/clang-format --dry-run --Werror $(NATIVE)

format: $(VENV)/.lint  ## put the sources into the house style
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .
	$(VENV)/bin/clang-format -i $(NATIVE)

compare: $(VENV)/.bench  ## measure next to other libraries: make compare KIND=avx512 (an hour, idle machine)
	$(RUN) benchmarks/compare.py --output benchmarks/results/$(KIND).json $(if $(STS),--sts "$(STS)")

plots: $(VENV)/.demo  ## plots, targets and docs/results.md from benchmarks/results
	$(RUN) benchmarks/plot_results.py

bench: demo-output/all-MiniLM-L6-v2.int8.bertc  ## time the int8 model of the demo
	$(VENV)/bin/bertc bench $<

demo-output/all-MiniLM-L6-v2.int8.bertc: $(VENV)/.demo
	$(RUN) benchmarks/demo.py

wheel: $(VENV)/.build  ## build a wheel for this machine into dist/
	$(RUN) -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

clean:  ## remove all that the other targets made
	rm -rf $(VENV) build dist demo-output .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An empty file in .venv stands for each thing that was installed into it.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; \
	  sys.exit(f"bertc needs Python 3.10 or newer, $(PYTHON) is {v}: try make PYTHON=python3.12" \
	  if sys.version_info < (3, 10) else 0)'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	touch $@

# Build tools live in the environment, pinned, so that a rebuild is incremental (build/ is kept).
$(VENV)/.build: $(VENV)/.created constraints.txt pyproject.toml
	$(INSTALL) pip
	$(INSTALL) --group build
	touch $@

$(VENV)/.demo: $(VENV)/.build $(SOURCES) benchmarks/requirements.txt
	$(INSTALL) $(BUILD) . --group demo
	$(INSTALL) --no-deps --requirement benchmarks/requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(INSTALL) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --group test
	touch $@

$(VENV)/.bench: $(VENV)/.demo benchmarks/requirements-compare.txt
	$(INSTALL) $(BUILD) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) ".[bench,plot]"
	$(INSTALL) --no-deps --requirement benchmarks/requirements-compare.txt
	touch $@

# mypy reads the types of our dependencies.
$(VENV)/.lint: $(VENV)/.demo
	$(INSTALL) --group lint
	touch $@
