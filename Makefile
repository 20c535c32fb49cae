# belfry: build, test, lint, run. `make help` lists the targets.
.DEFAULT_GOAL := all

# SAN=address (with UBSan) or SAN=thread builds the same tree, instrumented, in a folder of its own.
SAN ?=
BUILD ?= build
B := $(BUILD)$(if $(SAN),/$(SAN))
CC ?= gcc
# V=1 shows whole commands instead of what they make.
Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $1 $@")
PREFIX ?= /usr/local
DESTDIR ?=
comma := ,
WERROR ?= $(if $(CI),-Werror)
VERSION := 0.1.0

ifneq ($(filter-out address thread,$(SAN)),)
$(error SAN is address, thread or nothing, not $(SAN))
endif

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
            -Wno-unused-parameter -Wundef -Wvla $(WERROR)
# Hidden, or the shared libraries would call our functions for theirs of the same name (libjwt uses jansson's json_string).
VISIBILITY := -fvisibility=hidden
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection $(if $(SAN),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
SAN_FLAGS := $(if $(filter address,$(SAN)),-fsanitize=address,) $(if $(filter address,$(SAN)),-fsanitize=undefined -fno-sanitize-recover=undefined,) \
             $(if $(filter thread,$(SAN)),-fsanitize=thread,)
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -DBELFRY_VERSION='"$(VERSION)"' -I. \
             $(WARNINGS) $(VISIBILITY) $(HARDENING) -fno-omit-frame-pointer -pthread $(SAN_FLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed -pthread $(SAN_FLAGS) $(LDFLAGS)
LIBS := -lh2o-evloop -lhiredis -ljwt -lyajl -lssl -lcrypto -lz -lm

LAYERS := core pubsub handlers api server
SRCS := $(foreach l,$(LAYERS),$(wildcard $(l)/*.c))
OBJS := $(SRCS:%.c=$(B)/obj/%.o)
LIB_OBJS := $(filter-out $(B)/obj/server/main.o,$(OBJS))
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(B)/tests/%)

.PHONY: all clean unit unit-build help
all: $(B)/belfry $(if $(SAN),,compile_commands.json) ## build build/belfry; SAN=address or SAN=thread: an instrumented one below build/

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

# $(call remember,FILE,TEXT): FILE holds TEXT, and is written again only when TEXT has become another. What depends on
# FILE is made again when its flags or its list of parts have changed, not only when a source has.
define remember
ifneq ($$(strip $$(file <$1)),$$(strip $2))
.PHONY: $1
endif
$1:
	$$(shell mkdir -p $$(@D))$$(file >$$@,$2)@:
endef
$(eval $(call remember,$(B)/flags,$$(filter-out -Werror,$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) $$(LIBS))))
$(eval $(call remember,$(B)/parts,$$(sort $$(LIB_OBJS))))

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,cc)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libbelfry.a: $(LIB_OBJS) $(B)/parts
	@rm -f $@
	$(call say,ar)
	$(Q)$(AR) rcs $@ $(LIB_OBJS)

$(B)/belfry: $(B)/obj/server/main.o $(B)/libbelfry.a
	$(call say,ld)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/%: $(B)/obj/tests/unit/%.o $(B)/libbelfry.a
	@mkdir -p $(@D)
	$(call say,ld)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

.PRECIOUS: $(B)/obj/%.o

# Files that are put into the binary (core/embed.h).
$(B)/obj/pubsub/scripts.o: $(wildcard pubsub/*.lua)
$(B)/obj/handlers/demo.o: $(wildcard handlers/demo*.html handlers/demo*.css handlers/demo*.js)
$(B)/obj/api/documents.o: openapi.yaml asyncapi.yaml

# For editors. As make itself writes it, nothing has to be quoted for a shell, only for JSON.
compile_command = {"directory":"$(CURDIR)","file":"$1","command":"$(subst ",\",$(subst \,\\,$(CC) $(ALL_CFLAGS))) -c $1"}
compile_commands.json: Makefile $(SRCS) $(UNIT_SRCS)
	$(file >$@,[$(subst } {,}$(comma){,$(foreach f,$(SRCS) $(UNIT_SRCS),$(call compile_command,$f)))])@:

# Tests. What a sanitizer finds ends the program; it is given more patience.
SAN_ENV := $(if $(filter address,$(SAN)),ASAN_OPTIONS=handle_segv=2:handle_abort=2:handle_sigbus=2:handle_sigill=2:handle_sigfpe=2 \
           UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 TEST_PATIENCE=3) \
           $(if $(filter thread,$(SAN)),TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp:halt_on_error=0:exitcode=66 TEST_PATIENCE=4)
# ThreadSanitizer wants the addresses where it expects them; where the kernel does not let us ask, it may still be content.
RUN := $(if $(filter thread,$(SAN)),$(shell setarch -R true 2>/dev/null && echo setarch -R))
# Targets that are made of several makes use all CPUs, unless told otherwise.
PARALLEL = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
SUBMAKE = $(MAKE) --no-print-directory
PYTEST = $(SAN_ENV) $(RUN) env BELFRY_BINARY=$(abspath $(B)/belfry) $(BUILD)/venv/bin/python -m pytest -q -n 2 -p no:cacheprovider
SYSTEM_TESTS ?= tests/system tests/torture

.PHONY: deps test unit system check-full lint fmt run install
deps: ## install the Debian packages that are missing
	@tests/deps.sh build

test: ## install what is missing and run all tests
	@tests/deps.sh build image test gateway
	@$(SUBMAKE) $(PARALLEL) all unit-build
	@$(SUBMAKE) unit
	@$(SUBMAKE) system
	@$(SUBMAKE) lint-docs

unit-build: $(UNIT_BINS)

unit: $(UNIT_BINS) ## run the unit tests
	@$(SAN_ENV) $(RUN) tests/unit/run.sh $(UNIT_BINS)

system: $(B)/belfry ## run the system tests: the real binary, real servers, a real browser
	@tests/venv.sh $(BUILD)/venv
	@$(PYTEST) -c tests/system/pytest.ini $(SYSTEM_TESTS)

# Faults on every side while clients and publishers go on, then a judge (tests/torture). Exit code 1 if it finds anything;
# the folder of that run is kept in build/torture. PROFILE=failover: a master, a replica and Sentinels.
SECONDS ?= 60
PROFILE ?= alone
.PHONY: torture sabotage
sabotage: $(B)/belfry ## show that the torture finds a server that was broken on purpose, one way after the other
	@tests/venv.sh $(BUILD)/venv
	@tests/torture/sabotage.sh

torture: $(B)/belfry ## kill and break everything for SECONDS (60), by the seed SEED, and judge what was delivered
	@tests/venv.sh $(BUILD)/venv
	@$(SAN_ENV) $(RUN) env BELFRY_BINARY=$(abspath $(B)/belfry) $(BUILD)/venv/bin/python tests/torture/torture.py \
	    --seconds $(SECONDS) --profile $(PROFILE) $(if $(SEED),--seed $(SEED)) $(TORTURE)

# The chart, compose.yaml and the sidecar. helm is a Go program; without any Go there is nothing to test the chart with.
.PHONY: helm-test
helm-test: $(B)/belfry ## check the Helm chart and compose.yaml: lint, schemas, Pod Security, what `helm test` runs
	@tests/deps.sh helm
	@tests/venv.sh $(BUILD)/venv
	@tests/helm/get_helm.sh $(BUILD) || { [ $$? = 3 ] && echo "helm-test: 0 passed, SKIPPED: no Go to build helm with"; exit; }; \
	    tests/helm/get_crds.sh $(BUILD) && CRDS=$(abspath $(BUILD)/crds) \
	    HELM=$(abspath $(BUILD)/bin/helm) $(PYTEST) tests/helm

.PHONY: model
model: ## check the model of the delivery protocol with spin (docs/model); MODEL_FULL=1: at greater bounds
	@tests/deps.sh model
	@python3 tests/model/check.py $(if $(MODEL_FULL),--full)

# .ci/run with everything under ThreadSanitizer too, and with longer fuzzing: about an hour on two cores.
check-full: ## what .ci/run does, at length
	@CHECK_FULL=1 .ci/run

# Lint. Each check fails when it finds nothing to look at.
C_FILES = $(shell git ls-files '*.c' '*.h')
PYTHON_FILES = $(shell git ls-files '*.py')
SHELL_FILES = $(shell git ls-files '*.sh' .ci/run)
.PHONY: lint-format lint-cppcheck lint-scripts lint-docs
lint: lint-format lint-cppcheck lint-scripts lint-docs ## check formatting, likely mistakes, layers, scripts and documents

lint-format:
	@test -n "$(C_FILES)" || { echo "no C file to check" >&2; exit 1; }
	@clang-format --dry-run -Werror $(C_FILES)

lint-cppcheck:
	@test -n "$(SRCS)" || { echo "no C file to check" >&2; exit 1; }
	@cppcheck -q -j2 --std=c11 --enable=warning,portability --error-exitcode=1 --inline-suppr -I. -D__linux__ \
	    --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches $(SRCS)

lint-scripts:
	@test -n "$(PYTHON_FILES)" && test -n "$(SHELL_FILES)" || { echo "no script to check" >&2; exit 1; }
	@pyflakes3 $(PYTHON_FILES)
	@shellcheck $(SHELL_FILES)

lint-docs: $(B)/belfry
	@for check in includes purpose tour log_docs; do \
	    python3 tests/lint/$$check.py --self-test >/dev/null && python3 tests/lint/$$check.py || exit 1; done
	@python3 tests/lint/config_docs.py --binary $(B)/belfry

fmt: ## format the C files
	@clang-format -i $(C_FILES)

# Running and installing. Two can run beside each other: on another PORT, METRICS_LISTEN is a port that is free.
PORT ?= 8000
run: ## build and serve on PORT (8000), with a Redis of its own; prints the demo page's address
	@tests/deps.sh build
	@$(SUBMAKE) $(PARALLEL) all
	@if [ -z "$${SECRET_KEY:-}$${SECRET_KEY_FILE:-}$${BELFRY_SECRET_KEY:-}$${BELFRY_SECRET_KEY_FILE:-}" ]; then \
	    SECRET_KEY=$$(head -c 48 /dev/urandom | base64 -w 0); export SECRET_KEY; fi; \
	export LISTEN="$${LISTEN:-[::]:$(PORT)}"; \
	[ "$(PORT)" = 8000 ] || export METRICS_LISTEN="$${METRICS_LISTEN:-127.0.0.1:0}"; \
	token=$$($(B)/belfry token --user demo --scope events:publish --ttl 24h) || exit 2; \
	printf '\nDemo page: http://127.0.0.1:%s%s/#token=%s\n\nToken (user demo, scope events:publish, 24 hours):\n%s\n\n' \
	    "$${LISTEN##*:}" "$${BASE_PATH:-}" "$$token" "$$token"; \
	exec env $(SAN_ENV) $(RUN) $(B)/belfry serve

install: $(B)/belfry ## install the binary below DESTDIR and PREFIX (/usr/local)
	install -D -m 755 $(B)/belfry $(DESTDIR)$(PREFIX)/bin/belfry
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/belfry/LICENSE

# Fuzzing: every tests/fuzz/fuzz_NAME.c is built with core/ by clang's libFuzzer and runs FUZZ_SECONDS, from the seeds in
# tests/fuzz/corpus/NAME and, where there is one, with tests/fuzz/NAME.dict. What it finds beyond the seeds stays in
# $(BUILD)/fuzz; an input that fails is written there as NAME-crash-… and is run alone by $(BUILD)/fuzz/fuzz_NAME FILE.
FUZZ_SECONDS ?= 20
FUZZ_CC ?= clang
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_CFLAGS := -std=gnu11 -D_GNU_SOURCE -DBELFRY_VERSION='"$(VERSION)"' -I. -O1 -g -fno-omit-frame-pointer $(FUZZ_SAN)
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJS := $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(wildcard core/*.c))

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/libcore.a: $(FUZZ_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/libcore.a
	$(FUZZ_CC) $(FUZZ_SAN) -fsanitize=fuzzer -pthread -o $@ $^ -ljwt -lyajl -lssl -lcrypto -lz -lm

.PRECIOUS: $(BUILD)/fuzz/obj/%.o
.PHONY: fuzz fuzz-build $(FUZZ_NAMES:%=fuzz-run-%)
fuzz-build: $(FUZZ_NAMES:%=$(BUILD)/fuzz/fuzz_%)

fuzz: $(FUZZ_NAMES:%=fuzz-run-%) ## fuzz each parser for FUZZ_SECONDS (needs clang)

$(FUZZ_NAMES:%=fuzz-run-%): fuzz-run-%: $(BUILD)/fuzz/fuzz_%
	@mkdir -p $(BUILD)/fuzz/corpus/$*
	@$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 \
	    -artifact_prefix=$(BUILD)/fuzz/$*- $(patsubst %,-dict=%,$(wildcard tests/fuzz/$*.dict)) \
	    $(BUILD)/fuzz/corpus/$* $(wildcard tests/fuzz/corpus/$*) > $(BUILD)/fuzz/$*.log 2>&1 || { tail -80 $(BUILD)/fuzz/$*.log; exit 1; }
	@echo "fuzz_$*: `sed -n 's/^stat::number_of_executed_units: *//p' $(BUILD)/fuzz/$*.log` inputs, nothing found"

-include $(FUZZ_OBJS:.o=.d) $(FUZZ_NAMES:%=$(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.d)

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(OBJS:.o=.d) $(UNIT_SRCS:%.c=$(B)/obj/%.d)

# Measuring: belfry beside a bare loop in the same run. QUICK=1: fewer clients and rounds, to see that it runs.
BENCH_BINS := $(B)/bench/floor $(B)/bench/clients
$(B)/bench/floor: $(B)/obj/bench/floor.o $(B)/libbelfry.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/bench/clients: $(patsubst %,$(B)/obj/bench/%.o,clients client publisher samples) $(B)/libbelfry.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: bench
bench: $(B)/belfry $(BENCH_BINS) ## measure memory, CPU and latency beside a bare loop; writes build/bench.json
	@tests/venv.sh $(BUILD)/venv
	@$(BUILD)/venv/bin/python bench/run.py --binary $(B)/belfry --floor $(B)/bench/floor --clients $(B)/bench/clients \
	    --json $(BUILD)/bench.json $(if $(QUICK),--quick)

.PHONY: bench-resume
bench-resume: $(B)/belfry $(BENCH_BINS) ## measure 10,000 clients that resume at once after a restart of their process
	@tests/venv.sh $(BUILD)/venv
	@$(BUILD)/venv/bin/python bench/resume.py --binary $(B)/belfry --clients $(B)/bench/clients \
	    --json $(BUILD)/bench-resume.json $(if $(QUICK),--clients-n 1000)

-include $(patsubst %,$(B)/obj/bench/%.d,floor clients client publisher samples)
