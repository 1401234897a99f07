# Short names for what Meson and the tools do; `make help` says which.
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
export DESTDIR FUZZ_SECONDS

RELEASE = build/release
CHECK = build/check
CHECK_OPTIONS = -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Dtests=enabled \
	-Dc_args=-fno-sanitize-recover=undefined

.PHONY: all demo check bench fuzz install clean help deps deps-test

all: $(RELEASE)/build.ninja ## build build/release/skep
	@ninja -C $(RELEASE) skep

demo: all ## audit a swarm of 60 peers of all kinds, then one with liars, and compare with the truth
	$(RELEASE)/skep lab --demo
	$(RELEASE)/skep lab --demo docs/examples/liars.lab

check: deps-test $(RELEASE)/build.ninja $(CHECK)/build.ninja ## run all tests; the last line counts them
	@ninja -C $(CHECK)
	@ninja -C $(RELEASE)
	@tools/check $(CHECK) $(RELEASE):cli,brief

bench: deps-test all ## compare speed and memory with libtorrent's
	@bench/run --build $(RELEASE)

fuzz: deps-test ## run each fuzz target for FUZZ_SECONDS (60)
	@tools/fuzz

install: $(RELEASE)/build.ninja ## install below PREFIX (/usr/local), with DESTDIR before it
	@meson configure $(RELEASE) -Dprefix=$(PREFIX)
	@ninja -C $(RELEASE) product
	@meson install -C $(RELEASE) --no-rebuild
	@[ -n "$(DESTDIR)" ] || ldconfig || true

clean: ## remove everything that was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

# Packages: nothing is asked of the network when they are all there.
deps:
	@tools/deps
deps-test:
	@tools/deps --test

$(RELEASE)/build.ninja: | deps
	@meson setup $(RELEASE) -Dbuildtype=release -Dprefix=$(PREFIX)
$(CHECK)/build.ninja: | deps-test
	@meson setup $(CHECK) $(CHECK_OPTIONS)
