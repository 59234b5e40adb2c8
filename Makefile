# What a person types. `make up`, `eval "$(make -s env)"`, `make demo`, `make down`, `make test`.

TARGET   := x86_64-unknown-linux-gnu
PROFILE  ?= release
LAZURITE := target/$(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/lazurite
TOOLS    := .tools
SUDO     := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
ROOTED   := $(shell [ "$$(id -u)" = 0 ] && echo yes || { sudo -n true 2>/dev/null && echo yes; })
PACKAGES := containerd runc nftables iproute2 protobuf-compiler

.PHONY: up down env demo status doctor build packages tools test soak tidy deny bench clean

## Build Lazurite, install what real nodes need, start it and wait until it answers.
up: packages build
	@$(if $(ROOTED),$(SUDO) ,)$(LAZURITE) up $(ARGS)

## Stop it; ARGS=--purge also deletes its state.
down:
	@[ ! -x $(LAZURITE) ] || $(if $(ROOTED),$(SUDO) ,)$(LAZURITE) down $(ARGS)

## Print what makes this shell's az, kubectl and terraform speak to Lazurite: eval "$(make -s env)"
env:
	@$(LAZURITE) env

## The whole quickstart by itself, a progress line per step.
demo: up tools
	@scripts/demo

status doctor:
	@$(LAZURITE) $@

build:
	@cargo build --quiet --profile $(PROFILE) --package lazurite

# Real nodes need these; without root (or without Debian's apt) nodes are simulated.
packages:
	@missing=""; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ] && [ -n "$(ROOTED)" ] && command -v apt-get >/dev/null; then \
	  echo "installing:$$missing" >&2; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq $$missing >/dev/null; \
	fi

## The real clients (az in a virtual environment, kubectl and helm) under .tools, for tests and for who has none.
tools:
	@scripts/tools $(TOOLS)

## Every test there is.
test: packages build tools
	@scripts/test

## The endurance tests in full: 20 creates and deletes, 50 power cuts.
soak: packages build tools
	@LAZURITE_CREATES=20 LAZURITE_KILLS=50 LAZURITE_BIN=$(CURDIR)/$(LAZURITE) cargo nextest run -p e2e crash --no-capture

tidy:
	@cargo xtask tidy

## Licences, versions and sources of dependencies.
deny:
	@scripts/deny

bench: build
	@cargo xtask bench $(ARGS)

clean:
	@cargo clean
