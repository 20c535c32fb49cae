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
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SAN_FLAGS := $(if $(filter address,$(SAN)),-fsanitize=address,) $(if $(filter address,$(SAN)),-fsanitize=undefined -fno-sanitize-recover=undefined,) \
             $(if $(filter thread,$(SAN)),-fsanitize=thread,)
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DH2O_USE_LIBUV=0 -DBELFRY_VERSION='"$(VERSION)"' -I. \
             $(WARNINGS) $(HARDENING) -fno-omit-frame-pointer -pthread $(SAN_FLAGS) $(CFLAGS)
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

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(OBJS:.o=.d) $(UNIT_SRCS:%.c=$(B)/obj/%.d)
