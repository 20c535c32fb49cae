# belfry: build, test, lint, run. `make help` lists the targets.
.DEFAULT_GOAL := all

# SAN=address (with UBSan) or SAN=thread builds the same tree, instrumented, in a folder of its own.
SAN ?=
BUILD ?= build
B := $(BUILD)$(if $(SAN),/$(SAN))
CC ?= gcc
PREFIX ?= /usr/local
DESTDIR ?=
WERROR ?= $(if $(CI),-Werror)
VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
            -Wno-unused-parameter -Wundef -Wvla $(WERROR)
# Hidden, or the shared libraries would call our functions for theirs of the same name (libjwt uses jansson's json_string).
VISIBILITY := -fvisibility=hidden
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection $(if $(SAN),,-D_FORTIFY_SOURCE=2)
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

.PHONY: all clean unit help
all: $(B)/belfry

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libbelfry.a: $(LIB_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/belfry: $(B)/obj/server/main.o $(B)/libbelfry.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/%: $(B)/obj/tests/unit/%.o $(B)/libbelfry.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

.PRECIOUS: $(B)/obj/%.o

unit: $(UNIT_BINS) ## run the unit tests
	@for t in $(UNIT_BINS); do $$t || exit 1; done

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
